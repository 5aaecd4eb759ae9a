"""Sets of transfers, as the commands that settle them carry them."""

from __future__ import annotations

from collections.abc import Iterable

from ..amqp.ranges import RangeSet

_SERIAL = 0xFFFFFFFF


def transfer_ids(ids: Iterable[int]) -> RangeSet:
    """The 32-bit sequence-set of unbounded command ids, mostly in runs."""
    result = RangeSet()
    lower = upper = -2
    for number in ids:
        if number == upper + 1:
            upper = number
            continue
        if lower >= 0:
            _add(result, lower, upper)
        lower = upper = number
    if lower >= 0:
        _add(result, lower, upper)
    return result


def _add(ranges: RangeSet, lower: int, upper: int) -> None:
    lower &= _SERIAL
    upper &= _SERIAL
    if lower <= upper:
        ranges.add(lower, upper)
    else:
        ranges.add(lower, _SERIAL)
        ranges.add(0, upper)
