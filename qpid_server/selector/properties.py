"""What the identifiers of a selector stand for.

A name that begins with ``amqp.`` is a property of the message, ``JMS...`` names are other names of some of these, and
every other name is an application header. The C++ broker's names:

=========================  ==================  ============================================================
amqp.delivery_mode         JMSDeliveryMode     'PERSISTENT' or 'NON_PERSISTENT'
amqp.priority              JMSPriority         0 to 9
amqp.redelivered           JMSRedelivered      whether it was delivered before
amqp.subject               JMSType             the subject (header ``qpid.subject``)
amqp.correlation_id        JMSCorrelationID    text
amqp.message_id            JMSMessageID        text
amqp.to                    JMSDestination      the routing key
amqp.reply_to              JMSReplyTo          exchange and routing key
amqp.creation_time         JMSTimestamp        arrival in milliseconds since 1970, 0 where it is not written down
amqp.absolute_expiry_time  JMSExpiration       milliseconds since 1970, 0 for a message that does not expire
=========================  ==================  ============================================================
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ..message import Message
    from .values import Value

__all__ = ["Properties", "property_of"]


class Properties:
    """The properties of one message, for the time of one question."""

    __slots__ = ("_headers", "message", "redelivered")

    def __init__(self, message: Message, *, redelivered: bool = False) -> None:
        self.message = message
        self.redelivered = redelivered
        self._headers: Mapping[str, Any] | None = None

    def header(self, name: str) -> Value:
        """An application header; None where there is none, or nothing that a selector could use."""
        headers = self._headers
        if headers is None:
            headers = self._headers = self.message.application_headers
        value = headers.get(name)
        if isinstance(value, bytes):
            return value.decode("utf-8", "replace")
        return value if isinstance(value, (bool, int, float, str)) else None


def _delivery_mode(of: Properties) -> Value:
    return "PERSISTENT" if of.message.durable else "NON_PERSISTENT"


def _correlation_id(of: Properties) -> Value:
    identity = of.message.properties.correlation_id
    return identity.decode("utf-8", "replace") if identity else None


def _message_id(of: Properties) -> Value:
    identity = of.message.properties.message_id
    return None if identity is None else str(identity)


def _reply_to(of: Properties) -> Value:
    reply_to = of.message.properties.reply_to
    if reply_to is None:
        return None
    return "/".join(part for part in (reply_to.exchange, reply_to.routing_key) if part) or None


def _creation_time(of: Properties) -> Value:
    return 1000 * (of.message.delivery_properties.timestamp or 0)


def _expiry_time(of: Properties) -> Value:
    delivery = of.message.delivery_properties
    if delivery.expiration:
        return 1000 * delivery.expiration
    if not delivery.ttl:
        return 0
    return 1000 * delivery.timestamp + delivery.ttl if delivery.timestamp else None


_SPECIAL: dict[str, Callable[[Properties], Value]] = {
    "delivery_mode": _delivery_mode,
    "priority": lambda of: of.message.priority,
    "redelivered": lambda of: of.redelivered,
    "subject": lambda of: of.header("qpid.subject") or None,
    "correlation_id": _correlation_id,
    "message_id": _message_id,
    "to": lambda of: of.message.routing_key or None,
    "reply_to": _reply_to,
    "creation_time": _creation_time,
    "absolute_expiry_time": _expiry_time,
}
_JMS = {
    "JMSType": "subject",
    "JMSCorrelationID": "correlation_id",
    "JMSMessageID": "message_id",
    "JMSDeliveryMode": "delivery_mode",
    "JMSRedelivered": "redelivered",
    "JMSPriority": "priority",
    "JMSDestination": "to",
    "JMSReplyTo": "reply_to",
    "JMSTimestamp": "creation_time",
    "JMSExpiration": "absolute_expiry_time",
}


def property_of(name: str) -> Callable[[Properties], Value]:
    """How to find the value of an identifier: what AMQP and JMS reserve and nobody defined is unknown."""
    if name.startswith("amqp."):
        return _SPECIAL.get(name[len("amqp.") :], lambda of: None)
    if name.startswith("JMS") and not name.startswith(("JMSX", "JMS_")):
        return _SPECIAL.get(_JMS.get(name, ""), lambda of: None)
    return lambda of: of.header(name)
