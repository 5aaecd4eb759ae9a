"""Priority queues: higher levels first (``qpid.priorities``), or so many of each in turn (``qpid.fairshare``).

A queue has from one level to as many as it was declared with, and priorities map to levels as AMQP 0-10 says for a
server with fewer levels than ten (message class, rule priority-level-implementation): with two, 0 to 4 and 5 to 9.
Within a level it is first in, first out.

Browsers see what there is level by level, too, each with a place of its own: a message of a high level that comes
later is the next that they see. Their looking does not count as anybody's share.
"""

from __future__ import annotations

from collections.abc import Iterator

from ..line import UNCONFIRMED, FifoLine, Line, Waiting
from ..message import Message
from ..positions import Positions
from ..queue import Cursor, Queue, QueueEntry
from ..subscription import Subscription

__all__ = ["PriorityLine", "PriorityQueue", "level_of"]

_MIDDLE = 5  # half of the ten priorities are below it


def level_of(priority: int, levels: int) -> int:
    """The level that a priority belongs to, 0 to `levels` - 1."""
    lowest = _MIDDLE - min(_MIDDLE, -(-levels // 2))
    return min(max(priority - lowest, 0), levels - 1)


class PriorityLine:
    """A line for each level.

    Args:
        levels: how many.
        shares: messages of each level that are given in a row while others wait, 0: any number; empty where the
            highest level always comes first.
    """

    def __init__(self, levels: int, shares: tuple[int, ...] = ()) -> None:
        self._lines = [FifoLine() for _ in range(levels)]
        self._shares = shares
        self._level = levels - 1  # whose turn it is
        self._given = 0  # how many it got in a row

    def level(self, entry: Waiting) -> int:
        """The level that an entry stands in."""
        assert isinstance(entry, QueueEntry)
        return level_of(entry.message.priority, len(self._lines))

    def put(self, entry: Waiting) -> None:
        """Stand in line among those of the same level."""
        self._lines[self.level(entry)].put(entry)

    def first(self, consumer: object = None) -> Waiting | None:
        """The first entry of the first level that has one."""
        for level in self._turns():
            entry = self._lines[level].first()
            if entry is not None:
                return entry
        return None

    def _turns(self) -> Iterator[int]:
        """The levels in the order in which they are asked: a level whose share is used up comes last."""
        levels = len(self._lines)
        if not self._shares:
            yield from range(levels - 1, -1, -1)
            return
        level = self._level
        share = self._shares[level]
        if share and self._given >= share:
            level -= 1
        for step in range(levels):
            yield (level - step) % levels

    def given(self, entry: Waiting) -> None:
        """A consumer got this entry: it counts as its level's share."""
        if self._shares:
            level = self.level(entry)
            share = self._shares[level]
            again = level == self._level and not (share and self._given >= share)
            self._level, self._given = level, self._given + 1 if again else 1

    def removed(self, entry: Waiting) -> None:
        """The entry left the queue while it stood in line."""
        self._lines[self.level(entry)].removed(entry)

    def clear(self) -> None:
        """Every entry left the queue."""
        for line in self._lines:
            line.clear()


class _LevelsCursor(Cursor):
    """How far a browser has come on each level."""

    __slots__ = ("levels",)

    def __init__(self, levels: int) -> None:
        super().__init__()
        self.levels = [0] * levels


class PriorityQueue(Queue):
    """A queue with levels of priority."""

    line: PriorityLine

    def _prepare(self) -> Line:
        levels = self.settings.priorities
        self._levels = [Positions(self.entries) for _ in range(levels)]
        return PriorityLine(levels, self.settings.fairshare)

    def rank(self, message: Message) -> int:
        """The message's level: a ring queue drops those of lower levels first, and nothing for one of a lower level."""
        return level_of(message.priority, len(self._levels))

    def enqueue(self, message: Message, position: int | None = None) -> QueueEntry:
        """Put a message at the end; it is not offered yet."""
        entry = super().enqueue(message, position)
        self._levels[self.rank(entry.message)].append(entry.position)
        return entry

    def acquire(self, entry: QueueEntry, owner: Subscription | None = None) -> bool:
        """Take an available message off the market."""
        if not super().acquire(entry, owner):
            return False
        if owner is not None:
            self.line.given(entry)
        return True

    def remove(self, entry: QueueEntry) -> bool:
        """Take a message off the queue for good."""
        removed = super().remove(entry)
        if removed:
            self._levels[self.rank(entry.message)].removed()
        return removed

    def abandon(self) -> dict[int, QueueEntry]:
        """Take everything off at once."""
        abandoned = super().abandon()
        self._levels = [Positions(self.entries) for _ in self._levels]
        return abandoned

    def expendable(self) -> Iterator[QueueEntry]:
        """Those of the lowest level first."""
        for level in self._levels:
            yield from self._along(level, 0)

    def in_turn(self) -> Iterator[QueueEntry]:
        """Those of the highest level first."""
        for level in reversed(self._levels):
            yield from self._along(level, 0)

    def cursor(self) -> Cursor:
        """Where a browser begins."""
        return _LevelsCursor(len(self._levels))

    def unseen(self, cursor: Cursor) -> Iterator[QueueEntry]:
        """What a browser has not come by yet, the highest level first."""
        assert isinstance(cursor, _LevelsCursor)
        for number in range(len(self._levels) - 1, -1, -1):
            for entry in self._along(self._levels[number], cursor.levels[number]):
                if entry.state == UNCONFIRMED:
                    break
                yield entry

    def seen(self, cursor: Cursor, entry: QueueEntry) -> None:
        """A browser came by this entry."""
        assert isinstance(cursor, _LevelsCursor)
        cursor.levels[self.rank(entry.message)] = entry.position

    def _along(self, level: Positions, position: int) -> Iterator[QueueEntry]:
        for at in level.after(position):
            entry = self.entries.get(at)
            if entry is not None:
                yield entry
