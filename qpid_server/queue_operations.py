"""What is done to a queue as a whole: purge, move, reroute, delete.

A queue may hold millions of messages, and one that is worked on stalls nobody: messages are dealt with so many at a
time, each lot in one entry of the journal, with other work between the lots; the operation is done when its last entry
is confirmed. What that means for its atomicity:

- Up to `AT_A_TIME` messages it is one entry: all of it happens, or nothing.
- Of a greater number each lot is one. A message is on one queue or on the other, whenever the broker dies; an operation
  that a fail-over interrupts has dealt with some of the messages, and its command was not completed.
- Purge, move and reroute concern the messages that are on the queue when they begin. Consumers go on meanwhile; what
  somebody has acquired when its turn comes stays.
- A queue that is deleted is gone at once, for everybody. Where its messages go to an alternate exchange, that happens
  first, and what is left in the end goes in one entry with the queue.

On the hot path nothing of this is looked at.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

from .effects import Dequeue
from .errors import SessionError
from .exchange import Exchange
from .journal import Effect, Entry
from .line import AVAILABLE
from .message import Message
from .queue import Queue, QueueEntry
from .turns import take_turns

if TYPE_CHECKING:
    from .broker import Broker

__all__ = ["AT_A_TIME", "Done", "Failed", "Matches", "delete", "forget", "move", "purge", "reroute"]

AT_A_TIME = 500
"""Messages that are dealt with in one turn."""

_LOOKED_AT = 10_000
"""Entries that are looked at in one turn, whatever becomes of them."""

Matches = Callable[[Message], bool]
Done = Callable[[int], None]
Failed = Callable[[SessionError], None]


def purge(broker: Broker, queue: Queue, done: Done, *, count: int = 0, matches: Matches | None = None) -> None:
    """Drop the first messages that nobody has acquired.

    Args:
        broker: the queue's.
        queue: what to purge.
        done: called with the number of messages once that is safe.
        count: at most so many; 0: all.
        matches: only those that it says yes to.

    Raises:
        NotAllowed: this broker is a backup, and the queue replicated.
    """

    def effects(entries: list[QueueEntry]) -> list[Effect]:
        return [Dequeue(queue, entries)]

    def counted(number: int) -> None:
        queue.purged += number

    _Work(broker, queue, effects, counted=counted, done=done).begin(count, matches)


def move(
    broker: Broker,
    source: Queue,
    target: Queue,
    done: Done,
    failed: Failed,
    *,
    count: int = 0,
    matches: Matches | None = None,
) -> None:
    """Take the first messages that nobody has acquired to another queue; see :func:`purge`.

    Args:
        broker: the queues'.
        source: where they are.
        target: where they go.
        done: called with the number of messages once that is safe.
        failed: called instead where the target refused messages in the middle of it.
        count: at most so many; 0: all.
        matches: only those that it says yes to.

    Raises:
        ResourceLimitExceeded: the target has no room; nothing has been moved.
        NotAllowed: this broker is a backup, and one of the queues replicated.
    """

    def effects(entries: list[QueueEntry]) -> list[Effect]:
        messages = [entry.message.anew() for entry in entries]
        coming = broker.admit([effect for message in messages for effect in broker.enqueues((target,), message)])
        return [Dequeue(source, entries), *coming]

    _Work(broker, source, effects, done=done, failed=failed).begin(count, matches)


def reroute(
    broker: Broker,
    queue: Queue,
    exchange: Exchange,
    done: Done,
    *,
    count: int = 0,
    matches: Matches | None = None,
    renew: Callable[[Message], Message] = Message.anew,
) -> None:
    """Send the first messages that nobody has acquired through an exchange; see :func:`purge`.

    What the exchange routes nowhere, and what its queues have no room for, is lost, as with a message that is rejected.

    Args:
        broker: the queue's.
        queue: where they are.
        exchange: where they go.
        done: called with the number of messages once that is safe.
        count: at most so many; 0: all.
        matches: only those that it says yes to.
        renew: makes of each message the one to be sent.
    """

    def effects(entries: list[QueueEntry]) -> list[Effect]:
        coming: list[Effect] = []
        for entry in entries:
            coming += broker.route(renew(entry.message), exchange)
        return [Dequeue(queue, entries), *broker.admit(coming, strict=False)]

    def counted(number: int) -> None:
        queue.rerouted += number

    _Work(broker, queue, effects, counted=counted, done=done).begin(count, matches)


def delete(broker: Broker, queue: Queue, done: Callable[[], None] | None = None) -> None:
    """Delete a queue; its messages go to its alternate exchange first, if it has one.

    Args:
        broker: the queue's.
        queue: what to delete.
        done: called once that is safe; also where the queue is gone before its turn comes.

    Raises:
        NotAllowed: this broker is a backup, and the queue replicated.
    """
    take_turns(broker, _deleting(broker, queue, done))


def forget(broker: Broker, entries: dict[int, QueueEntry]) -> None:
    """Let go of what was on a queue, so many at a time: to free the memory of millions takes its time."""
    if len(entries) > AT_A_TIME:
        take_turns(broker, _forgetting(entries))


def _forgetting(entries: dict[int, QueueEntry]) -> Iterator[None]:
    while entries:
        for _ in range(min(AT_A_TIME, len(entries))):
            entries.popitem()
        yield


def _deleting(broker: Broker, queue: Queue, done: Callable[[], None] | None) -> Iterator[None]:
    if queue.alternate_exchange is not None and queue.depth > AT_A_TIME:
        yield from _leaving(broker, queue)
    effects = [] if queue.deleted else broker.delete_queue_effects(queue)
    broker.commit(Entry(effects), None if done is None else lambda entry: done())


def _leaving(broker: Broker, queue: Queue) -> Iterator[None]:
    """Its messages go before it, until few enough are left to go with it."""
    for lot in _lots(queue, 0, None):
        entries = [entry for entry in lot if entry.state == AVAILABLE]
        if queue.deleted or queue.depth <= AT_A_TIME:
            return
        broker.commit(Entry(broker.reject_effects(queue, entries)))
        broker.abandoned_via_alternate += len(entries)
        yield


class _Work:
    """One operation on the messages of a queue.

    Args:
        broker: the queue's.
        queue: where the messages are.
        effects: what becomes of some of them.
        counted: told of how many that was, each time.
        done: called with how many it was in all, once that is safe.
        failed: called where it cannot go on.
    """

    def __init__(
        self,
        broker: Broker,
        queue: Queue,
        effects: Callable[[list[QueueEntry]], list[Effect]],
        *,
        done: Done,
        counted: Done = lambda number: None,
        failed: Failed = lambda error: None,
    ) -> None:
        self._broker = broker
        self._queue = queue
        self._effects = effects
        self._counted = counted
        self._done = done
        self._failed = failed
        self._number = 0
        self._unconfirmed = 0
        self._all_committed = False

    def begin(self, count: int, matches: Matches | None) -> None:
        """Do the first lot, and the others in turns."""
        take_turns(self._broker, self._steps(count, matches))

    def _steps(self, count: int, matches: Matches | None) -> Iterator[None]:
        begun = False
        for lot in _lots(self._queue, count, matches):
            if begun:
                yield
            try:
                self._commit([entry for entry in lot if entry.state == AVAILABLE])
            except SessionError as error:
                if not begun:
                    raise
                self._failed(error)
                return
            begun = True
        self._all_committed = True
        self._tell()

    def _commit(self, entries: list[QueueEntry]) -> None:
        if entries and not self._queue.deleted:
            entry = Entry(self._effects(entries))
            self._unconfirmed += 1
            self._broker.commit(entry, self._confirmed)
            self._number += len(entries)
            self._counted(len(entries))

    def _confirmed(self, entry: Entry) -> None:
        self._unconfirmed -= 1
        self._tell()

    def _tell(self) -> None:
        if self._all_committed and not self._unconfirmed:
            self._done(self._number)


def _lots(queue: Queue, count: int, matches: Matches | None) -> Iterator[list[QueueEntry]]:
    """The messages that an operation is about, so many at a time; also an empty lot where it took long to find none."""
    last = queue.position
    found: list[QueueEntry] = []
    number = 0
    for looked_at, entry in enumerate(queue.in_turn(), 1):
        if entry.state == AVAILABLE and entry.position <= last and (matches is None or matches(entry.message)):
            found.append(entry)
            number += 1
        if len(found) == AT_A_TIME or number == count > 0 or looked_at % _LOOKED_AT == 0:
            yield found
            found = []
        if number == count > 0:
            return
    if found:
        yield found
