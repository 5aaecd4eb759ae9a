"""A message as the broker holds it: the header and body bytes that came in, decoded only as far as routing needs.

The header segment of a ``message.transfer`` (AMQP 0-10, message class) is a run of structs, each with its size before
it. Only ``message.delivery-properties`` is looked at for every message, and the same few bytes come again and again
from one producer, so their decoded form is remembered. A delivery sends the same bytes on; where ``redelivered``,
``ttl`` or ``resume-id`` change, only that one struct is encoded anew.
"""

from __future__ import annotations

from typing import Any

from qpid_messaging.amqp.codec import decode_struct32, encode_struct32
from qpid_messaging.amqp.commands import DeliveryProperties, MessageProperties
from qpid_messaging.amqp.errors import ProtocolError

__all__ = ["NO_DELIVERY_PROPERTIES", "Message", "ReplicationId", "format_resume_id", "parse_resume_id"]

# (epoch counter, broker id), number
ReplicationId = tuple[tuple[int, str], int]

NO_DELIVERY_PROPERTIES = DeliveryProperties()
_DELIVERY_FIELDS = (
    "discard_unroutable",
    "immediate",
    "redelivered",
    "priority",
    "delivery_mode",
    "ttl",
    "timestamp",
    "expiration",
    "exchange",
    "routing_key",
    "resume_id",
    "resume_ttl",
)
_DELIVERY_CODE = b"\x04\x01"
_MESSAGE_CODE = b"\x04\x03"
_USER_ID_FLAG = 0x40  # of the first octet of message-properties' packing flags

_EXCHANGE_ALONE = 9  # delivery-properties with an exchange's name and nothing else, without the name

_CACHE_LIMIT = 4096
_CACHED_SIZE_LIMIT = 512
_delivery_cache: dict[bytes, DeliveryProperties] = {}
# Where a header has its delivery properties, and what they are: many producers send the same header all the time.
_headers: dict[bytes, tuple[int, int, DeliveryProperties]] = {}


def format_resume_id(identity: ReplicationId) -> str:
    """The text under which a client sees a replication id (delivery-properties.resume-id)."""
    (counter, broker), number = identity
    return f"{counter}:{broker}:{number}"


def parse_resume_id(text: str) -> ReplicationId | None:
    """The replication id that :func:`format_resume_id` made the text from, None for any other text."""
    counter, _, rest = text.partition(":")
    broker, _, number = rest.rpartition(":")
    if counter.isascii() and counter.isdigit() and number.isascii() and number.isdigit():
        return (int(counter), broker), int(number)
    return None


def _find(header: bytes, code: bytes) -> tuple[int, int]:
    """Start and end of the struct of that code, size included; (0, 0) when there is none."""
    offset, end = 0, len(header)
    while offset < end:
        if offset + 6 > end:
            raise ProtocolError("a header struct is cut short", offset=offset)
        following = offset + 4 + int.from_bytes(header[offset : offset + 4], "big")
        if following > end or following < offset + 6:
            raise ProtocolError("a header struct has a wrong size", offset=offset)
        if header[offset + 4 : offset + 6] == code:
            return offset, following
        offset = following
    return 0, 0


