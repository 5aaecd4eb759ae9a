"""Three hosts with a member of etcd, a broker and its manager each, and a link that is taken down."""

from __future__ import annotations

import shutil
import signal
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from interop.conftest import require
from interop.managers.applications import Application, Traffic, wait_until
from interop.managers.hosts import ENVIRONMENT, Host, Hosts, require_namespaces, running_hosts
from interop.peers import PeerAbsent

pytestmark = pytest.mark.timeout(300)

OPTIONS = (
    *("--auth", "no", "--interface", "0.0.0.0", "--ha-cluster", "yes", "--ha-min-replicas", "1"),
    *("--link-heartbeat-interval", "1", "--link-maintenance-interval", "0.5", "--log-enable", "info+"),
)
PRIMARY = ("recovering", "active")


def require_etcd() -> None:
    """Find etcd.

    Raises:
        PeerAbsent: it is not here.
    """
    if shutil.which("etcd", path=ENVIRONMENT["PATH"]) is None:
        raise PeerAbsent("etcd is not on the PATH (Debian: apt-get install etcd-server)")


@pytest.fixture
def hosts() -> Iterator[Hosts]:
    require(require_namespaces)
    require(require_etcd)
    with running_hosts() as hosts:
        yield hosts


class EtcdCluster:
    """Brokers on hosts, in the hands of managers that ask etcd.

    Args:
        hosts: where to run.
        folder: for logs, and what etcd and the brokers keep.
    """

    def __init__(self, hosts: Hosts, folder: Path) -> None:
        self._folder = folder
        self.members = [hosts.add(name) for name in ("one", "two", "three")]
        peers = ",".join(f"{host.name}=http://{host.address}:2380" for host in self.members)
        self.brokers_url = ",".join(host.address for host in self.members)
        self.managers = {}
        for host in self.members:
            here, peer = f"http://{host.address}:2379", f"http://{host.address}:2380"
            host.start(
                *("etcd", "--name", host.name, "--data-dir", str(folder / f"etcd-{host.name}")),
                *("--listen-client-urls", f"{here},http://127.0.0.1:2379", "--advertise-client-urls", here),
                *("--listen-peer-urls", peer, "--initial-advertise-peer-urls", peer),
                *(
                    "--initial-cluster",
                    peers,
                    "--heartbeat-interval",
                    "200",
                    "--election-timeout",
                    "2000",
                    "--pre-vote",
                ),
                log=self._log(host, "etcd"),
            )
            data = ("--data-dir", str(folder / host.name), "--ha-brokers-url", self.brokers_url)
            host.start(sys.executable, "-m", "qpid_server", *OPTIONS, *data, log=self._log(host, "qpidd"))
        for host in self.members:
            self.start_manager(host)

    def start_manager(self, host: Host) -> None:
        """Start the manager of a host's broker."""
        command = (sys.executable, "-m", "qpid_server.tools.qpid_ha", "manage", "-b", "127.0.0.1")
        # Its own member of etcd first, then the others.
        etcd = [
            "http://127.0.0.1:2379",
            *(f"http://{other.address}:2379" for other in self.members if other is not host),
        ]
        log = self._log(host, "manager")
        self.managers[host.name] = host.start(*command, "--etcd", ",".join(etcd), "--ttl", "6", log=log)

    def status(self, host: Host) -> str:
        """What the broker of a host says that it is."""
        return host.run("qpid-ha", "status", "-b", "localhost", check=False).strip()

    def wait_for_primary(self, hosts: Sequence[Host]) -> Host:
        """Wait until one of these hosts has the primary."""
        found: list[Host] = []

        def promoted() -> bool:
            found[:] = [host for host in hosts if self.status(host) in PRIMARY]
            return len(found) == 1

        wait_until(promoted, self.logs)
        return found[0]

    def said(self, host: Host, what: str) -> str:
        """What a program of a host said."""
        return self._log(host, what).read_text("utf-8", "replace")

    def _log(self, host: Host, what: str) -> Path:
        return self._folder / f"{host.name}.{what}.log"

    def logs(self) -> str:
        """What brokers and managers said, the end of it."""
        programs = [(host, what) for what in ("manager", "qpidd") for host in self.members]
        return "\n".join(f"--- {host.name} {what}\n{self.said(host, what)[-3000:]}" for host, what in programs)


def test_the_primary_is_cut_off_and_its_successor_killed(hosts: Hosts, tmp_path: Path) -> None:
    cluster = EtcdCluster(hosts, tmp_path)
    first = cluster.wait_for_primary(cluster.members)
    wait_until(lambda: [cluster.status(host) for host in cluster.members].count("ready") == 2, cluster.logs)
    traffic = Traffic(hosts.add("clients"), "orders", cluster.brokers_url.split(","), tmp_path)
    traffic.go_on()
    lonely = Application(first, "send", "lonely", ["127.0.0.1"], tmp_path)
    lonely.go_on()

    hosts.unplug(first)
    acknowledged = len(lonely.numbers())
    cluster.wait_for_primary([host for host in cluster.members if host is not first])
    traffic.go_on()
    wait_until(lambda: cluster.status(first) == "joining", cluster.logs)
    assert len(lonely.numbers()) <= acknowledged + 1, "what it takes alone is not acknowledged"
    assert "the lease cannot be renewed: the broker is demoted" in cluster.said(first, "manager")

    hosts.plug(first)
    wait_until(lambda: cluster.status(first) == "ready", cluster.logs)
    traffic.go_on()

    # A manager that is stopped hands its reign on.
    second = cluster.wait_for_primary(cluster.members)
    second.run("pkill", "-TERM", "-f", "qpid_ha manage")
    third = cluster.wait_for_primary([host for host in cluster.members if host is not second])
    traffic.go_on()
    assert cluster.managers[second.name].wait(30) == 0
    wait_until(lambda: cluster.status(second) == "ready", cluster.logs)
    assert "before backups confirmed" not in cluster.said(second, "qpidd")

    # A broker that dies is noticed at once, and not when a lease runs out.
    third.run("pkill", f"-{signal.SIGKILL.value}", "-f", "qpid_server --auth")
    cluster.wait_for_primary([host for host in cluster.members if host not in (second, third)])
    traffic.go_on()
    assert "the broker is gone" in cluster.said(third, "manager")
    traffic.finish()
    for host in cluster.members:
        assert "Traceback" not in cluster.said(host, "manager")
