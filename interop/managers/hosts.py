"""Hosts on one machine: network namespaces that a bridge joins, each with its own processes, shared memory and /run.

Nothing of them outlives the test: a host is what its first process holds, and that one dies with whoever made it. No
packet gets out: the bridge is in a namespace of its own, too.
"""

from __future__ import annotations

import os
import select
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from interop.peers import PeerAbsent

ROOT = Path(__file__).resolve().parents[2]
ENVIRONMENT = {
    **{name: value for name, value in os.environ.items() if not name.startswith(("QPID", "OCF_", "ETCD"))},
    "PATH": os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"], "/usr/sbin", "/sbin"]),
    "PYTHONPATH": os.pathsep.join([str(ROOT), str(ROOT / "address")]),
}
NETWORK = "198.18.0"
"""The first three bytes of every address: a range that is for tests of networks (RFC 2544)."""

# The first process of a host: it makes private what programs write to, and then takes in orphans.
_INIT = """
set -e
ip link set lo up
for folder in "$@"; do
  mkdir -p "$folder"
  mount -t tmpfs none "$folder"
done
echo ready
set +e
trap : CHLD
sleep infinity &
while :; do wait; done
"""


def require_namespaces() -> None:
    """Make and leave a namespace.

    Raises:
        PeerAbsent: that is not possible here; the text says why.
    """
    for command in ("ip", "unshare", "nsenter", "setpriv"):
        if shutil.which(command, path=ENVIRONMENT["PATH"]) is None:
            raise PeerAbsent(f"network namespaces: {command} is not on the PATH (Debian: iproute2, util-linux)")
    tried = subprocess.run(
        ["unshare", "--net", "--mount", "--pid", "--fork", "ip", "link", "add", "bridge0", "type", "bridge"],
        env=ENVIRONMENT,
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    if tried.returncode:
        raise PeerAbsent(f"network namespaces: {tried.stderr.strip() or tried.returncode}")


class Host:
    """A namespace with processes.

    Args:
        name: its host name.
        private: folders that are its own, and empty.

    Attributes:
        name: its host name.
        address: its IP address on the bridge.
    """

    def __init__(self, name: str, private: Sequence[str] = ()) -> None:
        self.name = name
        self.address = ""
        self._started: list[subprocess.Popen[str]] = []
        kinds = ("--net", "--mount", "--uts", "--ipc", "--pid", "--fork", "--kill-child", "--mount-proc")
        self._init = subprocess.Popen(
            ["setpriv", "--pdeathsig", "KILL", "unshare", *kinds, "sh", "-c", _INIT, name, *private],
            env=ENVIRONMENT,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert self._init.stdout is not None
        said = self._init.stdout.readline() if select.select([self._init.stdout], [], [], 30)[0] else "silent"
        if said != "ready\n":
            self.end()
            raise RuntimeError(f"host {name} does not come up: {said!r}")
        self.pid = int(Path(f"/proc/{self._init.pid}/task/{self._init.pid}/children").read_text())
        self.run("hostname", name)

    def command(self, *command: str) -> list[str]:
        """The command line that runs a command there."""
        return ["nsenter", "--target", str(self.pid), "--all", "--", *command]

    def run(self, *command: str, env: Mapping[str, str] | None = None, check: bool = True, timeout: float = 60) -> str:
        """Run a command there to its end, and return what it said.

        Raises:
            AssertionError: it failed.
        """
        done = subprocess.run(
            self.command(*command),
            env={**ENVIRONMENT, **(env or {})},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            stdin=subprocess.DEVNULL,
            text=True,
            timeout=timeout,
            check=False,
        )
        if check:
            assert done.returncode == 0, f"{self.name}: {' '.join(command)}: {done.returncode}\n{done.stdout}"
        return done.stdout

    def start(self, *command: str, log: Path, env: Mapping[str, str] | None = None) -> subprocess.Popen[str]:
        """Start a command there; it is ended with the host."""
        with log.open("ab") as output:
            process = subprocess.Popen(
                self.command(*command),
                env={**ENVIRONMENT, **(env or {})},
                stdin=subprocess.PIPE,
                stdout=output,
                stderr=output,
                text=True,
            )
        self._started.append(process)
        return process

    def path(self, path: str) -> Path:
        """A file of the host, as it is seen from outside."""
        return Path(f"/proc/{self.pid}/root{path}")

    def write(self, path: str, text: str) -> None:
        """Write a file of the host."""
        target = self.path(path)
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(text)

    def end(self) -> None:
        """Nothing of it is left."""
        self._init.kill()
        for process in [self._init, *self._started]:
            process.wait()
            for pipe in (process.stdin, process.stdout):
                if pipe is not None:
                    pipe.close()


class Hosts:
    """Hosts that a bridge joins.

    Args:
        private: folders that each has for itself.

    Attributes:
        all: the hosts.
    """

    def __init__(self, private: Sequence[str]) -> None:
        self._private = private
        self._switch = Host("switch")
        self._switch.run("ip", "link", "add", "bridge0", "type", "bridge")
        self._switch.run("ip", "link", "set", "bridge0", "up")
        self.all: list[Host] = []

    def add(self, name: str) -> Host:
        """Another host on the bridge."""
        host = Host(name, self._private)
        self.all.append(host)
        # Across namespaces of processes, only this one's ids mean the same to `ip`.
        link = ["ip", "link", "add", name, "type", "veth", "peer", "name", "eth0", "netns", str(host.pid)]
        enter = ["nsenter", "--target", str(self._switch.pid), "--net", "--", *link]
        subprocess.run(enter, env=ENVIRONMENT, check=True, timeout=30)
        self._switch.run("ip", "link", "set", name, "master", "bridge0", "up")
        host.address = f"{NETWORK}.{len(self.all)}"
        host.run("ip", "address", "add", f"{host.address}/24", "dev", "eth0")
        host.run("ip", "link", "set", "eth0", "up")
        return host

    def unplug(self, host: Host) -> None:
        """Take its link down."""
        self._switch.run("ip", "link", "set", host.name, "down")

    def plug(self, host: Host) -> None:
        """Take its link up again."""
        self._switch.run("ip", "link", "set", host.name, "up")

    def end(self) -> None:
        """Nothing of them is left."""
        for host in [*self.all, self._switch]:
            host.end()


@contextmanager
def running_hosts(private: Sequence[str] = ("/run", "/dev/shm")) -> Iterator[Hosts]:
    """Hosts for the block."""
    hosts = Hosts(private)
    try:
        yield hosts
    finally:
        hosts.end()
