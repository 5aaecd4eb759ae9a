"""What values of AMQP 0-10 are made of where Python has no type for them, under the names of `qpid.datatypes`."""

from __future__ import annotations

import time
from functools import total_ordering
from typing import TYPE_CHECKING, overload
from uuid import UUID, uuid4

from .amqp.values import Timestamp

if TYPE_CHECKING:
    from datetime import datetime

    from typing_extensions import Self

__all__ = ["UUID", "Serial", "parseUUID", "serial", "timestamp", "uuid4"]


def parseUUID(text: str) -> UUID:  # noqa: N802 - the original's name
    """The UUID that a text spells."""
    return UUID(hex=text)


class timestamp(Timestamp):  # noqa: N801 - the original's name
    """A point in time. One that comes with a message is a `Timestamp`, which can do the same.

    Args:
        when: seconds since 1970, or a datetime; by default now.
    """

    def __new__(cls, when: float | datetime | None = None) -> Self:
        return super().__new__(cls, time.time() if when is None else when)


def serial(value: int | Serial) -> Serial:
    """The value as a Serial."""
    return value if isinstance(value, Serial) else Serial(value)


@total_ordering
class Serial:
    """A number of 32 bits that begins again at 0 behind its last, compared as RFC 1982 says.

    Args:
        value: the number; of a larger one the lower 32 bits.
    """

    def __init__(self, value: int) -> None:
        self.value = value & 0xFFFFFFFF

    def _ahead(self, other: object) -> int | None:
        """How far this one is ahead of the other; None where the other is no number."""
        if not isinstance(other, (int, Serial)):
            return None
        delta = (self.value - serial(other).value) & 0xFFFFFFFF
        return delta - (1 << 32) if delta & 0x80000000 else delta

    def __eq__(self, other: object) -> bool:
        return self._ahead(other) == 0

    def __lt__(self, other: object) -> bool:
        ahead = self._ahead(other)
        return NotImplemented if ahead is None else ahead < 0

    def __hash__(self) -> int:
        return hash(self.value)

    def __add__(self, other: int) -> Serial:
        return Serial(self.value + other)

    @overload
    def __sub__(self, other: Serial) -> int: ...
    @overload
    def __sub__(self, other: int) -> Serial: ...
    def __sub__(self, other: int | Serial) -> int | Serial:
        return self.value - other.value if isinstance(other, Serial) else Serial(self.value - other)

    def __int__(self) -> int:
        return self.value

    def __str__(self) -> str:
        return str(self.value)

    def __repr__(self) -> str:
        return f"serial({self.value})"
