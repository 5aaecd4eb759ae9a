"""The packed form of an entry of the log: what one command did.

An entry's effects name queues and exchanges; `decode_entry` looks them up while it goes, one effect after the other, so
that an effect may use what the one before it made.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from enum import IntEnum
from typing import TYPE_CHECKING, Any, NamedTuple

from qpid_messaging.amqp.codec import decode_map, encode_map

from ..dtx import DtxCommitted, DtxPrepared, DtxRolledBack, Prepared, XidKey
from ..effects import (
    Bound,
    Dequeue,
    Enqueue,
    ExchangeDeclared,
    ExchangeDeleted,
    Passed,
    QueueDeclared,
    QueueDeleted,
    QueueUsed,
    SessionEnded,
    Unbound,
)
from ..journal import Effect, Mark
from ..line import GONE
from ..message import Message, ReplicationId
from ..queue import Queue, QueueEntry, Replicate
from .declarations import exchange_declaration, exchange_declared, queue_declaration, queue_declared
from .messages import Wall, read_content, read_message, write_content, write_message
from .packing import U32, U64, Reader, Writer
from .records import MALFORMED, ReplicationError, bytes_in, map_in, text_in

if TYPE_CHECKING:
    from ..broker import Broker
    from ..exchange import Exchange


class Op(IntEnum):
    """The kinds of effect in an entry."""

    ENQUEUE = 1
    DEQUEUE = 2
    QUEUE_DECLARED = 3
    QUEUE_DELETED = 4
    EXCHANGE_DECLARED = 5
    EXCHANGE_DELETED = 6
    BOUND = 7
    UNBOUND = 8
    SESSION_ENDED = 9
    MARK = 10
    DTX_PREPARED = 11
    DTX_COMMITTED = 12
    DTX_ROLLED_BACK = 13
    PASSED = 14
    QUEUE_USED = 15


def encode_entry(effects: Iterable[Effect], mark: Mark | None, timeout: int, wall: Wall) -> bytes:
    """Pack an entry.

    Args:
        effects: the replicated effects; their messages have replication ids by now.
        mark: the session's mark, if it is kept.
        timeout: seconds that the marked session may outlive its connection.
        wall: how to express times of expiry.
    """
    writer = Writer()
    seen: dict[int, int] = {}
    for effect in effects:
        _ENCODE[type(effect)](writer, effect, seen, wall)
    if mark is not None:
        write_mark(writer, mark, timeout)
    return writer.done()


def write_mark(writer: Writer, mark: Mark, timeout: int) -> None:
    """Pack the mark of a session, the last thing of an entry."""
    user, name, command_id = mark
    writer.raw(bytes((Op.MARK,)))
    writer.text(user)
    writer.blob(name)
    writer.raw(U64.pack(command_id) + U32.pack(timeout))


def _write_enqueue(writer: Writer, effect: Enqueue, seen: dict[int, int], wall: Wall) -> None:
    message = effect.message
    known = seen.get(id(message))
    writer.raw(bytes((Op.ENQUEUE,)))
    writer.text(effect.queue.name)
    writer.raw(U64.pack(effect.entry.position))
    if known is None:
        seen[id(message)] = len(seen)
        writer.raw(U32.pack(FRESH))
        write_message(writer, message, wall)
    else:
        writer.raw(U32.pack(known))


FRESH = 0xFFFFFFFF
"""In place of the number of a message that the entry has already: the message itself follows."""


def _write_dequeue(writer: Writer, effect: Dequeue, seen: dict[int, int], wall: Wall) -> None:
    writer.raw(bytes((Op.DEQUEUE,)))
    writer.text(effect.queue.name)
    writer.ids(entry.message.replication_id for entry in effect.entries if entry.message.replication_id is not None)


def _write_passed(writer: Writer, effect: Passed, seen: dict[int, int], wall: Wall) -> None:
    writer.raw(bytes((Op.PASSED,)))
    writer.text(effect.exchange.name)
    writer.raw(U64.pack(effect.number) + bytes((effect.message is not None,)))
    if effect.message is not None:
        write_content(writer, effect.message, wall)


def _map_writer(op: Op, values: Callable[[Any], dict[str, Any]]) -> Callable[[Writer, Any, dict[int, int], Wall], None]:
    def write(writer: Writer, effect: Any, seen: dict[int, int], wall: Wall) -> None:
        writer.raw(bytes((op,)))
        writer.blob(encode_map(values(effect)))

    return write


def _write_xid(writer: Writer, xid: XidKey) -> None:
    writer.raw(U32.pack(xid.format))
    writer.blob(xid.global_id)
    writer.blob(xid.branch_id)


def _write_prepared(writer: Writer, effect: DtxPrepared, seen: dict[int, int], wall: Wall) -> None:
    """A prepared branch: its messages, which have no ids before they are enqueued, where they go, and what goes."""
    prepared = effect.prepared
    writer.raw(bytes((Op.DTX_PREPARED,)))
    _write_xid(writer, prepared.xid)
    enqueues = [enqueue for enqueue in prepared.enqueues if enqueue.queue.replicate is Replicate.ALL]
    enqueues = [enqueue for enqueue in enqueues if not enqueue.queue.deleted]
    messages = {id(enqueue.message): enqueue.message for enqueue in enqueues}
    writer.raw(U32.pack(len(messages)))
    for message in messages.values():
        write_content(writer, message, wall)
    numbers = {known: number for number, known in enumerate(messages)}
    writer.raw(U32.pack(len(enqueues)))
    for enqueue in enqueues:
        writer.text(enqueue.queue.name)
        writer.raw(U32.pack(numbers[id(enqueue.message)]))
    leaving: dict[Queue, list[ReplicationId]] = {}
    for entry in prepared.entries:
        identity = entry.message.replication_id
        if entry.queue.replicate is Replicate.ALL and entry.state != GONE and identity is not None:
            leaving.setdefault(entry.queue, []).append(identity)
    writer.raw(U32.pack(len(leaving)))
    for queue, ids in leaving.items():
        writer.text(queue.name)
        writer.ids(ids)


def _branch_writer(op: Op) -> Callable[[Writer, Any, dict[int, int], Wall], None]:
    def write(writer: Writer, effect: DtxPrepared, seen: dict[int, int], wall: Wall) -> None:
        writer.raw(bytes((op,)))
        _write_xid(writer, effect.prepared.xid)

    return write


_ENCODE: dict[type, Callable[[Writer, Any, dict[int, int], Wall], None]] = {
    Enqueue: _write_enqueue,
    Dequeue: _write_dequeue,
    QueueDeclared: _map_writer(Op.QUEUE_DECLARED, queue_declaration),
    QueueDeleted: _map_writer(Op.QUEUE_DELETED, lambda effect: {"name": effect.queue.name}),
    QueueUsed: _map_writer(Op.QUEUE_USED, lambda effect: {"name": effect.queue.name}),
    ExchangeDeclared: _map_writer(Op.EXCHANGE_DECLARED, exchange_declaration),
    ExchangeDeleted: _map_writer(Op.EXCHANGE_DELETED, lambda effect: {"name": effect.exchange.name}),
    Bound: _map_writer(
        Op.BOUND,
        lambda effect: {
            "queue": effect.queue.name,
            "exchange": effect.exchange.name,
            "key": effect.key,
            "arguments": effect.arguments,
        },
    ),
    Unbound: _map_writer(
        Op.UNBOUND,
        lambda effect: {"queue": effect.queue.name, "exchange": effect.exchange.name, "key": effect.key},
    ),
    SessionEnded: _map_writer(Op.SESSION_ENDED, lambda effect: {"user": effect.user, "name": effect.name}),
    Passed: _write_passed,
    DtxPrepared: _write_prepared,
    DtxCommitted: _branch_writer(Op.DTX_COMMITTED),
    DtxRolledBack: _branch_writer(Op.DTX_ROLLED_BACK),
}


class MarkEffect(NamedTuple):
    """A session's mark as it comes out of an entry."""

    mark: Mark
    timeout: int


