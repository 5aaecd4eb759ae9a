"""The order in which a queue's messages are offered to consumers.

A queue keeps all its entries by position; a *line* holds those that consumers may take, in the order of the queue's
type. The line is told when an entry becomes available and asked for the first one; entries that were taken, removed
or acquired by a browser meanwhile are dropped when they come to the front, so nothing is ever searched for.
"""

from __future__ import annotations

from collections import deque
from heapq import heapify, heappop, heappush
from typing import Protocol

__all__ = ["ACQUIRED", "AVAILABLE", "GONE", "UNCONFIRMED", "FifoLine", "Line", "Waiting"]

# States of a queue entry: UNCONFIRMED -> AVAILABLE <-> ACQUIRED -> GONE
UNCONFIRMED, AVAILABLE, ACQUIRED, GONE = range(4)

_COMPACT_FROM = 64


class Waiting(Protocol):
    """What a line needs to know of a queue entry."""

    position: int
    state: int
    in_line: bool


class Line(Protocol):
    """Which available entry is next."""

    def put(self, entry: Waiting) -> None:
        """The entry became available: it stands in line, once."""

    def first(self, consumer: object = None) -> Waiting | None:
        """The available entry that a consumer gets next; it stays in line until it is acquired."""

    def removed(self, entry: Waiting) -> None:
        """The entry left the queue while it stood in line."""

    def clear(self) -> None:
        """Every entry left the queue."""


class FifoLine:
    """First in, first out; an entry that comes back is first again among those after it."""

    __slots__ = ("_fresh", "_gone", "_returned")

    def __init__(self) -> None:
        self._fresh: deque[Waiting] = deque()
        self._returned: list[tuple[int, Waiting]] = []
        self._gone = 0

    def put(self, entry: Waiting) -> None:
        """Stand in line at the entry's position."""
        if entry.in_line:
            return
        entry.in_line = True
        fresh = self._fresh
        if not fresh or fresh[-1].position < entry.position:
            fresh.append(entry)
        else:
            heappush(self._returned, (entry.position, entry))

    def first(self, consumer: object = None) -> Waiting | None:
        """The available entry with the lowest position, whoever asks."""
        fresh, returned = self._fresh, self._returned
        while returned and returned[0][1].state != AVAILABLE:
            self._left(heappop(returned)[1])
        while fresh:
            entry = fresh[0]
            if entry.state == AVAILABLE:
                if returned and returned[0][0] < entry.position:
                    return returned[0][1]
                return entry
            fresh.popleft()
            entry.in_line = False
            if entry.state == GONE:
                self._gone -= 1
        return returned[0][1] if returned else None

    def _left(self, entry: Waiting) -> None:
        entry.in_line = False
        if entry.state == GONE:
            self._gone -= 1

    def removed(self, entry: Waiting) -> None:
        """Count it, and close the gaps once they are most of the line."""
        self._gone += 1
        fresh = self._fresh
        while fresh and fresh[0].state == GONE:
            fresh.popleft()
            self._gone -= 1
        if self._gone > _COMPACT_FROM and self._gone * 2 > len(self._fresh) + len(self._returned):
            self._fresh = deque(entry for entry in self._fresh if entry.state != GONE)
            self._returned = [item for item in self._returned if item[1].state != GONE]
            heapify(self._returned)
            self._gone = 0

    def clear(self) -> None:
        """Start anew."""
        self._fresh.clear()
        self._returned.clear()
        self._gone = 0
