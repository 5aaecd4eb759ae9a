"""SIGSTOP for a process that is a bunch of trio's tasks: they get no turn while the clock goes on.

Tasks belong to the process whose name stood in `PROCESS` when they were started. Whatever happens to those of a stopped
one (bytes come, time-outs pass) is kept for when it goes on, as a kernel keeps it.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from contextvars import ContextVar

import trio
from trio._core import _run  # its queue is the one place that every turn of a task comes by

PROCESS: ContextVar[str] = ContextVar("process", default="")
"""Name of the process that a task belongs to; empty for what is never stopped."""


class Turns(deque[trio.lowlevel.Task]):
    """trio's queue of tasks that can go on, without those of stopped processes."""

    def __init__(self, tasks: Iterable[trio.lowlevel.Task]) -> None:
        super().__init__(tasks)
        self._held: dict[str, list[trio.lowlevel.Task]] = {}

    @classmethod
    def install(cls) -> Turns:
        """Take the place of the running loop's queue."""
        runner = _run.GLOBAL_RUN_CONTEXT.runner
        runner.runq = turns = cls(runner.runq)
        return turns

    def append(self, task: trio.lowlevel.Task) -> None:
        """A task can go on."""
        held = self._held.get(task.context.get(PROCESS, "")) if self._held else None
        if held is None:
            super().append(task)
        else:
            held.append(task)

    def stop(self, process: str) -> None:
        """SIGSTOP."""
        self._held.setdefault(process, [])

    def resume(self, process: str) -> None:
        """SIGCONT."""
        for task in self._held.pop(process, ()):
            super().append(task)

    def stopped(self, process: str) -> bool:
        """Whether it is stopped."""
        return process in self._held
