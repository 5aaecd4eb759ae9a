"""What queues are asked to be, and that they are it."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

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
        {"qpid.priorities": 2**40},
        {"x-qpid-priorities": 2**63, "qpid.fairshare": 1},
        {"qpid.queue_msg_sequence": "x" * 256},
        {"qpid.trace.id": "ü" * 128},
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


@pytest.mark.parametrize(
    ("arguments", "declared", "auto_delete"),
    [
        ({}, False, False),
        ({}, True, True),
        ({"qpid.lifetime-policy": "delete-if-empty"}, False, True),
        ({"qpid.lifetime-policy": "delete-if-unused"}, False, True),
        ({"qpid.lifetime-policy": "manual"}, True, False),
        ({"qpid.auto_delete_timeout": 5}, False, True),
        ({"qpid.auto_delete_timeout": 0}, False, False),
    ],
)
def test_some_arguments_make_an_auto_delete_queue(
    broker: Broker, peer: Peer, arguments: dict[str, Any], declared: bool, auto_delete: bool
) -> None:
    peer.declare("q", auto_delete=declared, arguments=arguments)
    assert broker.queues["q"].auto_delete is auto_delete


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


def test_lifetime_until_its_session_closes(broker: Broker, peer: Peer) -> None:
    peer.declare("q", exclusive=True, arguments={"qpid.lifetime-policy": "delete-on-close"})
    peer.subscribe("q")
    peer.do(c.MessageCancel(destination="d"))
    assert "q" in broker.queues, "another queue would be unused now"
    peer.link.lose()
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


@pytest.mark.parametrize(
    ("came_by", "trace"),
    [
        (None, "here"),
        ("", "here"),
        ("there", "there,here"),
        ("there,elsewhere", "there,elsewhere,here"),
        ("here,there", "here,there"),
        ("away", None),
        ("there,far", None),
        ("x" * 60_000 + ",there," + "y" * 5_528, "there," + "y" * 5_528 + ",here"),
    ],
    ids=lambda value: str(value)[:20],
)
def test_messages_are_traced_and_excluded(came_by: str | None, trace: str | None) -> None:
    """Where a message was is written into it, the oldest of it left out where a header has no room for more."""
    broker = make_broker()
    peer = Link(broker).session()
    peer.declare("q", arguments={"qpid.trace.id": "here", "qpid.trace.exclude": "away, far"})
    peer.send(b"x", headers={} if came_by is None else {"x-qpid.trace": came_by})
    assert peer.failure is None
    found = [entry.message.application_headers["x-qpid.trace"] for entry in broker.queues["q"].after(0)]
    assert found == ([] if trace is None else [trace])


NAMES = [
    "qpid.max_count",
    "qpid.max_size",
    "qpid.policy_type",
    "qpid.file_count",
    "qpid.file_size",
    "no-local",
    "qpid.browse-only",
    "qpid.trace.id",
    "qpid.trace.exclude",
    "qpid.last_value_queue_key",
    "qpid.last_value_queue",
    "qpid.last_value_queue_no_browse",
    "qpid.auto_delete_timeout",
    "qpid.alert_repeat_gap",
    "qpid.alert_count",
    "qpid.alert_size",
    "qpid.alert_count_up",
    "qpid.alert_size_up",
    "qpid.alert_count_down",
    "qpid.alert_size_down",
    "qpid.priorities",
    "qpid.fairshare",
    "qpid.fairshare-1",
    "qpid.paging",
    "qpid.max_pages_loaded",
    "qpid.page_factor",
    "qpid.filter",
    "qpid.lifetime-policy",
    "qpid.queue_msg_sequence",
    "qpid.group_header_key",
    "qpid.shared_msg_group",
    "qpid.group_timestamp",
    "qpid.flow_stop_count",
    "qpid.flow_resume_count",
    "qpid.flow_stop_size",
    "qpid.flow_resume_size",
    "x-qpid-priorities",
    "x-qpid-fairshare",
    "x-qpid-minimum-alert-repeat-gap",
    "x-qpid-maximum-message-count",
    "x-qpid-maximum-message-size",
    "qpid.replicate",
]
"""What the C++ broker reads of queue.declare."""
VALUES: list[Any] = [
    None, True, False, 0, 1, -1, 5, 300, 2**40, 2**63, 1.5, float("nan"), "", "ring", "self-destruct", "a = 1", "all",
    "delete-if-empty", "x" * 300, "5", b"ring", b"\xff\xfe", [1], {"a": 1},
]  # fmt: skip


@pytest.mark.parametrize("name", NAMES)
def test_whatever_is_asked_for_there_is_an_answer(name: str) -> None:
    for value in VALUES:
        _check_answer({name: value})


@settings(max_examples=100, deadline=None)
@given(st.dictionaries(st.sampled_from(NAMES), st.sampled_from(VALUES), min_size=2, max_size=4))
def test_also_where_more_is_asked_for(arguments: dict[str, Any]) -> None:
    _check_answer(arguments)


def _check_answer(arguments: dict[str, Any]) -> None:
    """A queue that takes and gives messages, or an error with its code: never a failure of the broker's."""
    broker = make_broker(default_queue_limit=100 << 20)
    peer = Link(broker).session()
    peer.declare("q", arguments=arguments)
    if peer.failure is not None:
        assert peer.failure.error_code in (531, 540, 542)
        assert "q" not in broker.queues
        return
    other = Link(broker).session(b"other")
    other.send(b"x", "q", headers={"a": 1}, priority=3, ttl=5000)
    assert other.failure is None or other.failure.error_code == 506
    peer.subscribe()
    for transfer in peer.receive_all():
        peer.settle(c.MessageRelease, transfer)
    advance(broker, 100)
    assert peer.link.closed is None
