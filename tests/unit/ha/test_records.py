"""Records and entries on the wire: what goes in comes out, and what nobody sent does no harm."""

from __future__ import annotations

import contextlib
import tracemalloc
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from qpid_messaging.amqp import commands as c
from qpid_messaging.amqp.codec import encode_header, encode_map
from qpid_server.broker import Broker
from qpid_server.effects import (
    Bound,
    Dequeue,
    Enqueue,
    ExchangeDeclared,
    ExchangeDeleted,
    QueueDeclared,
    QueueDeleted,
    QueueUsed,
    SessionEnded,
    Unbound,
)
from qpid_server.ha.difference import Held, Joining, difference, inventory
from qpid_server.ha.entries import MarkEffect, Op, decode_entry, encode_entry
from qpid_server.ha.epoch import Position
from qpid_server.ha.log import Log
from qpid_server.ha.messages import Wall, read_message, write_message
from qpid_server.ha.packing import Reader, Run, Writer, runs
from qpid_server.ha.records import (
    Record,
    ReplicationError,
    pack_index,
    pack_map,
    pack_record,
    unpack_index,
    unpack_map,
    unpack_records,
)
from qpid_server.ha.replica import Refusal, Replica
from qpid_server.journal import Effect
from qpid_server.message import Message
from qpid_server.queue import Replicate
from tests.unit.ha.members import E1, E2, Member, new_broker, new_log, replicated_state, text_message
from tests.unit.ha.members import Writer as Commits

WALL = Wall(lambda: 1e9)
epochs = st.tuples(st.integers(0, 2**32 - 1), st.text(max_size=8))
ids = st.tuples(epochs, st.integers(0, 2**64 - 1))
texts = st.text(max_size=20)


# -- ids ---------------------------------------------------------------------------------------------------------------


@given(st.lists(st.tuples(st.sampled_from([E1, E2]), st.integers(0, 50))))
def test_ids_survive_their_way(given_ids: list[tuple[tuple[int, str], int]]) -> None:
    writer = Writer()
    writer.ids(given_ids)
    assert list(Reader(writer.done()).ids()) == given_ids


@given(st.lists(st.tuples(st.sampled_from([E1, E2]), st.integers(0, 60), st.integers(0, 9)), max_size=12))
def test_an_inventory_knows_the_ids_of_its_runs(spans: list[tuple[tuple[int, str], int, int]]) -> None:
    held = Held(Run(*span) for span in spans)
    expected = {(epoch, number) for epoch, first, length in spans for number in range(first, first + length)}
    assert {id for epoch in (E1, E2) for id in ((epoch, number) for number in range(75)) if id in held} == expected


def test_consecutive_ids_are_one_run() -> None:
    assert list(runs((E1, number) for number in range(100_000))) == [Run(E1, 0, 100_000)]
    writer = Writer()
    writer.ids((E1, number) for number in range(100_000))
    assert len(writer.done()) < 40


# -- messages and effects ----------------------------------------------------------------------------------------------

bodies = st.none() | st.binary(max_size=60)
headers = st.none() | st.builds(
    lambda key, ttl: encode_header(c.DeliveryProperties(routing_key=key, ttl=ttl)), texts, st.integers(1, 10**9)
)


@given(ids, texts, headers, bodies, st.none() | st.integers(1, 10**9))
def test_a_message_survives_its_way(
    id: Any, destination: str, header: bytes | None, body: bytes | None, expires: int | None
) -> None:
    message = Message(destination, header, body, id)
    message.expires = expires
    writer = Writer()
    write_message(writer, message, WALL)
    reader = Reader(writer.done())
    back = read_message(reader, Wall(lambda: 2e9))
    assert not reader.more
    assert (back.destination, back.header, back.body, back.replication_id) == (destination, header, body, id)
    # The time of expiry means the same to a member whose clock started elsewhere.
    assert back.expires == (None if expires is None else pytest.approx(expires - 1e9, abs=0.01))


def settled_broker() -> Broker:
    """A primary with something in it."""
    log = new_log()
    log.promote(E1, inherited=True)
    writer = Commits(log.broker)
    writer.exchange("x", "topic")
    writer.declare("q")
    writer.declare("r")
    for text in "abc":
        writer.send(text, "q", "r")
    writer.bind("q", "x", "one.*")
    return log.broker


