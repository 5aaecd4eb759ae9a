"""How log entries and what members say to each other look on the wire.

A batch is a run of records, each a type octet, a 32-bit size and a payload; it travels as the body of one
message.transfer. Payloads of control records are AMQP maps; entries, which are hot, have a packed form.

An entry's effects name queues and exchanges; `decode_entry` looks them up while it goes, one effect after the other, so
that an effect may use what the one before it made.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterable, Iterator
from enum import IntEnum
from typing import TYPE_CHECKING, Any, NamedTuple

from qpid_messaging.amqp.codec import decode_map, encode_map
from qpid_messaging.amqp.errors import ProtocolError

from ..dtx import DtxCommitted, DtxPrepared, DtxRolledBack, Prepared, XidKey
from ..effects import (
    Bound,
    Dequeue,
    Enqueue,
    ExchangeDeclared,
    ExchangeDeleted,
    QueueDeclared,
    QueueDeleted,
    SessionEnded,
    Unbound,
)
from ..errors import SessionError
from ..journal import Effect, Mark
from ..line import GONE
from ..message import Message, ReplicationId
from ..queue import Queue, QueueEntry, Replicate

if TYPE_CHECKING:
    from ..broker import Broker
    from ..exchange import Exchange


class ReplicationError(Exception):
    """What a member sent does not fit what this broker holds; the cure is to join anew."""


MALFORMED = (ProtocolError, SessionError, struct.error, LookupError, TypeError, ValueError)
"""What taking apart and applying a record raises that no member should have sent: missing or odd values of a map, an
exchange type that does not exist, a message whose header lies. Becomes a `ReplicationError` where records come in."""


class Record(IntEnum):
    """The kinds of record."""

    # requests, and their answers
    STATUS = 1
    STATUS_IS = 2
    PROMISE = 3
    PROMISED = 4
    REFUSED = 5
    JOIN = 6
    ACTIVE = 7
    JOINED = 8
    # a primary to a backup that joins: the difference
    DIFFERENCE = 16
    QUEUE = 17
    MESSAGES = 18
    PLACES = 19
    SESSIONS = 20
    BRANCHES = 21
    CAUGHT_UP = 22
    # a primary to its backups
    EPOCH = 32
    ENTRY = 33
    CONFIRMED = 34
    MEMBERS = 35
    READY = 36
    # a backup to its primary
    POSITION = 48


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


_HEAD = struct.Struct("!BI")
_INDEX = struct.Struct("!Q")
_U16 = struct.Struct("!H")
_U32 = struct.Struct("!I")
_RUN = struct.Struct("!HQI")
_NO_PAYLOAD = 0xFFFFFFFF


def pack_record(kind: Record, payload: bytes = b"") -> bytes:
    """One record."""
    return _HEAD.pack(kind, len(payload)) + payload


def pack_map(kind: Record, values: dict[str, Any]) -> bytes:
    """One record with a map as its payload."""
    return pack_record(kind, encode_map(values))


def pack_index(kind: Record, index: int) -> bytes:
    """One record with an index as its payload."""
    return _HEAD.pack(kind, _INDEX.size) + _INDEX.pack(index)


def unpack_index(payload: bytes) -> int:
    """The payload of `pack_index`.

    Raises:
        ReplicationError: it is none.
    """
    if len(payload) != _INDEX.size:
        raise ReplicationError("an index has eight octets")
    return int(_INDEX.unpack(payload)[0])


def unpack_map(payload: bytes) -> dict[str, Any]:
    """The payload of `pack_map`.

    Raises:
        ReplicationError: it is none.
    """
    try:
        return decode_map(payload)
    except ProtocolError as error:
        raise ReplicationError(f"a record's map cannot be understood ({error})") from error


def unpack_records(batch: bytes) -> Iterator[tuple[int, bytes]]:
    """The (kind, payload) of each record of a batch.

    Raises:
        ReplicationError: a record is cut short.
    """
    offset, end = 0, len(batch)
    while offset < end:
        if offset + _HEAD.size > end:
            raise ReplicationError("a record's head is cut short")
        kind, size = _HEAD.unpack_from(batch, offset)
        offset += _HEAD.size
        if offset + size > end:
            raise ReplicationError("a record is cut short")
        yield kind, batch[offset : offset + size]
        offset += size


# -- ids -------------------------------------------------------------------------------------------------------


class Run(NamedTuple):
    """Replication ids of one epoch with consecutive numbers."""

    epoch: tuple[int, str]
    first: int
    length: int


def runs(ids: Iterable[ReplicationId]) -> Iterator[Run]:
    """Consecutive ids, in the order given, gathered into runs."""
    epoch: tuple[int, str] | None = None
    first = count = 0
    for id_epoch, number in ids:
        if id_epoch == epoch and number == first + count:
            count += 1
            continue
        if epoch is not None:
            yield Run(epoch, first, count)
        epoch, first, count = id_epoch, number, 1
    if epoch is not None:
        yield Run(epoch, first, count)


class Writer:
    """Packs one payload; epochs become small numbers of a table at its head."""

    def __init__(self) -> None:
        self._parts: list[bytes] = []
        self._epochs: dict[tuple[int, str], int] = {}

    def raw(self, data: bytes) -> None:
        self._parts.append(data)

    def text(self, text: str) -> None:
        data = text.encode()
        self._parts.append(_U16.pack(len(data)) + data)

    def blob(self, data: bytes | None) -> None:
        if data is None:
            self._parts.append(_U32.pack(_NO_PAYLOAD))
        else:
            self._parts.append(_U32.pack(len(data)))
            self._parts.append(data)

    def epoch(self, epoch: tuple[int, str]) -> int:
        """The number of the epoch in the table."""
        number = self._epochs.get(epoch)
        if number is None:
            number = self._epochs[epoch] = len(self._epochs)
        return number

    def ids(self, ids: Iterable[ReplicationId]) -> None:
        packed = [_RUN.pack(self.epoch(epoch), first, count) for epoch, first, count in runs(ids)]
        self._parts.append(_U32.pack(len(packed)))
        self._parts.extend(packed)

    def done(self) -> bytes:
        """The payload."""
        table = [_U16.pack(len(self._epochs))]
        for counter, broker in self._epochs:
            name = broker.encode()
            table.append(_U32.pack(counter) + _U16.pack(len(name)) + name)
        return b"".join(table + self._parts)


class Reader:
    """Takes apart what a `Writer` packed.

    Raises:
        ReplicationError: from every method, where the payload ends too early or makes no sense.
    """

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._offset = 0
        self._epochs: list[tuple[int, str]] = []
        for _ in range(self.u16()):
            counter = self.u32()
            self._epochs.append((counter, self.text()))

    @property
    def more(self) -> bool:
        """Whether anything is left."""
        return self._offset < len(self._data)

    def _unpack(self, form: struct.Struct) -> Any:
        try:
            values = form.unpack_from(self._data, self._offset)
        except struct.error as error:
            raise ReplicationError("a record ends too early") from error
        self._offset += form.size
        return values

    def u8(self) -> int:
        if self._offset >= len(self._data):
            raise ReplicationError("a record ends too early")
        self._offset += 1
        return self._data[self._offset - 1]

    def u16(self) -> int:
        return int(self._unpack(_U16)[0])

    def u32(self) -> int:
        return int(self._unpack(_U32)[0])

    def u64(self) -> int:
        return int(self._unpack(_INDEX)[0])

    def text(self) -> str:
        try:
            return self._take(self.u16()).decode()
        except UnicodeDecodeError as error:
            raise ReplicationError("a name is not UTF-8") from error

    def blob(self) -> bytes | None:
        size = self.u32()
        return None if size == _NO_PAYLOAD else self._take(size)

    def epoch(self) -> tuple[int, str]:
        number = self.u16()
        if number >= len(self._epochs):
            raise ReplicationError("an id has an epoch that the record does not name")
        return self._epochs[number]

    def runs(self) -> Iterator[Run]:
        """What `Writer.ids` packed. A run may claim any length: never take it apart before something bounds it."""
        for _ in range(self.u32()):
            yield Run(self.epoch(), self.u64(), self.u32())

    def ids(self) -> Iterator[ReplicationId]:
        """The ids one by one: only for those who stop at the first one that they do not know."""
        for epoch, first, length in self.runs():
            for number in range(first, first + length):
                yield epoch, number

    def _take(self, size: int) -> bytes:
        data = self._data[self._offset : self._offset + size]
        if len(data) != size:
            raise ReplicationError("a record ends too early")
        self._offset += size
        return data


# -- messages --------------------------------------------------------------------------------------------------

_MESSAGE = struct.Struct("!HQq")


class Wall:
    """Turns expiry on the broker's own clock into wall-clock milliseconds, which other members understand.

    Args:
        offset: seconds to add to the broker's clock to get the wall clock's.
    """

    def __init__(self, offset: Callable[[], float]) -> None:
        self._offset = offset

    def milliseconds(self, expires: float | None) -> int:
        """Wall-clock milliseconds of an expiry; 0 for none."""
        return 0 if expires is None else int((expires + self._offset()) * 1000)

    def expires(self, milliseconds: int) -> float | None:
        """The expiry on the broker's clock."""
        return None if milliseconds == 0 else milliseconds / 1000 - self._offset()


