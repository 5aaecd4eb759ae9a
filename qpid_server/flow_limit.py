"""Producer flow control: who fills a queue that has much on it waits until there is room again.

Beyond ``qpid.flow_stop_count`` or ``qpid.flow_stop_size`` the transfers that come are stored, but not completed, so
that their senders, whose capacity is bounded, stop; once the queue is below ``qpid.flow_resume_count`` and
``qpid.flow_resume_size`` they are. As on the C++ broker a commit is not held up, and queues that drop messages for
newer ones have no flow control.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .queue import Queue, QueueEntry
    from .queue_levels import FlowSettings

__all__ = ["FlowLimit"]

log = logging.getLogger(__name__)


class FlowLimit:
    """The flow control of one queue.

    Args:
        settings: when to stop and when to resume.

    Attributes:
        stopped: there is too much on the queue: completions of transfers wait.
        stops: how often that has come to be.
    """

    __slots__ = ("_settings", "_waiting", "stopped", "stops")

    def __init__(self, settings: FlowSettings) -> None:
        self._settings = settings
        self._waiting: dict[QueueEntry, Callable[[], None]] = {}
        self.stopped = False
        self.stops = 0

    def grew(self, queue: Queue) -> None:
        """A message was put on the queue."""
        settings = self._settings
        if not self.stopped and (
            (settings.stop_count and queue.depth > settings.stop_count)
            or (settings.stop_size and queue.byte_depth > settings.stop_size)
        ):
            self.stopped = True
            self.stops += 1
            log.info("queue %s: %d messages, %d bytes: producers wait", queue.name, queue.depth, queue.byte_depth)

    def hold(self, entry: QueueEntry, resume: Callable[[], None]) -> None:
        """Call back once the queue takes messages again, or this one has left it."""
        self._waiting[entry] = resume

    def shrank(self, queue: Queue, gone: Iterable[QueueEntry]) -> None:
        """Messages left the queue."""
        settings = self._settings
        if (
            self.stopped
            and (not settings.resume_count or queue.depth < settings.resume_count)
            and (not settings.resume_size or queue.byte_depth < settings.resume_size)
        ):
            self.release()
            log.info("queue %s: %d messages, %d bytes: producers go on", queue.name, queue.depth, queue.byte_depth)
        elif self._waiting:
            for entry in gone:
                resume = self._waiting.pop(entry, None)
                if resume is not None:
                    resume()

    def release(self) -> None:
        """Let everybody go on: there is room, or the queue is gone."""
        self.stopped = False
        waiting, self._waiting = self._waiting, {}
        for resume in waiting.values():
            resume()
