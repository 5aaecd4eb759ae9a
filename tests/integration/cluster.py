"""A cluster of real broker processes, to be killed, stopped, restarted and promoted.

with ClusterOfProcesses() as cluster:
    cluster.promote(0)
    cluster.wait_for_backups()
    ...
    cluster[0].kill()
    cluster.promote(1)
"""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from typing_extensions import Self

from qpid_messaging import Connection
from qpid_messaging.exceptions import MessagingError, Timeout
from qpid_messaging.management import AgentError, BrokerAgent, HaBroker

ROOT = Path(__file__).resolve().parents[2]
READY = 2
"""The status `ready` in the list of members that management shows."""
PATIENCE = 30.0
"""Seconds after which a condition that is waited for has failed: much more than any of them takes."""


def wait_until(condition: Callable[[], bool], what: Callable[[], str] | str, *, patience: float = PATIENCE) -> None:
    """Wait for a condition that nobody announces.

    Raises:
        AssertionError: it does not come true.
    """
    deadline = time.monotonic() + patience
    while not condition():
        if time.monotonic() > deadline:
            raise AssertionError(f"not within {patience} s: {what if isinstance(what, str) else what()}")
        time.sleep(0.01)


class BrokerProcess:
    """One member of the cluster.

    Attributes:
        name: A, B, C ...
        port: where it listens.
        url: the same as clients take it.
        process: the process, the last one that was started.
    """

    def __init__(
        self, name: str, port: int, folder: Path, options: Sequence[str], interface: str = "127.0.0.1"
    ) -> None:
        self.name = name
        self.port = port
        self.url = f"{interface}:{port}"
        self._log = folder / f"{name}.log"
        self._command = [
            *(sys.executable, "-m", "qpid_server", "--port", str(port), "--interface", interface, "--auth", "no"),
            *("--data-dir", str(folder / name), "--log-enable", "info+", *options),
        ]
        self.start()

    def start(self, *options: str) -> None:
        """Start it, or start it again after it died."""
        self._stopped = False
        path = os.pathsep.join([str(ROOT), str(ROOT / "address")])
        with self._log.open("ab") as log:
            self.process = subprocess.Popen(
                [*self._command, *options],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env={**os.environ, "PYTHONPATH": path},
            )

    @property
    def log(self) -> str:
        """What it said, in all its lives."""
        return self._log.read_text("utf-8", "replace")

    def kill(self) -> None:
        """SIGKILL: it is gone without a word."""
        self.process.kill()
        self.process.wait()

    def stop(self) -> None:
        """SIGSTOP: it is there and does nothing."""
        self._stopped = True
        self.process.send_signal(signal.SIGSTOP)

    def resume(self) -> None:
        """SIGCONT."""
        self._stopped = False
        self.process.send_signal(signal.SIGCONT)

    def terminate(self) -> int:
        """SIGTERM. Returns the exit status."""
        self.process.terminate()
        return self.process.wait(PATIENCE)

    def end(self) -> None:
        """Leave nothing of it behind, whatever state it is in."""
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()

    # -- management

    def admin(self) -> Connection:
        """A connection that a backup lets in."""
        return Connection.establish(self.url, client_properties={"qpid.ha-admin": 1}, timeout=5)

    def _ha(self, use: Callable[[HaBroker], Any]) -> Any:
        connection = self.admin()
        try:
            ha = BrokerAgent(connection, timeout=10).getHaBroker()
            assert ha is not None
            return use(ha)
        finally:
            connection.close(5)

    def status(self) -> str:
        """joining, catchup, ready, recovering or active; "gone" where it does not answer."""
        if self._stopped or self.process.poll() is not None:
            return "gone"
        try:
            return str(self._ha(lambda ha: ha.status))
        except (MessagingError, Timeout):
            return "gone"

    def index(self) -> int:
        """Index of the last entry of its log."""
        return int(self._ha(lambda ha: ha.index))

    def system_id(self) -> str:
        """Who it is to the others."""
        return str(self._ha(lambda ha: ha.systemId))

    def in_step(self) -> set[str]:
        """Ids of the members that are ready, as it knows of them: where it is the primary, those that it waits for."""
        members = self._ha(lambda ha: ha.members)
        return {str(member["system-id"]) for member in members if member["status"] == READY}

    def epoch(self) -> int:
        """Number of the reign that it lives under."""
        return int(self._ha(lambda ha: str(ha.epoch).partition(":")[0]))

    def promote(self, *, force: bool = False) -> None:
        """Make it the primary.

        Raises:
            AgentError: it is refused; the text says why.
        """
        self._ha(lambda ha: ha.promote(force=force))

    def demote(self, *, wait: float | None = None) -> None:
        """Make it the primary no more, where it is."""
        self._ha(lambda ha: ha.demote(wait=wait))

    def wait_for(self, *wanted: str) -> None:
        """Wait until it is in one of these states."""
        seen = ""

        def found() -> bool:
            nonlocal seen
            seen = self.status()
            return seen in wanted

        wait_until(found, lambda: f"{self.name} is {seen}, not {' or '.join(wanted)}:\n{self.log}")


