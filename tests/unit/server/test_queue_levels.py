"""Alerts and producer flow control."""

from __future__ import annotations

from typing import Any

import pytest

from qpid_messaging.amqp import commands as c
from qpid_server.broker import Broker
from qpid_server.errors import InvalidArgument
from qpid_server.observer import Observer
from qpid_server.queue import Queue
from qpid_server.queue_levels import FlowSettings, Ratios, Thresholds
from qpid_server.queue_settings import queue_settings

from .driver import Link, Peer, advance, make_broker

RATIOS = Ratios(80, 80, 70)


class Told(Observer):
    def __init__(self) -> None:
        self.events: list[tuple[str, int]] = []

    def take(self) -> list[tuple[str, int]]:
        events, self.events = self.events, []
        return events

    def threshold_crossed(self, queue: Queue, *, upward: bool) -> None:
        self.events.append(("up" if upward else "down", queue.depth))

    def threshold_exceeded(self, queue: Queue) -> None:
        self.events.append(("exceeded", queue.depth))


@pytest.fixture
def broker() -> Broker:
    return make_broker()


@pytest.fixture
def peer(broker: Broker) -> Peer:
    return Link(broker).session()


@pytest.fixture
def told(broker: Broker) -> Told:
    told = Told()
    broker.observers.append(told)
    return told


def another(broker: Broker) -> Peer:
    return Link(broker).session(b"another %d" % len(broker.sessions))


def drain(peer: Peer, count: int) -> None:
    peer.subscribe(destination="drain", credit=count)
    for transfer in peer.receive_all():
        peer.settle(c.MessageAccept, transfer)
    peer.do(c.MessageCancel(destination="drain"))


@pytest.mark.parametrize(
    ("arguments", "thresholds"),
    [
        ({}, None),
        ({"qpid.max_count": 10}, Thresholds((8, 0), (4, 0), True)),
        ({"qpid.max_count": 10, "qpid.alert_count": 0}, None),
        ({"qpid.alert_count": 5, "qpid.alert_count_down": 3}, Thresholds((5, 0), (3, 0), False)),
        ({"qpid.alert_count_up": 5, "qpid.alert_count_down": 5}, Thresholds((5, 0), (2, 0), False)),
        ({"x-qpid-maximum-message-size": 9, "qpid.alert_repeat_gap": 7}, Thresholds((0, 9), (0, 4), True, 7)),
    ],
)
def test_thresholds(arguments: dict[str, Any], thresholds: Thresholds | None) -> None:
    assert queue_settings(arguments, ratios=RATIOS).thresholds == thresholds


@pytest.mark.parametrize(
    ("arguments", "flow"),
    [
        ({}, None),
        ({"qpid.max_count": 10}, FlowSettings(8, 7, 0, 0)),
        ({"qpid.max_count": 10, "qpid.policy_type": "ring"}, None),
        ({"qpid.max_count": 10, "qpid.flow_stop_count": 0}, None),
        ({"qpid.flow_stop_count": 7, "qpid.flow_resume_count": 5}, FlowSettings(7, 5, 0, 0)),
        ({"qpid.flow_stop_size": 700}, FlowSettings(0, 0, 700, 700)),
        ({"qpid.max_size": 1000, "qpid.flow_stop_size": 300}, FlowSettings(0, 0, 300, 300)),
        ({"qpid.max_size": 1000, "qpid.flow_stop_count": 5}, FlowSettings(5, 5, 0, 0)),
        ({"qpid.max_size": 1000, "qpid.flow_stop_count": 0}, None),
    ],
)
def test_flow_settings(arguments: dict[str, Any], flow: FlowSettings | None) -> None:
    """Whoever says where to stop gets that, however large the limit is that the queue has without asking for one."""
    assert queue_settings(arguments, ratios=RATIOS).flow == flow
    if "qpid.max_size" not in arguments and "qpid.flow_stop_size" in arguments:
        assert queue_settings(arguments, ratios=RATIOS, size_limit=100_000_000).flow == flow


@pytest.mark.parametrize(
    "arguments",
    [
        {"qpid.flow_stop_count": 5, "qpid.flow_resume_count": 6},
        {"qpid.max_size": 100, "qpid.flow_stop_size": 101},
        {"qpid.flow_stop_count": "many"},
        {"qpid.alert_size": -1},
    ],
    ids=str,
)
def test_refused(arguments: dict[str, Any]) -> None:
    with pytest.raises(InvalidArgument):
        queue_settings(arguments)


def test_crossing_is_told_once_each_way(broker: Broker, peer: Peer, told: Told) -> None:
    peer.declare("q", arguments={"qpid.alert_count_up": 4, "qpid.alert_count_down": 2})
    for _ in range(6):
        peer.send(b"x")
    assert told.take() == [("up", 4)]
    drain(peer, 3)
    assert told.take() == []
    peer.send(b"x")
    assert told.take() == []
    drain(peer, 4)
    assert told.take() == [("down", 2)]
    for _ in range(5):
        peer.send(b"x")
    assert told.take() == [("up", 4)]


def test_the_older_way_is_repeated(broker: Broker, peer: Peer, told: Told) -> None:
    peer.declare("q", arguments={"qpid.alert_count": 2, "qpid.alert_repeat_gap": 10})
    for _ in range(4):
        peer.send(b"x")
    assert told.take() == [("up", 2), ("exceeded", 2)]
    advance(broker, 10)
    peer.send(b"x")
    peer.send(b"x")
    assert told.take() == [("exceeded", 5)]


def test_producers_wait_and_go_on(broker: Broker, peer: Peer) -> None:
    peer.declare("q", arguments={"qpid.flow_stop_count": 3, "qpid.flow_resume_count": 2})
    sent = [peer.send(b"x") for _ in range(5)]
    queue = broker.queues["q"]
    assert queue.depth == 5
    assert queue.flow is not None
    assert (queue.flow.stopped, queue.flow.stops) == (True, 1)
    assert [number in peer.completed for number in sent] == [True] * 3 + [False] * 2
    consumer = another(broker)
    drain(consumer, 3)
    peer.update()
    assert sent[-1] not in peer.completed
    drain(consumer, 1)
    peer.update()
    assert set(sent) <= peer.completed
    assert not queue.flow.stopped


def test_a_transfer_that_is_consumed_completes(broker: Broker, peer: Peer) -> None:
    """Its sender might wait for the consumer, and the consumer for its sender."""
    peer.declare("q", arguments={"qpid.flow_stop_count": 1, "qpid.flow_resume_count": 1})
    kept, held = peer.send(b"kept"), peer.send(b"held")
    assert kept in peer.completed
    assert held not in peer.completed
    consumer = another(broker)
    consumer.subscribe()
    consumer.settle(c.MessageAccept, consumer.receive_all()[1])
    peer.update()
    assert held in peer.completed


def test_a_queue_that_goes_lets_its_producers_go(broker: Broker, peer: Peer) -> None:
    peer.declare("q", arguments={"qpid.flow_stop_count": 1})
    peer.send(b"x")
    held = peer.send(b"x")
    assert held not in peer.completed
    another(broker).do(c.QueueDelete(queue="q"))
    peer.update()
    assert held in peer.completed
