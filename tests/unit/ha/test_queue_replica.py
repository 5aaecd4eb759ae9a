"""Queues that follow queues of other brokers, without I/O: a feed at one end, a replica at the other."""

from __future__ import annotations

from collections import deque
from itertools import count
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from qpid_messaging.amqp import commands as c
from qpid_server.broker import Broker
from qpid_server.connection import CONGESTED_FROM
from qpid_server.errors import ResourceLimitExceeded
from qpid_server.ha.queue_feed import QUEUE_SERVICE, QueueService, pack_positions
from qpid_server.ha.queue_replica import NothingToFollow, QueueReplica
from qpid_server.ha.records import Record, ReplicationError, pack_map, pack_record
from tests.unit.ha.members import E1, E2, Member, Writer, follow, new_broker, texts
from tests.unit.server.driver import Link, Peer

_numbers = count()


class Wire:
    """The link of a replica to the broker of its queue."""

    def __init__(self, replica: QueueReplica, source: Broker) -> None:
        self.replica = replica
        self.link = Link(source)
        self.peer: Peer = self.link.session(b"reader %d" % next(_numbers))
        self.peer.subscribe(QUEUE_SERVICE, "d", accept_mode=c.AcceptMode.NONE)
        self.peer.do(c.MessageTransfer(destination=QUEUE_SERVICE), None, replica.request())
        self.batches: deque[bytes] = deque()
        self.settle()

    def fetch(self) -> None:
        """What the broker sent is on its way."""
        self.peer.link.handler.broker.settle()
        self.batches += self.peer.receive()

    def settle(self) -> None:
        """All of it arrives."""
        self.fetch()
        while self.batches:
            self.replica.take(self.batches.popleft())
            self.fetch()

    def cut(self) -> None:
        self.link.lose()


class Pair:
    """A broker with a queue, and one that copies it."""

    def __init__(self, source: Broker | None = None, **arguments: Any) -> None:
        self.source = source or new_broker()
        self.source.internal[QUEUE_SERVICE] = QueueService(self.source)
        self.there = Writer(self.source)
        if source is None:
            self.there.declare()
        self.copy = new_broker()
        self.here = Writer(self.copy)
        self.here.declare(arguments=arguments)
        self.replica = QueueReplica(self.copy, self.copy.queues["q"])

    def follow(self) -> Wire:
        return Wire(self.replica, self.source)


def test_everything_is_copied_what_was_there_and_what_comes() -> None:
    pair = Pair()
    for text in "abc":
        pair.there.send(text)
    wire = pair.follow()
    assert texts(pair.copy) == ["a", "b", "c"]
    pair.there.send("d")
    pair.there.remove("b")
    wire.settle()
    assert texts(pair.copy) == ["a", "c", "d"]
    assert all(entry.redelivered for entry in pair.copy.queues["q"].entries.values())
    assert pair.replica.following


def test_messages_are_copied_whole() -> None:
    pair = Pair()
    peer = Link(pair.source).session()
    peer.send(b"body", priority=7, delivery_mode=c.DeliveryMode.PERSISTENT, ttl=5000, headers={"colour": "red"})
    pair.follow()
    (original,) = pair.source.queues["q"].entries.values()
    (copied,) = pair.copy.queues["q"].entries.values()
    for name in ("header", "body", "destination", "priority", "durable"):
        assert getattr(copied.message, name) == getattr(original.message, name)
    assert copied.message.expires == pytest.approx(original.message.expires, abs=0.1)
    assert copied.message.replication_id is None


def test_after_a_break_only_what_is_missing_travels() -> None:
    pair = Pair()
    for number in range(100):
        pair.there.send(f"{number} " + 1000 * "x")
    wire = pair.follow()
    wire.cut()
    pair.there.send("new")
    for entry in list(pair.source.queues["q"].entries.values())[:98]:
        pair.there.remove((entry.message.body or b"").decode())
    wire = Wire(pair.replica, pair.source)
    assert [text.split()[0] for text in texts(pair.copy)] == ["98", "99", "new"]
    assert wire.link.handler.bytes_out < 5000


def test_what_is_taken_here_does_not_come_again() -> None:
    pair = Pair()
    for text in "abc":
        pair.there.send(text)
    wire = pair.follow()
    consumer = Link(pair.copy).session()
    consumer.subscribe("q", credit=1)
    (got,) = consumer.receive_all()
    consumer.settle(c.MessageAccept, got)
    wire.cut()
    wire = pair.follow()
    assert texts(pair.copy) == ["b", "c"]
    # And when it is taken there, too, nothing happens; what is acquired here is gone all the same.
    consumer.do(c.MessageFlow(destination="d", unit=c.CreditUnit.MESSAGE, value=1))
    assert consumer.receive() == [b"b"]
    for text in "ab":
        pair.there.remove(text)
    wire.settle()
    assert texts(pair.copy) == ["c"]


