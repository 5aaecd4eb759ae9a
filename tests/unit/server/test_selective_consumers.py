"""Consumers and browsers with a selector, and queues that do not take every message."""

from __future__ import annotations

import random
from typing import Any

import pytest

from qpid_messaging.amqp import commands as c
from qpid_server.broker import Broker
from qpid_server.selector import Selector

from .driver import Link, Peer, advance, make_broker


@pytest.fixture
def broker() -> Broker:
    return make_broker()


@pytest.fixture
def peer(broker: Broker) -> Peer:
    return Link(broker).session()


def another(broker: Broker) -> Peer:
    return Link(broker).session(b"another %d" % len(broker.sessions))


def select(expression: str) -> dict[str, Any]:
    return {"arguments": {"x-apache-selector": expression}}


def send(peer: Peer, *numbers: int, **properties: Any) -> None:
    for number in numbers:
        peer.send(
            str(number).encode(), headers={"n": number, "odd": bool(number % 2), "g": f"g{number % 2}"}, **properties
        )


def test_each_gets_what_it_selects(peer: Peer) -> None:
    peer.declare("q")
    peer.subscribe(destination="odd", **select("odd"))
    peer.subscribe(destination="even", **select("not odd"))
    send(peer, *range(10))
    got = {"odd": [], "even": []}  # type: dict[str, list[bytes]]
    for transfer in peer.receive_all():
        got[transfer.command.destination].append(transfer.body or b"")
    assert got == {"odd": [b"1", b"3", b"5", b"7", b"9"], "even": [b"0", b"2", b"4", b"6", b"8"]}


def test_what_nobody_selects_stays_for_others(broker: Broker, peer: Peer) -> None:
    peer.declare("q")
    send(peer, *range(4))
    peer.subscribe(**select("n > 1"))
    assert peer.receive() == [b"2", b"3"]
    other = another(broker)
    other.subscribe()
    assert other.receive() == [b"0", b"1"]


def test_what_comes_back_is_selected_again(broker: Broker, peer: Peer) -> None:
    peer.declare("q")
    other = another(broker)
    other.subscribe(credit=2)
    send(peer, 1, 2, 3)
    peer.subscribe(**select("odd"))
    assert peer.receive() == [b"3"]
    taken = other.receive_all()
    other.settle(c.MessageRelease, *taken)
    other.update()
    assert peer.receive() == [b"1"]


def test_a_selector_sees_that_a_message_is_redelivered(broker: Broker, peer: Peer) -> None:
    peer.declare("q")
    send(peer, 1)
    other = another(broker)
    other.subscribe(credit=1)
    peer.subscribe(**select("amqp.redelivered"))
    other.settle(c.MessageRelease, *other.receive_all(), set_redelivered=True)
    assert peer.receive() == [b"1"]


def test_browsers_select_too(peer: Peer) -> None:
    peer.declare("q")
    send(peer, *range(5))
    peer.subscribe(acquire_mode=c.AcquireMode.NOT_ACQUIRED, **select("odd"))
    assert peer.receive() == [b"1", b"3"]
    send(peer, 6, 7)
    assert peer.receive() == [b"7"]


def test_the_dearest_selected_first(peer: Peer) -> None:
    peer.declare("q", arguments={"qpid.priorities": 10})
    for number, priority in enumerate((1, 9, 5, 9, 3)):
        send(peer, number, priority=priority)
    peer.subscribe(**select("n <> 1"))
    assert peer.receive() == [b"3", b"2", b"4", b"0"]


def test_groups_stay_together(broker: Broker, peer: Peer) -> None:
    peer.declare("q", arguments={"qpid.group_header_key": "g", "qpid.shared_msg_group": 1})
    send(peer, *range(6))
    other = another(broker)
    other.subscribe(credit=1)
    first = other.receive_all()
    assert [transfer.body for transfer in first] == [b"0"]
    peer.subscribe(**select("n > 1"))
    assert peer.receive() == [b"3", b"5"]
    other.settle(c.MessageAccept, *first)
    assert peer.receive() == [b"2", b"4"]


