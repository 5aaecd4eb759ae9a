"""Telling the broker what became of messages, and hearing that it knows."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ..amqp.commands import Command, MessageAccept, MessageReject, MessageRelease
from ..constants import REJECTED, RELEASED
from ..exceptions import SessionError
from .transfers import transfer_ids

if TYPE_CHECKING:
    from .delivery import Delivery
    from .session import SessionCore


def settlement(deliveries: list[Delivery]) -> Command:
    """The command for the disposition that these have in common.

    Raises:
        SessionError: there is no such disposition.
    """
    transfers = transfer_ids(d.transfer_id for d in deliveries if d.transfer_id is not None)
    disposition = deliveries[0].disposition
    if disposition is None or disposition.type is None:
        return MessageAccept(transfers=transfers)
    if disposition.type is RELEASED:
        return MessageRelease(transfers=transfers, **disposition.options)
    if disposition.type is REJECTED:
        return MessageReject(transfers=transfers, **disposition.options)
    raise SessionError(text=f"no such disposition: {disposition!r}")


class Settled:
    """Goes with an accept, release or reject."""

    __slots__ = ("_deliveries", "_session")

    def __init__(self, session: SessionCore, deliveries: list[Delivery]) -> None:
        self._session = session
        self._deliveries = deliveries

    def completed(self) -> None:
        self._session.settled(self._deliveries)

    def result(self, id: int, value: Any) -> None:
        """None of them has a result."""


class Committed:
    """Goes with a commit."""

    __slots__ = ("_session",)

    def __init__(self, session: SessionCore) -> None:
        self._session = session

    def completed(self) -> None:
        self._session.committed()

    def result(self, id: int, value: Any) -> None:
        """A commit has no result."""


class Selected:
    """Goes with the selection of transactions."""

    __slots__ = ("_session",)

    def __init__(self, session: SessionCore) -> None:
        self._session = session

    def completed(self) -> None:
        self._session.selected = True

    def result(self, id: int, value: Any) -> None:
        """It has no result."""
