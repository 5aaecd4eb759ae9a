"""The difference: what a member that joins needs, where the rest of the log is not enough.

The joiner says which messages it holds, by replication id. The primary answers with its configuration, the ids that
each queue holds, in order, the messages that the joiner lacks, and the records of sessions, all as they stood at one
position of the log; what was appended meanwhile follows. So a member that comes back brings what it has, and one that
has a tail which nobody else ever had loses it.

Records, in this order: DIFFERENCE (exchanges, queues, bindings), then for each queue MESSAGES* and QUEUE, then
SESSIONS and CAUGHT_UP.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from ..effects import Bound, ExchangeDeleted, QueueDeleted, Unbound
from ..message import Message, ReplicationId
from ..queue import Queue, QueueEntry, Replicate
from .epoch import Epoch, Position
from .records import (
    Reader,
    Record,
    ReplicationError,
    Wall,
    Writer,
    exchange_declaration,
    exchange_declared,
    pack_map,
    pack_record,
    queue_declaration,
    queue_declared,
    read_message,
    unpack_map,
    write_message,
)

if TYPE_CHECKING:
    from ..broker import Broker
    from ..exchange import Exchange
    from .log import Log

STANDARD = frozenset({"", "amq.direct", "amq.topic", "amq.fanout", "amq.match"})
"""Exchanges that every broker has: never declared anew; bindings to them are replicated with the queue."""

_MESSAGES_AT_A_TIME = 1 << 16
_SPAN = struct.Struct("!HQQI")


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
        if binding.exchange.name and binding.exchange.replicate is not Replicate.NONE
    ]


def _binding_identity(binding: dict[str, Any]) -> tuple[str, str, str, str]:
    arguments = repr(sorted((binding["arguments"] or {}).items()))
    return binding["queue"], binding["exchange"], binding["key"], arguments


def difference(broker: Broker, log: Log, held: bytes) -> Iterator[bytes]:
    """The records that bring a joiner with the inventory `held` to where the log stands now.

    What they say is settled when this is called; the messages are packed as they are asked for.
    """
    known = set(Reader(held).ids())
    records = broker.session_records
    head = pack_map(
        Record.DIFFERENCE,
        {
            "exchanges": [exchange_declaration(exchange) for exchange in replicated_exchanges(broker)],
            "queues": [queue_declaration(queue) for queue in replicated_queues(broker)],
            "bindings": _bindings(broker),
        },
    )
    queues = [
        (queue.name, list(queue.entries.values()))
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
    end = pack_map(
        Record.CAUGHT_UP,
        {
            "counter": log.last.epoch.counter,
            "broker": log.last.epoch.broker,
            "index": log.last.index,
            "confirmed": log.confirmed,
        },
    )
    return _records(head, queues, known, sessions, end, log.wall)


def _records(
    head: bytes,
    queues: list[tuple[str, list[QueueEntry]]],
    known: set[ReplicationId],
    sessions: bytes,
    end: bytes,
    wall: Wall,
) -> Iterator[bytes]:
    yield head
    for name, entries in queues:
        # An entry without an id has not been committed: it comes with its own entry of the log.
        entries = [entry for entry in entries if entry.message.replication_id is not None]
        missing = [entry.message for entry in entries if entry.message.replication_id not in known]
        known.update(message.replication_id for message in missing if message.replication_id is not None)
        yield from _packed_messages(missing, wall)
        yield _packed_queue(name, entries)
    yield sessions
    yield end


def _packed_messages(messages: list[Message], wall: Wall) -> Iterator[bytes]:
    writer, size = Writer(), 0
    for message in messages:
        write_message(writer, message, wall)
        size += message.size
        if size >= _MESSAGES_AT_A_TIME:
            yield pack_record(Record.MESSAGES, writer.done())
            writer, size = Writer(), 0
    if size or messages:
        yield pack_record(Record.MESSAGES, writer.done())


def _packed_queue(name: str, entries: list[QueueEntry]) -> bytes:
    """A queue's ids in order, with positions: spans in which both go up by one."""
    writer = Writer()
    writer.text(name)
    spans: list[list[Any]] = []
    for entry in entries:
        assert entry.message.replication_id is not None
        epoch, number = entry.message.replication_id
        if spans:
            last = spans[-1]
            if last[0] == epoch and last[1] + last[3] == number and last[2] + last[3] == entry.position:
                last[3] += 1
                continue
        spans.append([epoch, number, entry.position, 1])
    for epoch, number, position, count in spans:
        writer.raw(_SPAN.pack(writer.epoch(epoch), number, position, count))
    return pack_record(Record.QUEUE, writer.done())


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
        self._unconfirmed: list[QueueEntry] = []

    def take(self, kind: int, payload: bytes) -> bool:
        """Take one record. Returns whether it was the last one.

        Raises:
            ReplicationError: it cannot be understood or does not fit.
        """
        try:
            if kind == Record.DIFFERENCE:
                self._configure(unpack_map(payload))
            elif kind == Record.MESSAGES:
                reader = Reader(payload)
                while reader.more:
                    message = read_message(reader, self._log.wall)
                    assert message.replication_id is not None
                    self._messages[message.replication_id] = message
            elif kind == Record.QUEUE:
                self._fill(Reader(payload))
            elif kind == Record.SESSIONS:
                self._sessions(unpack_map(payload)["records"])
            elif kind == Record.CAUGHT_UP:
                end = unpack_map(payload)
                position = Position(Epoch(end["counter"], end["broker"]), end["index"])
                self._log.reset(position, end["confirmed"], self._unconfirmed)
                return True
            else:
                raise ReplicationError(f"record {kind} has no place in a difference")
        except (KeyError, TypeError, ValueError) as error:
            raise ReplicationError(f"a difference cannot be understood ({error!r})") from error
        return False

    def _configure(self, values: dict[str, Any]) -> None:
        broker = self._broker
        for queue in replicated_queues(broker):
            for id, entry in queue.by_id.items():
                self._messages[id] = entry.message
        exchanges = {declaration["name"]: declaration for declaration in values["exchanges"]}
        queues = {declaration["name"]: declaration for declaration in values["queues"]}
        for queue in list(broker.queues.values()):
            wanted = queues.get(queue.name)
            gone = queue.replicate is not Replicate.NONE if wanted is None else queue_declaration(queue) != wanted
            if gone:
                QueueDeleted(queue).apply(broker)
        for name, exchange in list(broker.exchanges.items()):
            if name in STANDARD:
                continue
            wanted = exchanges.get(name)
            if wanted is None:
                gone = exchange.replicate is not Replicate.NONE
            else:
                gone = exchange_declaration(exchange) != wanted
            if gone:
                ExchangeDeleted(exchange).apply(broker)
        for name, declaration in exchanges.items():
            if name not in broker.exchanges:
                exchange_declared(declaration, broker).apply(broker)
        for name, declaration in queues.items():
            if name not in broker.queues:
                queue_declared(declaration, broker).apply(broker)
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
            Bound(queue, exchange, binding["key"], binding["arguments"]).apply(broker)

    def _fill(self, reader: Reader) -> None:
        name = reader.text()
        queue = self._broker.queues.get(name)
        if queue is None:
            raise ReplicationError(f"a difference fills queue {name!r}, which it did not declare")
        queue.clear()
        queue.position = 0
        while reader.more:
            epoch, number, position, count = reader.epoch(), reader.u64(), reader.u64(), reader.u32()
            for offset in range(count):
                message = self._messages.get((epoch, number + offset))
                if message is None:
                    raise ReplicationError(f"a difference leaves out message {number + offset} of queue {name!r}")
                self._unconfirmed.append(queue.enqueue(message, position + offset))

    def _sessions(self, records: list[dict[str, Any]]) -> None:
        self._broker.session_records.replace(
            {(record["user"], record["name"]): record["last"] for record in records},
            {(record["user"], record["name"]): record["timeout"] for record in records},
        )
