"""Entries of the most frequent kind, a message that goes to one queue, in straight lines.

The octets are those of `entries.encode_entry`, made and taken apart in a quarter of the time. What is not of this kind,
and what is not as it should be, `decode_transfer` leaves to `entries.decode_entry`, so that there is one place that
says what is wrong.
"""

from __future__ import annotations

import struct
from functools import lru_cache
from typing import TYPE_CHECKING

from ..effects import Enqueue
from ..journal import Mark
from ..message import Message
from .entries import FRESH, Op, write_mark
from .messages import Wall
from .packing import NO_PAYLOAD, U32, Reader, Writer, text_of

if TYPE_CHECKING:
    from ..broker import Broker

_PLACED = struct.Struct("!QIHQq")
"""A position, FRESH, and what begins a packed message: the number of its epoch, its own, and its expiry."""
_COMMAND = struct.Struct("!QI")
"""What ends a mark: the command's id and the session's time-out."""
_unpack_size = U32.unpack_from
_NO_OCTETS = U32.pack(NO_PAYLOAD)
_NO_EPOCHS = 2  # octets of an empty table of epochs


def encode_transfer(effect: Enqueue, mark: Mark | None, timeout: int, wall: Wall) -> bytes:
    """What `entries.encode_entry` makes of this effect alone."""
    message = effect.message
    assert message.replication_id is not None
    epoch, number = message.replication_id
    header, body = message.header, message.body
    return b"".join(
        (
            _front(epoch, effect.queue.name),
            _PLACED.pack(
                effect.entry.position,
                FRESH,
                0,
                number,
                0 if message.expires is None else wall.milliseconds(message.expires),
            ),
            _text(message.destination),
            _NO_OCTETS if header is None else U32.pack(len(header)),
            header or b"",
            _NO_OCTETS if body is None else U32.pack(len(body)),
            body or b"",
            b"" if mark is None else _session(mark[0], mark[1]) + _COMMAND.pack(mark[2], timeout),
        )
    )


def decode_transfer(
    data: bytes, broker: Broker, wall: Wall
) -> tuple[Enqueue, tuple[str, bytes] | None, int, int] | None:
    """Take apart an entry that puts one message on one queue.

    Returns:
        The effect, and whose session's mark is to move, to which command, and the session's time-out: to be applied by
        the caller. None for another entry, and for one that had better be looked at closely.

    Raises:
        ReplicationError, LookupError, ValueError, struct.error: it is cut short.
    """
    if data[:2] != b"\0\1":
        return None
    at = 9 + (data[6] << 8) + data[7]
    end = at + 2 + (data[at] << 8) + data[at + 1]
    epoch, name = _epoch_and_queue(data[:end], at)
    queue = broker.queues.get(name)
    if epoch is None or queue is None:
        return None
    position, reference, epoch_number, number, milliseconds = _PLACED.unpack_from(data, end)
    identity = epoch, number
    if reference != FRESH or epoch_number or position <= queue.position or identity in queue.by_id:
        return None
    at = end + _PLACED.size
    end = at + 2 + (data[at] << 8) + data[at + 1]
    destination = text_of(data[at + 2 : end]) if end > at + 2 else ""
    # Octets as `Writer.blob` packs them, twice.
    (size,) = _unpack_size(data, end)
    end += U32.size
    header = body = None
    if size != NO_PAYLOAD:
        header = data[end : end + size]
        end += size
    (size,) = _unpack_size(data, end)
    end += U32.size
    if size != NO_PAYLOAD:
        body = data[end : end + size]
        end += size
    session, command_id, timeout = None, 0, 0
    if end < len(data):
        if data[end] != Op.MARK:
            return None
        session = _session_of(data[end : -_COMMAND.size])
        if session is None:
            return None
        command_id, timeout = _COMMAND.unpack_from(data, len(data) - _COMMAND.size)
    elif end > len(data):
        return None
    message = Message(destination, header, body, identity)
    message.expires = wall.expires(milliseconds)
    return Enqueue(queue, message, position), session, command_id, timeout


# Epochs, names and sessions are few, and come with every message.


@lru_cache(maxsize=1024)
def _text(text: str) -> bytes:
    writer = Writer()
    writer.text(text)
    return writer.done()[_NO_EPOCHS:]


@lru_cache(maxsize=1024)
def _front(epoch: tuple[int, str], queue: str) -> bytes:
    return _head(epoch) + _text(queue)


@lru_cache(maxsize=16)
def _head(epoch: tuple[int, str]) -> bytes:
    """How such an entry begins: the table of its one epoch, and the op."""
    writer = Writer()
    writer.epoch(epoch)
    writer.raw(bytes((Op.ENQUEUE,)))
    return writer.done()


@lru_cache(maxsize=1024)
def _epoch_and_queue(data: bytes, at: int) -> tuple[tuple[int, str] | None, str]:
    """The epoch of the `_head` that ends at `at`, None where it is none, and the name of the queue behind it."""
    epoch = Reader(data[:at]).epochs[0]
    return epoch if _head(epoch) == data[:at] else None, text_of(data[at + 2 :])


@lru_cache(maxsize=1024)
def _session(user: str, name: bytes) -> bytes:
    """How a mark of that session begins."""
    writer = Writer()
    write_mark(writer, (user, name, 0), 0)
    return writer.done()[_NO_EPOCHS : -_COMMAND.size]


@lru_cache(maxsize=1024)
def _session_of(head: bytes) -> tuple[str, bytes] | None:
    """Whose mark begins so, None where none does."""
    reader = Reader(bytes(_NO_EPOCHS) + head)
    reader.u8()
    user, name = reader.text(), reader.blob() or b""
    return (user, name) if _session(user, name) == head else None
