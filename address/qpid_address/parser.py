"""The grammar of addresses, by recursive descent::

    address = name [ "/" [ subject ] ] [ ";" map ]
    name    = words up to the first "/" or ";"
    subject = words up to the first ";"
    map     = "{" [ value ":" value { "," value ":" value } [ "," ] ] "}"
    list    = "[" [ value { "," value } [ "," ] ] "]"
    value   = NUMBER | STRING | ID | map | list

The identifiers ``True``, ``true``, ``False``, ``false`` and ``None`` are constants; any other identifier is a string.
"""

from __future__ import annotations

from collections.abc import Callable
from math import isinf
from typing import Any

from .address import CONSTANTS, MAX_DEPTH, Address
from .errors import AddressError
from .lexer import MAX_NUMBER, Kind, Token, lex, unescape, unquote

_VALUE = (Kind.NUMBER, Kind.STRING, Kind.ID, Kind.LBRACE, Kind.LBRACK)
"""What a value begins with."""


def parse(text: str) -> Address:
    """Parse an address: ``name [/ subject] [; options]``.

    Args:
        text: For example ``my-queue; {create: always, node: {durable: True}}``.

    Returns:
        The address. ``subject`` and ``options`` are None where the text has none.

    Raises:
        AddressError: Where the text is not an address, with line, column and a caret.
    """
    return _Parser(text).address()


def parse_map(text: str) -> dict[Any, Any]:
    """Parse a map alone, as the options of a connection are written: ``{reconnect: true, heartbeat: 10}``.

    Raises:
        AddressError: Where the text is not a map, with line, column and a caret.
    """
    return _Parser(text).map()


class _Parser:
    """A text on its way through the grammar, with one word of lookahead."""

    def __init__(self, text: str) -> None:
        self._source = text
        self._tokens = (token for token in lex(text) if token.type is not Kind.WSPACE)
        self._next = next(self._tokens)
        self._depth = 0

    def address(self) -> Address:
        name = self._words(Kind.SLASH, Kind.SEMI)
        if name is None:
            raise self._error(f"unexpected token {self._next}")
        subject = self._words(Kind.SEMI) if self._skip(Kind.SLASH) else None
        options = self._map() if self._skip(Kind.SEMI) else None
        self._eat(Kind.EOF)
        return Address(name, subject, options)

    def map(self) -> dict[Any, Any]:
        items = self._map()
        self._eat(Kind.EOF)
        return items

    def _words(self, *stops: Kind) -> str | None:
        """The words before the next of ``stops``, joined; None if there is none, which differs from an empty string."""
        parts: list[str] = []
        while self._next.type not in (*stops, Kind.EOF):
            token = self._advance()
            if token.type is Kind.STRING:
                parts.append(unquote(token, self._source))
            elif token.type is Kind.ESC:
                parts.append(unescape(token))
            else:
                parts.append(token.value)
        return "".join(parts) if parts else None

    def _value(self) -> Any:
        match self._next.type:
            case Kind.ID:
                word = self._advance().value
                return CONSTANTS.get(word, word)
            case Kind.STRING:
                return unquote(self._advance(), self._source)
            case Kind.NUMBER:
                return self._number()
            case Kind.LBRACE:
                return self._map()
            case Kind.LBRACK:
                return self._list()
        raise self._unexpected(*_VALUE)

    def _number(self) -> int | float:
        text = self._next.value
        if len(text) > MAX_NUMBER:
            raise self._error(f"a number of more than {MAX_NUMBER} characters")
        value: int | float
        if "." in text:
            value = float(text)
            if isinf(value):
                raise self._error("a number that is too large")
        else:
            value = int(text)
            # Python 2 took 010 for eight, Python 3 takes it for a mistake, C++ for ten: nobody can mean it.
            if value and text.lstrip("+-").startswith("0"):
                raise self._error("a whole number with leading zeros")
        self._advance()
        return value

    def _map(self) -> dict[Any, Any]:
        items: dict[Any, Any] = {}

        def item() -> None:
            if self._next.type in (Kind.LBRACE, Kind.LBRACK):
                raise self._error("a map or list cannot be a key")
            if self._next.type not in _VALUE:
                raise self._unexpected(*_VALUE, Kind.RBRACE)
            key = self._value()
            self._eat(Kind.COLON)
            items[key] = self._value()

        self._sequence(Kind.LBRACE, item, Kind.RBRACE)
        return items

    def _list(self) -> list[Any]:
        items: list[Any] = []
        self._sequence(Kind.LBRACK, lambda: items.append(self._value()), Kind.RBRACK)
        return items

    def _sequence(self, first: Kind, item: Callable[[], None], last: Kind) -> None:
        """Items between brackets, separated by commas; a comma after the last is allowed."""
        if self._depth == MAX_DEPTH:
            raise self._error(f"maps and lists nested more than {MAX_DEPTH} deep")
        self._eat(first)
        self._depth += 1
        while self._next.type is not last:
            item()
            if not self._skip(Kind.COMMA) and self._next.type is not last:
                raise self._unexpected(Kind.COMMA, last)
        self._eat(last)
        self._depth -= 1

    def _advance(self) -> Token:
        token = self._next
        if token.type is not Kind.EOF:
            self._next = next(self._tokens)
        return token

    def _skip(self, kind: Kind) -> bool:
        """Step over a word of this kind, if it is next."""
        if self._next.type is not kind:
            return False
        self._advance()
        return True

    def _eat(self, kind: Kind) -> None:
        if self._next.type is not kind:
            raise self._unexpected(kind)
        self._advance()

    def _unexpected(self, *kinds: Kind) -> AddressError:
        names = ", ".join(kind.name for kind in kinds)
        return self._error(f"expecting {names if len(kinds) == 1 else f'({names})'}, got {self._next}")

    def _error(self, message: str) -> AddressError:
        return AddressError(message, self._source, self._next.position)
