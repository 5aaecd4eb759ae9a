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
from .lexer import MAX_NUMBER, Kind, Token, tokens, unescape, unquote


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


class _Parser:
    """A text on its way through the grammar, with one word of lookahead."""

    def __init__(self, text: str) -> None:
        self._source = text
        self._tokens = tokens(text)
        self._next = next(self._tokens)
        self._depth = 0

    def address(self) -> Address:
        name = self._words(Kind.SLASH, Kind.SEMI)
        if name is None:
            raise self._error("expected a name")
        subject = self._words(Kind.SEMI) if self._skip(Kind.SLASH) else None
        options = self._map() if self._skip(Kind.SEMI) else None
        self._eat(Kind.END)
        return Address(name, subject, options)

    def _words(self, *stops: Kind) -> str | None:
        """The words before the next of ``stops``, joined; None if there is none, which differs from an empty string."""
        parts: list[str] = []
        while self._next.kind not in (*stops, Kind.END):
            token = self._advance()
            if token.kind is Kind.STRING:
                parts.append(unquote(token, self._source))
            elif token.kind is Kind.ESC:
                parts.append(unescape(token))
            else:
                parts.append(token.text)
        return "".join(parts) if parts else None

    def _value(self) -> Any:
        match self._next.kind:
            case Kind.ID:
                word = self._advance().text
                return CONSTANTS.get(word, word)
            case Kind.STRING:
                return unquote(self._advance(), self._source)
            case Kind.NUMBER:
                return self._number()
            case Kind.LBRACE:
                return self._map()
            case Kind.LBRACK:
                return self._list()
        raise self._error("expected a value")

    def _number(self) -> int | float:
        text = self._next.text
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
            if self._next.kind in (Kind.LBRACE, Kind.LBRACK):
                raise self._error("a map or list cannot be a key")
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
        while self._next.kind is not last:
            item()
            if not self._skip(Kind.COMMA) and self._next.kind is not last:
                raise self._error(f"expected {Kind.COMMA.value} or {last.value}")
        self._eat(last)
        self._depth -= 1

    def _advance(self) -> Token:
        token = self._next
        if token.kind is not Kind.END:
            self._next = next(self._tokens)
        return token

    def _skip(self, kind: Kind) -> bool:
        """Step over a word of this kind, if it is next."""
        if self._next.kind is not kind:
            return False
        self._advance()
        return True

    def _eat(self, kind: Kind) -> None:
        if self._next.kind is not kind:
            raise self._error(f"expected {kind.value}")
        self._advance()

    def _error(self, message: str) -> AddressError:
        if message.startswith("expected"):
            message += f", found {_quoted(self._next)}"
        return AddressError(message, self._source, self._next.position)


def _quoted(token: Token) -> str:
    if token.kind is Kind.END:
        return Kind.END.value
    return repr(token.text) if len(token.text) <= 40 else repr(token.text[:37]) + "…"