class ClusterOfProcesses:
    """Brokers as processes that list each other; all of them are joining when the block begins.

    Args:
        size: how many.
        options: options of all of them.
    """

    def __init__(self, size: int = 3, options: Sequence[str] = ()) -> None:
        self._size = size
        self._options = options
        self.members: list[BrokerProcess] = []
        self._connections: list[Connection] = []

    def __enter__(self) -> Self:
        self._folder = tempfile.TemporaryDirectory()
        ports = free_ports(self._size)
        url = ",".join(f"127.0.0.1:{port}" for port in ports)
        options = ["--ha-cluster", "yes", "--ha-brokers-url", url, *self._options]
        for name, port in zip("ABCDEFG", ports, strict=False):
            self.members.append(BrokerProcess(name, port, Path(self._folder.name), options))
        try:
            for member in self.members:
                member.wait_for("joining")
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *exc: object) -> None:
        for member in self.members:
            member.end()
        self.close_connections()
        self._folder.cleanup()

    def __getitem__(self, number: int) -> BrokerProcess:
        return self.members[number]

    @property
    def urls(self) -> list[str]:
        """All brokers, as `reconnect_urls` takes them."""
        return [member.url for member in self.members]

    def promote(self, number: int, *, force: bool = False) -> None:
        """Make that member the primary."""
        self.members[number].promote(force=force)

    def promote_best(self, number: int) -> int:
        """Make that member the primary, or the one that it names in its place, since that one is a little ahead.

        Returns:
            Which one it is.
        """
        try:
            self.promote(number)
        except AgentError as error:
            for better, member in enumerate(self.members):
                if f"promote {member.url} instead" in str(error):
                    self.promote(better)
                    return better
            raise
        return number

    def ready(self, primary: int = 0) -> None:
        """Promote one and wait until the others follow it."""
        self.promote(primary)
        self.wait_for_backups()

    def primary(self) -> int:
        """Which member is the primary.

        Raises:
            AssertionError: there is none.
        """
        for number, member in enumerate(self.members):
            if member.status() in ("recovering", "active"):
                return number
        raise AssertionError(f"no primary:\n{self.logs()}")

    def wait_for_backups(self) -> None:
        """Wait until all are ready, but the primary."""
        for member in self.members:
            member.wait_for("ready", "recovering", "active")

    def connect(self, **options: Any) -> Connection:
        """A client's connection, which finds the primary whichever it is; closed when the block ends, if not before."""
        options = {"reconnect": True, "reconnect_urls": self.urls, "heartbeat": 2, **options}
        self._connections.append(Connection.establish(self.urls[0], **options))
        return self._connections[-1]

    def close_connections(self) -> None:
        """Close the clients' connections that there are, if no test did."""
        for connection in self._connections:
            with suppress(MessagingError, Timeout):
                connection.close(1)
        self._connections.clear()

    def logs(self) -> str:
        """What all of them said."""
        return "\n".join(f"--- {member.name} ({member.url})\n{member.log}" for member in self.members)


def free_ports(count: int) -> list[int]:
    """Ports on loopback that nobody listens on."""
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [listener.getsockname()[1] for listener in sockets]
    for listener in sockets:
        listener.close()
    return ports