def decode_entry(data: bytes, broker: Broker, wall: Wall) -> Iterator[Effect | MarkEffect]:
    """Unpack an entry, one effect at a time: apply each before asking for the next.

    Raises:
        ReplicationError: it cannot be understood, or names what this broker does not hold.
    """
    reader = Reader(data)
    fresh: list[Message] = []
    while reader.more:
        op = reader.u8()
        if op == Op.ENQUEUE:
            queue = _queue(broker, reader.text())
            position, reference = reader.u64(), reader.u32()
            if position <= queue.position:
                raise ReplicationError(f"position {position} of queue {queue.name!r} was taken before")
            if reference == FRESH:
                fresh.append(read_message(reader, wall))
                reference = -1
            elif reference >= len(fresh):
                raise ReplicationError("an entry refers to a message that it does not hold")
            message = fresh[reference]
            if message.replication_id in queue.by_id:
                raise ReplicationError(f"queue {queue.name!r} holds message {message.replication_id} already")
            yield Enqueue(queue, message, position)
        elif op == Op.DEQUEUE:
            queue = _queue(broker, reader.text())
            yield Dequeue(queue, _entries(queue, reader))
        elif op == Op.MARK:
            user, name = reader.text(), reader.blob() or b""
            yield MarkEffect((user, name, reader.u64()), reader.u32())
        elif op == Op.PASSED:
            exchange, number = _exchange(broker, reader.text()), reader.u64()
            yield Passed(exchange, number, read_content(reader, wall) if reader.u8() else None)
        elif op == Op.DTX_PREPARED:
            yield DtxPrepared(_read_prepared(reader, broker, wall))
        elif op == Op.DTX_COMMITTED:
            yield DtxCommitted(_known_branch(reader, broker))
        elif op == Op.DTX_ROLLED_BACK:
            yield DtxRolledBack(_known_branch(reader, broker))
        else:
            try:
                effect = _from_map(op, decode_map(reader.blob() or b""), broker)
            except MALFORMED as error:
                raise ReplicationError(f"an effect of kind {op} cannot be understood ({error!r})") from error
            yield effect


