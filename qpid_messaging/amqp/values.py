"""What maps, lists and arrays hold that Python has no type for, and how much of it there may be.

`decoding.py` and `encoding.py` say which Python type stands for which type of AMQP 0-10.
"""

from __future__ import annotations

from typing import Any

#: How many containers may stand in one another.
MAX_DEPTH = 64

#: How many elements an array of a type without width (void, bit) may have: nothing in the bytes bounds them.
MAX_EMPTY_ELEMENTS = 16


class Timestamp(int):
    """A point in time as AMQP's datetime: whole seconds since 1970-01-01 UTC. An int that stays a datetime in maps."""

    def __repr__(self) -> str:
        return f"Timestamp({int(self)})"


class Array(list[Any]):
    """A list that travels as an array: all elements of one type, which is written once."""

    def __repr__(self) -> str:
        return f"Array({super().__repr__()})"
