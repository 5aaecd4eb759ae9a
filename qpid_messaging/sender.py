"""The blocking Sender."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from .message import Message
from .verbs.sender import SenderVerbs

if TYPE_CHECKING:
    from types import TracebackType

    from typing_extensions import Self

    from .driver import Driver
    from .session import Session

__all__ = ["Sender"]


class Sender(SenderVerbs):
    """Sends messages to one address. Made by `Session.sender`.

    Attributes:
        session: the session that it belongs to.
        id: its number in the session.
        target: the address as given; a temporary node (`#`) has a name by now.
        options: the options as given.
    """

    session: Session
    _driver: Driver

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is None:
            self.close()

    def send(self, object: Any, sync: bool = True, timeout: float | None = None) -> None:
        """Send a message.

        With `reconnect`, a message whose completion the broker did not tell before it was lost is sent again to the
        next one; a broker that keeps sessions stores it once.

        Args:
            object: a Message, or content for one: text, bytes, a map or a list.
            sync: whether to wait until the broker has completed it.
            timeout: seconds to wait for the link, for capacity and for the completion; None is for ever.

        Raises:
            EncodeError: a field or the content cannot be written.
            InsufficientCapacity: the capacity was used up all the time.
            Timeout: the broker did not complete it in time.
            Detached: the connection is detached, or the session is closing.
            LinkClosed: the sender is closed.
        """
        message = object if isinstance(object, Message) else Message(object)
        if not sync:
            with self._lock:
                if self._send_at_once(message):
                    return
        self._driver.run(self._send(message, sync, timeout))

    def sync(self, timeout: float | None = None) -> None:
        """Wait until the broker has completed all that was sent.

        Args:
            timeout: seconds; None is for ever.

        Raises:
            Timeout: it has not in time.
        """
        self._driver.run(self._sync(timeout))

    def close(self, timeout: float | None = None) -> None:
        """Close the sender, after a `sync`; delete its node where the address says so.

        Args:
            timeout: seconds for each step; None is for ever.

        Raises:
            Timeout: a step was not done in time.
        """
        self._driver.run(self._close(timeout))
