"""When managed objects came into being. Consoles are told; the broker itself has no use for it."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from ..observer import Observer

if TYPE_CHECKING:
    from ..connection import ConnectionHandler
    from ..exchange import Binding, Exchange
    from ..queue import Queue
    from ..session import SessionHandler
    from ..subscription import Subscription

__all__ = ["CreationTimes"]


class CreationTimes(Observer):
    """Remembers for each object when the broker told of it; what was there before counts from the agent's start.

    Args:
        now: nanoseconds since 1970.
    """

    def __init__(self, now: Callable[[], int]) -> None:
        self._now = now
        self.started = now()
        self._created: dict[object, int] = {}

    def of(self, item: object) -> int:
        """When the object came into being, in nanoseconds since 1970."""
        return self._created.get(item, self.started)

    def _add(self, item: object) -> None:
        self._created[item] = self._now()

    def _remove(self, item: object) -> None:
        self._created.pop(item, None)

    def queue_created(self, queue: Queue) -> None:
        """A queue is there."""
        self._add(queue)

    def queue_deleted(self, queue: Queue) -> None:
        """A queue is gone."""
        self._remove(queue)

    def exchange_created(self, exchange: Exchange) -> None:
        """An exchange is there."""
        self._add(exchange)

    def exchange_deleted(self, exchange: Exchange) -> None:
        """An exchange is gone."""
        self._remove(exchange)

    def bound(self, binding: Binding) -> None:
        """A binding is there."""
        self._add(binding)

    def unbound(self, binding: Binding) -> None:
        """A binding is gone."""
        self._remove(binding)

    def connected(self, connection: ConnectionHandler) -> None:
        """A connection is open."""
        self._add(connection)

    def disconnected(self, connection: ConnectionHandler) -> None:
        """A connection ended."""
        self._remove(connection)

    def attached(self, session: SessionHandler) -> None:
        """A session is attached."""
        self._add(session)

    def detached(self, session: SessionHandler) -> None:
        """A session is detached."""
        self._remove(session)

    def subscribed(self, subscription: Subscription) -> None:
        """A subscription is there."""
        self._add(subscription)

    def unsubscribed(self, subscription: Subscription) -> None:
        """A subscription is gone."""
        self._remove(subscription)
