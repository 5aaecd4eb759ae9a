"""The packed form of messages, in entries of the log and in differences."""

from __future__ import annotations

import struct
from collections.abc import Callable

from qpid_messaging.amqp.errors import ProtocolError

from ..message import Message
from .packing import U64, Reader, Writer
from .records import ReplicationError

_MESSAGE = struct.Struct("!HQq")


class Wall:
    """Turns expiry on the broker's own clock into wall-clock milliseconds, which other members understand.

    Args:
        offset: seconds to add to the broker's clock to get the wall clock's.
    """

    def __init__(self, offset: Callable[[], float]) -> None:
        self._offset = offset

    def milliseconds(self, expires: float | None) -> int:
        """Wall-clock milliseconds of an expiry; 0 for none."""
        return 0 if expires is None else int((expires + self._offset()) * 1000)

    def expires(self, milliseconds: int) -> float | None:
        """The expiry on the broker's clock."""
        return None if milliseconds == 0 else milliseconds / 1000 - self._offset()


def write_message(writer: Writer, message: Message, wall: Wall) -> None:
    """Pack a message that has a replication id."""
    assert message.replication_id is not None
    epoch, number = message.replication_id
    writer.raw(_MESSAGE.pack(writer.epoch(epoch), number, wall.milliseconds(message.expires)))
    writer.text(message.destination)
    writer.blob(message.header)
    writer.blob(message.body)


def read_message(reader: Reader, wall: Wall) -> Message:
    """Unpack a message."""
    epoch, number = reader.epoch(), reader.u64()
    milliseconds = reader.u64()
    destination, header, body = reader.text(), reader.blob(), reader.blob()
    try:
        message = Message(destination, header, body, (epoch, number))
    except ProtocolError as error:
        raise ReplicationError(f"a message's header cannot be understood ({error})") from error
    message.expires = wall.expires(milliseconds)
    return message


def write_content(writer: Writer, message: Message, wall: Wall) -> None:
    """Pack a message without its replication id."""
    writer.raw(U64.pack(wall.milliseconds(message.expires)))
    writer.text(message.destination)
    writer.blob(message.header)
    writer.blob(message.body)


def read_content(reader: Reader, wall: Wall) -> Message:
    """Unpack it."""
    milliseconds = reader.u64()
    message = Message(reader.text(), reader.blob(), reader.blob())
    message.expires = wall.expires(milliseconds)
    return message
