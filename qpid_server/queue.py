"""A queue: messages by position, who may have them, and what has happened to them.

The queue knows nothing of connections: subscriptions are told what they get by :mod:`qpid_server.dispatch`, and every
change that must outlive the process comes as an effect (:mod:`qpid_server.effects`). Which message is next is the
business of its *line* (:mod:`qpid_server.line`), so that other types of queue are other lines.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator, Mapping
from enum import Enum
from typing import TYPE_CHECKING, Any

from .line import ACQUIRED, AVAILABLE, GONE, UNCONFIRMED, FifoLine, Line

if TYPE_CHECKING:
    from .exchange import Binding, Exchange
    from .limits import Limits
    from .message import Message, ReplicationId
    from .subscription import Subscription

__all__ = ["ACQUIRED", "AVAILABLE", "GONE", "UNCONFIRMED", "Queue", "QueueEntry", "Replicate"]


class Replicate(Enum):
    """What of a queue or exchange the backups hold (argument ``qpid.replicate``)."""

    NONE = "none"
    CONFIGURATION = "configuration"
    ALL = "all"


class QueueEntry:
    """A message's place on one queue."""

    __slots__ = ("in_line", "message", "owner", "position", "queue", "redelivered", "state")

    def __init__(self, queue: Queue, message: Message, position: int) -> None:
        self.queue = queue
        self.message = message
        self.position = position
        self.state = UNCONFIRMED
        self.redelivered = False
        """A delivery was given back: the next one says so."""
        self.in_line = False
        self.owner: Subscription | None = None
        """The subscription that acquired it."""

    def __lt__(self, other: QueueEntry) -> bool:
        return self.position < other.position

    def __repr__(self) -> str:
        state = ("unconfirmed", "available", "acquired", "gone")[self.state]
        return f"<QueueEntry {self.position} of {self.queue.name!r}, {state}>"


