"""A client that is told of one broker only: it learns the others, and what becomes of them."""

from __future__ import annotations

import logging
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

import qpid_server
from qpid_messaging import Connection
from qpid_messaging.management import BrokerAgent
from tests.integration.cluster import BrokerProcess, ClusterOfProcesses, free_ports, wait_until
from tests.integration.shells import SHELLS, Shell

pytestmark = pytest.mark.timeout(180)

BLOCKING, ASYNCIO, TRIO = SHELLS
ADDRESS = "known; {create: always, node: {x-declare: {arguments: {'qpid.replicate': all}}}}"
JMS = "amqp://me/test?brokerlist='tcp://%s?heartbeat='5''&failover='failover_exchange?cyclecount='1000''"


def known(connection: Any) -> set[int | None]:
    """The ports of all brokers that a connection knows."""
    core = getattr(connection, "_endpoint", connection)._core
    return {broker.port for broker in core.policy.brokers()}


WAYS = [(BLOCKING, "known-hosts"), (BLOCKING, "JMS"), (ASYNCIO, "amq.failover"), (TRIO, "amq.failover")]


def test_the_one_broker_that_they_were_told_of_dies() -> None:
    """Clients that came in by different ways, all of them to the same broker."""
    begun = threading.Barrier(len(WAYS) + 1, timeout=60)
    recovered = threading.Event()

    async def scenario(shell: Shell, way: str, cluster: ClusterOfProcesses) -> int:
        if way == "JMS":
            connection = shell.connection(JMS % cluster[0].url)
        else:
            updates = way == "amq.failover"
            connection = shell.connection(cluster[0].url, reconnect=True, heartbeat=5, failover_updates=updates)
        await connection.open(timeout=20)
        sender = await connection.session().sender(ADDRESS)
        await sender.send("before", timeout=20)
        assert known(connection) == {member.port for member in cluster.members}
        begun.wait()
        await shell.wait(recovered)
        await sender.send("after", timeout=30)
        await connection.close(timeout=20)
        return int(connection.stats.fail_overs)

    with ClusterOfProcesses(options=["--ha-replicate", "all"]) as cluster, ThreadPoolExecutor(len(WAYS)) as threads:
        cluster.ready()
        players = [threads.submit(shell.run, scenario, shell, way, cluster) for shell, way in WAYS]
        try:
            begun.wait()
            cluster[0].kill()
            primary = cluster.promote_best(1)
        except BaseException:
            begun.abort()
            raise
        finally:
            recovered.set()
        assert [player.result(60) for player in players] == [1] * len(WAYS)
        with cluster[primary].admin() as connection:
            queues = [queue.name for queue in BrokerAgent(connection).getAllQueues()]
        assert [name for name in queues if "failover" in name] == [], "their subscriptions are gone with them"


def test_a_broker_without_that_exchange(caplog: pytest.LogCaptureFixture) -> None:
    with qpid_server.running() as broker, caplog.at_level(logging.INFO, "qpid_messaging"):
        with Connection.establish(broker.url, timeout=10, failover_updates=True) as connection:
            assert connection.sessions == {}
            connection.session().sender("amq.topic").send("x", timeout=10)
        assert "nothing to be learnt from the exchange amq.failover: no such topic" in caplog.text


@pytest.mark.parametrize("shell", [BLOCKING, TRIO], ids=lambda shell: shell.name)
def test_a_member_that_came_later(shell: Shell, tmp_path: Path) -> None:
    """Nobody listed it when the client was let in: it is known from `amq.failover` alone."""
    first_port, second_port = free_ports(2)
    options = ["--ha-cluster", "yes", "--ha-replicate", "all", "--ha-brokers-url", f"127.0.0.1:{first_port}"]
    first = BrokerProcess("first", first_port, tmp_path, options)
    members = [first]

    def join(connection: Any, happened: threading.Event) -> None:
        second = BrokerProcess("second", second_port, tmp_path, options)
        members.append(second)
        second.wait_for("ready")
        wait_until(lambda: known(connection) == {first_port, second_port}, "the second is not known")
        first.kill()
        second.promote()
        happened.set()

    async def scenario() -> None:
        first.wait_for("joining")
        first.promote()
        connection = shell.connection(first.url, reconnect=True, heartbeat=5, failover_updates=True)
        await connection.open(timeout=20)
        sender = await connection.session().sender(ADDRESS)
        await sender.send("before", timeout=20)
        assert known(connection) == {first_port}
        happened = threading.Event()
        threading.Thread(target=join, args=(connection, happened)).start()
        await shell.wait(happened)
        await sender.send("after", timeout=30)
        receiver = await connection.session().receiver("known")
        assert [(await receiver.fetch(timeout=20)).content for _ in range(2)] == ["before", "after"]
        await connection.close(timeout=20)

    try:
        shell.run(scenario)
    finally:
        for member in members:
            member.end()