def _effects(broker: Broker) -> dict[str, Callable[[], list[Effect]]]:
    q, r, x = broker.queues["q"], broker.queues["r"], broker.exchanges["x"]
    shared = text_message("shared")
    entries = list(q.entries.values())
    return {
        "enqueue": lambda: [Enqueue(q, text_message("new"))],
        "the same to two queues": lambda: [Enqueue(q, shared), Enqueue(r, shared)],
        "two to one queue": lambda: [Enqueue(q, text_message("1")), Enqueue(q, text_message("2"))],
        "dequeue": lambda: [Dequeue(q, entries[:2])],
        "dequeue with a gap": lambda: [Dequeue(q, [entries[0], entries[2]])],
        "queue": lambda: [
            QueueDeclared(
                "n", durable=True, exclusive=True, auto_delete=True, alternate_exchange="x",
                arguments={"n": 7, "deep": {"list": [1, "two", None]}}, replicate=Replicate.ALL,
                creator="ann",
            )
        ],
        "queue gone": lambda: [QueueDeleted(r)],
        "queue used": lambda: [QueueUsed(r)],
        "exchange": lambda: [
            ExchangeDeclared(
                "n", "headers", durable=True, auto_delete=True, alternate_exchange="x", arguments={"a": 1},
                replicate=Replicate.ALL,
            )
        ],
        "exchange gone": lambda: [ExchangeDeleted(x)],
        "binding": lambda: [Bound(r, x, "two.#", {"a": [1, 2]})],
        "binding gone": lambda: [Unbound(q, x, "one.*")],
        "session ended": lambda: [SessionEnded("user", b"\0name\xff")],
        "reroute": lambda: [Enqueue(r, entries[0].message.anew()), Dequeue(q, entries[:1])],
        "queue and all that is on it": lambda: [
            *[Enqueue(r, entry.message.anew()) for entry in entries], QueueDeleted(q), ExchangeDeleted(x),
        ],
    }  # fmt: skip


KINDS = list(_effects(settled_broker()))


def copy_of(broker: Broker) -> tuple[Broker, Log]:
    """A backup that holds what this primary does."""
    log = new_log()
    joining = Joining(log.broker, log)
    assert isinstance(broker.journal, Log)
    for record in difference(broker, broker.journal, inventory(log.broker)):
        for kind, payload in unpack_records(record):
            joining.take(kind, payload)
    return log.broker, log


@pytest.mark.parametrize("kind", KINDS)
def test_every_effect_does_the_same_on_a_backup(kind: str) -> None:
    broker = settled_broker()
    backup, _ = copy_of(broker)
    assert replicated_state(backup) == replicated_state(broker)
    log = broker.journal
    assert isinstance(log, Log)
    index = log.last.index
    mark = ("user", b"session", 2**63)
    broker.session_records.timeouts["user", b"session"] = 300
    Commits(broker).do(kind, *_effects(broker)[kind](), mark=mark)
    rest = log.suffix(Position(E1, index))
    assert rest is not None
    ((_, _, data),) = rest
    for effect in decode_entry(data, backup, WALL):
        if isinstance(effect, MarkEffect):
            assert effect == MarkEffect(mark, 300)
            backup.session_records.mark(*effect.mark)
        else:
            effect.apply(backup)
    assert replicated_state(backup) == replicated_state(broker)


def test_a_commit_of_very_many_messages() -> None:
    """References between the effects of one entry are no 16-bit numbers."""
    broker = settled_broker()
    backup, log = copy_of(broker)
    q, r = broker.queues["q"], broker.queues["r"]
    messages = [text_message(str(number)) for number in range(66_000)]
    Commits(broker).do("many", *(Enqueue(queue, message) for message in messages for queue in (q, r)))
    assert isinstance(broker.journal, Log)
    rest = broker.journal.suffix(log.last)
    assert rest is not None
    log.follow(*rest[0])
    assert backup.queues["r"].entries[66_003].message.body == b"65999"


def test_a_message_on_two_queues_travels_once() -> None:
    broker = settled_broker()
    shared = text_message("x" * 1000)
    shared.replication_id = (E1, 99)
    effects = [Enqueue(broker.queues[name], shared) for name in "qr"]
    for effect in effects:
        effect.apply(broker)
    assert len(encode_entry(effects, None, 0, WALL)) < 1200


# -- what nobody sent --------------------------------------------------------------------------------------------------


@given(st.lists(st.tuples(st.sampled_from(Record), st.binary(max_size=30)), max_size=6), st.data())
def test_records_survive_their_way_and_say_when_cut(records: list[tuple[Record, bytes]], data: st.DataObject) -> None:
    batch = b"".join(pack_record(*record) for record in records)
    assert list(unpack_records(batch)) == records
    ends = {0}
    for record in records:
        ends.add(max(ends) + len(pack_record(*record)))
    cut = data.draw(st.integers(0, len(batch)))
    if cut in ends:
        list(unpack_records(batch[:cut]))
    else:
        with pytest.raises(ReplicationError):
            list(unpack_records(batch[:cut]))