class Queue:
    """A queue of messages.

    Args:
        name: unique on the broker.
        durable: it and its persistent messages shall survive a restart (kept for the store and for queries).
        exclusive: declared exclusive; ``owner`` is the session that it belongs to.
        auto_delete: deleted when its last subscription ends, or its owner goes.
        alternate_exchange: where rejected messages go, and those on it when it is deleted.
        arguments: the arguments of its declaration, as they came.
        replicate: what backups hold of it.
        auto_delete_timeout: seconds that an unused auto-delete queue lives on.
        line: order in which messages are offered; first in, first out unless told otherwise.
        limits: how much it holds; None: no limit.
    """

    def __init__(
        self,
        name: str,
        *,
        durable: bool = False,
        exclusive: bool = False,
        auto_delete: bool = False,
        alternate_exchange: Exchange | None = None,
        arguments: Mapping[str, Any] | None = None,
        replicate: Replicate = Replicate.NONE,
        auto_delete_timeout: float = 0,
        line: Line | None = None,
        limits: Limits | None = None,
    ) -> None:
        self.name = name
        self.durable = durable
        self.exclusive = exclusive
        self.auto_delete = auto_delete
        self.alternate_exchange = alternate_exchange
        self.arguments = dict(arguments or {})
        self.replicate = replicate
        self.auto_delete_timeout = auto_delete_timeout
        self.owner: object | None = None
        """The session that an exclusive queue belongs to."""
        self.limits = limits
        self.line: Line = FifoLine() if line is None else line
        self.entries: dict[int, QueueEntry] = {}
        """Everything on the queue, acquired and unconfirmed messages included, by position."""
        self.by_id: dict[ReplicationId, QueueEntry] = {}
        """The same by replication id, for a queue whose messages are replicated."""
        self.position = 0
        """Position of the message enqueued last."""
        self._head = 0  # nothing is left at or before this position
        self.subscriptions: dict[Subscription, None] = {}
        self.consumers: OrderedDict[Subscription, None] = OrderedDict()
        """Subscriptions that acquire, have credit and whose connection reads: the next to be served is first."""
        self.browsers: dict[Subscription, None] = {}
        """Subscriptions that only look, have credit and whose connection reads."""
        self.exclusive_subscription: Subscription | None = None
        self.bindings: dict[Binding, None] = {}
        self.deleted = False
        self.has_expiring = False
        """There has been a message with a time to live."""
        self.enqueued = 0
        self.enqueued_bytes = 0
        self.dequeued = 0
        self.dequeued_bytes = 0
        self.acquires = 0
        self.releases = 0
        self.acquired_gone = 0
        self.rejects = 0
        self.expired = 0
        self.purged = 0
        self.discarded = 0
        """Messages dropped to make room for others."""
        self.replaced = 0
        """Messages that a newer one with the same key took the place of."""
        self.overflowed = 0
        """Messages that were refused because the queue was full."""
        self.rerouted = 0
        """Messages that an operator sent elsewhere."""
        self.persistent_enqueued = 0
        self.persistent_enqueued_bytes = 0
        self.persistent_dequeued = 0
        self.persistent_dequeued_bytes = 0
        self.tx_enqueued = 0
        self.tx_enqueued_bytes = 0
        self.tx_dequeued = 0
        self.tx_dequeued_bytes = 0
        self.creator = ""
        """The user who declared it, where that is known."""

    @property
    def depth(self) -> int:
        """Messages on the queue, acquired ones included."""
        return len(self.entries)

    @property
    def acquired(self) -> int:
        """Messages on the queue that somebody has acquired."""
        return self.acquires - self.releases - self.acquired_gone

    @property
    def byte_depth(self) -> int:
        """Bytes of header and body on the queue."""
        return self.enqueued_bytes - self.dequeued_bytes

    def enqueue(self, message: Message, position: int | None = None) -> QueueEntry:
        """Put a message at the end; it is not offered yet.

        Args:
            message: the message.
            position: its position, greater than every one before; the next where not given.
        """
        if position is None:
            position = self.position + 1
        self.position = position
        entry = QueueEntry(self, message, position)
        self.entries[position] = entry
        if message.replication_id is not None:
            self.by_id[message.replication_id] = entry
        if message.expires is not None:
            self.has_expiring = True
        self.enqueued += 1
        self.enqueued_bytes += message.size
        if message.durable:
            self.persistent_enqueued += 1
            self.persistent_enqueued_bytes += message.size
        return entry

    def offer(self, entry: QueueEntry) -> None:
        """The message is safe: consumers may have it from now on."""
        if entry.state == UNCONFIRMED:
            entry.state = AVAILABLE
            self.line.put(entry)

    def acquire(self, entry: QueueEntry, owner: Subscription | None = None) -> bool:
        """Take an available message off the market.

        Returns:
            False if it was not available.
        """
        if entry.state != AVAILABLE:
            return False
        entry.state = ACQUIRED
        entry.owner = owner
        self.acquires += 1
        return True

    def release(self, entry: QueueEntry, *, redelivered: bool) -> None:
        """Put an acquired message back at its position.

        Args:
            entry: what was acquired; nothing happens if it is gone meanwhile.
            redelivered: its next delivery says that it may have been delivered before.
        """
        if entry.state != ACQUIRED:
            return
        entry.state = AVAILABLE
        entry.owner = None
        if redelivered:
            entry.redelivered = True
        self.releases += 1
        self.line.put(entry)

    def remove(self, entry: QueueEntry) -> bool:
        """Take a message off the queue for good.

        Returns:
            False if it was gone already.
        """
        state = entry.state
        if state == GONE:
            return False
        if state == ACQUIRED:
            self.acquired_gone += 1
        entry.state = GONE
        entry.owner = None
        del self.entries[entry.position]
        message = entry.message
        if message.replication_id is not None and self.by_id.get(message.replication_id) is entry:
            del self.by_id[message.replication_id]
        self.dequeued += 1
        self.dequeued_bytes += message.size
        if message.durable:
            self.persistent_dequeued += 1
            self.persistent_dequeued_bytes += message.size
        if entry.in_line:
            self.line.removed(entry)
        return True

    def clear(self) -> None:
        """Take everything off: the queue is deleted."""
        for entry in self.entries.values():
            if entry.state == ACQUIRED:
                self.acquired_gone += 1
            entry.state = GONE
            entry.owner = None
        self.dequeued += len(self.entries)
        self.dequeued_bytes = self.enqueued_bytes
        self.persistent_dequeued = self.persistent_enqueued
        self.persistent_dequeued_bytes = self.persistent_enqueued_bytes
        self.entries.clear()
        self.by_id.clear()
        self.line.clear()

    def first(self) -> QueueEntry | None:
        """The available message that a consumer gets next."""
        entry = self.line.first()
        assert entry is None or isinstance(entry, QueueEntry)
        return entry

    def after(self, position: int) -> Iterator[QueueEntry]:
        """The entries with greater positions, in order, whatever their state.

        The queue may change while this goes on. The walk is by position; where positions were skipped, or most
        messages in between are gone, the positions that there are get sorted first.
        """
        entries = self.entries
        position = max(position, self._advance_head())
        if self.position - position > 4 * len(entries) + 64:
            for known in sorted(at for at in entries if at > position):
                entry = entries.get(known)
                if entry is not None:
                    yield entry
                position = known
        while position < self.position:
            position += 1
            entry = entries.get(position)
            if entry is not None:
                yield entry

    def _advance_head(self) -> int:
        """Bring `_head` up to the first entry there is; each position is passed once in the queue's life."""
        entries, head = self.entries, self._head
        if not entries:
            head = self.position
        else:
            limit = head + 4 * len(entries) + 64
            while head + 1 not in entries:
                head += 1
                if head > limit:
                    head = min(entries) - 1
        self._head = head
        return head

    def available(self) -> list[QueueEntry]:
        """Every message that nobody has acquired, in order of position."""
        return [entry for entry in self.after(0) if entry.state == AVAILABLE]

    def describe(self) -> dict[str, Any]:
        """What management's method query tells of the queue's inner state: nothing of one that has no types' own."""
        return {}

    @property
    def unused(self) -> bool:
        """Nobody subscribes to it and no session owns it."""
        return not self.subscriptions and self.owner is None

    def __repr__(self) -> str:
        return f"<Queue {self.name!r}, {len(self.entries)} messages>"
