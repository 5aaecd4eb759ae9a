"""The init scripts as a cluster manager runs them: what they do, and exit codes as the LSB has them."""

from __future__ import annotations

import os
import select
import signal
import subprocess
import sys
import xml.etree.ElementTree as ET
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from qpid_server.ha.managers.write_scripts import SCRIPTS, write_scripts
from tests.integration.cluster import ROOT, free_ports, wait_until

pytestmark = pytest.mark.timeout(180)

RUNNING, DEAD, STOPPED, UNKNOWN = 0, 1, 3, 4
"""Exit codes of `status`."""


class Host:
    """What a host of the cluster has: a broker's configuration, and the scripts."""

    def __init__(self, folder: Path, port: int, brokers_url: str) -> None:
        self.folder = folder / str(port)
        self.pid_file = self.folder / "pids" / f"qpidd.{port}.pid"
        write_scripts(self.folder)
        configuration = self.folder / "qpidd.conf"
        configuration.write_text(
            f"auth=no\ninterface=127.0.0.1\ndata-dir={self.folder / 'data'}\nlog-to-file={self.folder / 'log'}\n"
            f"ha-cluster=yes\nha-brokers-url={brokers_url}\nlink-maintenance-interval=0.2\nlog-enable=info+\n"
        )
        self.environment = {
            **{name: value for name, value in os.environ.items() if not name.startswith("QPID")},
            "PATH": os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]]),
            "PYTHONPATH": os.pathsep.join([str(ROOT), str(ROOT / "address")]),
            "QPIDD_USER": "nobody of that name",
            "QPID_CONFIG": str(configuration),
            "QPID_PORT": str(port),
            "QPID_PID_DIR": str(self.pid_file.parent),
        }

    def __call__(self, script: str, action: str, **environment: str) -> int:
        """The exit code of a script."""
        done = subprocess.run(
            ["sh", str(self.folder / script), action],
            env={**self.environment, **environment},
            stdout=subprocess.DEVNULL,
            timeout=120,
            check=False,
        )
        return done.returncode

    @property
    def pid(self) -> int:
        return int(self.pid_file.read_text())

    def signal(self, number: signal.Signals) -> None:
        """Send a signal to the broker; a deadly one is awaited."""
        descriptor = os.pidfd_open(self.pid)
        try:
            os.kill(self.pid, number)
            if number == signal.SIGKILL:
                assert select.select([descriptor], [], [], 30)[0]
        finally:
            os.close(descriptor)


@pytest.fixture
def hosts(tmp_path: Path) -> Iterator[Callable[[int], list[Host]]]:
    made: list[Host] = []

    def make(count: int) -> list[Host]:
        ports = free_ports(count)
        url = ",".join(f"127.0.0.1:{port}" for port in ports)
        made.extend(Host(tmp_path, port, url) for port in ports)
        return made

    yield make
    for host in made:
        if host("qpidd", "status") == RUNNING:
            os.kill(host.pid, signal.SIGCONT)
            assert host("qpidd", "stop") == 0


def test_a_broker_as_a_service(hosts: Callable[[int], list[Host]]) -> None:
    [host] = hosts(1)
    assert host("qpidd", "status") == STOPPED
    assert host("qpidd", "stop") == host("qpidd", "try-restart") == 0
    assert host("qpidd", "status") == STOPPED, "what is not running is not restarted"
    assert host("qpidd", "start") == 0
    assert host("qpidd", "status") == RUNNING
    first = host.pid
    assert host("qpidd", "start") == 0
    assert host.pid == first, "it runs already"
    assert host("qpidd", "try-restart") == 0
    assert host.pid != first
    host.signal(signal.SIGKILL)
    assert host("qpidd", "status") == DEAD
    assert host("qpidd", "restart") == 0
    assert host("qpidd", "status") == RUNNING
    assert host("qpidd", "stop") == 0
    assert host("qpidd", "status") == STOPPED


def test_what_a_service_cannot_do(hosts: Callable[[int], list[Host]]) -> None:
    [host] = hosts(1)
    for script in ("qpidd", "qpidd-primary"):
        assert host(script, "dance") == 2
        assert host(script, "reload") == 3
        missing = {"QPIDD": "no-such-command", "QPID_HA": "no-such-command"}
        assert host(script, "start", **missing) == 5
        assert host(script, "status", **missing) == UNKNOWN
    assert host("qpidd", "start", QPIDD_OPTIONS="--no-such-option") == 1
    assert host("qpidd", "status") == STOPPED


def test_the_primary_as_a_service(hosts: Callable[[int], list[Host]]) -> None:
    one, two = hosts(2)
    assert one("qpidd-primary", "start") == 7
    assert one("qpidd-primary", "status") == STOPPED
    for host in (one, two):
        assert host("qpidd", "start") == 0
        assert host("qpidd-primary", "status") == STOPPED
    assert one("qpidd-primary", "start") == one("qpidd-primary", "start") == 0
    assert [host("qpidd-primary", "status") for host in (one, two)] == [RUNNING, STOPPED]
    wait_until(lambda: "is ready" in (one.folder / "log").read_text(), "the backup is ready")

    # It moves without anybody being stopped.
    assert one("qpidd-primary", "stop") == 0
    assert [host("qpidd-primary", "status") for host in (one, two)] == [STOPPED, STOPPED]
    assert two("qpidd-primary", "start") == 0
    assert [host("qpidd-primary", "status") for host in (one, two)] == [STOPPED, RUNNING]
    assert two("qpidd-primary", "try-restart") == 0
    assert one("qpidd", "status") == RUNNING

    # A primary that does not answer is ended.
    two.signal(signal.SIGSTOP)
    assert two("qpidd-primary", "status", QPID_HA_OPTIONS="--timeout 1") == UNKNOWN
    assert two("qpidd-primary", "stop", QPID_HA_OPTIONS="--timeout 1") == 0
    assert [two(script, "status") for script in ("qpidd", "qpidd-primary")] == [DEAD, DEAD]
    assert one("qpidd-primary", "start") == 0
    assert two("qpidd", "start") == 0
    assert one("qpidd-primary", "status") == RUNNING


def test_the_configuration_for_rgmanager_fits_together(tmp_path: Path) -> None:
    assert {path.relative_to(tmp_path).as_posix() for path in write_scripts(tmp_path)} == set(SCRIPTS)
    tree = ET.parse(tmp_path / "cluster.conf")
    resources = tree.find("rm/resources")
    assert resources is not None
    named = {(item.tag, item.get("name") or item.get("address")) for item in resources}
    used = {
        (item.tag, item.get("ref")) for service in tree.iter("service") for item in service.iter() if item.get("ref")
    }
    assert used == named
    assert {item.get("file") for item in resources.iter("script")} == {SCRIPTS["qpidd"], SCRIPTS["qpidd-primary"]}
    nodes = {node.get("name") for node in tree.iter("clusternode")}
    assert {node.get("name") for node in tree.iter("failoverdomainnode")} == nodes
    domains = {domain.get("name") for domain in tree.iter("failoverdomain")}
    assert {service.get("domain") for service in tree.iter("service")} - {None} == domains
