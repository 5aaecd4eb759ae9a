"""Class 0x8: queues."""

from __future__ import annotations

from typing import Any

from qpid_messaging.amqp.schema import Command, Struct, bit, field
from qpid_messaging.amqp.types import map_, str8, uint32


class QueueQueryResult(Struct, code=(0x8, 0x1), size=4):
    """The result of queue.query."""

    queue: str | None = field(str8)
    alternate_exchange: str | None = field(str8)
    durable: bool = bit()
    exclusive: bool = bit()
    auto_delete: bool = bit()
    arguments: dict[str, Any] | None = field(map_)
    message_count: int | None = field(uint32)
    subscriber_count: int | None = field(uint32)


class QueueDeclare(Command, code=(0x8, 0x1)):
    """Make a queue, or (passive) check that it is there."""

    queue: str | None = field(str8)
    alternate_exchange: str | None = field(str8)
    passive: bool = bit()
    durable: bool = bit()
    exclusive: bool = bit()
    auto_delete: bool = bit()
    arguments: dict[str, Any] | None = field(map_)


class QueueDelete(Command, code=(0x8, 0x2)):
    """Delete a queue."""

    queue: str | None = field(str8)
    if_unused: bool = bit()
    if_empty: bool = bit()


class QueuePurge(Command, code=(0x8, 0x3)):
    """Remove all messages that nobody has acquired."""

    queue: str | None = field(str8)


class QueueQuery(Command, code=(0x8, 0x4), result=QueueQueryResult):
    """Ask what a queue is and how many messages and subscribers it has."""

    queue: str | None = field(str8)
