"""What is answered: a status, a type of content, and the content bit by bit."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

__all__ = ["HTML", "JSON", "METRICS", "Response", "plain"]

PLAIN = "text/plain; charset=utf-8"
HTML = "text/html; charset=utf-8"
JSON = "application/json"
#: The text format of Prometheus.
METRICS = "text/plain; version=0.0.4; charset=utf-8"


@dataclass
class Response:
    """The answer to a request.

    Attributes:
        status: of HTTP.
        content_type: of the content.
        content: made while it is sent; between two pieces other clients of the broker are served.
        headers: beside the usual ones.
    """

    status: int
    content_type: str
    content: Iterable[str]
    headers: list[tuple[str, str]] = field(default_factory=list)

    def pieces(self) -> Iterator[bytes]:
        """The content as it travels; without empty pieces, which would end it."""
        return (piece.encode() for piece in self.content if piece)


def plain(status: int, text: str, *headers: tuple[str, str]) -> Response:
    """A line of text."""
    return Response(status, PLAIN, [text + "\n"], list(headers))
