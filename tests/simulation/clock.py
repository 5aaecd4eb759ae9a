"""A clock that goes on when nobody has anything to do any more, to the next moment at which something happens."""

from __future__ import annotations

from collections.abc import Callable
from math import isinf

import trio.abc

from qpid_server.timers import Timers


class Clock(trio.abc.Clock):
    """Virtual time for trio, and what the world itself does at some time, without a task.

    Attributes:
        now: seconds since the world began.
    """

    def __init__(self) -> None:
        self.now = 0.0
        self._timers = Timers()

    def after(self, seconds: float, do: Callable[[], None]) -> None:
        """Do something later."""
        self._timers.at(self.now + seconds, do)

    # -- for trio

    def start_clock(self) -> None:
        """It stands at 0."""

    def current_time(self) -> float:
        return self.now

    def deadline_to_sleep_time(self, deadline: float) -> float:
        """trio asks how long it may sleep, since no task can go on: not at all, it is that late already."""
        due = self._timers.due
        if due is not None:
            deadline = min(deadline, due)
        if isinf(deadline):
            raise RuntimeError("everybody waits for something that never comes")
        self.now = max(self.now, deadline)
        self._timers.run(self.now)
        return 0
