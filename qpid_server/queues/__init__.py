"""The types of queue other than first in, first out.

What a ring queue drops, what is refused and when a queue destroys itself are no types: they are policies of any type's
limits (:mod:`qpid_server.limits`).
"""

from __future__ import annotations

from ..queue import Queue
from ..queue_settings import QueueSettings
from .groups import GroupQueue
from .last_value import LastValueQueue
from .priority import PriorityQueue

__all__ = ["GroupQueue", "LastValueQueue", "PriorityQueue", "queue_type"]


def queue_type(settings: QueueSettings) -> type[Queue]:
    """The class of the queue that such settings ask for."""
    if settings.last_value_key:
        return LastValueQueue
    if settings.priorities:
        return PriorityQueue
    if settings.group_key:
        return GroupQueue
    return Queue
