"""The difference: what a member that joins needs, where the rest of the log is not enough.

The joiner says which messages it holds, by replication id. The primary answers with its configuration, the ids that
each queue holds, in order, the messages that the joiner lacks, and the records of sessions, all as they stood at one
position of the log; what was appended meanwhile follows. So a member that comes back brings what it has, and one that
has a tail which nobody else ever had loses it.

Records, in this order: DIFFERENCE (exchanges, queues, bindings), then for each queue QUEUE, followed by MESSAGES and
PLACES by turns, then HELD (branches prepared, what exchanges keep), SESSIONS and CAUGHT_UP.
"""

from __future__ import annotations

import struct
from bisect import bisect_right
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any

from ..dtx import DtxPrepared
from ..effects import Bound, ExchangeDeleted, Passed, QueueDeleted, Unbound
from ..journal import Effect
from ..message import Message, ReplicationId
from ..queue import UNCONFIRMED, Queue, QueueEntry, Replicate
from ..queue_arguments import binding_replicated
from .declarations import exchange_declaration, exchange_declared, queue_declaration, queue_declared
from .entries import decode_entry, encode_entry
from .epoch import Epoch, Position
from .messages import Wall, read_message, write_message
from .packing import Reader, Run, Writer
from .records import MALFORMED, Record, ReplicationError, bytes_in, map_in, pack_map, pack_record, text_in, unpack_map

if TYPE_CHECKING:
    from ..broker import Broker
    from ..exchange import Exchange
    from .log import Log

STANDARD = frozenset({"", "amq.direct", "amq.topic", "amq.fanout", "amq.match"})
"""Exchanges that every broker has: never declared anew; bindings to them are replicated with the queue."""

_BYTES_AT_A_TIME = 1 << 16
_PLACES_AT_A_TIME = 1024
_SPAN = struct.Struct("!HQQI?")


# -- what a joiner holds ---------------------------------------------------------------------------------------


def inventory(broker: Broker) -> bytes:
    """The ids of all replicated messages that this broker holds."""
    ids: dict[ReplicationId, None] = {}
    for queue in broker.queues.values():
        if queue.replicate is Replicate.ALL:
            ids.update(dict.fromkeys(queue.by_id))
    writer = Writer()
    writer.ids(ids)
    return writer.done()


class Held:
    """The ids in an inventory, kept as the runs that they came in: a run costs the same whatever length it claims."""

    def __init__(self, runs: Iterable[Run]) -> None:
        self._first: dict[tuple[int, str], list[int]] = {}
        self._behind: dict[tuple[int, str], list[int]] = {}
        for epoch, first, length in sorted(runs):
            firsts, behinds = self._first.setdefault(epoch, []), self._behind.setdefault(epoch, [])
            if firsts and first <= behinds[-1]:
                behinds[-1] = max(behinds[-1], first + length)
            else:
                firsts.append(first)
                behinds.append(first + length)

    def __contains__(self, id: ReplicationId) -> bool:
        epoch, number = id
        firsts = self._first.get(epoch)
        if firsts is None:
            return False
        at = bisect_right(firsts, number) - 1
        return at >= 0 and number < self._behind[epoch][at]


# -- the primary's side ----------------------------------------------------------------------------------------


def replicated_exchanges(broker: Broker) -> list[Exchange]:
    """The exchanges that backups declare."""
    return [
        exchange
        for name, exchange in broker.exchanges.items()
        if name not in STANDARD and exchange.replicate is not Replicate.NONE
    ]


def replicated_queues(broker: Broker) -> list[Queue]:
    """The queues that backups declare."""
    return [queue for queue in broker.queues.values() if queue.replicate is not Replicate.NONE]


def _bindings(broker: Broker) -> list[dict[str, Any]]:
    return [
        {"queue": queue.name, "exchange": binding.exchange.name, "key": binding.key, "arguments": binding.arguments}
        for queue in replicated_queues(broker)
        for binding in queue.bindings
        if binding.exchange.name and binding_replicated(queue, binding.exchange, binding.arguments)
    ]


def _binding_identity(binding: dict[str, Any]) -> tuple[str, str, str, str]:
    arguments = repr(sorted(map_in(binding, "arguments").items()))
    return binding["queue"], binding["exchange"], binding["key"], arguments