def test_local_messages_have_places_of_their_own() -> None:
    pair = Pair()
    wire = pair.follow()
    pair.there.send("a")
    wire.settle()
    pair.here.send("mine")
    pair.there.send("b")
    wire.settle()
    assert texts(pair.copy) == ["a", "mine", "b"]
    pair.there.remove("b")
    wire.settle()
    assert texts(pair.copy) == ["a", "mine"]


def test_the_limits_here_hold() -> None:
    ring = Pair(**{"qpid.policy_type": "ring", "qpid.max_count": 2})
    full = Pair(**{"qpid.policy_type": "reject", "qpid.max_count": 2})
    for text in "abc":
        ring.there.send(text)
        full.there.send(text)
    ring.follow()
    assert texts(ring.copy) == ["b", "c"]
    with pytest.raises(ResourceLimitExceeded):
        full.follow()
    assert texts(full.copy) == ["a", "b"]
    # Once there is room it goes on where it was.
    full.there.remove("a")
    full.follow()
    assert texts(full.copy) == ["b", "c"]


def test_a_queue_that_is_gone_there_leaves_the_copy() -> None:
    pair = Pair()
    pair.there.send("a")
    wire = pair.follow()
    Link(pair.source).session(b"deleting").do(c.QueueDelete(queue="q"))
    wire.settle()
    assert wire.peer.failure is not None
    with pytest.raises(NothingToFollow, match="no queue 'q'"):
        pair.follow()
    # One of that name is made anew, as by the first client of a broker that was started again.
    pair.there.declare()
    pair.there.send("other")
    with pytest.raises(NothingToFollow, match="another one has its name"):
        pair.follow()
    assert texts(pair.copy) == ["a"]
    # An operator may say that it is the one all the same: then all of it is copied.
    pair.replica.restart()
    wire = pair.follow()
    assert texts(pair.copy) == ["a", "other"]
    pair.there.remove("other")
    wire.settle()
    assert texts(pair.copy) == ["a"]


def test_a_queue_that_is_gone_here() -> None:
    pair = Pair()
    wire = pair.follow()
    pair.there.send("a")
    Link(pair.copy).session().do(c.QueueDelete(queue="q"))
    with pytest.raises(NothingToFollow, match="gone here"):
        wire.settle()


def test_a_reader_that_does_not_read_is_not_kept_anything_for() -> None:
    pair = Pair()
    body = "x" * 10_000
    for number in range(400):
        pair.there.send(f"{number} {body}")
    link = Link(pair.source)
    peer = link.session()
    peer.do(c.MessageSubscribe(queue=QUEUE_SERVICE, destination="d"))
    request = c.MessageTransfer(destination=QUEUE_SERVICE)
    peer.session.send(request, None, pair.replica.request())
    link.handler.receive(link.client.data_to_send())
    assert link.handler.congested
    waiting = link.handler.machine.backlog
    assert CONGESTED_FROM < waiting < 2 * CONGESTED_FROM
    pair.there.remove(f"399 {body}")
    assert link.handler.machine.backlog == waiting
    peer.update()
    pair.source.settle()
    for batch in peer.receive():
        pair.replica.take(batch)
    assert texts(pair.copy) == texts(pair.source)
    assert len(texts(pair.copy)) == 399


# -- of a cluster ----------------------------------------------------------------------------------------------------


def test_what_is_not_safe_in_the_cluster_is_not_copied() -> None:
    primary, backup = Member("a", ha_min_replicas=1), Member("b", ha_min_replicas=1)
    primary.reign_under(E1)
    wire = follow(backup, primary)
    pair = Pair(primary.broker)
    pair.there.declare()
    pair.there.send("a")
    wire.settle()
    copying = pair.follow()
    assert texts(pair.copy) == ["a"]
    pair.there.send("b")
    copying.settle()
    assert texts(pair.copy) == ["a"]
    wire.settle()
    copying.settle()
    assert texts(pair.copy) == ["a", "b"]
    # Nothing is passed over that left by an entry which is not safe: another primary would hold it still.
    copying.cut()
    pair.there.send("c")
    pair.there.send("d")
    wire.settle()
    pair.there.remove("c")
    late = Wire(pair.replica, primary.broker)
    assert texts(pair.copy) == ["a", "b"]
    wire.settle()
    late.settle()
    assert texts(pair.copy) == ["a", "b", "d"]