def write_message(writer: Writer, message: Message, wall: Wall) -> None:
    """Pack a message that has a replication id."""
    assert message.replication_id is not None
    epoch, number = message.replication_id
    writer.raw(_MESSAGE.pack(writer.epoch(epoch), number, wall.milliseconds(message.expires)))
    writer.text(message.destination)
    writer.blob(message.header)
    writer.blob(message.body)


def read_message(reader: Reader, wall: Wall) -> Message:
    """Unpack a message."""
    epoch, number = reader.epoch(), reader.u64()
    milliseconds = reader.u64()
    destination, header, body = reader.text(), reader.blob(), reader.blob()
    try:
        message = Message(destination, header, body, (epoch, number))
    except ProtocolError as error:
        raise ReplicationError(f"a message's header cannot be understood ({error})") from error
    message.expires = wall.expires(milliseconds)
    return message


# -- entries ---------------------------------------------------------------------------------------------------


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
        user, name, command_id = mark
        writer.raw(bytes((Op.MARK,)))
        writer.text(user)
        writer.blob(name)
        writer.raw(_INDEX.pack(command_id) + _U32.pack(timeout))
    return writer.done()


def _write_enqueue(writer: Writer, effect: Enqueue, seen: dict[int, int], wall: Wall) -> None:
    message = effect.message
    known = seen.get(id(message))
    writer.raw(bytes((Op.ENQUEUE,)))
    writer.text(effect.queue.name)
    writer.raw(_INDEX.pack(effect.entry.position))
    if known is None:
        seen[id(message)] = len(seen)
        writer.raw(_U32.pack(_FRESH))
        write_message(writer, message, wall)
    else:
        writer.raw(_U32.pack(known))