def difference(broker: Broker, log: Log, held: bytes) -> Iterator[bytes]:
    """The records that bring a joiner with the inventory `held` to where the log stands now.

    What they say is settled when this is called; the messages are packed as they are asked for.
    """
    known = Held(Reader(held).runs())
    records = broker.session_records
    head = pack_map(
        Record.DIFFERENCE,
        {
            "exchanges": [exchange_declaration(exchange) for exchange in replicated_exchanges(broker)],
            "queues": [queue_declaration(queue) for queue in replicated_queues(broker)],
            "bindings": _bindings(broker),
            "used": [queue.name for queue in replicated_queues(broker) if queue.used],
        },
    )
    queues = [
        (queue.name, queue.position, list(queue.entries.values()))
        for queue in replicated_queues(broker)
        if queue.replicate is Replicate.ALL
    ]
    sessions = pack_map(
        Record.SESSIONS,
        {
            "records": [
                {"user": key[0], "name": key[1], "last": last, "timeout": records.timeouts.get(key, 0)}
                for key, last in records.items()
            ]
        },
    )
    prepared: list[Effect] = [DtxPrepared(held) for held in broker.dtx.prepared() if held.replicated]
    prepared += (
        Passed(exchange, exchange.memory.number, exchange.memory.last)
        for exchange in replicated_exchanges(broker)
        if exchange.memory is not None and exchange.replicate is Replicate.ALL
    )
    held_back = pack_record(Record.HELD, encode_entry(prepared, None, 0, log.wall))
    end = pack_map(
        Record.CAUGHT_UP,
        {
            "counter": log.last.epoch.counter,
            "broker": log.last.epoch.broker,
            "index": log.last.index,
            "confirmed": log.confirmed,
        },
    )
    return _records(head, queues, known, held_back + sessions, end, log.wall)


def _records(
    head: bytes,
    queues: list[tuple[str, int, list[QueueEntry]]],
    held: Held,
    sessions: bytes,
    end: bytes,
    wall: Wall,
) -> Iterator[bytes]:
    yield head
    sent: set[ReplicationId] = set()
    for name, position, entries in queues:
        yield pack_map(Record.QUEUE, {"name": name, "position": position})
        for first in range(0, len(entries), _PLACES_AT_A_TIME):
            # An entry without an id has not been committed: it comes with its own entry of the log.
            piece = [
                (entry, entry.message.replication_id)
                for entry in entries[first : first + _PLACES_AT_A_TIME]
                if entry.message.replication_id is not None
            ]
            missing = [entry.message for entry, id in piece if id not in held and id not in sent]
            sent.update(message.replication_id for message in missing if message.replication_id is not None)
            yield from _packed_messages(missing, wall)
            yield _packed_places(piece)
    yield sessions
    yield end


def _packed_messages(messages: list[Message], wall: Wall) -> Iterator[bytes]:
    writer, size = Writer(), 0
    for message in messages:
        write_message(writer, message, wall)
        size += message.size
        if size >= _BYTES_AT_A_TIME:
            yield pack_record(Record.MESSAGES, writer.done())
            writer, size = Writer(), 0
    if size or messages:
        yield pack_record(Record.MESSAGES, writer.done())


def _packed_places(piece: list[tuple[QueueEntry, ReplicationId]]) -> bytes:
    """A queue's next ids with positions: spans in which both go up by one, and all or none are confirmed."""
    writer = Writer()
    spans: list[tuple[int, int, int, int, bool]] = []
    follows: tuple[tuple[int, str], int, int, bool] | None = None
    for entry, (epoch, number) in piece:
        position, confirmed = entry.position, entry.state != UNCONFIRMED
        if (epoch, number, position, confirmed) == follows:
            of, first, at, count, safe = spans[-1]
            spans[-1] = (of, first, at, count + 1, safe)
        else:
            spans.append((writer.epoch(epoch), number, position, 1, confirmed))
        follows = (epoch, number + 1, position + 1, confirmed)
    for span in spans:
        writer.raw(_SPAN.pack(*span))
    return pack_record(Record.PLACES, writer.done())


# -- the joiner's side -----------------------------------------------------------------------------------------