class Message:
    """One message, shared by all the queues that it is on.

    Args:
        destination: name of the exchange that it was sent to.
        header: payload of the header segment, None where the transfer had none.
        body: payload of the body segment, None where the transfer had none.
        replication_id: identity in the replicated log; the HA journal sets it.

    Raises:
        ProtocolError: the header's structs do not fit their sizes, or the delivery properties do not decode.
    """

    __slots__ = (
        "_end",
        "_properties",
        "_start",
        "body",
        "delivery_properties",
        "destination",
        "expires",
        "header",
        "publisher",
        "replication_id",
        "routing_key",
        "size",
    )

    def __init__(
        self, destination: str, header: bytes | None, body: bytes | None, replication_id: ReplicationId | None = None
    ) -> None:
        self.destination = destination
        self.header = header
        self.body = body
        self.replication_id = replication_id
        self.expires: float | None = None
        """Time of expiry on the broker's clock, in seconds; None: never."""
        self.publisher = 0
        """The number of the connection that it came from, 0 where that is not known: it is not replicated."""
        self._properties: MessageProperties | None = None
        size = len(header or b"") + len(body or b"")
        delivery = NO_DELIVERY_PROPERTIES
        start = end = 0
        if header:
            known = _headers.get(header)
            if known is None:
                known = _look_into(header)
            start, end, delivery = known
            if delivery.exchange is None:
                size += len(destination) + (1 if end else _EXCHANGE_ALONE)
        self.size = size
        """What limits, byte credit and statistics count: the header and body payloads, and the exchange's name, which
        the C++ broker writes into the delivery properties of every message."""
        self._start = start
        self._end = end
        self.delivery_properties = delivery
        """Decoded delivery properties: shared between messages, never to be changed."""
        self.routing_key: str = delivery.routing_key or ""

    def anew(self) -> Message:
        """The same message without its replication id: to be enqueued again."""
        copy = Message(self.destination, self.header, self.body)
        copy.expires = self.expires
        copy.publisher = self.publisher
        return copy

    @property
    def properties(self) -> MessageProperties:
        """The message properties, decoded when they are first asked for."""
        if self._properties is None:
            header = self.header or b""
            start, end = _find(header, _MESSAGE_CODE)
            self._properties = MessageProperties()
            if end:
                struct, _ = decode_struct32(header, start)
                assert isinstance(struct, MessageProperties)
                self._properties = struct
        return self._properties

    @property
    def application_headers(self) -> dict[str, Any]:
        """message-properties.application-headers, empty where there are none."""
        return self.properties.application_headers or {}

    def with_header(self, name: str, value: Any) -> Message:
        """The same message with one application header more, or with another value of it."""
        header = self.header or b""
        start, end = _find(header, _MESSAGE_CODE)
        if end:
            properties, _ = decode_struct32(header, start)
            assert isinstance(properties, MessageProperties)
        else:
            start = end = len(header)
            properties = MessageProperties()
        properties.application_headers = {**(properties.application_headers or {}), name: value}
        header = header[:start] + encode_struct32(properties) + header[end:]
        copy = Message(self.destination, header, self.body, self.replication_id)
        copy.expires = self.expires
        copy.publisher = self.publisher
        return copy

    @property
    def user_id(self) -> bytes | None:
        """message-properties.user-id; the struct is decoded only if the field is there."""
        header = self.header
        if header:
            start, end = _find(header, _MESSAGE_CODE)
            if end - start > 6 and header[start + 6] & _USER_ID_FLAG:
                return self.properties.user_id
        return None

    @property
    def content_size(self) -> int:
        """Size of the body in bytes."""
        return len(self.body) if self.body is not None else 0

    @property
    def ttl(self) -> int | None:
        """Time to live that the sender asked for, in milliseconds."""
        return self.delivery_properties.ttl or None

    @property
    def durable(self) -> bool:
        """The sender asked for persistence."""
        return self.delivery_properties.delivery_mode == 2

    @property
    def priority(self) -> int:
        """Priority 0 to 9, 4 where the sender said nothing."""
        priority = self.delivery_properties.priority
        return 4 if priority is None else int(priority)

    def header_for(
        self,
        *,
        redelivered: bool = False,
        ttl: int | None = None,
        resume_id: str | None = None,
        timestamp: int | None = None,
    ) -> bytes:
        """The header payload with delivery properties as this delivery needs them.

        Args:
            redelivered: the message may have been delivered before.
            ttl: what is left of the time to live, in milliseconds.
            resume_id: identity for a subscription that asked for it.
            timestamp: time of arrival, in seconds since 1970.
        """
        changed = DeliveryProperties()
        original = self.delivery_properties
        for name in _DELIVERY_FIELDS:
            setattr(changed, name, getattr(original, name))
        if redelivered:
            changed.redelivered = True
        if ttl is not None:
            changed.ttl = ttl
        if resume_id is not None:
            changed.resume_id = resume_id
        if timestamp is not None:
            changed.timestamp = timestamp
        header = self.header or b""
        return header[: self._start] + encode_struct32(changed) + header[self._end :]

    def __repr__(self) -> str:
        return f"<Message to {self.destination!r} key {self.routing_key!r}, {self.size} bytes>"


def _look_into(header: bytes) -> tuple[int, int, DeliveryProperties]:
    start, end = _find(header, _DELIVERY_CODE)
    found = start, end, _decode_delivery(header[start:end]) if end else NO_DELIVERY_PROPERTIES
    if len(header) <= _CACHED_SIZE_LIMIT:
        if len(_headers) >= _CACHE_LIMIT:
            _headers.clear()
        _headers[header] = found
    return found


def _decode_delivery(raw: bytes) -> DeliveryProperties:
    known = _delivery_cache.get(raw)
    if known is not None:
        return known
    struct, _ = decode_struct32(raw, 0)
    assert isinstance(struct, DeliveryProperties)
    if len(raw) <= _CACHED_SIZE_LIMIT:
        if len(_delivery_cache) >= _CACHE_LIMIT:
            _delivery_cache.clear()
        _delivery_cache[raw] = struct
    return struct
