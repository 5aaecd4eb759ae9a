"""An address as a value, and how it is written."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from decimal import Decimal
from math import isfinite
from typing import Any

from .lexer import MAX_NUMBER

MAX_DEPTH = 100
"""How deep maps and lists may be nested: far more than any option needs, far less than Python's stack."""

CONSTANTS: Mapping[str, bool | None] = {"True": True, "true": True, "False": False, "false": False, "None": None}
"""The identifiers that are not strings."""

_PLAIN_NAME = re.compile(r"[a-zA-Z0-9_.#*%@$^!+:-]+")
_PLAIN_SUBJECT = re.compile(r"[a-zA-Z0-9_.#*%@$^!+:/-]+")
_PLAIN_STRING = re.compile(r"[a-zA-Z_](?:[a-zA-Z0-9_-]*[a-zA-Z0-9_])?")
_INT_LIMIT = 10 ** (MAX_NUMBER - 1)
_ESCAPES = {"\\": "\\\\", "'": "\\'", "\n": "\\n", "\r": "\\r", "\t": "\\t"}


@dataclass(frozen=True, slots=True)
class Address:
    """The name of a node, the subject within it, and options that say how to use it.

    ``str()`` writes it in the address language, such that :func:`~qpid_address.parse` makes an equal address of that.
    It also unpacks, as what ``qpid.messaging.address.parse`` returns does: ``name, subject, options = parse(text)``.

    Args:
        name: The node: a queue or an exchange. ``#`` at the front of it asks for a generated name.
        subject: None if the address has none; an empty subject is a subject.
        options: None if the address has none. Values are str, int, float, bool, None, and maps and lists of them.
    """

    name: str
    subject: str | None = None
    options: dict[Any, Any] | None = None

    def __iter__(self) -> Iterator[Any]:
        return iter((self.name, self.subject, self.options))

    def __hash__(self) -> int:
        # Without the options, which are a dict: equal addresses still have equal hashes.
        return hash((self.name, self.subject))

    def __str__(self) -> str:
        """The address in the address language.

        Raises:
            ValueError: If the options hold what the language has no words for: another type, a number that is not
                finite or of more than 639 digits, a map or list as a key, more than ``MAX_DEPTH`` levels.
        """
        text = self.name if _PLAIN_NAME.fullmatch(self.name) else _quote(self.name)
        if self.subject is not None:
            text += "/" + (self.subject if _PLAIN_SUBJECT.fullmatch(self.subject) else _quote(self.subject))
        if self.options is not None:
            text += "; " + _write(self.options, 0)
        return text


def _write(value: object, depth: int) -> str:
    if isinstance(value, (Mapping, list, tuple)):
        if depth == MAX_DEPTH:
            raise ValueError(f"maps and lists nested more than {MAX_DEPTH} deep")
        if isinstance(value, Mapping):
            items = (f"{_write_scalar(key)}: {_write(item, depth + 1)}" for key, item in value.items())
            return "{" + ", ".join(items) + "}"
        return "[" + ", ".join(_write(item, depth + 1) for item in value) + "]"
    return _write_scalar(value)


def _write_scalar(value: object) -> str:
    if isinstance(value, str):
        return value if _PLAIN_STRING.fullmatch(value) and value not in CONSTANTS else _quote(value)
    if value is None or isinstance(value, bool):
        return str(value)
    if isinstance(value, float) and isfinite(value):
        return _write_float(value)
    if isinstance(value, int) and abs(value) < _INT_LIMIT:
        return f"{int(value):d}"
    raise ValueError(f"an address cannot hold {_shorten(value)}")


def _shorten(value: object) -> str:
    """A value for an error message; a number that is too long is not even converted."""
    if isinstance(value, int):
        return f"an integer of more than {MAX_NUMBER - 1} digits"
    return f"{type(value).__name__} {value!r:.40}"


def _write_float(value: float) -> str:
    """The shortest text that is this number: the language has no exponents, so all digits are written out."""
    digits = f"{Decimal(repr(float(value))):f}"
    return digits if "." in digits else digits + ".0"


def _quote(text: str) -> str:
    return "'" + "".join(_ESCAPES.get(char) or _printable(char) for char in text) + "'"


def _printable(char: str) -> str:
    if char.isprintable():
        return char
    code = ord(char)
    if code < 0x100:
        return f"\\x{code:02x}"
    return f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"