class Joining:
    """Takes the records of a difference and makes this broker equal to its primary.

    Between the first record and the last this broker is neither here nor there: it is in catch-up, and no primary can
    be made of it.

    Args:
        broker: the joiner.
        log: its log, which is put to the primary's position at the end.
    """

    def __init__(self, broker: Broker, log: Log) -> None:
        self._broker = broker
        self._log = log
        self._messages: dict[ReplicationId, Message] = {}
        self._queue: Queue | None = None
        self._position = 0
        self._unconfirmed: list[QueueEntry] = []
        log.whole = False

    def take(self, kind: int, payload: bytes) -> bool:
        """Take one record. Returns whether it was the last one.

        Raises:
            ReplicationError: it cannot be understood or does not fit.
        """
        try:
            if kind == Record.DIFFERENCE:
                self._configure(unpack_map(payload))
            elif kind == Record.QUEUE:
                self._begin(unpack_map(payload))
            elif kind == Record.MESSAGES:
                self._keep(Reader(payload))
            elif kind == Record.PLACES:
                self._fill(Reader(payload))
            elif kind == Record.HELD:
                self._end_queue()
                self._hold(payload)
            elif kind == Record.SESSIONS:
                self._end_queue()
                self._sessions(unpack_map(payload)["records"])
            elif kind == Record.CAUGHT_UP:
                end = unpack_map(payload)
                position = Position(Epoch(int(end["counter"]), text_in(end, "broker")), int(end["index"]))
                self._log.reset(position, int(end["confirmed"]), self._unconfirmed)
                return True
            else:
                raise ReplicationError(f"record {kind} has no place in a difference")
        except MALFORMED as error:
            raise ReplicationError(f"a difference cannot be understood ({error!r})") from error
        return False

    def _configure(self, values: dict[str, Any]) -> None:
        broker = self._broker
        broker.dtx.forget_replicated()
        for queue in replicated_queues(broker):
            for id, entry in queue.by_id.items():
                self._messages[id] = entry.message
        exchanges = {text_in(declaration, "name"): declaration for declaration in values["exchanges"]}
        queues = {text_in(declaration, "name"): declaration for declaration in values["queues"]}
        gone: dict[Exchange, None] = {}
        for name, exchange in broker.exchanges.items():
            wanted = exchanges.get(name)
            # What has an alternate exchange that goes away would go on with one that nobody can see.
            differs = wanted != exchange_declaration(exchange) or exchange.alternate_exchange in gone
            if differs and name not in STANDARD and (wanted is not None or exchange.replicate is not Replicate.NONE):
                gone[exchange] = None
        for queue in list(broker.queues.values()):
            wanted = queues.get(queue.name)
            differs = wanted != queue_declaration(queue) or queue.alternate_exchange in gone
            if differs and (wanted is not None or queue.replicate is not Replicate.NONE):
                QueueDeleted(queue).apply(broker)
        for exchange in gone:
            ExchangeDeleted(exchange).apply(broker)
        for name, declaration in exchanges.items():
            if name not in broker.exchanges:
                exchange_declared(declaration, broker).apply(broker)
        for name, declaration in queues.items():
            if name not in broker.queues:
                queue_declared(declaration, broker).apply(broker)
        for name in values["used"]:
            broker.queues[name].used = True
        self._bind(values["bindings"])

    def _bind(self, wanted: list[dict[str, Any]]) -> None:
        broker = self._broker
        keep = {_binding_identity(binding) for binding in wanted}
        for binding in _bindings(broker):
            if _binding_identity(binding) not in keep:
                queue, exchange = broker.queues[binding["queue"]], broker.exchanges[binding["exchange"]]
                Unbound(queue, exchange, binding["key"]).apply(broker)
        for binding in wanted:
            # All of them: Unbound takes every binding of its key, and to bind again what is bound changes nothing.
            queue, exchange = broker.queues[binding["queue"]], broker.exchanges[binding["exchange"]]
            Bound(queue, exchange, text_in(binding, "key"), map_in(binding, "arguments")).apply(broker)

    def _keep(self, reader: Reader) -> None:
        while reader.more:
            message = read_message(reader, self._log.wall)
            assert message.replication_id is not None
            self._messages[message.replication_id] = message

    def _begin(self, values: dict[str, Any]) -> None:
        """A queue, to be filled anew."""
        self._end_queue()
        name = text_in(values, "name")
        self._queue = self._broker.queues.get(name)
        if self._queue is None:
            raise ReplicationError(f"a difference fills queue {name!r}, which it did not declare")
        self._position = int(values["position"])
        self._queue.clear()
        self._queue.position = 0

    def _fill(self, reader: Reader) -> None:
        queue = self._queue
        if queue is None:
            raise ReplicationError("a difference fills no queue")
        while reader.more:
            epoch, number, position, count = reader.epoch(), reader.u64(), reader.u64(), reader.u32()
            confirmed = reader.u8()
            if position <= queue.position:
                raise ReplicationError(f"a difference goes back on queue {queue.name!r}")
            for offset in range(count):
                message = self._messages.get((epoch, number + offset))
                if message is None:
                    raise ReplicationError(f"a difference leaves out message {number + offset} of {queue.name!r}")
                entry = queue.enqueue(message, position + offset)
                if confirmed:
                    queue.offer(entry)
                else:
                    self._unconfirmed.append(entry)

    def _end_queue(self) -> None:
        """The last messages of the queue may be gone, but their positions are never given again."""
        if self._queue is not None:
            self._queue.position = max(self._queue.position, self._position)
            self._queue = None

    def _hold(self, payload: bytes) -> None:
        """The prepared branches and what exchanges keep, in the form of an entry."""
        for effect in decode_entry(payload, self._broker, self._log.wall):
            if not isinstance(effect, (DtxPrepared, Passed)):
                raise ReplicationError("a difference tells of something else than a prepared branch or an exchange")
            effect.apply(self._broker)

    def _sessions(self, records: list[dict[str, Any]]) -> None:
        keys = [(text_in(record, "user"), bytes_in(record, "name")) for record in records]
        self._broker.session_records.replace(
            {key: int(record["last"]) for key, record in zip(keys, records, strict=True)},
            {key: int(record["timeout"]) for key, record in zip(keys, records, strict=True)},
        )
