"""A queue: messages by position, who may have them, and what has happened to them.

The queue knows nothing of connections: subscriptions are told what they get by :mod:`qpid_server.dispatch`, and every
change that must outlive the process comes as an effect (:mod:`qpid_server.effects`). Which message is next is the
business of its *line* (:mod:`qpid_server.line`). The other types of queue (:mod:`qpid_server.queues`) are subclasses
that differ in their line, in what has to go when a message comes, and in the order in which browsers see messages.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator, Mapping, Sequence
from enum import Enum
from typing import TYPE_CHECKING, Any, Protocol
from uuid import UUID, uuid4

from .alerts import Alerts
from .flow_limit import FlowLimit
from .line import ACQUIRED, AVAILABLE, GONE, UNCONFIRMED, FifoLine, Line
from .positions import Positions
from .queue_settings import DEFAULT_SETTINGS, Lifetime, QueueSettings

if TYPE_CHECKING:
    from .exchange import Binding, Exchange
    from .message import Message, ReplicationId
    from .session import SessionHandler
    from .sieve import Sieve
    from .subscription import Subscription
    from .timers import Timer

__all__ = ["ACQUIRED", "AVAILABLE", "GONE", "UNCONFIRMED", "Cursor", "Feed", "Queue", "QueueEntry", "Replicate"]

_TRACE = "x-qpid.trace"
_LONGEST_TRACE = 65535  # bytes of a str16
"""Header with the names of the queues that a message came by, separated by commas."""
_SPARSE = 4
"""Positions for each message there is, from which on the positions that there are are listed to walk along them."""
_SPARE = 64


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


class Feed(Protocol):
    """Somebody who is told of everything that comes to a queue and leaves it, once that is safe."""

    def pump(self) -> None:
        """There may be messages that it was not told of."""

    def left(self, entries: Sequence[QueueEntry]) -> None:
        """These messages left the queue."""

    def queue_deleted(self) -> None:
        """The queue is gone."""


class Cursor:
    """How far a browser has come on a queue: it has seen everything up to this position."""

    __slots__ = ("position",)

    def __init__(self) -> None:
        self.position = 0


class Queue:
    """A queue of messages: first in, first out.

    Args:
        name: unique on the broker.
        durable: it and its persistent messages shall survive a restart (kept for the store and for queries).
        exclusive: declared exclusive; ``owner`` is the session that it belongs to.
        auto_delete: deleted when its last subscription ends, or its owner goes.
        alternate_exchange: where rejected messages go, and those on it when it is deleted.
        arguments: the arguments of its declaration, as they came.
        replicate: what backups hold of it.
        auto_delete_timeout: seconds that an unused auto-delete queue lives on.
        settings: what its arguments ask for.
        identity: tells it from others of its name, before and after it; its own one where not given.

    Attributes:
        choosy: which message is next depends on who asks: when there is none for one consumer, another may get one.
    """

    choosy = False

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
        settings: QueueSettings = DEFAULT_SETTINGS,
        identity: UUID | None = None,
    ) -> None:
        self.name = name
        self.identity = identity if identity is not None else uuid4()
        self.durable = durable
        self.exclusive = exclusive
        self.auto_delete = auto_delete
        self.alternate_exchange = alternate_exchange
        self.arguments = dict(arguments or {})
        self.replicate = replicate
        self.auto_delete_timeout = auto_delete_timeout
        self.owner: SessionHandler | None = None
        """The session that an exclusive queue belongs to."""
        self.settings = settings
        self.limits = settings.limits
        self.alerts = Alerts(settings.thresholds) if settings.thresholds is not None else None
        self.flow = FlowLimit(settings.flow) if settings.flow is not None else None
        self.sieves: dict[Sieve, None] = {}
        """Those of its consumers that have a selector."""
        self.selective = bool(
            settings.no_local or settings.trace_id or settings.trace_exclude or settings.filter is not None
        )
        """Not every message for it is put on it as it is: see :meth:`receive`."""
        self.entries: dict[int, QueueEntry] = {}
        """Everything on the queue, acquired and unconfirmed messages included, by position."""
        self.line: Line = self._prepare()
        self.by_id: dict[ReplicationId, QueueEntry] = {}
        """The same by replication id, for a queue whose messages are replicated."""
        self.position = 0
        """Position of the message enqueued last."""
        self._head = 0  # nothing is left at or before this position
        self._listed: Positions | None = None  # positions up to its last one, where they are far between
        self.subscriptions: dict[Subscription, None] = {}
        self.consumers: OrderedDict[Subscription, None] = OrderedDict()
        """Subscriptions that acquire, have credit and whose connection reads: the next to be served is first."""
        self.browsers: dict[Subscription, None] = {}
        """Subscriptions that only look, have credit and whose connection reads."""
        self.exclusive_subscription: Subscription | None = None
        self.feeds: dict[Feed, None] = {}
        """Those who are told of all that comes and goes."""
        self.bindings: dict[Binding, None] = {}
        self.redirect: Queue | None = None
        """What is sent to this queue goes to that one."""
        self.redirected: Queue | None = None
        """What is sent to that queue comes to this one."""
        self.lifetime_timer: Timer | None = None
        """Set while an unused auto-delete queue lives on."""
        self.sequence_key = settings.sequence_key
        self.goes_when_empty = auto_delete and settings.lifetime in (Lifetime.EMPTY, Lifetime.UNUSED_AND_EMPTY)
        """To be looked at whenever messages left it."""
        self.used = False
        """There has been a consumer: an auto-delete queue that nobody ever used waits for its first one."""
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

    def _prepare(self) -> Line:
        """Make what this type of queue keeps of its messages, and its line."""
        return FifoLine()

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

    def holds(self, entry: QueueEntry) -> bool:
        """Whether the entry is on the queue."""
        return self.entries.get(entry.position) is entry

    def enqueue(self, message: Message, position: int | None = None) -> QueueEntry:
        """Put a message at the end; it is not offered yet.

        Args:
            message: the message.
            position: its position, greater than every one before; the next where not given.
        """
        if position is None:
            position = self.position + 1
        self.position = position
        if self.sequence_key:
            message = message.with_header(self.sequence_key, position)
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
        if entry.state == UNCONFIRMED and not self.deleted:
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
        for sieve in self.sieves:
            sieve.returned(entry)

    def remove(self, entry: QueueEntry) -> bool:
        """Take a message off the queue for good.

        Returns:
            False if it was gone already.
        """
        state = entry.state
        if state == GONE or self.deleted:
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
        """Take everything off, to be filled anew."""
        for entry in self.entries.values():
            entry.state = GONE
            entry.owner = None
        self.abandon().clear()

    def abandon(self) -> dict[int, QueueEntry]:
        """Take everything off at once, however much it is: the queue is deleted.

        Returns:
            What was on it, to be forgotten bit by bit. What somebody had acquired is gone for them.
        """
        entries, acquired = self.entries, self.acquired
        self.acquired_gone += acquired
        if acquired:
            # They are mostly at the front.
            for entry in entries.values():
                if entry.state == ACQUIRED:
                    entry.state = GONE
                    entry.owner = None
                    acquired -= 1
                    if not acquired:
                        break
        self.dequeued += len(entries)
        self.dequeued_bytes = self.enqueued_bytes
        self.persistent_dequeued = self.persistent_enqueued
        self.persistent_dequeued_bytes = self.persistent_enqueued_bytes
        self.entries = {}
        self.by_id.clear()
        self.line.clear()
        self._listed = None
        self._head = 0
        return entries

    # -- what comes

    def receive(self, message: Message) -> Message | None:
        """What is put on the queue when a message is sent to it, None: nothing.

        Dropped are messages of the connection that the queue belongs to (``no-local``), those that were where it does
        not want them to come from (``qpid.trace.exclude``), and those that its filter (``qpid.filter``) says no to.
        """
        settings = self.settings
        if settings.no_local and message.publisher and message.publisher in self._owners():
            return None
        trace = message.application_headers.get(_TRACE) if settings.trace_id or settings.trace_exclude else None
        visited = trace.split(",") if isinstance(trace, str) and trace else []
        if any(name in settings.trace_exclude for name in visited):
            return None
        if settings.filter is not None and not settings.filter.matches(message):
            return None
        if settings.trace_id and settings.trace_id not in visited:
            trace = ",".join([*visited, settings.trace_id])
            while len(trace.encode("utf-8", "surrogateescape")) > _LONGEST_TRACE:
                trace = trace.partition(",")[2]  # where it was long ago
            message = message.with_header(_TRACE, trace)
        return message

    def _owners(self) -> list[int]:
        subscription = self.exclusive_subscription
        sessions = (self.owner, None if subscription is None else subscription.session)
        return [session.connection.number for session in sessions if session is not None]

    # -- what has to go when a message comes

    def takes(self, message: Message) -> bool:
        """Whether the message just goes to the end: it is within the limits, and takes nobody's place."""
        limits = self.limits
        return limits is None or not (
            (limits.count and len(self.entries) >= limits.count)
            or (limits.size and self.enqueued_bytes - self.dequeued_bytes + message.size > limits.size)
        )

    def key(self, message: Message) -> str | None:
        """What a newer message replaces an older one by; None where no message does."""
        return None

    def holder(self, key: str) -> QueueEntry | None:
        """The entry that a message with this key replaces."""
        return None

    def rank(self, message: Message) -> int:
        """How dear the message is to the queue: where it has too many, those of the lowest rank go first."""
        return 0

    def expendable(self) -> Iterator[QueueEntry]:
        """The entries in the order in which a ring queue drops them for others, acquired ones included."""
        return self.after(0)

    # -- who gets what

    def permits(self, entry: QueueEntry, consumer: Subscription) -> bool:
        """Whether a consumer may have an available message."""
        return True

    def first(self, consumer: Subscription | None = None) -> QueueEntry | None:
        """The available message that a consumer gets next."""
        entry = self.line.first(consumer)
        assert entry is None or isinstance(entry, QueueEntry)
        return entry

    def cursor(self) -> Cursor:
        """Where a browser begins."""
        return Cursor()

    def unseen(self, cursor: Cursor) -> Iterator[QueueEntry]:
        """What a browser has not come by yet, in the order for browsers, except what is not confirmed.

        Tell each with :meth:`seen`. An entry may be somebody's, or gone, when its turn comes.
        """
        for entry in self.after(cursor.position):
            if entry.state == UNCONFIRMED:
                return
            yield entry
        cursor.position = self.position

    def seen(self, cursor: Cursor, entry: QueueEntry) -> None:
        """A browser came by this entry."""
        cursor.position = entry.position

    def after(self, position: int) -> Iterator[QueueEntry]:
        """The entries with greater positions, in order, whatever their state.

        The queue may change while this goes on. The walk is by position; where they are far between, along a list of
        those there are, which is made anew once that many positions were given as it saves.
        """
        entries = self.entries
        position = max(position, self._advance_head())
        listed = self._listed
        far = _SPARSE * len(entries) + _SPARE
        if self.position - max(position, 0 if listed is None else listed.last) > far or (
            listed is not None and len(listed) > far and position < listed.last
        ):
            listed = self._listed = Positions(entries, entries)
        if listed is not None and position < listed.last:
            for known in listed.after(position):
                entry = entries.get(known)
                if entry is not None:
                    yield entry
            position = listed.last
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
            limit = head + _SPARSE * len(entries) + _SPARE
            while head + 1 not in entries:
                head += 1
                if head > limit:
                    head = next(iter(entries)) - 1
        self._head = head
        return head

    def in_turn(self) -> Iterator[QueueEntry]:
        """Every entry, whatever its state, in the order in which consumers would get them; see :meth:`after`."""
        return self.after(0)

    def available(self) -> list[QueueEntry]:
        """Every message that nobody has acquired, in the order in which consumers get them."""
        return [entry for entry in self.in_turn() if entry.state == AVAILABLE]

    def describe(self) -> dict[str, Any]:
        """What management's method query tells of the queue's inner state: nothing of one that has no types' own."""
        return {}

    @property
    def unused(self) -> bool:
        """Nobody subscribes to it and no session owns it."""
        return not self.subscriptions and self.owner is None

    @property
    def outlived(self) -> bool:
        """It is auto-delete, and its lifetime is over (``qpid.lifetime-policy``)."""
        if not self.auto_delete or self.deleted:
            return False
        lifetime = self.settings.lifetime
        if lifetime is Lifetime.EMPTY:
            return not self.entries
        if lifetime is Lifetime.UNUSED_AND_EMPTY:
            return self.unused and not self.entries
        if lifetime is Lifetime.CLOSE and self.exclusive:
            return self.owner is None
        return self.unused

    def __repr__(self) -> str:
        return f"<Queue {self.name!r}, {len(self.entries)} messages>"
