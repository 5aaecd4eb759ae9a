"""The names of C++ that the Python binding of the C++ client has beside those of `qpid.messaging`.

That binding is a module `qpid_messaging`, too. Most of it is spelt like `qpid.messaging` and needs nothing from here:
`session.sender(...)`, `message.content`, `receiver.capacity`. The rest is C++ shining through: `message.getContent()`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any
from uuid import UUID

from qpid_address import Address, parse

import qpid_messaging
from qpid_messaging import REJECTED, RELEASED, Connection, Disposition, Message, Receiver, Sender, Session
from qpid_messaging.message import UNSPECIFIED
from qpid_messaging.util import auto_fetch_reconnect_urls

if TYPE_CHECKING:
    from typing_extensions import Self

__all__ = ["Duration", "add_names"]


class Duration(float):
    """A time span: seconds, which is what timeouts are given in, made of milliseconds.

    Args:
        milliseconds: how long.
    """

    FOREVER: None = None
    IMMEDIATE: Duration
    SECOND: Duration
    MINUTE: Duration

    def __new__(cls, milliseconds: int) -> Self:
        return super().__new__(cls, milliseconds / 1000)

    def getMilliseconds(self) -> int:  # noqa: N802
        """How long, in milliseconds."""
        return round(self * 1000)


Duration.IMMEDIATE = Duration(0)
Duration.SECOND = Duration(1000)
Duration.MINUTE = Duration(60_000)


def _address(text: str, subject: str | None = None, options: dict[str, Any] | None = None) -> Address:
    """What the text says, or, with more than a text, the address of these parts."""
    return parse(text) if subject is None and options is None else Address(text, subject, options)


def _reader(attribute: str, unset: object) -> Callable[[Any], object]:
    def get(self: Any) -> object:
        value = getattr(self, attribute)
        return unset if value is None else value

    return get


def _writer(attribute: str) -> Callable[[Any, Any], None]:
    def set(self: Any, value: Any) -> None:
        setattr(self, attribute, value)

    return set


def _set_message_id(message: Message, text: str) -> None:
    message.id = UUID(text)


def _named(links: list[Any], name: str) -> Any:
    for link in links:
        if link._core.name == name:
            return link
    raise KeyError(name)


def _encode(content: dict[str, Any] | list[Any], message: Message) -> None:
    message.content = content
    message.content_type = "amqp/map" if isinstance(content, dict) else "amqp/list"


#: Fields of a message: name in C++, name here, and what the binding gives where a message has none.
_FIELDS = (
    ("Content", "content", ""),
    ("ContentObject", "content", None),
    ("ContentType", "content_type", ""),
    ("CorrelationId", "correlation_id", ""),
    ("Durable", "durable", False),
    ("Priority", "priority", 0),
    ("Properties", "properties", None),
    ("Redelivered", "redelivered", False),
    ("ReplyTo", "reply_to", ""),
    ("Subject", "subject", ""),
    ("Ttl", "ttl", 0),
    ("UserId", "user_id", ""),
)

_NAMES: dict[Any, dict[str, Any]] = {
    qpid_messaging: {
        "Address": _address,
        "Duration": Duration,
        "FailoverUpdates": auto_fetch_reconnect_urls,
        "UNSPECIFIED": UNSPECIFIED,
        "decodeList": lambda message: message.content,
        "decodeMap": lambda message: message.content,
        "encode": _encode,
    },
    Address: {
        "getName": lambda address: address.name,
        "getOptions": lambda address: address.options or {},
        "getSubject": lambda address: address.subject or "",
        "str": Address.__str__,
    },
    Connection: {
        "createSession": lambda connection, name="": connection.session(name or None),
        "createTransactionalSession": lambda connection, name="": connection.session(name or None, transactional=True),
        "getAuthenticatedUsername": _reader("auth_username", ""),
        "getSession": lambda connection, name: connection.sessions[connection._session_name(name)],
        "getUrl": lambda connection: f"{connection.host}:{connection.port}",
        "isOpen": Connection.opened,
    },
    Session: {
        "checkError": Session.check_error,
        "getConnection": _reader("connection", None),
        "getReceivable": lambda session: sum(receiver.available() for receiver in session.receivers),
        "getReceiver": lambda session, name: _named(session.receivers, name),
        "getSender": lambda session, name: _named(session.senders, name),
        "getUnsettledAcks": lambda session: len(session._core.acking),
        "hasError": lambda session: session.get_error() is not None,
        "reject": lambda session, message: session.acknowledge(message, Disposition(REJECTED)),
        "release": lambda session, message: session.acknowledge(message, Disposition(RELEASED)),
    },
    Message: {
        **{f"get{name}": _reader(attribute, unset) for name, attribute, unset in _FIELDS},
        **{f"set{name}": _writer(attribute) for name, attribute, _ in _FIELDS},
        "getContentSize": lambda message: len(message.content or ""),
        "getMessageId": lambda message: "" if message.id is None else str(message.id),
        "setMessageId": _set_message_id,
        "setProperty": lambda message, name, value: message.properties.__setitem__(name, value),
    },
    **{
        link: {
            "getAddress": lambda link: parse(link._core.address),
            "getCapacity": _reader("capacity", 0),
            "getName": lambda link: link._core.name,
            "getSession": _reader("session", None),
            "isClosed": _reader("closed", False),
            "setCapacity": _writer("capacity"),
        }
        for link in (Receiver, Sender)
    },
}


def add_names() -> None:
    """Give `qpid_messaging` and its classes the names of C++, where they have none such of their own."""
    for owner, names in _NAMES.items():
        for name, what in names.items():
            if not hasattr(owner, name):
                setattr(owner, name, what)
                if owner is qpid_messaging:
                    qpid_messaging.__all__.append(name)
