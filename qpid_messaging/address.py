"""The address language, under the names of `qpid.messaging.address`, which also lends its words to the errors.

`qpid_address` is where it is spoken.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import qpid_address
from qpid_address import Address, AddressError, BrokerAddress, BrokerURL, lexer
from qpid_address.lexer import Kind, Token

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = [
    "COLON",
    "COMMA",
    "EOF",
    "ESC",
    "ID",
    "LBRACE",
    "LBRACK",
    "LEXER",
    "NUMBER",
    "RBRACE",
    "RBRACK",
    "SEMI",
    "SLASH",
    "STRING",
    "SYM",
    "WSPACE",
    "Address",
    "AddressError",
    "BrokerAddress",
    "BrokerURL",
    "ParseError",
    "Token",
    "lex",
    "parse",
]

LBRACE = Kind.LBRACE
RBRACE = Kind.RBRACE
LBRACK = Kind.LBRACK
RBRACK = Kind.RBRACK
COLON = Kind.COLON
SEMI = Kind.SEMI
SLASH = Kind.SLASH
COMMA = Kind.COMMA
NUMBER = Kind.NUMBER
ID = Kind.ID
STRING = Kind.STRING
ESC = Kind.ESC
SYM = Kind.SYM
WSPACE = Kind.WSPACE
EOF = Kind.EOF


class ParseError(AddressError):
    """Text that is no address.

    It says so in one line, as in `qpid.messaging`: `expecting COLON, got EOF line:1,17:name/subject; { 3`. Columns
    count from 0 there.
    """

    def __str__(self) -> str:
        return f"{self.message} line:{self.line},{self.column - 1}:{self.excerpt}"


class _Lexer:
    """The words of an address, in the shape that `qpid.messaging.address.LEXER` has."""

    def type(self, name: str) -> Kind:
        """The kind of that name."""
        return Kind[name]

    def lex(self, text: str) -> Iterator[Token]:
        """The words of a text; see `lex`."""
        return lex(text)


LEXER = _Lexer()


def lex(text: str) -> Iterator[Token]:
    """Split a text into words, blanks included, of which the last is of the type `EOF`.

    Raises:
        ParseError: a character begins no word.
    """
    try:
        yield from lexer.lex(text)
    except AddressError as error:
        raise ParseError(error.message, error.text, error.position) from None


def parse(text: str) -> tuple[str, str | None, dict[Any, Any] | None]:
    """Parse an address.

    Args:
        text: `name [/ subject] [; options]`.

    Returns:
        Name, subject and options; the last two may be None.

    Raises:
        ParseError: it is none.
    """
    try:
        address = qpid_address.parse(text)
    except AddressError as error:
        raise ParseError(error.message, error.text, error.position) from None
    return address.name, address.subject, address.options