def test_the_copy_goes_on_with_the_next_primary() -> None:
    old, new = Member("a"), Member("b")
    old.reign_under(E1)
    wire = follow(new, old)
    pair = Pair(old.broker)
    pair.there.declare()
    for text in "ab":
        pair.there.send(text)
    wire.settle()
    pair.follow().cut()
    pair.there.remove("a")
    pair.there.send("c")
    wire.settle()
    wire.cut()
    new.reign_under(E2)
    new.broker.internal[QUEUE_SERVICE] = QueueService(new.broker)
    copying = Wire(pair.replica, new.broker)
    assert texts(pair.copy) == ["b", "c"]
    assert copying.link.handler.bytes_out < 3000
    # One that was promoted by force and lacks what was copied is another history.
    new.broker.queues["q"].position = 1
    with pytest.raises(NothingToFollow, match="lost messages"):
        Wire(pair.replica, new.broker)


def test_the_copy_may_be_a_clusters_own() -> None:
    primary, backup = Member("a"), Member("b")
    primary.reign_under(E1)
    wire = follow(backup, primary)
    pair = Pair()
    Writer(primary.broker).declare()
    wire.settle()
    replica = QueueReplica(primary.broker, primary.broker.queues["q"])
    pair.there.send("a")
    copying = Wire(replica, pair.source)
    wire.settle()
    assert texts(primary.broker) == texts(backup.broker) == ["a"]
    pair.there.remove("a")
    copying.settle()
    wire.settle()
    assert texts(primary.broker) == texts(backup.broker) == []


# -- whatever comes ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "batch",
    [
        b"nonsense",
        pack_record(Record.ENTRY, b""),
        pack_record(Record.COPIES, b""),
        pack_record(Record.COPIES, b"\0\0" + bytes(20)),
        pack_record(Record.LEFT, b"odd"),
        pack_record(Record.LEFT, bytes(7) + b"\2" + bytes(8)),
        pack_map(Record.COPYING, {"identity": "nobody"}),
        pack_map(Record.REFUSED, {}),
    ],
)
def test_a_batch_that_makes_no_sense(batch: bytes) -> None:
    pair = Pair()
    with pytest.raises(ReplicationError):
        pair.replica.take(batch)


def test_a_range_costs_nothing_whatever_length_it_claims() -> None:
    pair = Pair()
    for text in "abc":
        pair.there.send(text)
    pair.follow()
    pair.replica.take(pack_record(Record.LEFT, pack_positions([(2, 2**64 - 1)])))
    assert texts(pair.copy) == ["a"]


@pytest.mark.parametrize(
    "request_",
    [
        b"",
        pack_record(Record.COPY, b"no map"),
        pack_map(Record.COPY, {"queue": 7, "identity": None, "last": 0, "held": b""}),
        pack_map(Record.COPY, {"queue": "q", "identity": None, "last": "x", "held": b""}),
        pack_map(Record.COPY, {"queue": "q", "identity": None, "last": 0, "held": b"odd"}),
        pack_map(Record.JOIN, {}),
    ],
)
def test_a_request_that_makes_no_sense(request_: bytes) -> None:
    pair = Pair()
    peer = Link(pair.source).session()
    peer.do(c.MessageTransfer(destination=QUEUE_SERVICE), None, pair.replica.request())
    assert peer.failure is not None
    assert "comes once, after a subscription" in str(peer.failure.description)
    peer = Link(pair.source).session(b"second")
    peer.subscribe(QUEUE_SERVICE, "d")
    peer.do(c.MessageTransfer(destination=QUEUE_SERVICE), None, request_)
    assert peer.failure is not None
    assert "cannot be understood" in str(peer.failure.description)


@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_whatever_happens_the_copy_is_the_queue_less_what_was_taken_here(data: st.DataObject) -> None:
    """Sends, departures, local departures and breaks in any order, batches arriving when they like."""
    pair = Pair()
    wire = pair.follow()
    taken: set[str] = set()
    number = 0
    for step in data.draw(st.lists(st.sampled_from("ssdbtaa"), max_size=40)):
        if step == "s":
            number += 1
            pair.there.send(str(number))
        elif step == "d" and texts(pair.source):
            pair.there.remove(data.draw(st.sampled_from(texts(pair.source))))
        elif step == "t" and texts(pair.copy):
            text = data.draw(st.sampled_from(texts(pair.copy)))
            pair.here.remove(text)
            taken.add(text)
        elif step == "b":
            wire.cut()
            wire = pair.follow()
        elif step == "a":
            wire.fetch()
            if wire.batches:
                pair.replica.take(wire.batches.popleft())
    wire.settle()
    assert texts(pair.copy) == [text for text in texts(pair.source) if text not in taken]