_FRESH = 0xFFFFFFFF


def _write_dequeue(writer: Writer, effect: Dequeue, seen: dict[int, int], wall: Wall) -> None:
    writer.raw(bytes((Op.DEQUEUE,)))
    writer.text(effect.queue.name)
    writer.ids(entry.message.replication_id for entry in effect.entries if entry.message.replication_id is not None)


def _map_writer(op: Op, values: Callable[[Any], dict[str, Any]]) -> Callable[[Writer, Any, dict[int, int], Wall], None]:
    def write(writer: Writer, effect: Any, seen: dict[int, int], wall: Wall) -> None:
        writer.raw(bytes((op,)))
        writer.blob(encode_map(values(effect)))

    return write


def _write_xid(writer: Writer, xid: XidKey) -> None:
    writer.raw(_U32.pack(xid.format))
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
    writer.raw(_U32.pack(len(messages)))
    for message in messages.values():
        writer.raw(_INDEX.pack(wall.milliseconds(message.expires)))
        writer.text(message.destination)
        writer.blob(message.header)
        writer.blob(message.body)
    numbers = {known: number for number, known in enumerate(messages)}
    writer.raw(_U32.pack(len(enqueues)))
    for enqueue in enqueues:
        writer.text(enqueue.queue.name)
        writer.raw(_U32.pack(numbers[id(enqueue.message)]))
    leaving: dict[Queue, list[ReplicationId]] = {}
    for entry in prepared.entries:
        identity = entry.message.replication_id
        if entry.queue.replicate is Replicate.ALL and entry.state != GONE and identity is not None:
            leaving.setdefault(entry.queue, []).append(identity)
    writer.raw(_U32.pack(len(leaving)))
    for queue, ids in leaving.items():
        writer.text(queue.name)
        writer.ids(ids)


