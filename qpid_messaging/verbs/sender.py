"""A sender's state, and what its verbs do."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ..core.link import LinkState
from ..core.session import checked_capacity
from ..endpoint import Endpoint
from ..exceptions import InsufficientCapacity, LinkClosed, Timeout

if TYPE_CHECKING:
    from ..constants import Constant
    from ..core.sender import SenderCore
    from ..message import Message
    from .session import SessionVerbs
    from .waiting import Verb


class SenderVerbs(Endpoint):
    """What a Sender is, but for how it waits.

    Attributes:
        session: the session that it belongs to.
        id: its number in the session.
        target: the address as given; a temporary node (`#`) has a name by now.
        options: the options as given.
    """

    _core: SenderCore

    def __init__(
        self, session: SessionVerbs[Any, Any], core: SenderCore, id: int, target: str, options: dict[str, Any]
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
    def threshold(self) -> float:
        """The part of the capacity, 0 to 1, that may be left before the broker is asked what it has completed."""
        return self._core.threshold

    @threshold.setter
    def threshold(self, threshold: float) -> None:
        self._core.threshold = threshold

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
    def closing(self) -> bool:
        """Whether `close` was called."""
        return self._core.closing

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

    # -- what verbs do -----------------------------------------------------------------------------------------

    def _has_to_wait(self) -> bool:
        """Whether a message cannot be sent right now, or not at all."""
        core = self._core
        session = core.session
        return (
            core.state is not LinkState.LINKED
            or session.recovering
            or session._error is not None
            or session.closing
            or core.closing
            or not core.has_capacity()
        )

    def _await_sendable(self, timeout: float | None) -> Verb[None]:
        core = self._core
        self.check_error()
        self.session._check_attached()
        if core.closing:
            raise LinkClosed(text=f"sender to {self.target!r} is closed")
        yield from self._ecwait(lambda: core.linked, timeout)
        if core.capacity == 0:
            raise InsufficientCapacity(text="capacity = 0")
        if not core.has_capacity():
            core.ask()
            if not (yield from self._ecwait(core.has_capacity, timeout)):
                raise InsufficientCapacity(text=f"capacity = {core.capacity}")

    def _send_at_once(self, message: Message) -> bool:
        """Send a message that nobody waits for, unless it has to wait itself. Returns whether it is sent."""
        if self._has_to_wait():
            return False
        self._driver.appended(self._core.send(message, False))
        return True

    def _send(self, message: Message, sync: bool, timeout: float | None) -> Verb[None]:
        if self._has_to_wait():
            yield from self._await_sendable(timeout)
        size = self._core.send(message, sync)
        if sync:
            yield from self._sync(timeout)
        else:
            self._driver.appended(size)

    def _sync(self, timeout: float | None) -> Verb[None]:
        core = self._core
        goal = core.queued
        if core.settled >= goal:
            return
        core.ask()
        if not (yield from self._ewait(lambda: core.closed or core.settled >= goal, timeout)):
            raise Timeout("sender sync timed out")
        if core.settled < goal:
            self.check_closed()

    def _close(self, timeout: float | None) -> Verb[None]:
        core = self._core
        if core.closed:
            return
        try:
            yield from self._sync(timeout)
            core.close()
            if not (yield from self.session._ewait(lambda: core.closed, timeout)):
                raise Timeout("sender close timed out")
        except Exception:
            raise
        except BaseException:
            self._give_up()
            raise

    def _give_up(self) -> None:
        """Close without waiting for it."""
        self._core.close()
        self._driver.wake()
