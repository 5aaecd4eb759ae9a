"""A receiver's state, and what its verbs do."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ..core.session import checked_capacity
from ..endpoint import Endpoint
from ..exceptions import Empty, LinkClosed, Timeout

if TYPE_CHECKING:
    from ..constants import Constant
    from ..core.delivery import Delivery
    from ..core.receiver import ReceiverCore
    from .session import SessionVerbs
    from .waiting import Verb


class ReceiverVerbs(Endpoint):
    """What a Receiver is, but for how it waits.

    Attributes:
        session: the session that it belongs to.
        id: its number in the session.
        source: the address as given; a temporary node (`#`) has a name by now.
        options: the options as given.
    """

    _core: ReceiverCore

    def __init__(
        self, session: SessionVerbs[Any, Any], core: ReceiverCore, id: int, source: str, options: dict[str, Any]
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
    def threshold(self) -> float:
        """The part of the capacity, 0 to 1, that may be left before the broker is asked for more messages."""
        return self._core.threshold

    @threshold.setter
    def threshold(self, threshold: float) -> None:
        self._core.threshold = threshold

    @property
    def linked(self) -> bool:
        """Whether the receiver is linked to its node now."""
        return self._core.linked

    @property
    def closing(self) -> bool:
        """Whether `close` was called."""
        return self._core.closing

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

    # -- what verbs do -----------------------------------------------------------------------------------------

    def _take(self) -> Delivery | None:
        """The next message, if one is here."""
        core = self._core
        delivery = core.take() if core.session._error is None else None
        if delivery is not None:
            if core.fetching:
                # It may have come for one of those that wait, who would have no credit left.
                core.grant()
            wire = core.session.connection.wire
            if wire is not None and wire.has_output:
                self._driver.appended(0)
        return delivery

    def _fetch(self, timeout: float | None) -> Verb[Delivery]:
        """Wait for the link, then for a message, and then ask the broker whether it really has none."""
        delivery = self._take()
        if delivery is not None:
            return delivery
        core = self._core
        yield from self._ecwait(lambda: core.linked)
        core.fetching += 1
        try:
            core.grant()
            if not (yield from self._ecwait(core.has_message, timeout)):
                core.drain()
                yield from self._ecwait(lambda: core.has_message() or not core.draining)
            delivery = core.take()
        except BaseException:
            core.fetching -= 1
            core.withdraw()
            self._driver.wake()
            raise
        core.fetching -= 1
        if delivery is None:
            core.grant()
            self._driver.flush()
            raise Empty(text=f"no message at {self.source!r}")
        return delivery

    def _close(self, timeout: float | None) -> Verb[None]:
        core = self._core
        if core.closed:
            return
        core.close()
        if not (yield from self.session._ewait(lambda: core.closed, timeout)):
            raise Timeout("receiver close timed out")

    def _give_up(self) -> None:
        """Close without waiting for it."""
        self._core.close()
        self._driver.wake()
