"""What maps, lists and arrays hold that Python has no type for, and how much of it there may be.

`decoding.py` and `encoding.py` say which Python type stands for which type of AMQP 0-10.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from datetime import datetime, timedelta

    from typing_extensions import Self

#: How many containers may stand in one another.
MAX_DEPTH = 64

#: How many elements an array of a type without width (void, bit) may have: nothing in the bytes bounds them.
MAX_EMPTY_ELEMENTS = 16


class Timestamp(int):
    """A point in time as AMQP's datetime: whole seconds since 1970-01-01 UTC. An int that stays a datetime in maps.

    Args:
        when: seconds since 1970, of which a fraction is cut off, or a datetime.
    """

    def __new__(cls, when: float | datetime) -> Self:
        return super().__new__(cls, when if isinstance(when, (int, float)) else when.timestamp())

    def datetime(self) -> datetime:
        """The same as a datetime in local time."""
        from datetime import datetime  # noqa: PLC0415 - few messages hold one

        return datetime.fromtimestamp(self)  # noqa: DTZ006 - local time is what qpid.messaging gives

    def __add__(self, other: float | timedelta) -> Self:
        return type(self)(int(self) + _seconds(other))

    __radd__ = __add__

    def __sub__(self, other: float | timedelta) -> Self:
        return type(self)(int(self) - _seconds(other))

    def __repr__(self) -> str:
        return f"timestamp({int(self)})"


def _seconds(of: float | timedelta) -> float:
    return of if isinstance(of, (int, float)) else of.total_seconds()


class Array(list[Any]):
    """A list that travels as an array: all elements of one type, which is written once."""

    def __repr__(self) -> str:
        return f"Array({super().__repr__()})"