@pytest.mark.parametrize("payload", [b"", b"1234567", b"123456789"])
def test_an_index_of_another_size(payload: bytes) -> None:
    with pytest.raises(ReplicationError):
        unpack_index(payload)
    assert unpack_index(pack_index(Record.POSITION, 7)[5:]) == 7


def _apply(data: bytes) -> None:
    broker = settled_broker()
    backup, log = copy_of(broker)
    try:
        log.follow(log.last.index + 1, E1, data)
    except ReplicationError:
        assert not log.whole or log.last.index
    assert len(backup.queues) < 50


@settings(max_examples=300)
@given(st.binary(max_size=80))
def test_random_entries_are_refused(data: bytes) -> None:
    _apply(data)


_SAMPLES: list[bytes] = []


def samples() -> list[bytes]:
    """An entry of every kind."""
    if not _SAMPLES:
        for kind in KINDS:
            broker = settled_broker()
            assert isinstance(broker.journal, Log)
            at = broker.journal.last
            Commits(broker).do(kind, *_effects(broker)[kind](), mark=("u", b"s", 5))
            rest = broker.journal.suffix(at)
            assert rest
            _SAMPLES.append(rest[0][2])
    return _SAMPLES


@settings(max_examples=600)
@given(st.integers(0, len(KINDS) - 1), st.data())
def test_entries_that_were_tampered_with(number: int, data: st.DataObject) -> None:
    entry = bytearray(samples()[number])
    for _ in range(data.draw(st.integers(1, 3))):
        at = data.draw(st.integers(0, len(entry) - 1))
        change = data.draw(st.sampled_from(["set", "cut", "insert"]))
        if change == "set":
            entry[at] = data.draw(st.integers(0, 255))
        elif change == "insert":
            entry[at:at] = data.draw(st.binary(max_size=5))
        elif at:
            del entry[at:]
    _apply(bytes(entry))


class Told:
    """A member that takes whatever it is told."""

    def promised_above(self, epoch: Any) -> bool:
        return False

    def joined(self, epoch: Any, *, difference: bool) -> None: ...

    def replacing(self) -> None: ...

    def ready(self) -> None: ...

    def take_members(self, values: dict[str, Any]) -> None:
        Member("z").take_members(values)


def batches(broker: Broker) -> bytes:
    """All that a joiner gets from a primary."""
    log = broker.journal
    assert isinstance(log, Log)
    batch = pack_map(Record.JOINED, {"epoch": list(E1), "broker": "a", "difference": True})
    batch += b"".join(difference(broker, log, inventory(new_broker())))
    batch += pack_map(Record.EPOCH, {"counter": E1.counter, "broker": E1.broker})
    batch += pack_record(Record.ENTRY, (log.last.index + 1).to_bytes(8, "big") + encode_entry([], None, 0, WALL))
    batch += pack_index(Record.CONFIRMED, log.last.index) + pack_record(Record.READY)
    return batch + pack_map(Record.MEMBERS, {"members": [{"id": "x", "address": "x:1", "status": "ready"}]})


_WHOLE = batches(settled_broker())


def _take(batch: bytes) -> None:
    log = new_log()
    replica = Replica(log.broker, log, Told())
    with contextlib.suppress(ReplicationError, Refusal):
        replica.take(batch)
        while replica.catch_up():
            pass


def test_all_that_a_joiner_gets() -> None:
    log = new_log()
    replica = Replica(log.broker, log, Told())
    replica.take(_WHOLE)
    assert replica.confirmation() is None, "nothing of it is applied yet"
    while replica.catch_up():
        pass
    assert log.whole
    assert replica.confirmation() is not None


def test_a_difference_that_ends_too_early_costs_nothing() -> None:
    """The primary may be the only other one that holds what this broker did, and is gone now."""
    backup, log = copy_of(settled_broker())
    before, at = replicated_state(backup), log.last
    primary = settled_broker()
    Commits(primary).do("more", Enqueue(primary.queues["q"], text_message("more")))
    whole = batches(primary)
    for end in range(0, whole.rindex(pack_record(Record.READY)), 7):
        replica = Replica(backup, log, Told())
        with contextlib.suppress(ReplicationError):
            replica.take(whole[:end])
        if replica.catch_up():
            break  # from here on it was there whole
        assert (replicated_state(backup), log.last, log.whole) == (before, at, True)
    else:
        raise AssertionError("it never was there whole")
    assert end > len(whole) // 2


