"""Reading values from the argument maps of commands, whatever type a client gave them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from .errors import InvalidArgument

__all__ = ["flag", "number", "text"]


def number(arguments: Mapping[str, Any], name: str) -> int:
    """A count or size, 0 where there is none; a text of digits will do.

    Raises:
        InvalidArgument: it is something else.
    """
    value = arguments.get(name, 0)
    if isinstance(value, bytes):
        value = value.decode("utf-8", "replace")
    if isinstance(value, str) and value.isascii() and value.isdigit():
        value = int(value)
    if isinstance(value, bool) or not isinstance(value, int) or value < 0:
        raise InvalidArgument(f"{name}: {value!r} is not a number")
    return value


def text(arguments: Mapping[str, Any], name: str) -> str:
    """A text, "" where there is none.

    Raises:
        InvalidArgument: it is something else.
    """
    value = arguments.get(name)
    if isinstance(value, bytes):
        value = value.decode("utf-8", "replace")
    if value is None:
        return ""
    if isinstance(value, bool) or not isinstance(value, (str, int)):
        raise InvalidArgument(f"{name}: {value!r} is not a text")
    return str(value)


def flag(arguments: Mapping[str, Any], name: str) -> bool:
    """Whether something is asked for: a boolean, number or text.

    Raises:
        InvalidArgument: the text is neither true nor false.
    """
    value = arguments.get(name)
    if isinstance(value, bytes):
        value = value.decode("utf-8", "replace")
    if isinstance(value, str):
        lowered = value.lower()
        if lowered not in ("true", "false", "yes", "no", "1", "0", ""):
            raise InvalidArgument(f"{name}: {value!r} is neither true nor false")
        return lowered in ("true", "yes", "1")
    return bool(value)
