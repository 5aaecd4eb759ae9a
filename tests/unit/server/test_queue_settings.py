"""What queues are asked to be, and that they are it."""

from __future__ import annotations

from typing import Any

import pytest

from qpid_messaging.amqp import commands as c
from qpid_messaging.amqp.codec import decode_header
from qpid_server.broker import Broker
from qpid_server.errors import InvalidArgument
from qpid_server.queue_settings import Limits, queue_settings
from qpid_server.queues import GroupQueue, LastValueQueue, PriorityQueue, queue_type
from qpid_server.queues.priority import level_of

from .driver import Link, Peer, advance, make_broker


@pytest.fixture
def broker() -> Broker:
    return make_broker()


@pytest.fixture
def peer(broker: Broker) -> Peer:
    return Link(broker).session()


@pytest.mark.parametrize(
    ("arguments", "type"),
    [
        ({"qpid.last_value_queue_key": "k"}, LastValueQueue),
        ({"qpid.last_value_queue": 1}, LastValueQueue),
        ({"qpid.last_value_queue_no_browse": "true"}, LastValueQueue),
        ({"qpid.priorities": "5"}, PriorityQueue),
        ({"x-qpid-priorities": 5, "x-qpid-fairshare": 2, "x-qpid-fairshare-4": 0}, PriorityQueue),
        ({"qpid.group_header_key": b"g", "qpid.shared_msg_group": True}, GroupQueue),
    ],
)
def test_types(arguments: dict[str, Any], type: object) -> None:
    assert queue_type(queue_settings(arguments)) is type


@pytest.mark.parametrize(
    "arguments",
    [
        {"qpid.last_value_queue_key": "k", "qpid.priorities": 5},
        {"qpid.last_value_queue": 1, "qpid.group_header_key": "g", "qpid.shared_msg_group": 1},
        {"qpid.priorities": 5, "qpid.group_header_key": "g", "qpid.shared_msg_group": 1},
        {"qpid.priorities": -1},
        {"qpid.priorities": "many"},
        {"qpid.priorities": 1000},
        {"qpid.fairshare": 5},
        {"qpid.fairshare-1": 5},
        {"qpid.priorities": 3, "qpid.fairshare-3": 5},
        {"qpid.priorities": 3, "qpid.fairshare-x": 5},
        {"qpid.group_header_key": "g"},
        {"qpid.shared_msg_group": 1},
        {"qpid.browse-only": "perhaps"},
        {"qpid.last_value_queue_key": {"a": 1}},
        {"qpid.lifetime-policy": "for ever"},
    ],
    ids=str,
)
def test_refused(arguments: dict[str, Any]) -> None:
    with pytest.raises(InvalidArgument):
        queue_settings(arguments)


def test_a_lifetime_is_for_auto_delete_queues(peer: Peer) -> None:
    peer.declare("q", arguments={"qpid.lifetime-policy": "delete-if-empty"})
    assert peer.failure is not None
    assert peer.failure.error_code == 542


def test_limits() -> None:
    assert queue_settings({}).limits is None
    assert queue_settings({}, size_limit=9).limits == Limits(0, 9)
    assert queue_settings({"qpid.max_size": 0}, size_limit=9).limits is None
    ring = {"qpid.max_count": 2, "qpid.policy_type": b"ring"}
    assert queue_settings(ring, size_limit=9).limits == Limits(2, 9, "ring")


def test_the_default_limit_is_100_mib(broker: Broker, peer: Peer) -> None:
    peer.declare("q")
    assert broker.queues["q"].limits == Limits(0, 104857600)
    assert broker.queues["q"].arguments == {}


def test_a_message_larger_than_a_ring_is_refused(peer: Peer) -> None:
    peer.declare("q", arguments={"qpid.max_size": 100, "qpid.policy_type": "ring"})
    peer.send(b"x" * 200)
    assert peer.failure is not None
    assert peer.failure.error_code == 506


@pytest.mark.parametrize(
    ("levels", "expected"),
    [
        (1, [0] * 10),
        (2, [0, 0, 0, 0, 0, 1, 1, 1, 1, 1]),
        (3, [0, 0, 0, 0, 1, 2, 2, 2, 2, 2]),
        (10, list(range(10))),
        (12, list(range(10))),
    ],
)
def test_levels(levels: int, expected: list[int]) -> None:
    assert [level_of(priority, levels) for priority in range(10)] == expected
    assert level_of(255, levels) == levels - 1


def test_browse_only(broker: Broker, peer: Peer) -> None:
    peer.declare("q", arguments={"qpid.browse-only": 1})
    peer.send(b"a")
    peer.subscribe("q")
    (event,) = peer.receive_all()
    peer.settle(c.MessageAccept, event)
    assert broker.queues["q"].depth == 1
    command_id = peer.settle(c.MessageAcquire, event)
    assert not list(peer.results[command_id].transfers or ())  # type: ignore[union-attr]


