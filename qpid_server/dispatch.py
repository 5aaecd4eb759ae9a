"""Handing out what a queue holds: to consumers in turn, to browsers from where they are.

Called once for a queue and read, for all that became possible since the last time.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from .effects import Dequeue
from .line import AVAILABLE
from .queue import Queue, QueueEntry

if TYPE_CHECKING:
    from .broker import Broker
    from .subscription import Subscription

__all__ = ["dispatch", "expire"]

_AT_A_TIME = 5000
"""Entries that nobody gets and that are looked at in one turn."""


def dispatch(broker: Broker, queue: Queue) -> None:
    """Deliver as long as there is a message and somebody with credit for it."""
    if queue.deleted:
        return
    now = broker.clock()
    serves = broker.journal.serves(queue)
    consumers = queue.consumers
    first = queue.line.first
    expired: list[QueueEntry] = []
    refused = 0
    while serves and consumers:
        subscription = next(iter(consumers))
        sieve = subscription.sieve
        entry = first(subscription) if sieve is None else sieve.first()
        if entry is None:
            if sieve is not None and sieve.unfinished:
                _go_on_later(broker, queue)
            refused += 1
            if not (queue.choosy or queue.sieves) or refused >= len(consumers):
                break
            consumers.move_to_end(subscription)
            continue
        assert isinstance(entry, QueueEntry)
        refused = 0
        expires = entry.message.expires
        if expires is not None and expires <= now:
            queue.acquire(entry)
            expired.append(entry)
            if len(expired) == _AT_A_TIME:
                _go_on_later(broker, queue)
                break
        elif not subscription.affords(entry.message.size):
            del consumers[subscription]
        else:
            queue.acquire(entry, subscription)
            subscription.deliver(entry, now)
            if len(consumers) > 1 and subscription in consumers:
                consumers.move_to_end(subscription)
    for browser in list(queue.browsers):
        _browse(broker, browser, now, expired if serves else None)
    for feed in queue.feeds:
        feed.pump()
    if expired:
        expire(broker, queue, expired)


def _browse(broker: Broker, browser: Subscription, now: float, expired: list[QueueEntry] | None) -> None:
    queue, cursor = browser.queue, browser.cursor
    passed = 0
    for entry in queue.unseen(cursor):
        message = entry.message
        if entry.state != AVAILABLE:
            passed += 1
        elif message.expires is not None and message.expires <= now:
            passed += 1
            if expired is not None:
                queue.acquire(entry)
                expired.append(entry)
        elif not browser.selects(entry):
            passed += 1
        elif not browser.affords(message.size):
            queue.browsers.pop(browser, None)
            return
        else:
            browser.deliver(entry, now)
        queue.seen(cursor, entry)
        if browser not in queue.browsers:
            return
        if passed == _AT_A_TIME:
            _go_on_later(broker, queue)
            return


def _go_on_later(broker: Broker, queue: Queue) -> None:
    def go_on() -> None:
        broker.dirty[queue] = None
        broker.settle()

    broker.timers.at(broker.clock(), go_on)


def expire(broker: Broker, queue: Queue, entries: list[QueueEntry]) -> None:
    """Messages outlived their time: they are gone."""
    queue.expired += len(entries)
    broker.do(Dequeue(queue, entries))
