"""What can be wrong with bytes from a peer, and with values on their way to one."""

from __future__ import annotations

#: connection.close's framing-error, the code for everything that does not parse.
FRAMING_ERROR = 501


class ProtocolError(Exception):
    """The peer sent something that AMQP 0-10 does not allow.

    Args:
        text: what is wrong, for a log line and for connection.close's reply-text.
        offset: where: bytes from the start of the buffer, or of the stream for errors raised by the frame decoder.
        code: the close-code to answer with.
    """

    def __init__(self, text: str, offset: int | None = None, code: int = FRAMING_ERROR) -> None:
        super().__init__(text)
        self.text = text
        self.offset = offset
        self.code = code

    def __str__(self) -> str:
        return self.text if self.offset is None else f"{self.text} (at byte {self.offset})"


class EncodeError(ValueError):
    """A value that cannot be written as AMQP 0-10: of a type without an encoding, too large or nested too deeply.

    Args:
        text: what is wrong, with the type of the value.
        path: where the value stands, from the outside in: the struct's field, then map keys and list indexes.
    """

    def __init__(self, text: str, path: tuple[str | int, ...] = ()) -> None:
        super().__init__(text)
        self.text = text
        self.path = path

    def inside(self, *outer: str | int) -> EncodeError:
        """The same error, seen from the container that holds the value under the key or index `outer`."""
        return EncodeError(self.text, (*outer, *self.path))

    def __str__(self) -> str:
        where = "".join(f"[{step!r}]" if i or isinstance(step, int) else step for i, step in enumerate(self.path))
        return f"{where}: {self.text}" if where else self.text
