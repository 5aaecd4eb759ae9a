"""Keeps Python's cyclic garbage collector from stopping the broker while millions of messages wait.

A full collection looks at every object there is: a tenth of a second for each few hundred thousand messages, which are
never part of a cycle. So what has come to stay is set aside (:func:`gc.freeze`), where no collection looks at it;
reference counts free it all the same when it goes. What collections are for would stay for ever if it were set aside,
too. The broker's own objects are not in cycles once they are done with; a little of a closed connection is, in the
event loop: after very many of those, and whenever it is quick, everything is looked at again.
"""

from __future__ import annotations

import gc
from typing import TYPE_CHECKING

from .observer import Observer

if TYPE_CHECKING:
    from .broker import Broker
    from .connection import ConnectionHandler

__all__ = ["GarbageKeeper"]

#: New objects, less those that went, that make a collection of the youngest, two milliseconds' work; and as good as
#: never: those of the older generations, which would look again at messages that stay.
THRESHOLDS = (50_000, 1_000, 1_000)
INTERVAL = 1.0
"""Seconds between looks at how much there is."""
MANY = 20_000
"""Messages that have come, from which on they are set aside; where there are no more in all, a full look is quick."""
CLOSED = 20_000
"""Connections whose remains may wait."""


class GarbageKeeper(Observer):
    """Decides what the collector looks at, for the whole process.

    Args:
        broker: the only one of the process.
    """

    def __init__(self, broker: Broker) -> None:
        self._broker = broker
        self._closed = 0
        self._set_aside = 0
        """Messages there were when things were set aside last."""

    def start(self) -> None:
        """Set aside what the process began with, and go on as needed."""
        gc.collect()
        gc.freeze()
        gc.set_threshold(*THRESHOLDS)
        self._broker.observers.append(self)
        self._tick()

    def disconnected(self, connection: ConnectionHandler) -> None:
        """Its remains may be a cycle."""
        self._closed += 1

    def _tick(self) -> None:
        broker = self._broker
        held = sum(queue.depth for queue in broker.queues.values())
        if self._closed >= CLOSED or (self._closed and held <= MANY):
            gc.unfreeze()
            gc.collect()
            self._set_aside = self._closed = 0
        if abs(held - self._set_aside) > MANY or not self._set_aside:
            gc.freeze()
            self._set_aside = held
        broker.timers.at(broker.clock() + INTERVAL, self._tick)
