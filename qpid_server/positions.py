"""Positions of a queue in ascending order, some of which are gone: to go on from any position without a search."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Container, Iterable, Iterator

__all__ = ["Positions"]

_SPARE = 64


class Positions:
    """A list of positions that is cleaned of those that are gone once they are most of it.

    Args:
        alive: says which positions are still there.
        positions: those to begin with, ascending.
    """

    __slots__ = ("_alive", "_first", "_gone", "_positions")

    def __init__(self, alive: Container[int], positions: Iterable[int] = ()) -> None:
        self._alive = alive
        self._positions = list(positions)
        self._first = 0  # what is before this index is gone
        self._gone = 0

    def __len__(self) -> int:
        return len(self._positions) - self._first

    @property
    def last(self) -> int:
        """The greatest position that ever was there."""
        return self._positions[-1] if self._positions else 0

    def append(self, position: int) -> None:
        """A position greater than all the others."""
        self._positions.append(position)

    def removed(self) -> None:
        """One of the positions is gone."""
        self._gone += 1
        positions, first, alive = self._positions, self._first, self._alive
        while first < len(positions) and positions[first] not in alive:
            first += 1
            self._gone -= 1
        # Always a new list: whoever walks along the old one does not lose the way.
        if first > _SPARE and first * 2 > len(positions):
            positions = self._positions = positions[first:]
            first = 0
        if self._gone > _SPARE and self._gone * 2 > len(positions) - first:
            self._positions = [position for position in positions[first:] if position in alive]
            first = self._gone = 0
        self._first = first

    def after(self, position: int) -> Iterator[int]:
        """The greater positions that are there when their turn comes; those appended meanwhile may be left out."""
        positions, alive = self._positions, self._alive
        index = max(self._first, bisect_right(positions, position))
        while index < len(positions):
            position = positions[index]
            if position in alive:
                yield position
            index += 1
