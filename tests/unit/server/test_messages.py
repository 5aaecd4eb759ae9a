"""Deliveries: credit, settling, what their headers say, transactions, slow readers."""

from __future__ import annotations

import pytest

from qpid_messaging.amqp import commands as c
from qpid_messaging.amqp.codec import decode_header, encode_header
from qpid_messaging.amqp.events import Incoming
from qpid_messaging.amqp.ranges import RangeSet
from qpid_server.broker import Broker
from qpid_server.connection import CONGESTED_FROM
from qpid_server.message import Message, format_resume_id, parse_resume_id
from qpid_server.queue import Replicate

from .driver import UNLIMITED, Link, Peer, advance, make_broker


@pytest.fixture
def broker() -> Broker:
    return make_broker()


@pytest.fixture
def peer(broker: Broker) -> Peer:
    peer = Link(broker).session()
    peer.declare("q")
    return peer


def delivery_properties(event: Incoming) -> c.DeliveryProperties:
    return next(struct for struct in decode_header(event.header or b"") if isinstance(struct, c.DeliveryProperties))


def test_bytes_go_through_unchanged(peer: Peer) -> None:
    header = encode_header(
        c.DeliveryProperties(routing_key="q", priority=7, delivery_mode=2),
        c.MessageProperties(content_type="x", application_headers={"k": [1, None]}),
    )
    header += b"\0\0\0\x05\x77\x01abc"  # a struct that nobody knows
    peer.subscribe()
    peer.do(c.MessageTransfer(destination=""), header, b"\0\1\2")
    (event,) = peer.receive_all()
    assert (event.header, event.body) == (header, b"\0\1\2")


@pytest.mark.parametrize("body", [None, b"", b"x" * 65523, b"x" * 65524, b"x" * 300_000])
def test_bodies_of_any_size(peer: Peer, body: bytes | None) -> None:
    peer.subscribe()
    peer.do(c.MessageTransfer(destination=""), encode_header(c.DeliveryProperties(routing_key="q")), body)
    (event,) = peer.receive_all()
    assert event.body == body


def test_small_frames(broker: Broker) -> None:
    """A client with a smaller maximum frame size gets larger messages in several frames."""
    link = Link(broker)
    link.handler.max_payload = link.handler.machine.max_frame_size = 4096 - 12
    link.handler.machine.max_frame_size = 4096
    peer = link.session()
    peer.declare("q")
    peer.subscribe()
    peer.send(b"y" * 20_000)
    assert peer.receive() == [b"y" * 20_000]


def test_credit_mode(peer: Peer) -> None:
    peer.do(c.MessageSubscribe(queue="q", destination="d"))
    peer.do(c.MessageSetFlowMode(destination="d", flow_mode=c.FlowMode.CREDIT))
    peer.do(c.MessageFlow(destination="d", unit=c.CreditUnit.MESSAGE, value=2))
    for number in range(5):
        peer.send(b"%d" % number)
    assert peer.receive() == [], "no bytes, no messages"
    peer.do(c.MessageFlow(destination="d", unit=c.CreditUnit.BYTE, value=UNLIMITED))
    first = peer.receive_all()
    assert [event.body for event in first] == [b"0", b"1"]
    peer.complete(*first)
    assert peer.receive() == []
    peer.do(c.MessageFlow(destination="d", unit=c.CreditUnit.MESSAGE, value=1))
    assert peer.receive() == [b"2"]
    peer.do(c.MessageFlow(destination="d", unit=c.CreditUnit.MESSAGE, value=1))
    peer.do(c.MessageStop(destination="d"))
    peer.receive()
    peer.send(b"5")
    assert peer.receive() == []


def test_window_mode(peer: Peer) -> None:
    for number in range(6):
        peer.send(b"%d" % number)
    peer.subscribe(credit=2)
    first = peer.receive_all()
    assert len(first) == 2
    peer.complete(first[0])
    (third,) = peer.receive_all()
    peer.settle(c.MessageAccept, *first, third)
    assert peer.receive() == [], "accepting brings no credit back, completing does"
    peer.complete(first[1], third)
    assert peer.receive() == [b"3", b"4"]


