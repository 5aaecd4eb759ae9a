"""What the broker tells those who watch it: management's events and objects, a store, tests."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .connection import ConnectionHandler
    from .exchange import Binding, Exchange
    from .queue import Queue
    from .session import SessionHandler
    from .subscription import Subscription

__all__ = ["Observer"]


class Observer:
    """Override what is of interest; nothing here does anything."""

    def queue_created(self, queue: Queue) -> None:
        """A queue is there."""

    def queue_declared_again(self, queue: Queue) -> None:
        """Somebody declared a queue that was there."""

    def queue_deleted(self, queue: Queue) -> None:
        """A queue is gone."""

    def exchange_created(self, exchange: Exchange) -> None:
        """An exchange is there."""

    def exchange_declared_again(self, exchange: Exchange) -> None:
        """Somebody declared an exchange that was there."""

    def exchange_deleted(self, exchange: Exchange) -> None:
        """An exchange is gone."""

    def threshold_crossed(self, queue: Queue, *, upward: bool) -> None:
        """A queue has more messages or bytes than its alert threshold, or fewer again."""

    def threshold_exceeded(self, queue: Queue) -> None:
        """A queue that was declared with an old name of the alert threshold has reached it, or is still beyond it."""

    def redirected(self, source: Queue, target: Queue, *, active: bool) -> None:
        """What is sent to one queue goes to another from now on, or no more."""

    def members_changed(self) -> None:
        """A broker joined or left the cluster, or its status changed."""

    def bound(self, binding: Binding) -> None:
        """A binding is there (those of the default exchange are not told)."""

    def unbound(self, binding: Binding) -> None:
        """A binding is gone."""

    def connected(self, connection: ConnectionHandler) -> None:
        """A connection is open: its user and properties are known."""

    def disconnected(self, connection: ConnectionHandler) -> None:
        """An open connection ended."""

    def connection_refused(self, connection: ConnectionHandler, reason: str) -> None:
        """A client failed to open its connection."""

    def attached(self, session: SessionHandler) -> None:
        """A session is attached."""

    def detached(self, session: SessionHandler) -> None:
        """A session is detached; its subscriptions are gone already."""

    def subscribed(self, subscription: Subscription) -> None:
        """A subscription is there."""

    def unsubscribed(self, subscription: Subscription) -> None:
        """A subscription is gone."""
