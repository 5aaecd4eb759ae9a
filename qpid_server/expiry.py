"""The search for messages that outlived their time to live and that nobody asks for.

Delivery finds expired messages by itself. What lies on a queue without consumers is looked through now and then, a
bounded number of entries at a time, so that a large queue holds nobody up.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from .dispatch import expire
from .effects import Dequeue
from .line import AVAILABLE
from .queue import Queue, QueueEntry

if TYPE_CHECKING:
    from .broker import Broker

__all__ = ["start_purging"]

_AT_A_TIME = 5000


def start_purging(broker: Broker) -> None:
    """Search each ``queue-purge-interval``, from the broker's timers."""
    steps = _search(broker)
    broker.timers.at(broker.clock() + next(steps), lambda: _step(broker, steps))


def _step(broker: Broker, steps: Iterator[float]) -> None:
    broker.timers.at(broker.clock() + next(steps), lambda: _step(broker, steps))


def _search(broker: Broker) -> Iterator[float]:
    """Look through all queues again and again; gives the seconds to wait before each step."""
    while True:
        yield broker.options.queue_purge_interval
        yield from _search_once(broker)


def _search_once(broker: Broker) -> Iterator[float]:
    for queue in list(broker.queues.values()):
        if not queue.has_expiring or queue.deleted:
            continue
        found: list[QueueEntry] = []
        for number, entry in enumerate(queue.after(0), 1):
            expires = entry.message.expires
            if expires is not None and entry.state == AVAILABLE and expires <= broker.clock():
                found.append(entry)
            if number % _AT_A_TIME == 0:
                _drop(broker, queue, found)
                found = []
                yield 0.0
        _drop(broker, queue, found)


def _drop(broker: Broker, queue: Queue, found: list[QueueEntry]) -> None:
    found = [entry for entry in found if entry.state == AVAILABLE]
    # A backup drops what its primary dropped, and nothing else.
    if found and not queue.deleted and broker.journal.admits([Dequeue(queue, found)]):
        expire(broker, queue, found)
