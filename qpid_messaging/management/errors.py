"""What can go wrong in management."""

from __future__ import annotations

from ..exceptions import MessagingError

__all__ = ["AgentError", "ManagementError", "NoResponse", "ObjectDeleted"]


class ManagementError(MessagingError):
    """The base of everything about management."""


class AgentError(ManagementError):
    """The agent refused a request, or could not do what was asked.

    Args:
        status: QMF v2's `error_code` (see `qmf.Status`).
        text: the agent's `error_text`.
    """

    def __init__(self, status: int, text: str) -> None:
        super().__init__(code=status, text=text)
        self.status = status


class NoResponse(ManagementError):
    """The agent did not answer within the time allowed."""


class ObjectDeleted(ManagementError):
    """The managed object exists no more."""
