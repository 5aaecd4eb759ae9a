"""Messages to header and body segments and back: AMQP 0-10 delivery-properties, message-properties and content."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from ..address import ParseError, parse
from ..amqp.codec import decode_list, decode_map, encode_header, encode_list, encode_map
from ..amqp.commands import DeliveryMode, DeliveryProperties, MessageProperties, ReplyTo
from ..amqp.errors import EncodeError as WireEncodeError
from ..amqp.errors import ProtocolError
from ..amqp.values import Timestamp
from ..exceptions import DecodeError, EncodeError
from ..message import Message

#: The application header that carries a message's subject.
SUBJECT = "qpid.subject"
#: Properties that stand for fields of AMQP 0-10 that the API has no name for.
APP_ID = "x-amqp-0-10.app-id"
CONTENT_ENCODING = "x-amqp-0-10.content-encoding"
ROUTING_KEY = "x-amqp-0-10.routing-key"
TIMESTAMP = "x-amqp-0-10.timestamp"

_TEXT = ("text/plain", "text/plain; charset=utf8")


def encode_content(content: Any, content_type: str | None) -> bytes | None:
    """The body of a message; None for a message without one.

    Raises:
        EncodeError: the content does not fit the content type.
    """
    if content.__class__ is bytes:
        return content
    if content is None:
        return None
    try:
        if content_type == "amqp/map":
            return encode_map(content)
        if content_type == "amqp/list":
            return encode_list(content)
    except (WireEncodeError, AttributeError, TypeError, ValueError) as error:
        raise EncodeError(text=f"content of type {type(content).__name__} is no {content_type}: {error}") from error
    if isinstance(content, str):
        try:
            return content.encode()
        except UnicodeEncodeError as error:
            raise EncodeError(text=f"content is no {content_type}: {error}") from error
    if isinstance(content, (bytes, bytearray, memoryview)):
        return bytes(content)
    raise EncodeError(text=f"content of type {type(content).__name__} cannot be sent as {content_type}")


def decode_content(body: bytes | None, content_type: str | None) -> Any:
    """The content of a message.

    Raises:
        DecodeError: the body is not what the content type says.
    """
    if content_type is None or body is None:
        return body
    try:
        if content_type in _TEXT:
            return body.decode()
        if content_type == "amqp/map":
            return decode_map(body) if body else {}
        if content_type == "amqp/list":
            return decode_list(body) if body else []
    except (ProtocolError, UnicodeDecodeError) as error:
        raise DecodeError(text=f"content is no {content_type}: {error}") from error
    return body


def encode_message_header(message: Message, subject: str | None, routing_key: str | None) -> bytes:
    """The header segment of a message.

    Args:
        message: the message.
        subject: its subject, or the sender's.
        routing_key: the routing key.

    Raises:
        EncodeError: a field or property has a value that cannot be written.
    """
    properties = message.properties
    headers: dict[str, Any] | None = properties or None
    if subject is not None:
        headers = {**properties, SUBJECT: subject}
    durable = message.durable
    mode = None if durable is None else DeliveryMode.PERSISTENT if durable else DeliveryMode.NON_PERSISTENT
    try:
        return encode_header(
            DeliveryProperties(
                routing_key=routing_key,
                delivery_mode=mode,
                priority=message.priority,
                ttl=None if message.ttl is None else int(message.ttl * 1000),
            ),
            MessageProperties(
                message_id=_uuid(message.id),
                user_id=_octets(message.user_id),
                reply_to=None if not message.reply_to else to_reply_to(message.reply_to),
                correlation_id=_octets(message.correlation_id),
                app_id=_octets(properties.get(APP_ID)) if properties else None,
                content_type=message.content_type,
                content_encoding=properties.get(CONTENT_ENCODING) if properties else None,
                application_headers=headers,
            ),
        )
    except (WireEncodeError, AttributeError, TypeError, ValueError, OverflowError) as error:
        raise EncodeError(text=f"message cannot be encoded: {error}") from error


def fill_message(
    message: Message,
    delivery: DeliveryProperties | None,
    properties: MessageProperties | None,
    body: bytes | None,
    *,
    decode: bool = True,
) -> None:
    """Set every field of a received message.

    Args:
        message: the message.
        delivery: its delivery-properties.
        properties: its message-properties.
        body: its body.
        decode: whether maps and lists are decoded; otherwise they stay the bytes that came.

    Raises:
        DecodeError: the body is not what the content type says.
    """
    headers: dict[str, Any] | None = None
    content_type = None
    if properties is not None:
        headers = properties.application_headers
        content_type = properties.content_type
        if properties.message_id is not None:
            message.id = properties.message_id
        if properties.user_id is not None:
            message.user_id = _text(properties.user_id)
        if properties.correlation_id is not None:
            message.correlation_id = _text(properties.correlation_id)
        if properties.reply_to is not None:
            message.reply_to = from_reply_to(properties.reply_to)
        if headers is None:
            headers = {}
        else:
            message.subject = headers.get(SUBJECT)
        if properties.app_id is not None:
            headers[APP_ID] = _text(properties.app_id)
        if properties.content_encoding is not None:
            headers[CONTENT_ENCODING] = properties.content_encoding
    if headers is None:
        headers = {}
    if delivery is not None:
        if delivery.delivery_mode is not None:
            message.durable = delivery.delivery_mode == DeliveryMode.PERSISTENT
        message.priority = delivery.priority
        if delivery.ttl is not None:
            message.ttl = delivery.ttl / 1000
        message.redelivered = delivery.redelivered
        if delivery.routing_key is not None:
            headers[ROUTING_KEY] = delivery.routing_key
        if delivery.timestamp is not None:
            headers[TIMESTAMP] = Timestamp(delivery.timestamp)
    message.properties = headers
    message.content_type = content_type
    message.content = decode_content(body, content_type) if decode or content_type in _TEXT else body


def to_reply_to(address: str) -> ReplyTo:
    """The reply-to struct for an address: an exchange and a routing key.

    Raises:
        EncodeError: the address does not parse.
    """
    try:
        name, subject, options = parse(address)
    except ParseError as error:
        raise EncodeError(text=f"reply_to is no address: {error}") from error
    if ((options or {}).get("node") or {}).get("type") == "topic":
        return ReplyTo(exchange=name, routing_key=subject)
    return ReplyTo(routing_key=name)


def from_reply_to(reply_to: ReplyTo) -> str | None:
    """The address for a reply-to struct."""
    if not reply_to.exchange:
        return reply_to.routing_key
    if reply_to.routing_key is None:
        return f"{reply_to.exchange}; {{node: {{type: topic}}}}"
    return f"{reply_to.exchange}/{reply_to.routing_key}; {{node: {{type: topic}}}}"


def _octets(value: Any) -> bytes | None:
    return value.encode() if isinstance(value, str) else value


def _text(value: bytes) -> Any:
    """Octets that are UTF-8 nearly always; those that are not stay octets."""
    try:
        return value.decode()
    except UnicodeDecodeError:
        return value


def _uuid(value: Any) -> UUID | None:
    return UUID(value) if isinstance(value, str) else value
