"""Long work of the management agent, a piece at a time, so that it holds nobody up."""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Iterator
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ..broker import Broker

__all__ = ["Turns"]

log = logging.getLogger(__name__)

# Seconds between pieces: more than nothing, or a coarse clock would do all of them in one turn.
_PAUSE = 0.001


class Turns:
    """Work that is done in pieces, one in each turn of the broker; several pieces of work take turns.

    Args:
        broker: whose timers call.
    """

    def __init__(self, broker: Broker) -> None:
        self._broker = broker
        self._waiting: deque[Iterator[None]] = deque()

    def start(self, work: Iterator[None]) -> None:
        """Do the first piece now, and the others later; a piece ends where the iterator gives something.

        What the first piece raises comes from here; what a later one raises ends that work.
        """
        if _goes_on(work):
            self._waiting.append(work)
            if len(self._waiting) == 1:
                self._call()

    def _call(self) -> None:
        broker = self._broker
        broker.timers.at(broker.clock() + _PAUSE, self._turn)

    def _turn(self) -> None:
        work = self._waiting.popleft()
        try:
            if _goes_on(work):
                self._waiting.append(work)
        except Exception:
            # The fault is ours, but it must not end the broker.
            log.exception("management failed at %r", work)
        if self._waiting:
            self._call()


def _goes_on(work: Iterator[None]) -> bool:
    for _ in work:
        return True
    return False
