"""From the text of a selector to tokens."""

from __future__ import annotations

import re
from typing import NamedTuple

__all__ = ["SelectorError", "Token", "tokenize"]

RESERVED = frozenset({"and", "between", "escape", "false", "in", "is", "like", "not", "null", "or", "true"})

_TOKENS = re.compile(
    r"""\s*(?:
      (?P<name>[A-Za-z_$][\w$.]*)
    | "(?P<quoted>(?:[^"]|"")*)"
    | '(?P<string>(?:[^']|'')*)'
    | (?P<hex>0[xX][0-9a-fA-F][0-9a-fA-F_]*)[lL]?
    | (?P<binary>0[bB][01][01_]*)[lL]?
    | (?P<float>(?:\d[\d_]*\.[\d_]*|\.\d[\d_]*)(?:[eE][+-]?\d+)?|\d[\d_]*[eE][+-]?\d+)[fFdD]?
    | (?P<suffixed>\d[\d_]*)[fFdD]
    | (?P<octal>0[0-7_]+)[lL]?
    | (?P<decimal>\d[\d_]*)[lL]?
    | (?P<sign><>|<=|>=|[()+\-*/=<>,])
    | (?P<end>$)
    )""",
    re.VERBOSE | re.ASCII,
)
_BASES = {"hex": 16, "binary": 2, "octal": 8, "decimal": 10}
_MOST_DIGITS = 70  # of a 64-bit integer, in any base and with underscores
_INTEGERS = 1 << 63


class SelectorError(ValueError):
    """The text is no selector."""


class Token(NamedTuple):
    """One token.

    Attributes:
        kind: "name", "string", "number", "end"; for reserved words and signs what is written, in lower case.
        value: of a name, string or number.
        position: where it stands in the text, from 0.
    """

    kind: str
    value: str | int | float | None
    position: int


def tokenize(text: str) -> list[Token]:
    """All tokens of a text, and one for its end.

    Raises:
        SelectorError: something in it is no token.
    """
    tokens: list[Token] = []
    offset = 0
    while not tokens or tokens[-1].kind != "end":
        match = _TOKENS.match(text, offset)
        if match is None:
            rest = text[offset:].lstrip()
            raise SelectorError(f"found {rest[:1]!r} at {len(text) - len(rest)}, which begins nothing known")
        tokens.append(_token(match))
        offset = match.end()
    return tokens


def _token(match: re.Match[str]) -> Token:
    kind = match.lastgroup
    assert kind is not None
    text = match[kind]
    position = match.start(kind)
    if kind == "name":
        return Token(text.lower(), None, position) if text.lower() in RESERVED else Token("name", text, position)
    if kind == "quoted":
        return Token("name", text.replace('""', '"'), position - 1)
    if kind == "string":
        return Token("string", text.replace("''", "'"), position - 1)
    if kind in ("float", "suffixed"):
        return Token("number", float(text.replace("_", "")), position)
    if kind in _BASES:
        digits = text.replace("_", "")
        number = int(digits, _BASES[kind]) if len(digits) <= _MOST_DIGITS else _INTEGERS
        # The lowest integer of 64 bits is only written with a minus: the parser sees to that.
        if number > _INTEGERS:
            raise SelectorError(f"integer at {position} does not fit 64 bits")
        return Token("number", number, position)
    return Token(text if kind == "sign" else "end", None, position)
