"""The blocking Sender."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from .constants import Constant
from .core.link import LinkState
from .core.sender import SenderCore
from .core.session import checked_capacity
from .endpoint import Endpoint
from .exceptions import InsufficientCapacity, LinkClosed, Timeout
from .message import Message

if TYPE_CHECKING:
    from types import TracebackType

    from typing_extensions import Self

    from .session import Session

__all__ = ["Sender"]


class Sender(Endpoint):
    """Sends messages to one address. Made by `Session.sender`.

    Attributes:
        session: the session that it belongs to.
        id: its number in the session.
        target: the address as given; a temporary node (`#`) has a name by now.
        options: the options as given.
    """

    _core: SenderCore

    def __init__(
        self,
        session: Session,
        core: SenderCore,
        id: int,
        target: str,
        options: dict[str, Any],
    ) -> None:
        self.session = session
        self.id = id
        self.target = target
        self.options = options
        self._core = core
        self._driver = session._driver
        self._lock = session._driver.lock
        core.owner = self

    def __repr__(self) -> str:
        return f"<Sender {self.target!r}>"

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
        """How many messages may be sent without the broker having completed them."""
        return self._core.capacity

    @capacity.setter
    def capacity(self, capacity: int | Constant) -> None:
        with self._driver.lock:
            self._core.capacity = checked_capacity(capacity)
            self._driver.notify()

    @property
    def durable(self) -> bool | None:
        """Whether messages that do not say are durable."""
        return self._core.durable

    @durable.setter
    def durable(self, durable: bool | None) -> None:
        self._core.durable = durable

    @property
    def linked(self) -> bool:
        """Whether the sender is linked to its node now."""
        return self._core.linked

    @property
    def closed(self) -> bool:
        """Whether it is closed, by request or by an error."""
        return self._core.closed

    def unsettled(self) -> int:
        """How many messages the broker has not completed."""
        with self._driver.lock:
            return self._core.unsettled()

    def available(self) -> int | Constant:
        """How many more messages the capacity allows."""
        with self._driver.lock:
            return self._core.available()

    def get_error(self) -> Exception | None:
        return self.session.get_error() or self._core.error

    def check_closed(self) -> None:
        if self._core.closed:
            raise LinkClosed(text=f"sender to {self.target!r} is closed")

    def _is_closed(self) -> bool:
        return self._core.closed

    # -- verbs -------------------------------------------------------------------------------------------------

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
        with self._lock:
            core = self._core
            session = core.session
            if (
                core.state is not LinkState.LINKED
                or session.recovering
                or session._error is not None
                or session.closing
                or core.closing
                or not core.has_capacity()
            ):
                self._await_sendable(timeout)
            size = core.send(message, sync)
            if sync:
                self.sync(timeout)
            else:
                self._driver.appended(size)

    def _await_sendable(self, timeout: float | None) -> None:
        core = self._core
        self.check_error()
        self.session._check_attached()
        if core.closing:
            raise LinkClosed(text=f"sender to {self.target!r} is closed")
        self._ecwait(lambda: core.linked, timeout)
        if core.capacity == 0:
            raise InsufficientCapacity(text="capacity = 0")
        if not core.has_capacity():
            core.ask()
            if not self._ecwait(core.has_capacity, timeout):
                raise InsufficientCapacity(text=f"capacity = {core.capacity}")

    def sync(self, timeout: float | None = None) -> None:
        """Wait until the broker has completed all that was sent.

        Args:
            timeout: seconds; None is for ever.

        Raises:
            Timeout: it has not in time.
        """
        with self._lock:
            core = self._core
            goal = core.queued
            if core.settled >= goal:
                return
            core.ask()
            if not self._ewait(lambda: core.settled >= goal, timeout):
                raise Timeout("sender sync timed out")

    def close(self, timeout: float | None = None) -> None:
        """Close the sender, after a `sync`; delete its node where the address says so.

        Args:
            timeout: seconds for each step; None is for ever.

        Raises:
            Timeout: a step was not done in time.
        """
        with self._lock:
            core = self._core
            if core.closed:
                return
            self.sync(timeout=timeout)
            core.closing = True
            core.session.reconcile()
            if not self.session._ewait(lambda: core.closed, timeout):
                raise Timeout("sender close timed out")