def _branch_writer(op: Op) -> Callable[[Writer, Any, dict[int, int], Wall], None]:
    def write(writer: Writer, effect: DtxPrepared, seen: dict[int, int], wall: Wall) -> None:
        writer.raw(bytes((op,)))
        _write_xid(writer, effect.prepared.xid)

    return write


def queue_declaration(queue: QueueDeclared | Queue) -> dict[str, Any]:
    """What makes a queue, as a map."""
    alternate = queue.alternate_exchange
    return {
        "name": queue.name,
        "durable": queue.durable,
        "exclusive": queue.exclusive,
        "auto_delete": queue.auto_delete,
        "alternate_exchange": alternate if alternate is None or isinstance(alternate, str) else alternate.name,
        "arguments": queue.arguments,
        "replicate": queue.replicate.value,
    }


def exchange_declaration(exchange: ExchangeDeclared | Exchange) -> dict[str, Any]:
    """What makes an exchange, as a map."""
    alternate = exchange.alternate_exchange
    return {
        "name": exchange.name,
        "type": exchange.type,
        "durable": exchange.durable,
        "auto_delete": exchange.auto_delete,
        "alternate_exchange": alternate if alternate is None or isinstance(alternate, str) else alternate.name,
        "arguments": exchange.arguments,
        "replicate": exchange.replicate.value,
    }


_ENCODE: dict[type, Callable[[Writer, Any, dict[int, int], Wall], None]] = {
    Enqueue: _write_enqueue,
    Dequeue: _write_dequeue,
    QueueDeclared: _map_writer(Op.QUEUE_DECLARED, queue_declaration),
    QueueDeleted: _map_writer(Op.QUEUE_DELETED, lambda effect: {"name": effect.queue.name}),
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
            if reference == _FRESH:
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
    messages: list[Message] = []
    for _ in range(reader.u32()):
        milliseconds = reader.u64()
        message = Message(reader.text(), reader.blob(), reader.blob())
        message.expires = wall.expires(milliseconds)
        messages.append(message)
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


def text_in(values: dict[str, Any], name: str) -> str:
    """A text of a record's map.

    Raises:
        KeyError, TypeError: it is not there, or no text.
    """
    text = values[name]
    if not isinstance(text, str):
        raise TypeError(f"{name} is no text")
    return text


def bytes_in(values: dict[str, Any], name: str) -> bytes:
    """Octets in a record's map; see `text_in`."""
    found = values[name]
    if not isinstance(found, bytes):
        raise TypeError(f"{name} is no octets")
    return found


def map_in(values: dict[str, Any], name: str) -> dict[str, Any]:
    """A map within a record's map; see `text_in`."""
    found = values[name]
    if not isinstance(found, dict):
        raise TypeError(f"{name} is no map")
    return found


def queue_declared(values: dict[str, Any], broker: Broker) -> QueueDeclared:
    """The effect that makes the queue of a `queue_declaration`."""
    return QueueDeclared(
        text_in(values, "name"),
        durable=bool(values["durable"]),
        exclusive=bool(values["exclusive"]),
        auto_delete=bool(values["auto_delete"]),
        alternate_exchange=_held(values["alternate_exchange"], broker),
        arguments=map_in(values, "arguments"),
        replicate=Replicate(values["replicate"]),
    )


def exchange_declared(values: dict[str, Any], broker: Broker) -> ExchangeDeclared:
    """The effect that makes the exchange of an `exchange_declaration`."""
    return ExchangeDeclared(
        text_in(values, "name"),
        text_in(values, "type"),
        durable=bool(values["durable"]),
        auto_delete=bool(values["auto_delete"]),
        alternate_exchange=_held(values["alternate_exchange"], broker),
        arguments=map_in(values, "arguments"),
        replicate=Replicate(values["replicate"]),
    )


def _held(exchange: str | None, broker: Broker) -> str | None:
    """An alternate exchange that is not replicated does not exist here: then there is none."""
    return exchange if exchange is not None and exchange in broker.exchanges else None


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