def _read_xid(reader: Reader) -> XidKey:
    return XidKey(reader.u32(), reader.blob() or b"", reader.blob() or b"")


def _read_prepared(reader: Reader, broker: Broker, wall: Wall) -> Prepared:
    xid = _read_xid(reader)
    messages = [read_content(reader, wall) for _ in range(reader.u32())]
    enqueues: list[Enqueue] = []
    for _ in range(reader.u32()):
        queue, number = _queue(broker, reader.text()), reader.u32()
        if number >= len(messages):
            raise ReplicationError("a branch refers to a message that it does not hold")
        enqueues.append(Enqueue(queue, messages[number]))
    entries: list[QueueEntry] = []
    for _ in range(reader.u32()):
        entries += _entries(_queue(broker, reader.text()), reader)
    return Prepared(xid, enqueues, entries, replicated=True)


def _known_branch(reader: Reader, broker: Broker) -> Prepared:
    xid = _read_xid(reader)
    prepared = broker.dtx.find(xid).prepared
    if prepared is None:
        raise ReplicationError(f"branch {xid} is not prepared here")
    return prepared


def _entries(queue: Queue, reader: Reader) -> list[QueueEntry]:
    """The entries of the queue that the next ids name, each once and all of them there."""
    known = queue.by_id
    found: list[QueueEntry] = []
    for id in reader.ids():
        entry = known.get(id)
        if entry is None or len(found) == len(known):
            raise ReplicationError(f"queue {queue.name!r} does not hold message {id}")
        found.append(entry)
    return found


def _queue(broker: Broker, name: str) -> Queue:
    queue = broker.queues.get(name)
    if queue is None:
        raise ReplicationError(f"no queue {name!r} here")
    return queue


def _exchange(broker: Broker, name: str) -> Exchange:
    exchange = broker.exchanges.get(name)
    if exchange is None:
        raise ReplicationError(f"no exchange {name!r} here")
    return exchange


def _ends(values: dict[str, Any], broker: Broker) -> tuple[Queue, Exchange]:
    return _queue(broker, text_in(values, "queue")), _exchange(broker, text_in(values, "exchange"))


def _from_map(op: int, values: dict[str, Any], broker: Broker) -> Effect:
    if op == Op.QUEUE_DECLARED:
        return queue_declared(values, broker)
    if op == Op.QUEUE_DELETED:
        return QueueDeleted(_queue(broker, text_in(values, "name")))
    if op == Op.QUEUE_USED:
        return QueueUsed(_queue(broker, text_in(values, "name")))
    if op == Op.EXCHANGE_DECLARED:
        return exchange_declared(values, broker)
    if op == Op.EXCHANGE_DELETED:
        return ExchangeDeleted(_exchange(broker, text_in(values, "name")))
    if op == Op.BOUND:
        return Bound(*_ends(values, broker), text_in(values, "key"), map_in(values, "arguments"))
    if op == Op.UNBOUND:
        return Unbound(*_ends(values, broker), text_in(values, "key"))
    if op == Op.SESSION_ENDED:
        return SessionEnded(text_in(values, "user"), bytes_in(values, "name"))
    raise ReplicationError(f"unknown kind of effect {op}")
