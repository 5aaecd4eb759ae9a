"""What replication costs, and how a member catches up: a cluster of three broker processes. Figures are extra info.

`make bench ARGS="-k replication"`. A quiet machine shows the ratio best: four processes share its cores.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from pathlib import Path
from statistics import median
from typing import Any

import pytest

from qpid_messaging import Connection, Message
from tests.integration.cluster import BrokerProcess, ClusterOfProcesses, wait_until

SENDS = 60_000
ROUNDS = 5
SIZE = 256
LEAST_RATIO = 0.35
"""Pipelined sends a second, replicated to two backups, against the same broker alone."""
MESSAGES = 100_000
QUEUES = 1_000
ABSENCE = 5.0
"""Seconds."""
LIMIT = 2 << 30

ALONE = f"{{create: always, node: {{x-declare: {{arguments: {{'qpid.max_size': {LIMIT}}}}}}}}}"
REPLICATED = ALONE.replace("{'qpid", "{'qpid.replicate': all, 'qpid", 1)


def cpu(broker: BrokerProcess) -> float:
    """Seconds of CPU time that the process has used."""
    fields = Path(f"/proc/{broker.process.pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def send(connection: Connection, address: str, number: int) -> float:
    """Send so many, pipelined. Returns how many that were a second."""
    sender = connection.session().sender(address, capacity=1000)
    content = b"x" * SIZE
    sender.send(Message(content))
    begun = time.perf_counter()
    for _ in range(number):
        sender.send(Message(content), sync=False)
    sender.sync()
    rate = number / (time.perf_counter() - begun)
    sender.close()
    return rate


@pytest.fixture(scope="module")
def cluster() -> Iterator[ClusterOfProcesses]:
    with ClusterOfProcesses(options=["--ha-min-replicas", "1"]) as cluster:
        cluster.ready()
        yield cluster


def measured(benchmark: Any, run: Any) -> dict[str, Any]:
    figures: dict[str, Any] = benchmark.extra_info
    benchmark.pedantic(run, args=(figures,), rounds=1, iterations=1)
    print("\n", {name: round(value, 2) if isinstance(value, float) else value for name, value in figures.items()})
    return figures


def test_replication_throughput(benchmark: Any, cluster: ClusterOfProcesses) -> None:
    def run(figures: dict[str, Any]) -> None:
        connection = cluster.connect()
        ratios = []
        for at in range(ROUNDS):
            alone = send(connection, f"alone-{at}; {ALONE}", SENDS)
            before = [cpu(member) for member in cluster.members]
            replicated = send(connection, f"replicated-{at}; {REPLICATED}", SENDS)
            spent = [(cpu(member) - then) / SENDS * 1e6 for member, then in zip(cluster.members, before, strict=True)]
            ratios.append(replicated / alone)
            figures["messages a second alone"], figures["replicated"] = alone, replicated
            figures["CPU us a message of the primary"], figures["of a backup"] = spent[0], max(spent[1:])
        connection.close()
        figures["ratio"] = median(ratios)

    assert measured(benchmark, run)["ratio"] >= LEAST_RATIO


def received(broker: BrokerProcess) -> int:
    """Bytes that a backup read: what the primary sent it, but for the surveys of its own."""
    for line in Path(f"/proc/{broker.process.pid}/io").read_text().splitlines():
        if line.startswith("rchar:"):
            return int(line.split()[1])
    raise AssertionError("no rchar")


def caught_up(cluster: ClusterOfProcesses, member: BrokerProcess) -> None:
    """Wait until a member is ready and holds what its primary does."""
    member.wait_for("ready")
    wait_until(lambda: member.index() >= cluster[0].index(), "the backup has everything")


def test_replication_catch_up(benchmark: Any) -> None:
    def run(figures: dict[str, Any]) -> None:
        with ClusterOfProcesses(options=["--link-heartbeat-interval", "1"]) as cluster:
            joiner = cluster[2]
            joiner.terminate()
            cluster.promote(0)
            cluster[1].wait_for("ready")
            connection = cluster.connect()
            session = connection.session()
            for at in range(QUEUES):
                session.sender(f"q-{at}; {REPLICATED}").close()
            send(connection, "q-0", MESSAGES // 2)
            for at in range(1, 51):
                send(connection, f"q-{at}", MESSAGES // 100 - 1)

            joiner.start()
            joiner.wait_for("joining", "catchup", "ready")
            begun, spent = time.perf_counter(), cpu(cluster[0])
            caught_up(cluster, joiner)
            figures["seconds to catch up from nothing"] = time.perf_counter() - begun
            figures["of those, CPU of the primary"] = cpu(cluster[0]) - spent
            figures["MB read"] = received(joiner) / 1e6
            figures["MB of messages"] = MESSAGES * SIZE / 1e6

            joiner.stop()
            # The first waits until the primary waits for the joiner no longer.
            send(connection, "q-0", 1)
            sent, until = 0, time.monotonic() + ABSENCE
            while time.monotonic() < until:
                send(connection, "q-0", 1000)
                sent += 1001
            read = received(joiner)
            joiner.resume()
            begun = time.perf_counter()
            caught_up(cluster, joiner)
            figures[f"seconds to catch up after {ABSENCE:g} s of absence"] = time.perf_counter() - begun
            figures["MB read for that"] = (received(joiner) - read) / 1e6
            figures["MB of messages sent meanwhile"] = sent * SIZE / 1e6

    figures = measured(benchmark, run)
    assert figures["MB read"] < 2 * figures["MB of messages"] + 1
    assert figures["MB read for that"] < 2 * figures["MB of messages sent meanwhile"] + 1
