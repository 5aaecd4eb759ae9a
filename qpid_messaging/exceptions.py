"""The exceptions of `qpid.messaging`: the same names, the same tree, the same attributes.

Applications catch these by class, so a class never moves in the tree. Most carry an AMQP 0-10 code (`code`), a sentence
(`text`) and whatever else is known (`info`).
"""

# The names are those of qpid.messaging; that one of them hides a builtin, and that few end in Error, is its choice.

from __future__ import annotations

from typing import Any

__all__ = [
    "AddressError",
    "AssertionFailed",
    "AuthenticationFailure",
    "ConnectError",
    "ConnectionClosed",
    "ConnectionError",
    "ContentError",
    "DecodeError",
    "Detached",
    "Empty",
    "EncodeError",
    "FetchError",
    "HeartbeatTimeout",
    "InsufficientCapacity",
    "InternalError",
    "InvalidOption",
    "LinkClosed",
    "LinkError",
    "MalformedAddress",
    "MessagingError",
    "NontransactionalSession",
    "NotFound",
    "ReceiverError",
    "ResolutionError",
    "SendError",
    "SenderError",
    "ServerError",
    "SessionClosed",
    "SessionError",
    "TargetCapacityExceeded",
    "Timeout",
    "TransactionAborted",
    "TransactionError",
    "TransactionUnknown",
    "UnauthorizedAccess",
    "VersionError",
]


class Timeout(Exception):
    """The time given to a blocking call has passed. Not a MessagingError, as in qpid.messaging."""


class MessagingError(Exception):
    """The base of everything that can go wrong in messaging.

    Args:
        code: the AMQP 0-10 code where there is one: a close-code, a detach-code or an error-code.
        text: what went wrong, for people.
        info: whatever else is known, by name.
    """

    def __init__(self, code: int | None = None, text: str | None = None, **info: Any) -> None:
        self.code = code
        self.text = text
        self.info = info
        message = str(text) if code is None else f"{text}({int(code)})"
        if info:
            message += " " + ", ".join(f"{name}={value!r}" for name, value in info.items())
        super().__init__(message)


class InternalError(MessagingError):
    """Something broke inside of the client."""


# -- connections


class ConnectionError(MessagingError):
    """The base of everything about connections, and what a lost one raises."""


class ConnectError(ConnectionError):
    """No connection to the remote peer came about."""


class VersionError(ConnectError):
    """The remote peer does not speak AMQP 0-10."""


class AuthenticationFailure(ConnectError):
    """The remote peer does not let us in, or there is no SASL mechanism that both sides have."""


class ConnectionClosed(ConnectionError):
    """The connection was closed by the application."""


class HeartbeatTimeout(ConnectionError):
    """Nothing came from the remote peer for twice the heartbeat interval."""


# -- sessions


class SessionError(MessagingError):
    """The base of everything about sessions."""


class Detached(SessionError):
    """The operation needs a connection that is attached."""


class NontransactionalSession(SessionError):
    """Commit or rollback on a session that is not transactional."""


class TransactionError(SessionError):
    """The base of everything about transactions."""


class TransactionAborted(TransactionError):
    """The transaction was rolled back: by an error on the broker, or because its connection was lost."""


class TransactionUnknown(TransactionError):
    """The connection was lost during a commit, and nobody can tell what became of the transaction."""


class UnauthorizedAccess(SessionError):
    """The broker does not allow this user to do that."""


class ServerError(SessionError):
    """The broker reports an error of its own."""


class SessionClosed(SessionError):
    """The session was closed."""


# -- links


class LinkError(MessagingError):
    """The base of everything about senders and receivers."""


class InsufficientCapacity(LinkError):
    """The sender's capacity is used up."""


class AddressError(LinkError):
    """The base of everything about addresses."""


class MalformedAddress(AddressError):
    """The address does not parse."""


class InvalidOption(AddressError):
    """The address has an option that does not exist or has a value that it cannot have."""


class ResolutionError(AddressError):
    """The base for addresses that name nothing usable."""


class AssertionFailed(ResolutionError):
    """The node is not what the address asserts."""


class NotFound(ResolutionError):
    """There is no such node."""


class LinkClosed(LinkError):
    """The sender or receiver was closed."""


class SenderError(LinkError):
    """The base of everything about senders."""


class SendError(SenderError):
    """A message could not be sent."""


class TargetCapacityExceeded(SendError):
    """The node has no room for the message."""


class ReceiverError(LinkError):
    """The base of everything about receivers."""


class FetchError(ReceiverError):
    """No message could be fetched."""


class Empty(FetchError):
    """No message came within the time allowed."""


# -- content


class ContentError(MessagingError):
    """The base of everything about a message's content: raised once, and later calls are not affected."""


class EncodeError(ContentError):
    """The content cannot be written in the message's content type."""


class DecodeError(ContentError):
    """The content is not what the message's content type says."""