def test_numbered_messages(peer: Peer) -> None:
    peer.declare("q", arguments={"qpid.queue_msg_sequence": "n"})
    peer.send(b"a")
    peer.send(b"b", headers={"other": "x", "n": "theirs"})
    peer.subscribe("q")
    headers = [
        next(s.application_headers for s in decode_header(event.header or b"") if isinstance(s, c.MessageProperties))
        for event in peer.receive_all()
    ]
    assert headers == [{"n": 1}, {"other": "x", "n": 2}]


def test_a_browser_sees_a_message_of_a_higher_level_that_comes_later(peer: Peer) -> None:
    peer.declare("q", arguments={"qpid.priorities": 10})
    for number in range(4):
        peer.send(b"low-%d" % number, priority=1)
    browser = Link(peer.link.broker).session(b"browser")
    browser.subscribe("q", credit=2, acquire_mode=1)
    peer.send(b"high", priority=9)
    browser.do(c.MessageFlow(destination="d", unit=c.CreditUnit.MESSAGE, value=9))
    assert browser.receive() == [b"low-0", b"low-1", b"high", b"low-2", b"low-3"]


def test_two_hungry_consumers_share_groups_not_their_messages(broker: Broker, peer: Peer) -> None:
    peer.declare("q", arguments={"qpid.group_header_key": "g", "qpid.shared_msg_group": 1})
    consumers = [Link(broker).session(b"%d" % n) for n in range(2)]
    for consumer in consumers:
        consumer.subscribe("q")
    for number in range(12):
        peer.send(b"%d" % number, headers={"g": "abc"[number % 3]})
    got = [consumer.receive_all() for consumer in consumers]
    groups = [{int(event.body or b"0") % 3 for event in events} for events in got]
    assert not groups[0] & groups[1]
    assert sum(len(events) for events in got) == 12
    # Everything of a group is accepted: it is free, and its next message goes to whoever is next.
    state = broker.queues["q"].describe()["qpid.message_group_queue"]["group_state"]
    assert {(group["group_id"], group["msg_count"]) for group in state} == {("a", 4), ("b", 4), ("c", 4)}
    assert all(group["consumer"] in ("0.d", "1.d") for group in state)
    for consumer, events in zip(consumers, got, strict=True):
        consumer.settle(c.MessageAccept, *events)
    assert broker.queues["q"].describe()["qpid.message_group_queue"]["group_state"] == []


def test_a_cancelled_consumer_keeps_its_groups_while_its_session_has_their_messages(broker: Broker, peer: Peer) -> None:
    peer.declare("q", arguments={"qpid.group_header_key": "g", "qpid.shared_msg_group": 1})
    peer.send(b"1", headers={"g": "a"})
    peer.send(b"2", headers={"g": "a"})
    peer.send(b"3")
    first, second = Link(broker).session(b"first"), Link(broker).session(b"second")
    first.subscribe("q", credit=1)
    first.do(c.MessageCancel(destination="d"))
    second.subscribe("q")
    assert second.receive() == [b"3"]
    names = {g["group_id"] for g in broker.queues["q"].describe()["qpid.message_group_queue"]["group_state"]}
    assert names == {"a", "qpid.no-group"}
    first.link.lose()
    assert second.receive() == [b"1", b"2"]


def test_lifetime_until_empty(broker: Broker, peer: Peer) -> None:
    peer.declare("q", auto_delete=True, arguments={"qpid.lifetime-policy": "delete-if-empty"})
    peer.send(b"a")
    consumer = Link(broker).session(b"consumer")
    consumer.subscribe("q", credit=1)
    (event,) = consumer.receive_all()
    assert "q" in broker.queues
    consumer.settle(c.MessageAccept, event)
    assert "q" not in broker.queues


def test_lifetime_until_unused_and_empty(broker: Broker, peer: Peer) -> None:
    peer.declare("q", auto_delete=True, arguments={"qpid.lifetime-policy": "delete-if-unused-and-empty"})
    peer.send(b"a")
    peer.subscribe("q", credit=0)
    peer.do(c.MessageCancel(destination="d"))
    assert "q" in broker.queues
    peer.do(c.QueuePurge(queue="q"))
    assert "q" not in broker.queues


def test_manual_lifetime(broker: Broker, peer: Peer) -> None:
    peer.declare("q", auto_delete=True, arguments={"qpid.lifetime-policy": "manual"})
    peer.subscribe("q")
    peer.do(c.MessageCancel(destination="d"))
    assert "q" in broker.queues


def test_use_starts_the_time_to_auto_delete_anew(broker: Broker, peer: Peer) -> None:
    peer.declare("q", auto_delete=True, arguments={"qpid.auto_delete_timeout": 10})
    for _ in range(3):
        peer.subscribe("q")
        peer.do(c.MessageCancel(destination="d"))
        advance(broker, 9)
        assert "q" in broker.queues
    advance(broker, 1)
    assert "q" not in broker.queues
