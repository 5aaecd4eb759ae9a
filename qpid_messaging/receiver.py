"""The blocking Receiver."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from .constants import Constant
from .core.receiver import ReceiverCore
from .core.session import checked_capacity
from .endpoint import Endpoint
from .exceptions import Empty, LinkClosed, Timeout

if TYPE_CHECKING:
    from types import TracebackType

    from typing_extensions import Self

    from .core.delivery import Delivery
    from .message import Message
    from .session import Session

__all__ = ["Receiver"]


class Receiver(Endpoint):
    """Receives messages from one address. Made by `Session.receiver`.

    Attributes:
        session: the session that it belongs to.
        id: its number in the session.
        source: the address as given; a temporary node (`#`) has a name by now.
        options: the options as given.
    """

    _core: ReceiverCore

    def __init__(
        self,
        session: Session,
        core: ReceiverCore,
        id: int,
        source: str,
        options: dict[str, Any],
    ) -> None:
        self.session = session
        self.id = id
        self.source = source
        self.options = options
        self._core = core
        self._driver = session._driver
        self._lock = session._driver.lock
        core.owner = self

    def __repr__(self) -> str:
        return f"<Receiver {self.source!r}>"

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is None:
            self.close()

    # -- state -------------------------------------------------------------------------------------------------

    @property
    def capacity(self) -> int | Constant:
        """How many messages may come ahead of being fetched."""
        return self._core.capacity

    @capacity.setter
    def capacity(self, capacity: int | Constant) -> None:
        with self._lock:
            self._core.set_capacity(checked_capacity(capacity))
            self._driver.flush()

    @property
    def linked(self) -> bool:
        """Whether the receiver is linked to its node now."""
        return self._core.linked

    @property
    def closed(self) -> bool:
        """Whether it is closed, by request or by an error."""
        return self._core.closed

    def available(self) -> int:
        """How many messages have come and were not fetched."""
        with self._lock:
            return self._core.available()

    def unsettled(self) -> int:
        """How many acknowledged messages the broker has not confirmed."""
        with self._lock:
            return self._core.unsettled()

    def get_error(self) -> Exception | None:
        return self.session.get_error() or self._core.error

    def check_closed(self) -> None:
        if self._core.closed:
            raise LinkClosed(text=f"receiver from {self.source!r} is closed")

    def _is_closed(self) -> bool:
        return self._core.closed

    # -- verbs -------------------------------------------------------------------------------------------------

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
            core = self._core
            delivery = core.take() if core.session._error is None else None
            if delivery is None:
                delivery = self._fetch(timeout)
            elif core.session.connection.wire is not None and core.session.connection.wire.has_output:
                self._driver.appended(0)
        return delivery.message()

    def _fetch(self, timeout: float | None) -> Delivery:
        """Wait for the link, then for a message, and then ask the broker whether it really has none."""
        core = self._core
        self._ecwait(lambda: core.linked)
        core.fetching += 1
        try:
            core.grant()
            taken: list[Delivery] = []
            if not self._ecwait(lambda: self._take(taken), timeout):
                core.drain()
                self._ecwait(lambda: self._take(taken) or not core.draining)
        finally:
            core.fetching -= 1
        if not taken and not self._take(taken):
            core.grant()
            self._driver.flush()
            raise Empty(text=f"no message at {self.source!r}")
        return taken[0]

    def _take(self, taken: list[Delivery]) -> bool:
        if not taken:
            delivery = self._core.take()
            if delivery is not None:
                taken.append(delivery)
        return bool(taken)

    def close(self, timeout: float | None = None) -> None:
        """Close the receiver. What came and was not fetched goes back; what was fetched can still be acknowledged.

        Args:
            timeout: seconds; None is for ever.

        Raises:
            Timeout: it was not done in time.
        """
        with self._lock:
            core = self._core
            if core.closed:
                return
            core.closing = True
            core.session.reconcile()
            if not self.session._ewait(lambda: core.closed, timeout):
                raise Timeout("receiver close timed out")
