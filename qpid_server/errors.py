"""Errors that end a session or a connection, with the AMQP 0-10 codes that the peer is told.

A command handler raises a :class:`SessionError`; the session answers with ``execution.exception`` and detaches
(AMQP 0-10, execution.exception, error-code). :class:`CloseConnection` closes the whole connection.
"""

from __future__ import annotations

from typing import ClassVar

__all__ = [
    "CloseConnection",
    "CommandInvalid",
    "IllegalArgument",
    "IllegalState",
    "InternalFailure",
    "InvalidArgument",
    "NotAllowed",
    "NotFound",
    "NotImplementedFeature",
    "PreconditionFailed",
    "ResourceDeleted",
    "ResourceLimitExceeded",
    "ResourceLocked",
    "SessionError",
    "UnauthorizedAccess",
]


class SessionError(Exception):
    """A command failed: its session ends with ``execution.exception(code, description)``.

    Args:
        text: description for the peer; the name of the error is put before it.
    """

    code: ClassVar[int] = 541
    name: ClassVar[str] = "internal-error"

    @property
    def description(self) -> str:
        """What the peer reads: the error's name and the reason."""
        return f"{self.name}: {self.args[0] if self.args else ''}"


class UnauthorizedAccess(SessionError):
    """403: the user may not do that."""

    code = 403
    name = "unauthorized-access"


class NotFound(SessionError):
    """404: no queue, exchange, binding or subscription of that name."""

    code = 404
    name = "not-found"


class ResourceLocked(SessionError):
    """405: exclusive to another session."""

    code = 405
    name = "resource-locked"


class PreconditionFailed(SessionError):
    """406: if-unused or if-empty does not hold, or a transaction command came out of place."""

    code = 406
    name = "precondition-failed"


class ResourceDeleted(SessionError):
    """408: the queue was deleted under a subscription."""

    code = 408
    name = "resource-deleted"


class IllegalState(SessionError):
    """409: the command is not allowed in the present state."""

    code = 409
    name = "illegal-state"


class CommandInvalid(SessionError):
    """503: unknown command, or one that makes no sense here."""

    code = 503
    name = "command-invalid"


class ResourceLimitExceeded(SessionError):
    """506: a limit of the broker or of a queue."""

    code = 506
    name = "resource-limit-exceeded"


class NotAllowed(SessionError):
    """530: never allowed, for example a second subscription of one name."""

    code = 530
    name = "not-allowed"


class IllegalArgument(SessionError):
    """531: a value that has no meaning here."""

    code = 531
    name = "illegal-argument"


class NotImplementedFeature(SessionError):
    """540: part of the protocol, or of the C++ broker, that this broker does not have; the text names it."""

    code = 540
    name = "not-implemented"


class InternalFailure(SessionError):
    """541: the broker's own fault."""

    code = 541
    name = "internal-error"


class InvalidArgument(SessionError):
    """542: an argument with a value that is out of its domain."""

    code = 542
    name = "invalid-argument"


class CloseConnection(Exception):
    """The connection cannot go on: it is closed with ``connection.close(code, text)``.

    Args:
        code: connection close-code (200, 320, 402, 501 ...).
        text: reason for the peer and for the log.
    """

    def __init__(self, code: int, text: str) -> None:
        super().__init__(text)
        self.code = code
        self.text = text
