r"""The words of the address language.

=========== ===========================================================================================
``ID``      a letter or underscore, then letters, digits, underscores and dashes; no dash at the end
``NUMBER``  digits with an optional sign and an optional point, which a digit must follow: ``-7``, ``.5``
``STRING``  text in single or double quotes, on one line, with the escapes of :func:`unquote`
``ESC``     outside strings: ``\xNN``, ``\uNNNN``, or a backslash before any other character, which stands for itself
``SYM``     one of ``. # * % @ $ ^ ! + -``
=========== ===========================================================================================

Each of ``{ } [ ] : ; / ,`` is a word of its own. Blanks, tabs and line ends between words mean nothing. Any other
character, as all outside of ASCII, needs quotes or an escape. The kinds are named as in ``qpid.messaging``.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from enum import Enum, auto
from typing import NamedTuple

from .errors import AddressError

MAX_LENGTH = 1 << 20
"""The most characters that a text may have. A name on the wire has at most 255 bytes; the rest is room for options."""

MAX_NUMBER = 640
"""The most characters of a number: as many digits as every Python converts, whatever its ``int_max_str_digits``."""

_SHOWN = 40
"""The most characters of a word that an error message shows."""


class Kind(Enum):
    """The kinds of words; error messages call them by their names."""

    LBRACE = auto()
    RBRACE = auto()
    LBRACK = auto()
    RBRACK = auto()
    COLON = auto()
    SEMI = auto()
    SLASH = auto()
    COMMA = auto()
    NUMBER = auto()
    ID = auto()
    STRING = auto()
    ESC = auto()
    SYM = auto()
    WSPACE = auto()
    EOF = auto()

    def __repr__(self) -> str:
        return self.name


class Token(NamedTuple):
    """A word, and where it begins in the text. The end is an empty one."""

    type: Kind
    value: str
    position: int

    def __str__(self) -> str:
        if self.type is Kind.EOF:
            return self.type.name
        value = self.value if len(self.value) <= _SHOWN else self.value[: _SHOWN - 1] + "…"
        # For terminals and logs.
        return f"{self.type.name}({value if value.isprintable() else repr(value)[1:-1]})"


# Each alternative begins with other characters than the rest or fails at once, and no repetition can match one text in
# two ways: the work is linear in the length of the text.
_WORD = re.compile(
    r"""
      (?P<LBRACE>\{) | (?P<RBRACE>\}) | (?P<LBRACK>\[) | (?P<RBRACK>\])
    | (?P<COLON>:) | (?P<SEMI>;) | (?P<SLASH>/) | (?P<COMMA>,)
    | (?P<NUMBER>[+-]?(?:[0-9]+(?:\.[0-9]+)?|\.[0-9]+))
    | (?P<ID>[a-zA-Z_](?:[a-zA-Z0-9_-]*[a-zA-Z0-9_])?)
    | (?P<STRING>"[^"\\\n\r\0]*(?:\\[^\n\r\0][^"\\\n\r\0]*)*"|'[^'\\\n\r\0]*(?:\\[^\n\r\0][^'\\\n\r\0]*)*')
    | (?P<ESC>\\(?:[^ux]|x[0-9a-fA-F]{2}|u[0-9a-fA-F]{4}))
    | (?P<SYM>[.\#*%@$^!+-])
    | (?P<WSPACE>[ \t\r\n]+)
    """,
    re.VERBOSE,
)

_STRING_ESCAPE = re.compile(r"\\(?:x([0-9a-fA-F]{2})|u([0-9a-fA-F]{4})|U([0-9a-fA-F]{8})|([0-7]{1,3})|(.))")
_CONTROLS = {"a": "\a", "b": "\b", "f": "\f", "n": "\n", "r": "\r", "t": "\t", "v": "\v"}
_THEMSELVES = "\\'\""


def lex(text: str) -> Iterator[Token]:
    """Split a text into words, lazily, blanks included; the last one is of kind ``EOF``.

    Raises:
        AddressError: At a character that begins no word, or if the text is longer than ``MAX_LENGTH``.
    """
    if len(text) > MAX_LENGTH:
        raise AddressError(f"longer than {MAX_LENGTH} characters", text, MAX_LENGTH)
    position = 0
    while position < len(text):
        match = _WORD.match(text, position)
        if match is None or match.lastgroup is None:
            raise AddressError(f"unrecognized characters, {_complaint(text[position])}", text, position)
        yield Token(Kind[match.lastgroup], match.group(), position)
        position = match.end()
    yield Token(Kind.EOF, "", position)


def _complaint(char: str) -> str:
    if char in "'\"":
        return "a string that does not end on its line, or holds a NUL"
    if char == "\\":
        return "an escape that is not complete"
    return f"{char!r} needs quotes"


def unescape(token: Token) -> str:
    """The character that an ``ESC`` word stands for: here ``\\n`` is the letter n, as in ``qpid.messaging``."""
    letter, digits = token.value[1], token.value[2:]
    return chr(int(digits, 16)) if digits else letter


def unquote(token: Token, source: str) -> str:
    r"""The text that a ``STRING`` word stands for.

    Escapes are those of a Python string: ``\a \b \f \n \r \t \v \\ \' \"``, one to three octal digits, ``\xNN``,
    ``\uNNNN``, ``\UNNNNNNNN``. A backslash before any other character is a backslash.

    Args:
        token: The word.
        source: The whole text, for the error.

    Raises:
        AddressError: For a ``\x``, ``\u`` or ``\U`` without its hexadecimal digits, or beyond Unicode.
    """
    inside = token.value[1:-1]
    if "\\" not in inside:
        return inside

    def replace(match: re.Match[str]) -> str:
        byte, short, long, octal, char = match.groups()
        code = int(octal, 8) if octal else int(byte or short or long or "0", 16)
        if char in ("x", "u", "U") or code > 0x10FFFF:
            raise AddressError("an escape that names no character", source, token.position + 1 + match.start())
        if char is None:
            return chr(code)
        if char in _THEMSELVES:
            return str(char)
        return _CONTROLS.get(char, match.group())

    return _STRING_ESCAPE.sub(replace, inside)
