"""The difference: whatever both went through, the joiner equals its primary afterwards, and no more travels."""

from __future__ import annotations

import random
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from qpid_server.broker import Broker
from qpid_server.effects import ExchangeDeleted, QueueDeleted, SessionEnded, Unbound
from qpid_server.ha import difference as difference_module
from qpid_server.ha.difference import Joining, difference, inventory
from qpid_server.ha.epoch import Epoch
from qpid_server.ha.log import Log
from qpid_server.ha.messages import read_message
from qpid_server.ha.packing import Reader
from qpid_server.ha.records import Record, ReplicationError, unpack_records
from qpid_server.queue import Replicate
from tests.unit.ha.members import E1, E2, E3, Member, Wire, Writer, follow, new_log, offered, replicated_state, texts

QUEUES, EXCHANGES, SESSIONS = ("q", "r", "s"), ("x", "y"), (b"one", b"two")


class History:
    """Random changes of a primary's state."""

    def __init__(self, member: Member, seed: int) -> None:
        self.broker = member.broker
        self.writer = Writer(member.broker)
        self.random = random.Random(seed)
        self.number = 0

    def step(self) -> None:
        pick, broker, writer = self.random, self.broker, self.writer
        queue, exchange, session = pick.choice(QUEUES), pick.choice(EXCHANGES), pick.choice(SESSIONS)
        held = broker.queues.get(queue)
        action = pick.choice(["send"] * 6 + ["remove"] * 3 + ["declare", "delete", "exchange", "unbind", "bind", "end"])
        if action == "declare" or held is None:
            if held is None:
                level = pick.choice([Replicate.ALL, Replicate.ALL, Replicate.CONFIGURATION, Replicate.NONE])
                alternate = exchange if exchange in broker.exchanges and pick.random() < 0.3 else None
                writer.declare(queue, level, arguments={"n": pick.randrange(2)}, alternate_exchange=alternate)
        elif action == "send":
            self.number += 1
            where = [name for name in QUEUES if name in broker.queues and (name == queue or pick.random() < 0.2)]
            # What no backup holds moves the record of the primary only.
            kept = any(broker.queues[name].replicate is Replicate.ALL for name in where)
            mark = ("user", session, self.number) if kept and pick.random() < 0.5 else None
            writer.send(f"{id(self) % 997}-{self.number}", *where, mark=mark)
        elif action == "remove" and held.entries:
            entry = pick.choice(list(held.entries.values()))
            if pick.random() < 0.2 and held.alternate_exchange is not None:
                writer.do("reject", *broker.reject_effects(held, [entry]))
            else:
                writer.remove((entry.message.body or b"").decode(), queue)
        elif action == "delete" and pick.random() < 0.4:
            writer.do("delete", QueueDeleted(held))
        elif action == "exchange":
            if exchange not in broker.exchanges:
                writer.exchange(exchange, pick.choice(["topic", "fanout"]))
            elif not broker.exchanges[exchange].alternate_users and pick.random() < 0.4:
                writer.do("gone", ExchangeDeleted(broker.exchanges[exchange]))
        elif action == "bind":
            name = pick.choice([*(name for name in EXCHANGES if name in broker.exchanges), "amq.topic"])
            writer.bind(queue, name, pick.choice("kl"), pick.choice([{}, {"a": 1}]))
        elif action == "unbind":
            for binding in list(held.bindings):
                if binding.exchange.name and pick.random() < 0.5:
                    writer.do("unbind", Unbound(held, binding.exchange, binding.key))
        elif action == "end":
            writer.do("end", SessionEnded("user", session))

    def run(self, steps: int) -> None:
        for _ in range(steps):
            self.step()


def sent_messages(wire: Wire) -> list[Any]:
    """What of a link's batches were messages of a difference: their ids, collected as they arrive."""
    found: list[Any] = []
    send = wire._send

    def spy(batch: bytes) -> None:
        for kind, payload in unpack_records(batch):
            reader = Reader(payload) if kind == Record.MESSAGES else None
            while reader is not None and reader.more:
                found.append(read_message(reader, wire.primary.log.wall).replication_id)
        send(batch)

    wire._send = spy  # type: ignore[method-assign]
    return found


def ids(broker: Broker) -> set[Any]:
    return {id for queue in broker.queues.values() if queue.replicate is Replicate.ALL for id in queue.by_id}