@settings(max_examples=600)
@given(st.data())
def test_batches_that_were_tampered_with(data: st.DataObject) -> None:
    batch = bytearray(_WHOLE)
    for _ in range(data.draw(st.integers(1, 3))):
        at = data.draw(st.integers(0, len(batch) - 1))
        batch[at : at + data.draw(st.integers(0, 3))] = data.draw(st.binary(max_size=3))
    _take(bytes(batch))


values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**62), 2**62) | texts | st.binary(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=6,
)


@settings(max_examples=600)
@given(st.data())
def test_maps_with_other_values_in_them(data: st.DataObject) -> None:
    """Every value of every map that a primary sends, replaced by any other."""
    records = list(unpack_records(_WHOLE))
    maps = [
        number for number, (kind, _) in enumerate(records)
        if kind in (Record.JOINED, Record.DIFFERENCE, Record.QUEUE, Record.SESSIONS, Record.CAUGHT_UP, Record.EPOCH,
                    Record.MEMBERS)
    ]  # fmt: skip
    number = data.draw(st.sampled_from(maps))
    kind, payload = records[number]
    content = unpack_map(payload)
    holder: Any = content
    while True:
        key = data.draw(st.sampled_from(list(holder) if isinstance(holder, dict) else range(len(holder))))
        if isinstance(holder[key], (dict, list)) and holder[key] and data.draw(st.booleans()):
            holder = holder[key]
        else:
            break
    holder[key] = data.draw(values)
    records[number] = (kind, encode_map(content))
    _take(b"".join(pack_record(Record(kind), payload) for kind, payload in records))


@settings(max_examples=300)
@given(st.sampled_from(Op), st.dictionaries(st.sampled_from(["name", "queue", "exchange", "key", "user"]), values))
def test_effects_with_other_values_in_them(op: Op, content: dict[str, Any]) -> None:
    writer = Writer()
    writer.raw(bytes((op,)))
    writer.blob(encode_map(content))
    _apply(writer.done())


HUGE = 0xFFFFFFFF


def _peak(action: Callable[[], object]) -> int:
    tracemalloc.start()
    try:
        action()
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def test_a_run_costs_nothing_whatever_length_it_claims() -> None:
    """4 thousand million ids in 14 octets: an inventory of them, a dequeue of them, places for them."""
    run = b"\0\x01" + b"\0\0\0\x01\0\x01a" + b"\0\0\0\x01" + b"\0\0" + bytes(8) + b"\xff" * 4
    held = Held(Reader(run).runs())
    assert ((1, "a"), HUGE - 1) in held
    assert ((1, "a"), HUGE) not in held
    broker = settled_broker()
    assert isinstance(broker.journal, Log)
    log = broker.journal
    assert _peak(lambda: b"".join(difference(broker, log, run))) < 1_000_000

    writer = Writer()
    writer.raw(bytes((Op.DEQUEUE,)))
    writer.text("q")
    writer.raw(b"\0\0\0\x02" + 2 * (writer.epoch(E1).to_bytes(2, "big") + (1).to_bytes(8, "big") + b"\xff" * 4))
    assert _peak(lambda: _apply(writer.done())) < 2_000_000

    writer = Writer()
    writer.raw(writer.epoch(E1).to_bytes(2, "big") + (1).to_bytes(8, "big") * 2 + b"\xff" * 4 + b"\x01")
    joining = Joining(broker, log)
    joining.take(Record.QUEUE, encode_map({"name": "q", "position": 9}))

    def fill() -> None:
        with pytest.raises(ReplicationError, match="leaves out"):
            joining.take(Record.PLACES, writer.done())

    assert _peak(fill) < 1_000_000


def test_sizes_that_lie_allocate_nothing() -> None:
    for data in (
        b"\xff\xff",
        b"\0\0" + bytes((Op.ENQUEUE,)) + b"\xff\xff",
        b"\0\0" + bytes((Op.QUEUE_DECLARED,)) + b"\xff" * 4,
    ):
        assert _peak(lambda data=data: _apply(data)) < 2_000_000  # type: ignore[misc]


@pytest.mark.parametrize(
    ("kind", "again"),
    [("a position that was taken", 3), ("a message that is there", 9)],
)
def test_what_is_there_is_not_enqueued_again(kind: str, again: int) -> None:
    broker = settled_broker()
    first = next(iter(broker.queues["q"].entries.values()))
    backup, log = copy_of(broker)
    message = first.message if again == 9 else text_message("x")
    message.replication_id = message.replication_id or (E1, 77)
    effect = Enqueue(broker.queues["q"], message, again)
    effect.entry = type(first)(broker.queues["q"], message, again)
    with pytest.raises(ReplicationError):
        log.follow(log.last.index + 1, E1, encode_entry([effect], None, 0, WALL))
    assert len(backup.queues["q"].entries) == 3
