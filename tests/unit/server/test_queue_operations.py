"""What is done to large queues: in turns, one entry each, with others served between them."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from qpid_messaging.amqp import commands as c
from qpid_server import queue_operations
from qpid_server.broker import Broker
from qpid_server.effects import Dequeue, Enqueue, QueueDeclared
from qpid_server.journal import Entry, Journal
from qpid_server.message import Message
from qpid_server.queue_operations import AT_A_TIME

from .driver import Link, Peer, advance, make_broker

LARGE = 3 * AT_A_TIME + 7


class Recorder(Journal):
    """A journal that remembers how many messages each entry moved."""

    def __init__(self, broker: Broker) -> None:
        super().__init__(broker)
        self.sizes: list[int] = []

    def commit(self, entry: Entry, on_confirmed: object = None) -> None:
        self.sizes.append(sum(len(effect.entries) for effect in entry.effects if isinstance(effect, Dequeue)))
        super().commit(entry, on_confirmed)  # type: ignore[arg-type]


def turns(broker: Broker) -> Iterator[None]:
    """The turns that are due, one at a time: on a clock that stands still all of them would run in one go."""
    while broker.timers.due is not None and broker.timers.due <= broker.clock():
        callback = broker.timers._heap[0][2].callback
        broker.timers._heap[0][2].cancel()
        assert callback is not None
        callback()
        yield


@pytest.fixture
def broker() -> Broker:
    broker = make_broker()
    broker.journal = Recorder(broker)
    return broker


@pytest.fixture
def peer(broker: Broker) -> Peer:
    return Link(broker).session()


def fill(broker: Broker, count: int, name: str = "q", alternate: str | None = None) -> None:
    broker.commit(Entry([QueueDeclared(name, alternate_exchange=alternate)]))
    queue = broker.queues[name]
    for number in range(count):
        broker.commit(Entry([Enqueue(queue, Message("", None, b"%d" % number))]))
    recorded(broker).clear()


def recorded(broker: Broker) -> list[int]:
    assert isinstance(broker.journal, Recorder)
    return broker.journal.sizes


def test_purge_of_a_large_queue_completes_with_its_last_turn(broker: Broker, peer: Peer) -> None:
    fill(broker, LARGE)
    purge = peer.do(c.QueuePurge(queue="q"))
    assert purge not in peer.completed
    other = Link(broker).session(b"other")
    queue = broker.queues["q"]
    served = 0
    for _ in turns(broker):
        depth = queue.depth
        other.send(b"new")
        assert queue.depth == depth + 1, "others are served between the turns"
        served += 1
    peer.update()
    assert purge in peer.completed
    assert recorded(broker).count(AT_A_TIME) == 3
    assert max(recorded(broker)) == AT_A_TIME
    assert queue.purged == LARGE
    assert [entry.message.body for entry in queue.after(0)] == [b"new"] * served, "what came later stays"


def test_a_small_purge_is_one_entry_at_once(broker: Broker, peer: Peer) -> None:
    fill(broker, AT_A_TIME)
    assert peer.do(c.QueuePurge(queue="q")) in peer.completed
    assert recorded(broker) == [AT_A_TIME]


def test_move_goes_on_behind_consumers(broker: Broker, peer: Peer) -> None:
    fill(broker, LARGE)
    broker.commit(Entry([QueueDeclared("target")]))
    done: list[int] = []
    source, target = broker.queues["q"], broker.queues["target"]
    queue_operations.move(broker, source, target, done.append, lambda error: done.append(-1))
    steps = turns(broker)
    next(steps)
    peer.subscribe("q", credit=5)
    taken = peer.receive()
    assert len(taken) == 5
    for _ in steps:
        assert source.depth + target.depth == LARGE, "a message is on one queue or on the other"
    assert done == [LARGE - 5]
    assert [entry.message.body for entry in source.after(0)] == taken


def test_a_full_target_stops_the_move(broker: Broker) -> None:
    fill(broker, LARGE)
    broker.commit(Entry([QueueDeclared("target", arguments={"qpid.max_count": AT_A_TIME + 1})]))
    done: list[int] = []
    failed: list[Exception] = []
    source, target = broker.queues["q"], broker.queues["target"]
    queue_operations.move(broker, source, target, done.append, failed.append)
    for _ in turns(broker):
        pass
    assert not done
    assert "Maximum depth exceeded on target" in str(failed[0])
    assert (source.depth, target.depth) == (LARGE - AT_A_TIME, AT_A_TIME)


def test_a_large_queue_is_gone_at_once(broker: Broker, peer: Peer) -> None:
    fill(broker, LARGE)
    consumer = Link(broker).session(b"consumer")
    consumer.subscribe("q", credit=1)
    (held,) = consumer.receive_all()
    queue = broker.queues["q"]
    delete = peer.do(c.QueueDelete(queue="q"))
    assert delete in peer.completed
    assert "q" not in broker.queues
    assert queue.depth == 0
    assert queue.acquired == 0
    consumer.settle(c.MessageAccept, held)
    assert consumer.failure is None
    assert sum(1 for _ in turns(broker)) >= 3, "the memory goes bit by bit"
    assert broker.abandoned == LARGE


def test_a_large_queue_leaves_its_messages_to_the_alternate_exchange_first(broker: Broker, peer: Peer) -> None:
    fill(broker, 0, "rest")
    peer.do(c.ExchangeBind(queue="rest", exchange="amq.fanout"))
    fill(broker, LARGE, alternate="amq.fanout")
    delete = peer.do(c.QueueDelete(queue="q"))
    for _ in turns(broker):
        pass
    peer.update()
    assert delete in peer.completed
    assert "q" not in broker.queues
    assert [entry.message.body for entry in broker.queues["rest"].after(0)] == [b"%d" % n for n in range(LARGE)]
    assert broker.abandoned_via_alternate == LARGE


def test_reroute_to_the_same_queue_comes_to_an_end(broker: Broker, peer: Peer) -> None:
    fill(broker, LARGE)
    peer.do(c.ExchangeBind(queue="q", exchange="amq.fanout"))
    done: list[int] = []
    queue_operations.reroute(broker, broker.queues["q"], broker.exchanges["amq.fanout"], done.append)
    for _ in turns(broker):
        pass
    assert done == [LARGE]
    assert broker.queues["q"].depth == LARGE
    assert broker.queues["q"].rerouted == LARGE


def test_browsing_past_what_others_hold_takes_turns(broker: Broker) -> None:
    fill(broker, 12_000)
    queue = broker.queues["q"]
    for entry in list(queue.after(0))[:-1]:
        queue.acquire(entry)
    browser = Link(broker).session(b"browser")
    browser.subscribe("q", acquire_mode=1)
    assert browser.receive() == [], "that would have taken too long"
    assert sum(1 for _ in turns(broker)) == 2
    assert browser.receive() == [b"11999"]


def test_positions_far_between_are_walked_without_gaps(broker: Broker) -> None:
    fill(broker, 2000)
    queue = broker.queues["q"]
    kept = [1, 2, 700, 1999]
    broker.commit(Entry([Dequeue(queue, [e for e in queue.after(0) if e.position not in kept])]))
    assert [entry.position for entry in queue.after(0)] == kept
    assert [entry.position for entry in queue.after(2)] == kept[2:]
    for number in range(20):
        broker.commit(Entry([Enqueue(queue, Message("", None, b"%d" % number))]))
    assert [entry.position for entry in queue.after(1)] == [*kept[1:], *range(2001, 2021)]
    broker.commit(Entry([Dequeue(queue, [queue.entries[700]])]))
    assert [entry.position for entry in queue.after(2)] == [1999, *range(2001, 2021)]


def test_expired_messages_are_dropped_in_turns(broker: Broker, peer: Peer) -> None:
    peer.declare("q")
    for number in range(6000):
        message = Message("", None, b"%d" % number)
        message.expires = broker.clock() + 1
        broker.commit(Entry([Enqueue(broker.queues["q"], message)]))
    peer.subscribe("q", credit=0)
    broker.clock.now += 2  # type: ignore[attr-defined]
    recorded(broker).clear()
    peer.do(c.MessageFlow(destination="d", unit=c.CreditUnit.MESSAGE, value=1))
    assert recorded(broker) == [5000]
    advance(broker, 0)
    assert recorded(broker) == [5000, 1000]
    assert broker.queues["q"].expired == 6000
