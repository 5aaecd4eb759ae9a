"""A queue of this broker that follows one of another broker, without I/O.

What the queue there gets, this one gets, in the same order; what leaves it there leaves it here. It is a queue like
any other meanwhile: who takes a message from it here has it from here alone, and it does not come again; who sends to
it adds to it; its own limits hold. Copies are marked redelivered, since somebody may have been given them there.

Positions are given once on each queue, so the last one and those that are still held say after a broken link what is
missing and what is too much. Another queue of the name there is not followed: it may be the empty one of a broker that
was started again.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any
from uuid import UUID

from qpid_messaging.amqp.ranges import RangeSet

from ..effects import Dequeue
from ..journal import Entry
from .messages import read_content
from .packing import Reader
from .queue_feed import pack_positions, unpack_positions, wall_of
from .records import MALFORMED, Record, ReplicationError, pack_map, text_in, unpack_map, unpack_records, uuid_in

if TYPE_CHECKING:
    from ..broker import Broker
    from ..message import Message
    from ..queue import Queue

__all__ = ["NothingToFollow", "QueueReplica"]


class NothingToFollow(Exception):
    """The other broker has no such queue, or not the one that was followed; the text says which."""


class QueueReplica:
    """One queue's copy of another one.

    Args:
        broker: this broker.
        queue: the copy, which is there.

    Attributes:
        following: the other broker has answered since `restart`.
    """

    def __init__(self, broker: Broker, queue: Queue) -> None:
        self.queue = queue
        self.following = False
        self._broker = broker
        self._wall = wall_of(broker)
        self._identity: UUID | None = None
        self._last = 0
        self._places: dict[int, int] = {}
        """Positions here by positions there."""
        self._take: dict[Record, Callable[[Any], None]] = {
            Record.COPIES: self._add,
            Record.LEFT: self._drop,
            Record.COPYING: self._begin,
            Record.REFUSED: self._refused,
        }

    def restart(self) -> None:
        """Whatever queue of the name the other broker has may be followed now."""
        self.following = False

    def request(self) -> bytes:
        """What to ask the other broker."""
        entries = self.queue.entries
        held = RangeSet((place, place) for place, here in self._places.items() if here in entries)
        values = {
            "queue": self.queue.name,
            "identity": self._identity,
            "last": self._last,
            "held": pack_positions(held),
        }
        return pack_map(Record.COPY, values)

    def take(self, batch: bytes) -> None:
        """Take a batch of the other broker.

        Raises:
            NothingToFollow: there is nothing to follow any more, here or there; what was copied stays.
            SessionError: the queue here does not take a message: it is full, or a primary's business.
            ReplicationError: the batch cannot be understood.
        """
        for kind, payload in unpack_records(batch):
            try:
                told = self._read(kind, payload)
            except MALFORMED as error:
                raise ReplicationError(f"what is told of the queue cannot be understood ({error!r})") from error
            if self.queue.deleted:
                raise NothingToFollow("it is gone here")
            self._take[Record(kind)](told)

    def _read(self, kind: int, payload: bytes) -> Any:
        if kind == Record.COPIES:
            return self._messages(Reader(payload))
        if kind == Record.LEFT:
            return unpack_positions(payload)
        if kind == Record.COPYING:
            return uuid_in(unpack_map(payload), "identity")
        if kind == Record.REFUSED:
            return text_in(unpack_map(payload), "text")
        raise ReplicationError(f"record {kind} is none that is told of a queue")

    def _messages(self, reader: Reader) -> list[tuple[int, Message]]:
        found: list[tuple[int, Message]] = []
        last = self._last
        while reader.more:
            position = reader.u64()
            if position <= last:
                raise ReplicationError(f"position {position} comes after {last}")
            last = position
            found.append((position, read_content(reader, self._wall)))
        return found

    def _begin(self, identity: UUID) -> None:
        if identity != self._identity:
            if self.following:
                raise NothingToFollow("the one that was followed is gone, and another one has its name")
            self._identity, self._last = identity, 0
            self._places.clear()
        self.following = True

    def _refused(self, text: str) -> None:
        raise NothingToFollow(text)

    def _add(self, messages: list[tuple[int, Message]]) -> None:
        broker, queue = self._broker, self.queue
        for position, message in messages:
            coming = broker.enqueues((queue,), message)
            effects = broker.admit(coming)
            broker.commit(Entry(effects))
            self._last = position
            for enqueue in coming:
                if enqueue in effects:
                    enqueue.entry.redelivered = True
                    self._places[position] = enqueue.entry.position

    def _drop(self, positions: RangeSet) -> None:
        places, entries = self._places, self.queue.entries
        few = positions.count() <= len(places)
        left = [at for at in (positions.numbers() if few else list(places)) if at in places and at in positions]
        gone = [entry for at in left if (entry := entries.get(places[at])) is not None]
        if gone:
            self._broker.commit(Entry([Dequeue(self.queue, gone)]))
        for at in left:
            del places[at]
