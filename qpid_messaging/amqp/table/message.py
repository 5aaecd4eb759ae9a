"""Class 0x4: messages, subscriptions and their flow."""

from __future__ import annotations

from enum import IntEnum
from typing import Any
from uuid import UUID

from qpid_messaging.amqp.ranges import RangeSet
from qpid_messaging.amqp.schema import Command, Struct, bit, field, struct
from qpid_messaging.amqp.types import (
    datetime,
    map_,
    sequence_set,
    str8,
    str16,
    uint8,
    uint16,
    uint32,
    uint64,
    uuid,
    vbin16,
)


class AcceptMode(IntEnum):
    """Whether a transfer has to be accepted explicitly."""

    EXPLICIT = 0
    NONE = 1


class AcquireMode(IntEnum):
    """Whether a message belongs to the subscriber when it arrives."""

    PRE_ACQUIRED = 0
    NOT_ACQUIRED = 1


class RejectCode(IntEnum):
    """Why a message is rejected."""

    UNSPECIFIED = 0
    UNROUTABLE = 1
    IMMEDIATE = 2


class DeliveryMode(IntEnum):
    """Whether a message has to survive a broker's restart."""

    NON_PERSISTENT = 1
    PERSISTENT = 2


class DeliveryPriority(IntEnum):
    """Names of the priorities."""

    LOWEST = 0
    LOWER = 1
    LOW = 2
    BELOW_AVERAGE = 3
    MEDIUM = 4
    ABOVE_AVERAGE = 5
    HIGH = 6
    HIGHER = 7
    VERY_HIGH = 8
    HIGHEST = 9


class FlowMode(IntEnum):
    """Whether credit is used up, or comes back with completion."""

    CREDIT = 0
    WINDOW = 1


class CreditUnit(IntEnum):
    """What credit is counted in."""

    MESSAGE = 0
    BYTE = 1


class DeliveryProperties(Struct, code=(0x4, 0x1), size=4):
    """A message's header for those who deliver it. Times are seconds since 1970, ttl and resume-ttl milliseconds."""

    discard_unroutable: bool = bit()
    immediate: bool = bit()
    redelivered: bool = bit()
    priority: int | None = field(uint8, DeliveryPriority)
    delivery_mode: int | None = field(uint8, DeliveryMode)
    ttl: int | None = field(uint64)
    timestamp: int | None = field(datetime)
    expiration: int | None = field(datetime)
    exchange: str | None = field(str8)
    routing_key: str | None = field(str8)
    resume_id: str | None = field(str16)
    resume_ttl: int | None = field(uint64)


class FragmentProperties(Struct, code=(0x4, 0x2), size=4):
    """A message that is one piece of a larger one."""

    first: bool = bit()
    last: bool = bit()
    fragment_size: int | None = field(uint64)


class ReplyTo(Struct, size=2):
    """Where an answer shall be sent."""

    exchange: str | None = field(str8)
    routing_key: str | None = field(str8)


class MessageProperties(Struct, code=(0x4, 0x3), size=4):
    """A message's header for those who read it."""

    content_length: int | None = field(uint64)
    message_id: UUID | None = field(uuid)
    correlation_id: bytes | None = field(vbin16)
    reply_to: ReplyTo | None = struct(ReplyTo)
    content_type: str | None = field(str8)
    content_encoding: str | None = field(str8)
    user_id: bytes | None = field(vbin16)
    app_id: bytes | None = field(vbin16)
    application_headers: dict[str, Any] | None = field(map_)


class Acquired(Struct, code=(0x4, 0x4), size=4):
    """The result of message.acquire: the transfers that were acquired."""

    transfers: RangeSet | None = field(sequence_set)


class MessageResumeResult(Struct, code=(0x4, 0x5), size=4):
    """The result of message.resume: how many bytes have arrived."""

    offset: int | None = field(uint64)


class MessageTransfer(Command, code=(0x4, 0x1), content=True):
    """A message, to an exchange (from a client) or to a subscription (from a broker)."""

    destination: str | None = field(str8)
    accept_mode: int | None = field(uint8, AcceptMode)
    acquire_mode: int | None = field(uint8, AcquireMode)


class MessageAccept(Command, code=(0x4, 0x2)):
    """These transfers are dealt with and may be forgotten."""

    transfers: RangeSet | None = field(sequence_set)


class MessageReject(Command, code=(0x4, 0x3)):
    """These transfers cannot be dealt with."""

    transfers: RangeSet | None = field(sequence_set)
    code: int | None = field(uint16, RejectCode)
    text: str | None = field(str8)


class MessageRelease(Command, code=(0x4, 0x4)):
    """These transfers are given back, to be delivered again."""

    transfers: RangeSet | None = field(sequence_set)
    set_redelivered: bool = bit()


class MessageAcquire(Command, code=(0x4, 0x5), result=Acquired):
    """Ask for exclusive use of messages that were delivered unacquired."""

    transfers: RangeSet | None = field(sequence_set)


class MessageResume(Command, code=(0x4, 0x6), result=MessageResumeResult):
    """Go on with an interrupted transfer."""

    destination: str | None = field(str8)
    resume_id: str | None = field(str16)


class MessageSubscribe(Command, code=(0x4, 0x7)):
    """Ask for a queue's messages under the name of a destination."""

    queue: str | None = field(str8)
    destination: str | None = field(str8)
    accept_mode: int | None = field(uint8, AcceptMode)
    acquire_mode: int | None = field(uint8, AcquireMode)
    exclusive: bool = bit()
    resume_id: str | None = field(str16)
    resume_ttl: int | None = field(uint64)
    arguments: dict[str, Any] | None = field(map_)


class MessageCancel(Command, code=(0x4, 0x8)):
    """End a subscription."""

    destination: str | None = field(str8)


class MessageSetFlowMode(Command, code=(0x4, 0x9)):
    """Choose credit or window for a destination."""

    destination: str | None = field(str8)
    flow_mode: int | None = field(uint8, FlowMode)


class MessageFlow(Command, code=(0x4, 0xA)):
    """Give a destination credit; 0xFFFFFFFF is without limit."""

    destination: str | None = field(str8)
    unit: int | None = field(uint8, CreditUnit)
    value: int | None = field(uint32)


class MessageFlush(Command, code=(0x4, 0xB)):
    """Deliver what there is, up to the credit, then take the credit back."""

    destination: str | None = field(str8)


class MessageStop(Command, code=(0x4, 0xC)):
    """Take all credit back."""

    destination: str | None = field(str8)
