"""Sets of numbers kept as ranges: what AMQP 0-10 calls a sequence-set, without its 32 bits."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Iterator


class RangeSet:  # noqa: PLW1641  (a set that changes has no hash)
    """A set of integers held as ordered, disjoint, inclusive ranges that do not touch.

    Command ids come in order and in runs, so a set of a million of them is usually one range. Adding at the end costs
    the same however long the set is; adding or removing elsewhere costs a search and the move of what lies behind.

    Iterating gives the ranges as `(lower, upper)`; `in` asks for one number.

    Args:
        ranges: inclusive `(lower, upper)` pairs in any order, overlapping or not.

    Raises:
        ValueError: a pair whose upper end is below its lower end.
    """

    __slots__ = ("_lowers", "_uppers")

    def __init__(self, ranges: Iterable[tuple[int, int]] = ()) -> None:
        # Two lists rather than one of pairs: extending the last range then replaces one int and allocates nothing.
        self._lowers: list[int] = []
        self._uppers: list[int] = []
        for lower, upper in ranges:
            self.add(lower, upper)

    @classmethod
    def of(cls, lower: int, upper: int) -> RangeSet:
        """The set of one range; the caller knows that `lower <= upper`."""
        self = cls.__new__(cls)
        self._lowers = [lower]
        self._uppers = [upper]
        return self

    def add(self, lower: int, upper: int | None = None) -> None:
        """Add one number, or every number from `lower` to `upper` inclusive."""
        if upper is None:
            upper = lower
        elif upper < lower:
            raise ValueError(f"range {lower}..{upper} ends before it begins")
        uppers = self._uppers
        if uppers:
            last = uppers[-1] + 1
            if lower == last:
                uppers[-1] = upper
                return
            if lower < last:
                self._merge(lower, upper)
                return
        self._lowers.append(lower)
        uppers.append(upper)

    def _merge(self, lower: int, upper: int) -> None:
        lowers, uppers = self._lowers, self._uppers
        # The ranges from first up to, not including, stop overlap or touch the new one.
        first = bisect_left(uppers, lower - 1)
        stop = bisect_right(lowers, upper + 1)
        if first < stop:
            lower = min(lower, lowers[first])
            upper = max(upper, uppers[stop - 1])
        lowers[first:stop] = (lower,)
        uppers[first:stop] = (upper,)

    def remove(self, lower: int, upper: int | None = None) -> None:
        """Take out one number, or every number from `lower` to `upper` inclusive, as far as they are in the set."""
        if upper is None:
            upper = lower
        elif upper < lower:
            raise ValueError(f"range {lower}..{upper} ends before it begins")
        lowers, uppers = self._lowers, self._uppers
        first = bisect_left(uppers, lower)
        stop = bisect_right(lowers, upper)
        if first >= stop:
            return
        left, right = lowers[first], uppers[stop - 1]
        kept_lowers: tuple[int, ...] = ()
        kept_uppers: tuple[int, ...] = ()
        if left < lower:
            kept_lowers, kept_uppers = (left,), (lower - 1,)
        if right > upper:
            kept_lowers, kept_uppers = (*kept_lowers, upper + 1), (*kept_uppers, right)
        lowers[first:stop] = kept_lowers
        uppers[first:stop] = kept_uppers

    def update(self, other: RangeSet) -> None:
        """Add everything that `other` holds."""
        for lower, upper in zip(other._lowers, other._uppers, strict=True):
            self.add(lower, upper)

    def clear(self) -> None:
        self._lowers.clear()
        self._uppers.clear()

    def copy(self) -> RangeSet:
        new = RangeSet.__new__(RangeSet)
        new._lowers = self._lowers.copy()
        new._uppers = self._uppers.copy()
        return new

    def union(self, other: RangeSet) -> RangeSet:
        result = self.copy()
        result.update(other)
        return result

    def difference(self, other: RangeSet) -> RangeSet:
        result = self.copy()
        if not self._lowers:
            return result
        # Only where they overlap: `other` may be long, and this set a single range.
        start = bisect_left(other._uppers, self._lowers[0])
        stop = bisect_right(other._lowers, self._uppers[-1])
        for lower, upper in zip(other._lowers[start:stop], other._uppers[start:stop], strict=True):
            result.remove(lower, upper)
        return result

    def intersection(self, other: RangeSet) -> RangeSet:
        result = RangeSet()
        theirs = list(other)
        at = 0
        for lower, upper in self:
            while at < len(theirs) and theirs[at][1] < lower:
                at += 1
            for other_lower, other_upper in theirs[at:]:
                if other_lower > upper:
                    break
                result.add(max(lower, other_lower), min(upper, other_upper))
        return result

    def covers(self, lower: int, upper: int) -> bool:
        """Whether every number from `lower` to `upper` inclusive is in the set."""
        at = bisect_left(self._uppers, upper)
        return at < len(self._lowers) and self._lowers[at] <= lower

    @property
    def lower(self) -> int:
        """The smallest number of the set. Raises IndexError for an empty one."""
        return self._lowers[0]

    @property
    def upper(self) -> int:
        """The largest number of the set. Raises IndexError for an empty one."""
        return self._uppers[-1]

    def count(self) -> int:
        """How many numbers the set holds."""
        return sum(self._uppers) - sum(self._lowers) + len(self._lowers)

    def range_count(self) -> int:
        """How many ranges they make."""
        return len(self._lowers)

    def numbers(self) -> Iterator[int]:
        """The numbers one by one, in order."""
        for lower, upper in zip(self._lowers, self._uppers, strict=True):
            yield from range(lower, upper + 1)

    def __contains__(self, number: int) -> bool:
        at = bisect_left(self._uppers, number)
        return at < len(self._lowers) and self._lowers[at] <= number

    def __iter__(self) -> Iterator[tuple[int, int]]:
        return zip(self._lowers, self._uppers, strict=True)

    def __bool__(self) -> bool:
        return bool(self._lowers)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, RangeSet):
            return NotImplemented
        return self._lowers == other._lowers and self._uppers == other._uppers

    def __or__(self, other: RangeSet) -> RangeSet:
        return self.union(other)

    def __sub__(self, other: RangeSet) -> RangeSet:
        return self.difference(other)

    def __and__(self, other: RangeSet) -> RangeSet:
        return self.intersection(other)

    def __repr__(self) -> str:
        return f"RangeSet({list(self)})"
