"""qpid-ha, the original and ours, and the tools on brokers of a cluster: see `test_tools`."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest

from interop.peers import QpidPython
from interop.tools import Pair, Side, pair_of_brokers, plain, without
from tests.integration.cluster import ClusterOfProcesses


@pytest.fixture(scope="module")
def alone(qpid_python: QpidPython) -> Iterator[Pair]:
    """Two brokers, each of which stands alone."""
    with pair_of_brokers(qpid_python) as pair:
        yield pair


@pytest.fixture(scope="module")
def members(qpid_python: QpidPython) -> Iterator[Pair]:
    """Two brokers, each of which is the only member of its cluster that is up, and waits to be promoted."""
    with pair_of_brokers(qpid_python, "--ha-cluster", "yes", "--ha-brokers-url", "amqp:127.0.0.1:1") as pair:
        yield pair


def same(pair: Pair, command: str) -> str:
    original, our = pair.run(command)
    # Brokers of the C++ kind have neither.
    ours = without(our.out, ["Epoch:", "Index:"])
    assert (plain(ours), our.status) == (plain(original.out), original.status), command
    return ours


COMMANDS = [
    "qpid-ha ping",
    "qpid-ha ping --timeout 5",
    "qpid-ha ping extra",
    "qpid-ha status",
    "qpid-ha status --expect joining",
    "qpid-ha status --expect ready",
    "qpid-ha status --expect stand-alone",
    "qpid-ha status --is-primary",
    "qpid-ha query",
    "qpid-ha promote",
    "qpid-ha replicate q",
    "qpid-ha --no-such-option ping",
    "qpid-ha ping --ssl-key only",
]


@pytest.mark.parametrize("command", COMMANDS)
def test_a_broker_that_stands_alone(alone: Pair, command: str) -> None:
    original, our = alone.run(command)
    assert our.status == original.status
    if our.status != 2 and "extra" not in command and "replicate" not in command:
        # Help is worded differently.
        assert plain(our.out) == plain(original.out)


MEMBER_COMMANDS = [*COMMANDS[:2], *(text for text in COMMANDS if "status" in text or "query" in text)]


@pytest.mark.parametrize("command", MEMBER_COMMANDS)
def test_a_member(members: Pair, command: str) -> None:
    same(members, command)


def test_promotion(members: Pair) -> None:
    same(members, "qpid-ha promote")
    same(members, "qpid-config queues")  # turned away
    same(members, "qpid-config queues --ha-admin")
    same(members, "qpid-stat -q --ha-admin -S queue")
    same(members, "qpid-config add queue q --ha-admin")
    same(members, "qpid-ha --cluster-manager promote")
    assert re.match("active|recovering", same(members, "qpid-ha status"))
    same(members, "qpid-ha status --is-primary")
    same(members, "qpid-ha query")
    for level in ("none", "configuration", "all"):
        same(members, f"qpid-config add queue q --replicate {level}")
        same(members, "qpid-config queues q")
        same(members, "qpid-config del queue q")
    same(members, "qpid-config add queue q --start-replica 127.0.0.1:1")
    same(members, "qpid-ha --cluster-manager promote")


@pytest.mark.timeout(180)
def test_a_cluster(qpid_python: QpidPython) -> None:
    with ClusterOfProcesses() as cluster:
        cluster.ready()
        for member in cluster[0], cluster[2]:
            pair = Pair(Side(member, qpid_python), Side(member, None))
            for command in ("status", "status --all", "query --all"):
                same(pair, f"qpid-ha {command}")
        cluster[1].kill()
        for command in ("status --all", "query --all"):
            same(pair, f"qpid-ha {command}")
