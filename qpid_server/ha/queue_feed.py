"""A queue as other brokers copy it: the service `qpid.ha-queue`.

A broker that copies a queue (`queue_replica`) subscribes to the service and says what it has had of the queue. From
then on it is told of every message that comes and every one that leaves, in this order and once that is safe here.
Messages are known by their positions, which a queue gives once; the members of a cluster agree on them.

What a slow reader has not read is not kept for it twice: it gets it from the queue when it reads on.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any
from uuid import UUID

from qpid_messaging.amqp import commands as c
from qpid_messaging.amqp.ranges import RangeSet

from ..errors import InvalidArgument, ResourceDeleted
from .messages import Wall, write_content
from .packing import U64, Writer
from .records import (
    MALFORMED,
    Record,
    ReplicationError,
    bytes_in,
    pack_map,
    pack_record,
    text_in,
    unpack_map,
    unpack_records,
)

if TYPE_CHECKING:
    from ..broker import Broker
    from ..queue import Queue, QueueEntry
    from ..session import SessionHandler

__all__ = ["QUEUE_SERVICE", "QueueFeed", "QueueService", "pack_positions", "unpack_positions", "wall_of"]

QUEUE_SERVICE = "qpid.ha-queue"
"""Name of the internal service."""

CHUNK = 1 << 18
"""Bytes that are sent at a time."""

_RANGE = struct.Struct("!QQ")


def pack_positions(positions: Iterable[tuple[int, int]]) -> bytes:
    """Inclusive ranges of positions."""
    return b"".join(_RANGE.pack(lower, upper) for lower, upper in positions)


def unpack_positions(data: bytes) -> RangeSet:
    """What `pack_positions` packed.

    Raises:
        ValueError, struct.error: it is something else.
    """
    return RangeSet(_RANGE.iter_unpack(data))


def wall_of(broker: Broker) -> Wall:
    """How a broker tells others when a message expires."""
    return Wall(lambda: broker.wall_clock() - broker.clock())


class QueueFeed:
    """One reader's stream of one queue.

    Args:
        session: the reader's session.
        destination: its subscription.
        queue: what it reads.
        last: position of the last message that it has had.
        held: the positions of those that it still holds.
    """

    def __init__(self, session: SessionHandler, destination: str, queue: Queue, last: int, held: RangeSet) -> None:
        self._session = session
        self._queue = queue
        self._sent = last
        self._left = held - RangeSet((position, position) for position in queue.entries)
        self._unsafe = False
        self._wall = wall_of(session.broker)
        self._transfer = c.MessageTransfer(
            destination=destination, accept_mode=c.AcceptMode.NONE, acquire_mode=c.AcquireMode.PRE_ACQUIRED
        )

    def pump(self) -> None:
        """Send what there is to tell, unless the reader does not read, or the last lot is not safe yet."""
        session = self._session
        if self._unsafe or session.connection.congested:
            return
        batch = self._departures() + self._arrivals()
        if batch:
            # Neither what came nor what left, and is passed over, may be confirmed yet.
            self._unsafe = True
            session.broker.journal.when_confirmed(lambda: self._send(batch))

    def _departures(self) -> bytes:
        left, self._left = self._left, RangeSet()
        return pack_record(Record.LEFT, pack_positions(left)) if left else b""

    def _arrivals(self) -> bytes:
        writer, size = Writer(), 0
        for entry in self._queue.after(self._sent):
            if size >= CHUNK:
                break
            writer.raw(U64.pack(entry.position))
            write_content(writer, entry.message, self._wall)
            size += entry.message.size + U64.size
            self._sent = entry.position
        return pack_record(Record.COPIES, writer.done()) if size else b""

    def _send(self, batch: bytes) -> None:
        self._unsafe = False
        session = self._session
        if not session.ended:
            session.machine.send(self._transfer, None, batch)
            session.broker.pending[session.connection] = None
            self.refresh()

    def refresh(self) -> None:
        """There may be more to tell, or the reader reads again."""
        if not self._queue.deleted:
            self._session.broker.dirty[self._queue] = None

    def left(self, entries: Sequence[QueueEntry]) -> None:
        """These messages left the queue: to be told, where the reader was told that they came."""
        for entry in entries:
            if entry.position <= self._sent:
                self._left.add(entry.position)

    def queue_deleted(self) -> None:
        """The queue is gone: the reader hears more when it asks for it again, once that is safe."""
        session = self._session
        session.fail(ResourceDeleted(f"Queue {self._queue.name} has been deleted."), 0, None)

    def end(self) -> None:
        """The reader is gone."""
        self._queue.feeds.pop(self, None)


class QueueService:
    """Lets other brokers copy the queues of this one.

    Args:
        broker: whose queues.
    """

    def __init__(self, broker: Broker) -> None:
        self._broker = broker
        self._destinations: dict[SessionHandler, str] = {}
        self._feeds: dict[SessionHandler, QueueFeed] = {}

    def subscribe(self, session: SessionHandler, command_id: int, command: Any) -> None:
        """A broker wants to hear of a queue; which one it says next."""
        self._destinations[session] = command.destination
        session.complete(command_id)

    def flow(self, session: SessionHandler, destination: str, unit: int, value: int) -> None:
        """Credit: readers give it without limit, and are given no more than they read."""

    def cancel(self, session: SessionHandler, destination: str) -> None:
        """The reader wants no more."""
        self.detached(session)

    def detached(self, session: SessionHandler) -> None:
        """The reader is gone."""
        self._destinations.pop(session, None)
        feed = self._feeds.pop(session, None)
        if feed is not None:
            feed.end()

    def refresh(self, session: SessionHandler) -> None:
        """The reader reads again."""
        feed = self._feeds.get(session)
        if feed is not None:
            feed.refresh()

    def transfer(self, session: SessionHandler, command_id: int, header: bytes | None, body: bytes | None) -> None:
        """The reader's request.

        Raises:
            InvalidArgument: it is none, or comes twice.
        """
        destination = self._destinations.get(session)
        if destination is None or session in self._feeds:
            raise InvalidArgument(f"a transfer to {QUEUE_SERVICE} comes once, after a subscription")
        session.complete(command_id)
        try:
            ((kind, payload),) = unpack_records(body or b"")
            values = unpack_map(payload)
            if kind != Record.COPY:
                raise ReplicationError(f"record {kind} is none that a reader sends")
            name, identity, last = text_in(values, "queue"), values["identity"], int(values["last"])
            held = unpack_positions(bytes_in(values, "held"))
        except (ReplicationError, *MALFORMED) as error:
            raise InvalidArgument(f"a request cannot be understood: {error}") from error
        self._broker.journal.when_configured(lambda: self._begin(session, destination, name, identity, last, held))

    def _begin(
        self, session: SessionHandler, destination: str, name: str, identity: UUID | None, last: int, held: RangeSet
    ) -> None:
        if session.ended or session in self._feeds:
            return
        queue = self._broker.queues.get(name)
        refusal = None
        if queue is None:
            refusal = f"there is no queue {name!r}"
        elif queue.identity != identity:
            last, held = 0, RangeSet()
        elif last > queue.position:
            refusal = f"queue {name!r} has lost messages that were copied from it"
        transfer = c.MessageTransfer(destination=destination, accept_mode=c.AcceptMode.NONE)
        if queue is None or refusal is not None:
            session.machine.send(transfer, None, pack_map(Record.REFUSED, {"text": refusal}))
        else:
            session.machine.send(transfer, None, pack_map(Record.COPYING, {"identity": queue.identity}))
            feed = self._feeds[session] = QueueFeed(session, destination, queue, last, held)
            queue.feeds[feed] = None
            feed.refresh()
        self._broker.pending[session.connection] = None
