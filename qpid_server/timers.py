"""Things to do later, without a clock of their own: whoever drives the broker calls :meth:`Timers.run`."""

from __future__ import annotations

from collections.abc import Callable
from heapq import heapify, heappop, heappush
from itertools import count

__all__ = ["Timer", "Timers"]


_FEW = 100
"""Cancelled timers that nobody minds."""


class Timer:
    """One thing to do at a time."""

    __slots__ = ("_timers", "callback", "when")

    def __init__(self, timers: Timers, when: float, callback: Callable[[], None]) -> None:
        self._timers = timers
        self.when = when
        self.callback: Callable[[], None] | None = callback

    def cancel(self) -> None:
        """Do not do it; nothing happens if it is done already."""
        if self.callback is not None:
            self.callback = None
            self._timers.cancelled(self)


class Timers:
    """A set of timers on a clock that the caller reads (seconds)."""

    def __init__(self) -> None:
        self._heap: list[tuple[float, int, Timer]] = []
        self._number = count()
        self._cancelled = 0  # of those in the heap
        self.changed: Callable[[], None] | None = None
        """Called when a timer was set that is due before all others: the driver sleeps too long now."""

    def at(self, when: float, callback: Callable[[], None]) -> Timer:
        """Call back at or soon after `when`."""
        timer = Timer(self, when, callback)
        heappush(self._heap, (when, next(self._number), timer))
        if self._heap[0][2] is timer and self.changed is not None:
            self.changed()
        return timer

    def cancelled(self, timer: Timer) -> None:
        """A timer will not be needed: they go when they are more than the others, however late they are due."""
        self._cancelled += 1
        if self._cancelled > _FEW and 2 * self._cancelled > len(self._heap):
            self._heap = [item for item in self._heap if item[2].callback is not None]
            heapify(self._heap)
            self._cancelled = 0

    @property
    def due(self) -> float | None:
        """When :meth:`run` has something to do, None: never."""
        heap = self._heap
        while heap and heap[0][2].callback is None:
            heappop(heap)
            self._cancelled -= 1
        return heap[0][0] if heap else None

    def run(self, now: float) -> None:
        """Do all that is due."""
        while True:
            due = self.due
            if due is None or due > now:
                return
            timer = heappop(self._heap)[2]
            callback, timer.callback = timer.callback, None
            if callback is not None:
                callback()
