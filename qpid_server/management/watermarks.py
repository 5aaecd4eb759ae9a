"""The highest and lowest number of consumers and bindings in the reporting interval."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..observer import Observer
from ..queue import Queue

if TYPE_CHECKING:
    from ..exchange import Binding, Exchange
    from ..subscription import Subscription
    from .agent import Agent

__all__ = ["Watermarks"]


class _Mark:
    """One number's extremes since an interval began."""

    __slots__ = ("high", "interval", "low")

    def __init__(self, interval: int, value: int) -> None:
        self.interval = interval
        self.low = self.high = value


class Watermarks(Observer):
    """Follows the numbers as they change; what does not change in an interval costs nothing.

    Args:
        agent: whose reporting interval counts.
    """

    def __init__(self, agent: Agent) -> None:
        self._agent = agent
        self._consumers: dict[Queue, _Mark] = {}
        self._bindings: dict[Queue | Exchange, _Mark] = {}

    def consumers(self, queue: Queue) -> dict[str, int]:
        """consumerCount of a queue."""
        return self._told("consumerCount", self._consumers.get(queue), len(queue.subscriptions))

    def bindings(self, item: Queue | Exchange) -> dict[str, int]:
        """bindingCount of a queue or exchange."""
        return self._told("bindingCount", self._bindings.get(item), len(item.bindings))

    def unacknowledged(self, queue: Queue) -> dict[str, int]:
        """unackedMessages of a queue: what is so now, since to follow each message would cost each message."""
        return self._told("unackedMessages", None, queue.acquired)

    @property
    def _interval(self) -> int:
        agent = self._agent
        return int((agent.broker.clock() - agent.broker.started) / agent.interval)

    def _told(self, name: str, mark: _Mark | None, value: int) -> dict[str, int]:
        if mark is None or mark.interval != self._interval:
            return {name: value, f"{name}High": value, f"{name}Low": value}
        return {name: value, f"{name}High": mark.high, f"{name}Low": mark.low}

    def _changed(self, mark: _Mark | None, before: int, after: int) -> _Mark:
        interval = self._interval
        if mark is None or mark.interval != interval:
            mark = _Mark(interval, before)
        mark.low = min(mark.low, after)
        mark.high = max(mark.high, after)
        return mark

    # -- what happens

    def queue_created(self, queue: Queue) -> None:
        """It is bound to the default exchange."""
        self._bindings[queue] = self._changed(None, 0, len(queue.bindings))
        self._consumers[queue] = self._changed(None, 0, 0)
        self._bound(self._agent.broker.default_exchange, 1)

    def queue_deleted(self, queue: Queue) -> None:
        """It has no numbers any more."""
        self._bindings.pop(queue, None)
        self._consumers.pop(queue, None)
        self._bound(self._agent.broker.default_exchange, -1)

    def exchange_deleted(self, exchange: Exchange) -> None:
        """It has no numbers any more."""
        self._bindings.pop(exchange, None)

    def bound(self, binding: Binding) -> None:
        """One binding more."""
        self._bound(binding.exchange, 1)
        if isinstance(binding.destination, Queue):
            self._bound(binding.destination, 1)

    def unbound(self, binding: Binding) -> None:
        """One binding less."""
        self._bound(binding.exchange, -1)
        if isinstance(binding.destination, Queue):
            self._bound(binding.destination, -1)

    def _bound(self, item: Queue | Exchange, change: int) -> None:
        if not item.deleted:
            after = len(item.bindings)
            self._bindings[item] = self._changed(self._bindings.get(item), after - change, after)

    def subscribed(self, subscription: Subscription) -> None:
        """One consumer more."""
        self._subscribed(subscription.queue, 1)

    def unsubscribed(self, subscription: Subscription) -> None:
        """One consumer less."""
        self._subscribed(subscription.queue, -1)

    def _subscribed(self, queue: Queue, change: int) -> None:
        if not queue.deleted:
            after = len(queue.subscriptions)
            self._consumers[queue] = self._changed(self._consumers.get(queue), after - change, after)
