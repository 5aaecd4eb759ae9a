"""The blocking Receiver."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .verbs.receiver import ReceiverVerbs

if TYPE_CHECKING:
    from types import TracebackType

    from typing_extensions import Self

    from .driver import Driver
    from .message import Message
    from .session import Session

__all__ = ["Receiver"]


class Receiver(ReceiverVerbs):
    """Receives messages from one address. Made by `Session.receiver`.

    Attributes:
        session: the session that it belongs to.
        id: its number in the session.
        source: the address as given; a temporary node (`#`) has a name by now.
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

    def fetch(self, timeout: float | None = None) -> Message:
        """The next message. It is to be acknowledged through the session.

        Args:
            timeout: seconds to wait for it; 0 gives one that the broker has now; None waits for ever.

        Raises:
            Empty: there was none in time.
            DecodeError: its content is not what its content type says; it is to be acknowledged all the same.
            LinkClosed: the receiver is closed.
        """
        with self._lock:
            delivery = self._take()
        if delivery is None:
            delivery = self._driver.run(self._fetch(timeout))
        return delivery.message()

    def close(self, timeout: float | None = None) -> None:
        """Close the receiver. What came and was not fetched goes back; what was fetched can still be acknowledged.

        Args:
            timeout: seconds; None is for ever.

        Raises:
            Timeout: it was not done in time.
        """
        self._driver.run(self._close(timeout))
