"""Class 0xa: streams. No broker known to us implements it; it is here so that the table is whole."""

from __future__ import annotations

from enum import IntEnum
from typing import Any

from qpid_messaging.amqp.schema import Command, Struct, bit, field
from qpid_messaging.amqp.types import datetime, map_, str8, uint8, uint16, uint32, uint64


class StreamReturnCode(IntEnum):
    """Why a message came back."""

    CONTENT_TOO_LARGE = 311
    NO_ROUTE = 312
    NO_CONSUMERS = 313


class StreamProperties(Struct, code=(0xA, 0x1), size=4):
    """A stream message's header."""

    content_type: str | None = field(str8)
    content_encoding: str | None = field(str8)
    headers: dict[str, Any] | None = field(map_)
    priority: int | None = field(uint8)
    timestamp: int | None = field(datetime)


class StreamQos(Command, code=(0xA, 0x1)):
    """How much may be under way, and how fast."""

    prefetch_size: int | None = field(uint32)
    prefetch_count: int | None = field(uint16)
    consume_rate: int | None = field(uint32)
    global_: bool = bit()


class StreamQosOk(Command, code=(0xA, 0x2)):
    """The quality of service is set."""


class StreamConsume(Command, code=(0xA, 0x3)):
    """Start a consumer."""

    queue: str | None = field(str8)
    consumer_tag: str | None = field(str8)
    no_local: bool = bit()
    exclusive: bool = bit()
    nowait: bool = bit()
    arguments: dict[str, Any] | None = field(map_)


class StreamConsumeOk(Command, code=(0xA, 0x4)):
    """The consumer has started."""

    consumer_tag: str | None = field(str8)


class StreamCancel(Command, code=(0xA, 0x5)):
    """End a consumer."""

    consumer_tag: str | None = field(str8)


class StreamPublish(Command, code=(0xA, 0x6), content=True):
    """Publish a message."""

    exchange: str | None = field(str8)
    routing_key: str | None = field(str8)
    mandatory: bool = bit()
    immediate: bool = bit()


class StreamReturn(Command, code=(0xA, 0x7), content=True):
    """A message that could not be delivered."""

    reply_code: int | None = field(uint16, StreamReturnCode)
    reply_text: str | None = field(str8)
    exchange: str | None = field(str8)
    routing_key: str | None = field(str8)


class StreamDeliver(Command, code=(0xA, 0x8), content=True):
    """A message for a consumer."""

    consumer_tag: str | None = field(str8)
    delivery_tag: int | None = field(uint64)
    exchange: str | None = field(str8)
    queue: str | None = field(str8)