@settings(max_examples=120)
@given(st.integers(0, 2**32), st.integers(0, 60), st.integers(0, 40), st.integers(0, 40), st.booleans(), st.booleans())
def test_after_joining_both_hold_the_same(
    seed: int, common: int, foreign: int, meanwhile: int, forget: bool, under_way: bool
) -> None:
    """A common past; then the joiner has a tail that nobody else saw, and the others go on under a new primary."""
    a, b = Member("a"), Member("b")
    a.reign_under(E1)
    wire = follow(b, a)
    past = History(a, seed)
    past.run(common)
    wire.settle()
    wire.cut()
    a.log.release("alone")
    past.run(foreign)
    b.reign_under(E2)
    future = History(b, seed + 1)
    future.run(meanwhile)
    a.step_down("deposed")
    if forget:
        b.log._retained.clear()
    held, wanted = ids(a.broker), ids(b.broker)
    wire = a.join(b)
    travelled = sent_messages(wire)
    wire.deliver_to_primary()
    if under_way:
        # What comes while the difference is on its way.
        for _ in range(20):
            future.step()
            if wire.to_backup and future.random.random() < 0.5:
                wire.deliver_to_backup()
            b.broker.settle()
    wire.settle()
    assert wire.failure is None, wire.failure
    assert replicated_state(a.broker) == replicated_state(b.broker)
    assert len(travelled) == len(set(travelled)), "no message twice"
    if a.log.suffix(b.log.last) is not None and travelled and not under_way:
        assert set(travelled) == wanted - held, "what both had does not travel, and nothing else does"
    assert not set(travelled) & held
    assert a.log.last == b.log.last
    for name, queue in b.broker.queues.items():
        if queue.replicate is Replicate.ALL:
            assert offered(a.broker, name) == texts(b.broker, name), "all of it is known to be safe"
    # And it goes on from there.
    future.run(20)
    wire.settle()
    assert wire.failure is None
    assert replicated_state(a.broker) == replicated_state(b.broker)


@settings(max_examples=30)
@given(st.integers(0, 2**32), st.integers(1, 30), st.data())
def test_a_difference_that_breaks_off_is_taken_up_anew(seed: int, steps: int, data: st.DataObject) -> None:
    a, b = Member("a"), Member("b")
    a.reign_under(E1)
    follow(b, a)
    past = History(a, seed)
    past.run(steps)
    a.log._retained.clear()
    for _ in range(3):
        wire = b.join(a)
        wire.deliver_to_primary()
        a.log.flush()
        for _ in range(data.draw(st.integers(0, 8))):
            a.broker.timers.run(a.broker.clock())
            if wire.to_backup:
                wire.deliver_to_backup()
        past.run(3)
        wire.cut()
    follow(b, a)
    assert replicated_state(a.broker) == replicated_state(b.broker)


def pieces(member: Member, held: bytes = b"\0\0\0\0\0\0") -> Iterator[tuple[int, bytes]]:
    for record in difference(member.broker, member.log, held):
        yield from unpack_records(record)


def test_a_message_on_many_queues_travels_once() -> None:
    a, b = Member("a"), Member("b")
    a.reign_under(E1)
    writer = Writer(a.broker)
    for name in QUEUES:
        writer.declare(name)
    writer.send("x" * 5000, *QUEUES)
    wire = follow(b, a)
    assert wire.bytes_to_backup < 8000
    assert [len(b.broker.queues[name].entries) for name in QUEUES] == [1, 1, 1]
    entries = [next(iter(b.broker.queues[name].entries.values())) for name in QUEUES]
    assert len({id(entry.message) for entry in entries}) == 1, "nor is it held twice"


def test_what_is_not_safe_on_the_primary_is_not_offered_by_the_joiner() -> None:
    a, b = Member("a"), Member("b")
    a.reign_under(E1)
    writer = Writer(a.broker)
    writer.declare()
    for text in "12":
        writer.send(text)
    a.log.hold("x", configuration=True)
    writer.send("3")
    wire = follow(b, a)
    assert (texts(b.broker), offered(b.broker)) == (["1", "2", "3"], ["1", "2"])
    b.look_for_primary()
    b.reign_under(E2, expected={"a"})
    assert offered(b.broker) == ["1", "2"]
    b.advance(60)
    assert offered(b.broker) == ["1", "2", "3"]
    assert not wire.alive


def test_positions_are_never_given_again() -> None:
    """Also where the last messages were gone before the joiner came: it may be the next primary."""
    a, b, c = Member("a"), Member("b"), Member("c")
    a.reign_under(E1)
    c_wire = follow(c, a)
    writer = Writer(a.broker)
    writer.declare()
    for text in "123":
        writer.send(text)
        writer.remove(text)
    c_wire.settle()
    follow(b, a)
    assert b.broker.queues["q"].position == 3
    b.reign_under(E2)
    wire = follow(c, b)
    Writer(b.broker).send("4")
    wire.settle()
    assert wire.failure is None
    assert replicated_state(c.broker) == replicated_state(b.broker)


