"""What members of a cluster say to each other: batches of records.

A batch is a run of records, each a type octet, a 32-bit size and a payload; it travels as the body of one
message.transfer. Payloads of control records are AMQP maps; those of entries (see `entries`) and of messages, which
are hot, have a packed form.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from enum import IntEnum
from typing import Any
from uuid import UUID

from qpid_messaging.amqp.codec import decode_map, encode_map
from qpid_messaging.amqp.errors import ProtocolError

from ..errors import SessionError


class ReplicationError(Exception):
    """What a member sent does not fit what this broker holds; the cure is to join anew."""


MALFORMED = (ProtocolError, SessionError, struct.error, LookupError, TypeError, ValueError)
"""What taking apart and applying a record raises that no member should have sent: missing or odd values of a map, an
exchange type that does not exist, a message whose header lies. Becomes a `ReplicationError` where records come in."""


class Record(IntEnum):
    """The kinds of record."""

    # requests, and their answers
    STATUS = 1
    STATUS_IS = 2
    PROMISE = 3
    PROMISED = 4
    REFUSED = 5
    JOIN = 6
    ACTIVE = 7
    JOINED = 8
    # a primary to a backup that joins: the difference
    DIFFERENCE = 16
    QUEUE = 17
    MESSAGES = 18
    PLACES = 19
    SESSIONS = 20
    HELD = 21
    CAUGHT_UP = 22
    # a primary to its backups
    EPOCH = 32
    ENTRY = 33
    CONFIRMED = 34
    MEMBERS = 35
    READY = 36
    # a backup to its primary
    POSITION = 48
    # a broker that copies a queue to that queue's broker; and what it is told
    COPY = 64
    COPYING = 65
    COPIES = 66
    LEFT = 67


_HEAD = struct.Struct("!BI")
_ENTRY_HEAD = struct.Struct("!BIQ")
_INDEX = struct.Struct("!Q")


def pack_record(kind: Record, payload: bytes = b"") -> bytes:
    """One record."""
    return _HEAD.pack(kind, len(payload)) + payload


def pack_map(kind: Record, values: dict[str, Any]) -> bytes:
    """One record with a map as its payload."""
    return pack_record(kind, encode_map(values))


def pack_index(kind: Record, index: int) -> bytes:
    """One record with an index as its payload."""
    return _HEAD.pack(kind, _INDEX.size) + _INDEX.pack(index)


def pack_entry_head(index: int, size: int) -> bytes:
    """What comes before the octets of an entry, as many as `size`, in its record: the index is part of the payload."""
    return _ENTRY_HEAD.pack(Record.ENTRY, _INDEX.size + size, index)


def unpack_entry(payload: bytes) -> tuple[int, bytes]:
    """The index of an entry, and the entry.

    Raises:
        struct.error: it is cut short.
    """
    return _INDEX.unpack_from(payload)[0], payload[_INDEX.size :]


def unpack_index(payload: bytes) -> int:
    """The payload of `pack_index`.

    Raises:
        ReplicationError: it is none.
    """
    if len(payload) != _INDEX.size:
        raise ReplicationError("an index has eight octets")
    return int(_INDEX.unpack(payload)[0])


def unpack_map(payload: bytes) -> dict[str, Any]:
    """The payload of `pack_map`.

    Raises:
        ReplicationError: it is none.
    """
    try:
        return decode_map(payload)
    except ProtocolError as error:
        raise ReplicationError(f"a record's map cannot be understood ({error})") from error


def unpack_records(batch: bytes) -> Iterator[tuple[int, bytes]]:
    """The (kind, payload) of each record of a batch.

    Raises:
        ReplicationError: a record is cut short.
    """
    offset, end = 0, len(batch)
    while offset < end:
        if offset + _HEAD.size > end:
            raise ReplicationError("a record's head is cut short")
        kind, size = _HEAD.unpack_from(batch, offset)
        offset += _HEAD.size
        if offset + size > end:
            raise ReplicationError("a record is cut short")
        yield kind, batch[offset : offset + size]
        offset += size


def text_in(values: dict[str, Any], name: str) -> str:
    """A text of a record's map.

    Raises:
        KeyError, TypeError: it is not there, or no text.
    """
    text = values[name]
    if not isinstance(text, str):
        raise TypeError(f"{name} is no text")
    return text


def uuid_in(values: dict[str, Any], name: str) -> UUID:
    """A UUID in a record's map; see `text_in`."""
    found = values[name]
    if not isinstance(found, UUID):
        raise TypeError(f"{name} is no UUID")
    return found


def bytes_in(values: dict[str, Any], name: str) -> bytes:
    """Octets in a record's map; see `text_in`."""
    found = values[name]
    if not isinstance(found, bytes):
        raise TypeError(f"{name} is no octets")
    return found


def map_in(values: dict[str, Any], name: str) -> dict[str, Any]:
    """A map within a record's map; see `text_in`."""
    found = values[name]
    if not isinstance(found, dict):
        raise TypeError(f"{name} is no map")
    return found