def test_each_message_is_looked_at_once(peer: Peer, monkeypatch: pytest.MonkeyPatch) -> None:
    looked: list[object] = []
    matches = Selector.matches
    monkeypatch.setattr(
        Selector,
        "matches",
        lambda self, message, **how: (looked.append(message), matches(self, message, **how))[1],
    )
    peer.declare("q")
    peer.subscribe(**select("false"))
    send(peer, *range(500))
    assert len(looked) == 500


def test_much_that_is_not_selected_is_looked_at_in_turns(broker: Broker, peer: Peer) -> None:
    peer.declare("q")
    send(peer, *range(4500))
    peer.subscribe(**select("n = 4400"))
    assert peer.receive() == []
    for _ in range(3):
        advance(broker, 0)
    assert peer.receive() == [b"4400"]


def test_at_random_everything_is_delivered_once(broker: Broker, peer: Peer) -> None:
    chance = random.Random(7)
    peer.declare("q")
    peers = [another(broker) for _ in range(3)]
    for number, consumer in enumerate(peers):
        consumer.subscribe(credit=3, **select(f"n >= {number} and not (n / 10 = {number})"))
    left = set(range(1, 60))
    send(peer, *left)
    for _ in range(2000):
        consumer = chance.choice(peers)
        for transfer in consumer.receive_all():
            if chance.random() < 0.4:
                consumer.settle(c.MessageRelease, transfer)
            else:
                consumer.settle(c.MessageAccept, transfer)
                left.remove(int(transfer.body or b""))
            consumer.complete(transfer)
        if not left:
            break
    assert not left
    assert broker.queues["q"].depth == 0


# -- what queues take


def test_no_local_is_by_connection(broker: Broker, peer: Peer) -> None:
    peer.declare("q", exclusive=True, arguments={"no-local": True})
    peer.subscribe()
    send(peer, 1)
    send(peer.link.session(b"another of the same"), 2)
    send(another(broker), 3)
    assert peer.receive() == [b"3"]
    assert broker.queues["q"].enqueued == 1


def test_a_trace_of_queues(broker: Broker, peer: Peer) -> None:
    peer.declare("one", arguments={"qpid.trace.id": "here"})
    peer.declare("two", arguments={"qpid.trace.id": "there", "qpid.trace.exclude": "elsewhere, beyond"})
    peer.declare("three", arguments={"qpid.trace.exclude": "nowhere,there"})
    for queue in ("one", "two", "three"):
        peer.send(b"fresh", queue)
        peer.send(b"travelled", queue, headers={"x-qpid.trace": "there"})
        peer.send(b"far", queue, headers={"x-qpid.trace": "beyond,x"})

    def traces(name: str) -> list[object]:
        return [entry.message.application_headers.get("x-qpid.trace") for entry in broker.queues[name].available()]

    assert traces("one") == ["here", "there,here", "beyond,x,here"]
    assert traces("two") == ["there", "there"], "each place once"
    assert traces("three") == [None, "beyond,x"]


def test_a_filter(broker: Broker, peer: Peer) -> None:
    peer.declare("q", arguments={"qpid.filter": "odd"})
    peer.declare("r")
    peer.do(c.ExchangeBind(queue="q", exchange="amq.fanout"))
    peer.do(c.ExchangeBind(queue="r", exchange="amq.fanout"))
    for number in range(4):
        peer.send(b"%d" % number, exchange="amq.fanout", headers={"odd": bool(number % 2)})
    assert [entry.message.body for entry in broker.queues["q"].available()] == [b"1", b"3"]
    assert broker.queues["r"].depth == 4
    peer.declare("s", arguments={"qpid.filter": "odd ="})
    assert peer.failure is not None
    assert peer.failure.error_code == 542
