"""RangeSet against a plain set."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qpid_messaging.amqp.ranges import RangeSet

small = st.integers(-5, 60)
pairs = st.tuples(small, small).map(lambda pair: (min(pair), max(pair)))
pair_lists = st.lists(pairs, max_size=12)


def numbers(ranges: list[tuple[int, int]]) -> set[int]:
    return {n for lower, upper in ranges for n in range(lower, upper + 1)}


def check(ranges: RangeSet, expected: set[int]) -> None:
    assert list(ranges.numbers()) == sorted(expected)
    assert ranges.count() == len(expected)
    assert bool(ranges) == bool(expected)
    assert all((n in ranges) == (n in expected) for n in range(-7, 63))
    found = list(ranges)
    assert len(found) == ranges.range_count()
    # Ordered, disjoint and not touching: the shortest way to say it.
    assert all(lower <= upper for lower, upper in found)
    assert all(before[1] + 1 < after[0] for before, after in pairwise(found))
    if expected:
        assert (ranges.lower, ranges.upper) == (min(expected), max(expected))


@given(pair_lists)
def test_add(ranges: list[tuple[int, int]]) -> None:
    check(RangeSet(ranges), numbers(ranges))


@given(st.lists(st.tuples(st.booleans(), pairs), max_size=20))
def test_add_and_remove(steps: list[tuple[bool, tuple[int, int]]]) -> None:
    ranges, expected = RangeSet(), set[int]()
    for adding, (lower, upper) in steps:
        if adding:
            ranges.add(lower, upper)
            expected |= set(range(lower, upper + 1))
        else:
            ranges.remove(lower, upper)
            expected -= set(range(lower, upper + 1))
        check(ranges, expected)


@given(pair_lists, pair_lists)
def test_algebra(left: list[tuple[int, int]], right: list[tuple[int, int]]) -> None:
    a, b = RangeSet(left), RangeSet(right)
    check(a | b, numbers(left) | numbers(right))
    check(a - b, numbers(left) - numbers(right))
    check(a & b, numbers(left) & numbers(right))
    assert (a == b) == (numbers(left) == numbers(right))
    assert a == RangeSet(left)  # untouched by the operators
    assert a.copy() == a


@given(pair_lists, pairs)
def test_covers(ranges: list[tuple[int, int]], wanted: tuple[int, int]) -> None:
    assert RangeSet(ranges).covers(*wanted) == (numbers([wanted]) <= numbers(ranges))


def test_usual_use() -> None:
    done = RangeSet()
    for number in (0, 1, 2, 5, 4, 3, 6):
        done.add(number)
    assert list(done) == [(0, 6)]
    done.remove(3)
    assert list(done) == [(0, 2), (4, 6)]
    assert repr(done) == "RangeSet([(0, 2), (4, 6)])"
    done.clear()
    assert not done
    assert done == RangeSet()
    assert done != 5


def test_backward_ranges_are_refused() -> None:
    with pytest.raises(ValueError, match="ends before it begins"):
        RangeSet([(2, 1)])
    with pytest.raises(ValueError, match="ends before it begins"):
        RangeSet().remove(2, 1)
    with pytest.raises(TypeError):
        hash(RangeSet())
