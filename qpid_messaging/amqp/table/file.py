"""Class 0x9: file transfer. No broker known to us implements it; it is here so that the table is whole."""

from __future__ import annotations

from enum import IntEnum
from typing import Any

from qpid_messaging.amqp.schema import Command, Struct, bit, field
from qpid_messaging.amqp.types import datetime, map_, str8, uint8, uint16, uint32, uint64


class FileReturnCode(IntEnum):
    """Why a message came back."""

    CONTENT_TOO_LARGE = 311
    NO_ROUTE = 312
    NO_CONSUMERS = 313


class FileProperties(Struct, code=(0x9, 0x1), size=4):
    """A file message's header."""

    content_type: str | None = field(str8)
    content_encoding: str | None = field(str8)
    headers: dict[str, Any] | None = field(map_)
    priority: int | None = field(uint8)
    reply_to: str | None = field(str8)
    message_id: str | None = field(str8)
    filename: str | None = field(str8)
    timestamp: int | None = field(datetime)
    cluster_id: str | None = field(str8)


class FileQos(Command, code=(0x9, 0x1)):
    """How much may be under way."""

    prefetch_size: int | None = field(uint32)
    prefetch_count: int | None = field(uint16)
    global_: bool = bit()


class FileQosOk(Command, code=(0x9, 0x2)):
    """The quality of service is set."""


class FileConsume(Command, code=(0x9, 0x3)):
    """Start a consumer."""

    queue: str | None = field(str8)
    consumer_tag: str | None = field(str8)
    no_local: bool = bit()
    no_ack: bool = bit()
    exclusive: bool = bit()
    nowait: bool = bit()
    arguments: dict[str, Any] | None = field(map_)


class FileConsumeOk(Command, code=(0x9, 0x4)):
    """The consumer has started."""

    consumer_tag: str | None = field(str8)


class FileCancel(Command, code=(0x9, 0x5)):
    """End a consumer."""

    consumer_tag: str | None = field(str8)


class FileOpen(Command, code=(0x9, 0x6)):
    """Begin to stage a file."""

    identifier: str | None = field(str8)
    content_size: int | None = field(uint64)


class FileOpenOk(Command, code=(0x9, 0x7)):
    """Staging may go on, after so many bytes."""

    staged_size: int | None = field(uint64)


class FileStage(Command, code=(0x9, 0x8), content=True):
    """A file's content."""


class FilePublish(Command, code=(0x9, 0x9)):
    """Publish a staged file."""

    exchange: str | None = field(str8)
    routing_key: str | None = field(str8)
    mandatory: bool = bit()
    immediate: bool = bit()
    identifier: str | None = field(str8)


class FileReturn(Command, code=(0x9, 0xA), content=True):
    """A file that could not be delivered."""

    reply_code: int | None = field(uint16, FileReturnCode)
    reply_text: str | None = field(str8)
    exchange: str | None = field(str8)
    routing_key: str | None = field(str8)


class FileDeliver(Command, code=(0x9, 0xB)):
    """A staged file for a consumer."""

    consumer_tag: str | None = field(str8)
    delivery_tag: int | None = field(uint64)
    redelivered: bool = bit()
    exchange: str | None = field(str8)
    routing_key: str | None = field(str8)
    identifier: str | None = field(str8)


class FileAck(Command, code=(0x9, 0xC)):
    """Files are dealt with."""

    delivery_tag: int | None = field(uint64)
    multiple: bool = bit()


class FileReject(Command, code=(0x9, 0xD)):
    """A file cannot be dealt with."""

    delivery_tag: int | None = field(uint64)
    requeue: bool = bit()