def test_records_of_sessions_come_with_it() -> None:
    a, b = Member("a"), Member("b")
    a.reign_under(E1)
    writer = Writer(a.broker)
    writer.declare()
    a.broker.session_records.timeouts["user", b"s"] = 300
    writer.send("1", mark=("user", b"s", 41))
    b.broker.session_records.mark("user", b"foreign", 7)
    follow(b, a)
    assert dict(b.broker.session_records.items()) == {("user", b"s"): 41}
    assert b.broker.session_records.timeouts == {("user", b"s"): 300}


def test_what_only_the_joiner_has_stays() -> None:
    a, b = Member("a"), Member("b")
    a.reign_under(E1)
    local = Writer(b.broker)
    local.declare("local", Replicate.NONE)
    local.exchange("xl", "fanout", Replicate.NONE)
    local.send("1", "local")
    local.declare("q", Replicate.NONE)
    Writer(a.broker).declare("q")
    follow(b, a)
    assert texts(b.broker, "local") == ["1"]
    assert "xl" in b.broker.exchanges
    assert b.broker.queues["q"].replicate is Replicate.ALL


def test_an_alternate_exchange_that_changed_is_not_kept_by_its_queues() -> None:
    a, b = Member("a"), Member("b")
    for member, type in ((a, "topic"), (b, "fanout")):
        member.reign_under(E1 if member is b else Epoch(1, "b"))
        writer = Writer(member.broker)
        writer.exchange("x", type)
        writer.declare("q", alternate_exchange="x")
    b.step_down("deposed")
    a.reign_under(E2)
    follow(b, a)
    assert b.broker.queues["q"].alternate_exchange is b.broker.exchanges["x"]
    assert b.broker.exchanges["x"].type == "topic"
    assert b.broker.exchanges["x"].alternate_users == 1


def test_a_joiner_takes_the_records_in_their_order() -> None:
    a = Member("a")
    a.reign_under(E1)
    writer = Writer(a.broker)
    writer.declare()
    writer.send("1")
    records = dict(pieces(a))
    for kind in (Record.PLACES, Record.ENTRY):
        log = new_log()
        with pytest.raises(ReplicationError):
            Joining(log.broker, log).take(kind, records.get(kind, b""))
        assert not log.whole
    log = new_log()
    joining = Joining(log.broker, log)
    for kind, payload in pieces(a):
        if kind != Record.MESSAGES:
            if kind == Record.PLACES:
                with pytest.raises(ReplicationError, match="leaves out"):
                    joining.take(kind, payload)
                return
            joining.take(kind, payload)


def test_only_what_is_missing_of_a_long_queue(monkeypatch: pytest.MonkeyPatch) -> None:
    a, b = Member("a"), Member("b")
    a.reign_under(E1)
    wire = follow(b, a)
    writer = Writer(a.broker)
    writer.declare()
    for number in range(3000):
        writer.send(f"{number:0200}")
    wire.settle()
    wire.cut()
    a.log.release("alone")
    for number in range(3000, 3005):
        writer.send(f"{number:0200}")
    a.log._retained.clear()
    wire = follow(b, a)
    assert wire.bytes_to_backup < 5 * 400 + 1500
    assert replicated_state(b.broker) == replicated_state(a.broker)
    assert inventory(b.broker) == inventory(a.broker)
    assert len(inventory(b.broker)) < 100


def test_no_piece_of_work_is_long() -> None:
    """Packing goes on while a broker serves: a record is made of a bounded number of messages and bytes."""
    a = Member("a")
    a.reign_under(E1)
    writer = Writer(a.broker)
    writer.declare()
    for number in range(5000):
        writer.send(f"{number:0100}")
    largest = max(len(payload) for _, payload in pieces(a))
    assert largest < 2 * difference_module._BYTES_AT_A_TIME
    held = inventory(a.broker)
    count = sum(1 for kind, _ in pieces(a, held) if kind == Record.PLACES)
    assert count == -(-5000 // difference_module._PLACES_AT_A_TIME)
    assert not [kind for kind, _ in pieces(a, held) if kind == Record.MESSAGES]


def test_a_log_put_to_a_position_is_found_there() -> None:
    a, b, c = Member("a"), Member("b"), Member("c")
    a.reign_under(E1)
    follow(b, a)
    follow(c, a)
    at = c.log.last
    b.reign_under(E3)
    assert isinstance(b.log, Log)
    assert b.log.suffix(at) is not None, "who stands where the difference ended needs no other"
