"""How much a queue holds (``qpid.max_count``, ``qpid.max_size``), and what happens when more comes.

The policy (``qpid.policy_type``) decides on the primary, before the entry is made; what it decides are plain dequeues.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from .effects import Dequeue, Enqueue
from .errors import InvalidArgument, ResourceLimitExceeded
from .journal import Effect
from .line import GONE

if TYPE_CHECKING:
    from .queue import Queue, QueueEntry

__all__ = ["Limits", "make_room", "queue_limits"]

_POLICIES = ("reject", "ring", "self-destruct")


class Limits:
    """The limits of one queue.

    Args:
        count: messages, 0: no limit.
        size: bytes of header and body, 0: no limit.
        policy: "reject" refuses what is too much, "ring" drops the oldest for it, "self-destruct" deletes the queue.
    """

    __slots__ = ("count", "policy", "size")

    def __init__(self, count: int, size: int, policy: str) -> None:
        self.count = count
        self.size = size
        self.policy = policy

    def exceeded(self, count: int, size: int) -> bool:
        """Whether so much is too much."""
        return bool(self.count and count > self.count) or bool(self.size and size > self.size)


def queue_limits(arguments: Mapping[str, Any]) -> Limits | None:
    """The limits that a queue's arguments ask for, None where they ask for none.

    Raises:
        InvalidArgument: a value is no number.
    """
    count = _number(arguments, "qpid.max_count")
    size = _number(arguments, "qpid.max_size")
    if not count and not size:
        return None
    policy = arguments.get("qpid.policy_type")
    # As the C++ broker has it: a policy that it does not know is "reject".
    return Limits(count, size, policy if policy in _POLICIES else "reject")


def _number(arguments: Mapping[str, Any], name: str) -> int:
    value = arguments.get(name, 0)
    if isinstance(value, str) and value.isascii() and value.isdigit():
        value = int(value)
    if value is None or isinstance(value, bool) or not isinstance(value, int) or value < 0:
        raise InvalidArgument(f"{name}: {value!r} is not a number")
    return value


def make_room(effects: list[Effect], *, strict: bool) -> tuple[list[Effect], list[Queue]]:
    """Check what is to be enqueued by one command against the limits of the queues.

    Args:
        effects: what the command does so far.
        strict: raise where a queue refuses a message; else that message is dropped.

    Returns:
        The same with dequeues where a ring makes room, and the queues that destroy themselves instead.

    Raises:
        ResourceLimitExceeded: a queue refuses a message; nothing has been done.
    """
    allowed: list[Effect] = []
    pending: dict[Queue, list[int]] = {}
    dropped: dict[Queue, list[QueueEntry]] = {}
    destroyed: dict[Queue, None] = {}
    for effect in effects:
        limits = effect.queue.limits if isinstance(effect, Enqueue) else None
        if limits is None or not isinstance(effect, Enqueue):
            allowed.append(effect)
            continue
        queue, size = effect.queue, effect.message.size
        if queue in destroyed:
            continue
        gone = dropped.setdefault(queue, [])
        coming = pending.setdefault(queue, [queue.depth, queue.byte_depth])
        while limits.exceeded(coming[0] + 1, coming[1] + size):
            if limits.policy == "self-destruct":
                destroyed[queue] = None
                break
            oldest = _oldest(queue, gone) if limits.policy == "ring" else None
            if oldest is None:
                queue.overflowed += 1
                if not strict:
                    break
                raise ResourceLimitExceeded(f"Maximum depth exceeded on {queue.name}: {queue.depth} messages")
            gone.append(oldest)
            coming[0] -= 1
            coming[1] -= oldest.message.size
        else:
            coming[0] += 1
            coming[1] += size
            allowed.append(effect)
    for queue, entries in dropped.items():
        if entries and queue not in destroyed:
            queue.discarded += len(entries)
            allowed.insert(0, Dequeue(queue, entries))
    return allowed, list(destroyed)


def _oldest(queue: Queue, besides: list[QueueEntry]) -> QueueEntry | None:
    """The first entry of the queue that is not to go already."""
    after = besides[-1].position if besides else 0
    return next((entry for entry in queue.after(after) if entry.state != GONE), None)
