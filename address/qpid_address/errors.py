"""What went wrong in an address or a URL, and exactly where."""

from __future__ import annotations

_WIDTH = 100
"""The most characters of a source line that an error shows: addresses can be long, log lines should not be."""


class AddressError(ValueError):
    """A text that is not an address.

    ``str()`` of it names the place as ``line:column``, shows that line, and marks the place with a caret::

        1:13: expecting (NUMBER, STRING, ID, LBRACE, LBRACK), got RBRACE(})
          q; {create: }
                      ^

    Args:
        message: What is wrong, without the place.
        text: The text that was parsed.
        position: Index in ``text`` of the first character that does not fit.
    """

    def __init__(self, message: str, text: str = "", position: int = 0) -> None:
        super().__init__(message, text, position)
        self.message = message
        self.text = text
        self.position = position

    @property
    def line(self) -> int:
        """The line of the error, counted from 1."""
        return self.text.count("\n", 0, self.position) + 1

    @property
    def column(self) -> int:
        """The column of the error in its line, in characters, counted from 1."""
        return self.position - self._line_start() + 1

    @property
    def excerpt(self) -> str:
        """The part of the line around the error, safe for a terminal."""
        return self._excerpt()[0]

    def _line_start(self) -> int:
        return self.text.rfind("\n", 0, self.position) + 1

    def _excerpt(self) -> tuple[str, int]:
        """The part of the line around the error, safe for a terminal, and the error's index in it."""
        start = self._line_start()
        end = self.text.find("\n", self.position)
        if end < 0:
            end = len(self.text)
        first = max(start, min(self.position - _WIDTH // 2, end - _WIDTH))
        last = min(end, first + _WIDTH)
        shown = "".join(char if char.isprintable() else " " for char in self.text[first:last])
        before, after = "…" if first > start else "", "…" if last < end else ""
        return before + shown + after, len(before) + self.position - first

    def __str__(self) -> str:
        source, offset = self._excerpt()
        return f"{self.line}:{self.column}: {self.message}\n  {source}\n  {' ' * offset}^"


class URLError(AddressError):
    """A text that is not a broker URL.

    Passwords stay out of it: ``text`` is the URL up to the error with user and password masked, and ``position`` and
    ``column`` count in that.
    """
