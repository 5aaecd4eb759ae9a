"""qpid-ha as a process, against brokers that are processes: one that stands alone, and a cluster of three."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

import qpid_server
from qpid_messaging import ConnectError, Connection, ConnectionError, MessagingError
from qpid_messaging.management import AgentError, BrokerAgent, HaBroker
from qpid_server.security.users import UsersFile

STARTED_WITHIN = 15.0  # seconds that a broker may take to answer, on a machine with other work
ADMIN = {"qpid.ha-admin": 1}


def qpid_ha(*args: str, env: dict[str, str] | None = None) -> tuple[int, str]:
    """Exit status and output of the tool."""
    done = subprocess.run(
        [sys.executable, "-m", "qpid_server.tools.qpid_ha", *args],
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
        env={**os.environ, **(env or {})},
    )
    assert done.stderr == ""
    return done.returncode, done.stdout


class Member:
    """One broker of a cluster, as a process."""

    def __init__(self, port: int, brokers_url: str, folder: Path) -> None:
        self.url = f"127.0.0.1:{port}"
        options = ["--port", str(port), "--interface", "127.0.0.1", "--auth", "no", "--data-dir", str(folder)]
        cluster = ["--ha-cluster", "yes", "--ha-brokers-url", brokers_url, "--link-maintenance-interval", "0.2"]
        self.process = subprocess.Popen([sys.executable, "-m", "qpid_server", *options, *cluster])

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()

    def wait_for(self, *states: str) -> str:
        """Wait until the broker says that it is in one of these states."""
        deadline = time.monotonic() + STARTED_WITHIN
        status = "not answering"
        while time.monotonic() < deadline:
            try:
                connection = Connection.establish(self.url, timeout=2, client_properties=ADMIN)
            except ConnectionError:
                time.sleep(0.05)
                continue
            try:
                status = ha_of(connection).status
            finally:
                connection.close()
            if status in states:
                return status
            time.sleep(0.05)
        pytest.fail(f"{self.url} is {status}, not {' or '.join(states)}")


def ha_of(connection: Connection) -> HaBroker:
    found = BrokerAgent(connection).getHaBroker()
    assert found is not None
    return found


def free_ports(count: int) -> list[int]:
    with ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for sock in sockets:
            sock.bind(("127.0.0.1", 0))
        return [sock.getsockname()[1] for sock in sockets]


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[list[Member]]:
    """Three brokers, none of them promoted."""
    ports = free_ports(3)
    brokers_url = "amqp:" + ",".join(f"tcp:127.0.0.1:{port}" for port in ports)
    members = [Member(port, brokers_url, tmp_path / str(port)) for port in ports]
    try:
        for member in members:
            member.wait_for("joining")
        yield members
    finally:
        for member in members:
            member.kill()


def test_a_broker_that_stands_alone() -> None:
    with qpid_server.running() as broker:
        assert qpid_ha("ping", "-b", broker.url) == (0, "")
        alone = f"Exception: HA module is not loaded on broker at {broker.url}\n"
        for command in ("status", "query", "status --all", "status --is-primary", "promote --cluster-manager"):
            assert qpid_ha(*command.split(), "-b", broker.url) == (1, alone)


def test_a_broker_without_management() -> None:
    with qpid_server.running(mgmt_enable=False) as broker:
        assert qpid_ha("ping", "-b", broker.url) == (0, "")
        status, out = qpid_ha("status", "-b", broker.url)
        assert status == 1
        assert out.startswith("NotFound: ")
        assert "qmf.default.topic" in out


def test_who_may_come_in(tmp_path: Path) -> None:
    users = tmp_path / "users"
    UsersFile(users).add("ha", "secret")
    conf = tmp_path / "qpidd.conf"
    conf.write_text("ha-username=ha\nha-password=secret\nha-mechanism=PLAIN\n")
    with qpid_server.running(auth=True, users_file=str(users)) as broker:
        assert qpid_ha("ping", "-b", f"ha/secret@{broker.url}") == (0, "")
        assert qpid_ha("ping", "-b", broker.url, "--config", str(conf)) == (0, "")
        for user in ("", "ha/wrong@"):
            status, out = qpid_ha("ping", "-b", f"{user}{broker.url}")
            assert (status, out.split(":")[0]) == (1, "AuthenticationFailure")


def test_the_life_of_a_cluster(cluster: list[Member]) -> None:
    first, second, third = cluster
    assert qpid_ha("status", "-b", first.url) == (0, "joining\n")
    assert qpid_ha("promote", "-b", first.url)[0] == 1
    assert qpid_ha("status", "-b", first.url) == (0, "joining\n")

    assert qpid_ha("promote", "--cluster-manager", "-b", first.url) == (0, "")
    first.wait_for("active")
    second.wait_for("ready")
    third.wait_for("ready")
    everybody = f"{first.url} active\n{second.url} ready\n{third.url} ready\n"
    for member in cluster:
        assert qpid_ha("status", "--all", "-b", member.url) == (0, everybody)
    for member, primary in ((first, 0), (second, 1)):
        assert qpid_ha("status", "--is-primary", "-b", member.url) == (primary, "")
        assert qpid_ha("status", "--expect", "active", "-b", member.url) == (primary, "")

    first.kill()
    assert qpid_ha("promote", "--cluster-manager", "-b", second.url) == (0, "")
    second.wait_for("active", "recovering")
    third.wait_for("ready")
    status, out = qpid_ha("status", "--all", "-b", second.url)
    dead, new_primary, backup = out.splitlines()
    assert status == 0
    assert dead == f"{first.url} Connection refused"
    assert new_primary in (f"{second.url} active", f"{second.url} recovering")
    assert backup == f"{third.url} ready"


def test_query_and_set(cluster: list[Member], tmp_path: Path) -> None:
    member = cluster[0]
    conf = tmp_path / "qpidd.conf"
    conf.write_text(f"port={member.url.rpartition(':')[2]}\n")
    at = ("-b", "127.0.0.1", "--config", str(conf))
    assert qpid_ha("set", "--public-url", "amqp:tcp:10.0.0.1:5672", *at) == (0, "")
    assert qpid_ha("promote", "--cluster-manager", *at) == (0, "")
    status, out = qpid_ha("query", *at)
    assert status == 0
    shown = {line[:20].strip(): line[21:] for line in out.splitlines()}
    connection = Connection.establish(member.url, client_properties=ADMIN)
    try:
        ha = ha_of(connection)
        assert shown == {
            "Status:": ha.status,
            "Broker ID:": str(ha.systemId),
            "Brokers URL:": ha.brokersUrl,
            "Public URL:": "amqp:tcp:10.0.0.1:5672",
            "Replicate:": "none",
            "Epoch:": ha.epoch,
            "Index:": str(ha.index),
        }
        assert ha.epoch.startswith("1:")
        assert len(ha.members) >= 1
    finally:
        connection.close()
    status, out = qpid_ha("query", "--all", *at)
    assert (status, out.count("Address: "), out.count("\n\n")) == (0, 3, 3)
    status, out = qpid_ha("set", "--brokers-url", "amqp:bad,,", *at)
    assert (status, "setBrokersUrl" in out) == (1, True)
    status, out = qpid_ha("replicate", "queue", "elsewhere", *at)
    assert (status, "Queue not found: queue" in out) == (1, True)


def test_what_an_admin_may_do_at_a_backup(cluster: list[Member]) -> None:
    first, second, _ = cluster
    assert qpid_ha("promote", "--cluster-manager", "-b", first.url) == (0, "")
    second.wait_for("ready")
    with pytest.raises(MessagingError):
        Connection.establish(second.url, timeout=5)
    connection = Connection.establish(second.url, timeout=5, client_properties=ADMIN)
    try:
        agent = BrokerAgent(connection)
        agent.addQueue("local")
        assert agent.getQueue("local") is not None
        with pytest.raises(AgentError, match="primary"):
            agent.addQueue("replicated", {"qpid.replicate": "all"})
        assert agent.getQueue("replicated") is None
    finally:
        connection.close()


def test_a_broker_that_is_stopped_does_not_hold_up_the_others(cluster: list[Member]) -> None:
    first, second, third = cluster
    os.kill(third.process.pid, signal.SIGSTOP)
    try:
        status, out = qpid_ha("status", "--all", "--timeout", "1", "-b", first.url)
    finally:
        os.kill(third.process.pid, signal.SIGCONT)
    assert status == 0
    assert out.splitlines()[:2] == [f"{first.url} joining", f"{second.url} joining"]
    assert out.splitlines()[2].startswith(f"{third.url} ")
    assert not out.splitlines()[2].endswith("joining")


def test_the_reader_of_the_output_has_enough(cluster: list[Member]) -> None:
    """`qpid-ha query | head -1`: no complaint."""
    command = [sys.executable, "-m", "qpid_server.tools.qpid_ha", "query", "--all", "-b", cluster[0].url]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert process.stdout is not None
    assert process.stderr is not None
    process.stdout.close()
    said = process.stderr.read()
    process.stderr.close()
    process.wait(timeout=30)
    assert said == b""


def test_connecting_as_a_client_is_refused_at_once() -> None:
    """Nobody listens: no traceback, no waiting."""
    [port] = free_ports(1)
    with pytest.raises(ConnectError):
        Connection.establish(f"127.0.0.1:{port}", timeout=5)
    assert qpid_ha("ping", "-b", f"127.0.0.1:{port}") == (1, f"ConnectError: 127.0.0.1:{port}: Connection refused\n")
