"""Handing out what a queue holds: to consumers in turn, to browsers from where they are.

Called once for a queue and read, for all that became possible since the last time.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from .effects import Dequeue
from .line import AVAILABLE, UNCONFIRMED
from .queue import Queue, QueueEntry

if TYPE_CHECKING:
    from .broker import Broker
    from .subscription import Subscription

__all__ = ["dispatch", "expire"]


def dispatch(broker: Broker, queue: Queue) -> None:
    """Deliver as long as there is a message and somebody with credit for it."""
    if queue.deleted:
        return
    now = broker.clock()
    decides = broker.may_dequeue(queue)
    consumers = queue.consumers
    first = queue.line.first
    expired: list[QueueEntry] = []
    while decides and consumers:
        entry = first()
        if entry is None:
            break
        assert isinstance(entry, QueueEntry)
        subscription = next(iter(consumers))
        expires = entry.message.expires
        if expires is not None and expires <= now:
            queue.acquire(entry)
            expired.append(entry)
        elif not subscription.affords(entry.message.size):
            del consumers[subscription]
        else:
            queue.acquire(entry, subscription)
            subscription.deliver(entry, now)
            if len(consumers) > 1 and subscription in consumers:
                consumers.move_to_end(subscription)
    for browser in list(queue.browsers):
        _browse(browser, queue, now, expired if decides else None)
    if expired:
        expire(broker, queue, expired)


def _browse(browser: Subscription, queue: Queue, now: float, expired: list[QueueEntry] | None) -> None:
    for entry in queue.after(browser.cursor):
        if entry.state == AVAILABLE:
            message = entry.message
            if message.expires is not None and message.expires <= now:
                if expired is not None:
                    queue.acquire(entry)
                    expired.append(entry)
            elif not browser.affords(message.size):
                queue.browsers.pop(browser, None)
                return
            else:
                browser.deliver(entry, now)
        elif entry.state == UNCONFIRMED:
            return  # to be seen when it is confirmed
        browser.cursor = entry.position
        if browser not in queue.browsers:
            return
    browser.cursor = queue.position


def expire(broker: Broker, queue: Queue, entries: list[QueueEntry]) -> None:
    """Messages outlived their time: they are gone."""
    queue.expired += len(entries)
    broker.do(Dequeue(queue, entries))