def test_byte_credit(broker: Broker, peer: Peer) -> None:
    peer.send(b"x" * 100)
    peer.send(b"x" * 100)
    size = broker.queues["q"].byte_depth // 2
    peer.subscribe(size=size + size // 2)
    first = peer.receive_all()
    assert len(first) == 1, "the second does not fit any more"
    peer.complete(*first)
    assert len(peer.receive_all()) == 1
    greedy = Link(broker).session(b"greedy")
    greedy.subscribe(size=UNLIMITED)
    peer.send(b"y" * 1000)
    assert greedy.receive() == [b"y" * 1000], "who cannot afford a message does not keep it from others"


def test_consumers_take_turns(broker: Broker) -> None:
    peers = [Link(broker).session(b"%d" % number) for number in range(3)]
    peers[0].declare("q")
    for peer in peers:
        peer.subscribe()
    for number in range(9):
        peers[0].send(b"%d" % number)
    assert [len(peer.receive()) for peer in peers] == [3, 3, 3]


def test_flush_gives_what_there_is_and_takes_the_credit(peer: Peer) -> None:
    peer.send(b"1")
    peer.subscribe(credit=5)
    peer.do(c.MessageFlush(destination="d"))
    assert peer.receive() == [b"1"]
    peer.send(b"2")
    assert peer.receive() == []


def test_redelivered(broker: Broker, peer: Peer) -> None:
    for number in range(3):
        peer.send(b"%d" % number)
    peer.subscribe(credit=3)
    events = peer.receive_all()
    assert not any(delivery_properties(event).redelivered for event in events)
    peer.settle(c.MessageRelease, events[0])
    peer.settle(c.MessageRelease, events[1], set_redelivered=True)
    peer.link.lose()
    other = Link(broker).session(b"other")
    other.subscribe()
    again = other.receive_all()
    assert [event.body for event in again] == [b"0", b"1", b"2"]
    assert [delivery_properties(event).redelivered for event in again] == [False, True, True]
    assert delivery_properties(again[2]).routing_key == "q"


def test_time_to_live(broker: Broker, peer: Peer) -> None:
    peer.send(b"short", ttl=5000)
    peer.send(b"long", ttl=60_000)
    peer.send(b"ever")
    advance(broker, 10)
    peer.subscribe()
    events = peer.receive_all()
    assert [event.body for event in events] == [b"long", b"ever"]
    assert delivery_properties(events[0]).ttl == 50_000
    assert delivery_properties(events[1]).ttl is None
    assert broker.queues["q"].expired == 1
    assert broker.queues["q"].depth == 2


def test_expired_messages_nobody_asks_for_are_searched_for(broker: Broker, peer: Peer) -> None:
    peer.send(b"short", ttl=5000)
    advance(broker, broker.options.queue_purge_interval + 1)
    assert broker.queues["q"].depth == 0


def test_accept_mode_none_settles_with_the_delivery(broker: Broker, peer: Peer) -> None:
    peer.send(b"x")
    peer.subscribe(accept_mode=c.AcceptMode.NONE)
    assert peer.receive() == [b"x"]
    assert broker.queues["q"].depth == 0
    peer.link.lose()
    assert broker.queues["q"].depth == 0


def test_browsing_leaves_everything(broker: Broker, peer: Peer) -> None:
    for number in range(3):
        peer.send(b"%d" % number)
    peer.subscribe(acquire_mode=c.AcquireMode.NOT_ACQUIRED)
    assert peer.receive() == [b"0", b"1", b"2"]
    peer.send(b"3")
    assert peer.receive() == [b"3"]
    assert len(broker.queues["q"].available()) == 4


def test_acquire(broker: Broker, peer: Peer) -> None:
    for number in range(3):
        peer.send(b"%d" % number)
    peer.subscribe(acquire_mode=c.AcquireMode.NOT_ACQUIRED)
    seen = peer.receive_all()
    thief = Link(broker).session(b"thief")
    thief.subscribe(credit=1)
    assert thief.receive() == [b"0"]
    result = peer.results[peer.settle(c.MessageAcquire, *seen)]
    assert isinstance(result, c.Acquired)
    assert list(result.transfers or ()) == [(seen[1].id, seen[2].id)]
    peer.settle(c.MessageAccept, *seen)
    assert [entry.message.body for entry in broker.queues["q"].after(0)] == [b"0"]


def test_many_browsed_messages_are_forgotten(broker: Broker, peer: Peer) -> None:
    """A browser that settles nothing does not make the session remember all that it ever saw."""
    peer.declare("ring", arguments={"qpid.max_count": 10, "qpid.policy_type": "ring"})
    peer.subscribe("ring", acquire_mode=c.AcquireMode.NOT_ACQUIRED, accept_mode=c.AcceptMode.NONE)
    for number in range(5000):
        peer.send(b"%d" % number, "ring")
    (session,) = peer.link.handler.sessions.values()
    assert len(session.unsettled) <= 1100


def test_a_large_queue_is_searched_in_steps(broker: Broker, peer: Peer) -> None:
    for number in range(12_000):
        peer.session.send(
            c.MessageTransfer(destination=""),
            encode_header(c.DeliveryProperties(routing_key="q", ttl=None if number % 3 else 5000)),
            b"",
        )
    peer.update()
    advance(broker, broker.options.queue_purge_interval)
    depths = [broker.queues["q"].depth]
    while depths[-1] > 8000:
        advance(broker, 0.001)
        depths.append(broker.queues["q"].depth)
        assert len(depths) < 10
    assert depths[-1] == 8000
    assert broker.queues["q"].byte_depth == sum(e.message.size for e in broker.queues["q"].entries.values())


def test_settling_what_was_never_delivered(broker: Broker, peer: Peer) -> None:
    for kind in (c.MessageAccept, c.MessageRelease, c.MessageReject, c.MessageAcquire):
        peer.do(kind(transfers=RangeSet([(0, 2**31 - 2)])))
    assert peer.failure is None


def test_transaction(broker: Broker, peer: Peer) -> None:
    peer.send(b"old")
    tx = Link(broker).session(b"tx")
    tx.do(c.TxSelect())
    tx.subscribe()
    (old,) = tx.receive_all()
    tx.send(b"new")
    tx.settle(c.MessageAccept, old)
    assert [entry.message.body for entry in broker.queues["q"].after(0)] == [b"old"]
    committed: list[int] = []
    commit, broker.journal.commit = broker.journal.commit, None  # type: ignore[method-assign, assignment]

    def count(entry: object, on_confirmed: object = None) -> None:
        committed.append(len(entry.effects))  # type: ignore[attr-defined]
        commit(entry, on_confirmed)  # type: ignore[arg-type]

    broker.journal.commit = count  # type: ignore[method-assign, assignment]
    tx.do(c.TxCommit())
    assert committed == [2], "one entry holds it all"
    assert tx.receive() == [b"new"]


def test_rollback(broker: Broker, peer: Peer) -> None:
    peer.send(b"old")
    tx = Link(broker).session(b"tx")
    tx.do(c.TxSelect())
    tx.subscribe()
    (old,) = tx.receive_all()
    tx.send(b"new")
    tx.settle(c.MessageAccept, old)
    tx.do(c.TxRollback())
    assert tx.receive() == []
    tx.settle(c.MessageRelease, old)
    assert tx.receive() == [b"old"], "after a rollback it can be released"
    tx.send(b"never")
    tx.link.lose()
    assert [entry.message.body for entry in broker.queues["q"].after(0)] == [b"old"]


def test_a_client_that_does_not_read_is_given_a_bounded_amount(broker: Broker, peer: Peer) -> None:
    slow = Link(broker)
    session = slow.session(b"slow")
    session.subscribe()
    total = 0
    for _ in range(100):
        # Nobody calls slow.pump(): what the broker writes stays where it is.
        total += 100_000
        peer.send(b"x" * 100_000)
    handler = slow.handler
    assert handler.congested
    assert handler.machine.backlog < CONGESTED_FROM + 300_000
    fast = Link(broker).session(b"fast")
    fast.subscribe()
    assert len(fast.receive()) > 80, "others get what it does not take"
    peer.send(b"y")
    slow.pump()
    assert not handler.congested


def test_replication_ids_are_told_to_those_who_ask(broker: Broker, peer: Peer) -> None:
    queue = broker.queues["q"]
    queue.replicate = Replicate.ALL
    for number in range(4):
        peer.send(b"%d" % number)
        entry = queue.entries[number + 1]
        entry.message.replication_id = ((3, "b1"), number)
        queue.by_id[entry.message.replication_id] = entry
    peer.subscribe(destination="d", credit=3, arguments={"qpid.resume-ids": 1})
    events = peer.receive_all()
    ids = [delivery_properties(event).resume_id for event in events]
    assert [parse_resume_id(text or "") for text in ids] == [((3, "b1"), number) for number in range(3)]
    peer.link.lose()
    # The next one claims what it held, of which another consumer has taken the first meanwhile.
    other = Link(broker).session(b"other")
    other.subscribe(destination="o", credit=1)
    assert other.receive() == [b"0"]
    again = Link(broker).session(b"again")
    claim = [*ids, format_resume_id(((9, "none"), 1)), "nonsense"]
    again.do(
        c.MessageSubscribe(
            queue="q",
            destination="d",
            arguments={"qpid.resume-ids": 1, "qpid.claim": claim},
        )
    )
    again.do(c.MessageFlow(destination="d", unit=c.CreditUnit.BYTE, value=UNLIMITED))
    again.do(c.MessageFlow(destination="d", unit=c.CreditUnit.MESSAGE, value=len(claim)))
    assert again.receive() == []
    flushed = again.do(c.MessageFlush(destination="d"))
    events = again.receive_all()
    assert [event.body for event in events] == [b"1", b"2"]
    assert all(delivery_properties(event).redelivered for event in events)
    assert flushed in again.completed
    again.do(c.MessageFlow(destination="d", unit=c.CreditUnit.BYTE, value=UNLIMITED))
    again.do(c.MessageFlow(destination="d", unit=c.CreditUnit.MESSAGE, value=10))
    assert again.receive() == [b"3"]


def test_message_without_header() -> None:
    message = Message("e", None, None)
    assert (message.routing_key, message.size, message.ttl, message.priority) == ("", 0, None, 4)
    assert not message.durable
    assert message.application_headers == {}
    assert decode_header(message.header_for(redelivered=True)) == (c.DeliveryProperties(redelivered=True),)


def test_user_id_must_be_the_users_own() -> None:
    broker = make_broker()
    link = Link(broker, username="bob")
    link.handler.checks_user_id = True
    peer = link.session()
    peer.declare("q")
    for user, allowed in ((b"bob", True), (b"", True), (b"alice", False)):
        header = encode_header(c.DeliveryProperties(routing_key="q"), c.MessageProperties(user_id=user))
        peer.do(c.MessageTransfer(destination=""), header, b"x")
        assert (peer.failure is None) == allowed
    assert peer.failure is not None
    assert peer.failure.error_code == 403
