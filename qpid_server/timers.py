"""Things to do later, without a clock of their own: whoever drives the broker calls :meth:`Timers.run`."""

from __future__ import annotations

from collections.abc import Callable
from heapq import heappop, heappush
from itertools import count

__all__ = ["Timer", "Timers"]


class Timer:
    """One thing to do at a time."""

    __slots__ = ("callback", "when")

    def __init__(self, when: float, callback: Callable[[], None]) -> None:
        self.when = when
        self.callback: Callable[[], None] | None = callback

    def cancel(self) -> None:
        """Do not do it."""
        self.callback = None


class Timers:
    """A set of timers on a clock that the caller reads (seconds)."""

    def __init__(self) -> None:
        self._heap: list[tuple[float, int, Timer]] = []
        self._number = count()
        self.changed: Callable[[], None] | None = None
        """Called when a timer was set that is due before all others: the driver sleeps too long now."""

    def at(self, when: float, callback: Callable[[], None]) -> Timer:
        """Call back at or soon after `when`."""
        timer = Timer(when, callback)
        heappush(self._heap, (when, next(self._number), timer))
        if self._heap[0][2] is timer and self.changed is not None:
            self.changed()
        return timer

    @property
    def due(self) -> float | None:
        """When :meth:`run` has something to do, None: never."""
        heap = self._heap
        while heap and heap[0][2].callback is None:
            heappop(heap)
        return heap[0][0] if heap else None

    def run(self, now: float) -> None:
        """Do all that is due."""
        while True:
            due = self.due
            if due is None or due > now:
                return
            callback = heappop(self._heap)[2].callback
            if callback is not None:
                callback()
