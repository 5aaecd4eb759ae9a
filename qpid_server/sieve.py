"""What a consumer with a selector gets: the first message on the queue that its selector says yes to.

It goes along the queue once, in the order for browsers, and looks at each message once; what comes back to the queue
behind it, and what its group keeps from it for now, it remembers.
"""

from __future__ import annotations

from heapq import heappop, heappush
from typing import TYPE_CHECKING

from .line import AVAILABLE, GONE
from .queue import Queue, QueueEntry

if TYPE_CHECKING:
    from .selector import Selector
    from .subscription import Subscription

__all__ = ["Sieve"]

_AT_A_TIME = 2000
"""Messages that are looked at in one turn."""


class Sieve:
    """Between a queue and one consumer.

    Args:
        queue: what to go along.
        selector: what to say yes to.
        consumer: who gets it.

    Attributes:
        unfinished: there is more to look at, in another turn.
    """

    def __init__(self, queue: Queue, selector: Selector, consumer: Subscription) -> None:
        self._queue = queue
        self._selector = selector
        self._consumer = consumer
        self._cursor = queue.cursor()
        # By what comes first: the dearest, and of those the one with the lowest position.
        self._behind: list[tuple[int, int, QueueEntry]] = []
        self._known: set[int] = set()
        self.unfinished = False

    def first(self) -> QueueEntry | None:
        """The next message for the consumer, None where there is none, or none was found in this turn."""
        self.unfinished = False
        behind, ahead = self._first_behind(), self._first_ahead()
        if behind is None or ahead is None:
            return behind or ahead
        return min(behind, ahead, key=self._order)

    def returned(self, entry: QueueEntry) -> None:
        """A message that somebody had is on the queue again."""
        if entry.position not in self._known and self._matches(entry):
            self._known.add(entry.position)
            heappush(self._behind, (*self._order(entry), entry))

    def _order(self, entry: QueueEntry) -> tuple[int, int]:
        return -self._queue.rank(entry.message), entry.position

    def _matches(self, entry: QueueEntry) -> bool:
        return self._selector.matches(entry.message, redelivered=entry.redelivered)

    def _first_behind(self) -> QueueEntry | None:
        kept: list[tuple[int, int, QueueEntry]] = []
        found: QueueEntry | None = None
        while self._behind and found is None:
            entry = self._behind[0][2]
            if entry.state != AVAILABLE:
                heappop(self._behind)
                self._known.discard(entry.position)
            elif self._queue.permits(entry, self._consumer):
                found = entry
            else:
                kept.append(heappop(self._behind))
        for item in kept:
            heappush(self._behind, item)
        return found

    def _first_ahead(self) -> QueueEntry | None:
        queue, cursor = self._queue, self._cursor
        passed = 0
        for entry in queue.unseen(cursor):
            if passed == _AT_A_TIME:
                self.unfinished = True
                return None
            if entry.state == AVAILABLE and self._matches(entry):
                if queue.permits(entry, self._consumer):
                    return entry
                self.returned(entry)
            passed += entry.state != GONE
            queue.seen(cursor, entry)
        return None
