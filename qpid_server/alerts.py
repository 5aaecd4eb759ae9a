"""Telling those who watch that a queue has much on it, and that it has not any more.

A queue has an upper and a lower threshold of messages and one of bytes (``qpid.alert_count_up`` and the like). Reaching
the upper one is told once, falling to the lower one is told once, and so on: a queue that hovers around one level says
nothing. A queue that was given no lower threshold also tells in the older way (queueThresholdExceeded), which is
repeated while it stays beyond, as often as ``qpid.alert_repeat_gap`` allows.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .broker import Broker
    from .queue import Queue
    from .queue_levels import Thresholds

__all__ = ["Alerts"]


class Alerts:
    """Watches one queue.

    Args:
        thresholds: what to look for.
    """

    __slots__ = ("_above", "_next", "_repeat", "_thresholds")

    def __init__(self, thresholds: Thresholds) -> None:
        self._thresholds = thresholds
        # Count and size are told each on its own, as the C++ broker does.
        self._above = [False, False]
        self._next = 0.0
        self._repeat = thresholds.legacy

    def grew(self, broker: Broker, queue: Queue) -> None:
        """A message was put on the queue."""
        count, size = self._thresholds.up
        depth, byte_depth = queue.depth, queue.byte_depth
        if (count and depth >= count) or (size and byte_depth >= size):
            self._reached(broker, queue, (bool(count) and depth >= count, bool(size) and byte_depth >= size))

    def _reached(self, broker: Broker, queue: Queue, which: tuple[bool, bool]) -> None:
        for number, reached in enumerate(which):
            if not reached:
                continue
            if not self._above[number]:
                self._above[number] = True
                if broker.may_dequeue(queue):
                    for observer in broker.observers:
                        observer.threshold_crossed(queue, upward=True)
                    self._exceeded(broker, queue)
            elif self._repeat and broker.clock() >= self._next and broker.may_dequeue(queue):
                self._exceeded(broker, queue)

    def _exceeded(self, broker: Broker, queue: Queue) -> None:
        if self._repeat:
            self._next = broker.clock() + self._thresholds.repeat_gap
            for observer in broker.observers:
                observer.threshold_exceeded(queue)

    def shrank(self, broker: Broker, queue: Queue) -> None:
        """Messages left the queue."""
        if not any(self._above):
            return
        for number, depth in enumerate((queue.depth, queue.byte_depth)):
            if self._above[number] and depth <= self._thresholds.down[number]:
                self._above[number] = False
                if broker.may_dequeue(queue):
                    for observer in broker.observers:
                        observer.threshold_crossed(queue, upward=False)
