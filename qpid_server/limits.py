"""What has to go when messages come: what a queue has too much of, and what newer messages replace.

The limits (``qpid.max_count``, ``qpid.max_size``) and their policy (``qpid.policy_type``), and the keys of a last value
queue, decide on the primary, before the entry is made; what they decide are plain dequeues. A message that one and the
same command both brings and makes superfluous, such as the first of two with the same key in a transaction, is never
enqueued at all.
"""

from __future__ import annotations

from collections.abc import Sequence

from .effects import Dequeue, Enqueue
from .errors import ResourceLimitExceeded
from .journal import Effect
from .line import GONE
from .queue import Queue, QueueEntry

__all__ = ["make_room"]


def make_room(effects: Sequence[Effect], *, strict: bool, counting: bool = True) -> tuple[list[Effect], list[Queue]]:
    """Check what is to be enqueued by one command against the limits and keys of the queues.

    Args:
        effects: what the command does so far.
        strict: raise where a queue refuses a message; else that message is dropped.
        counting: what is dropped and replaced shows in the queues' statistics; False where this only is a question.

    Returns:
        The same with dequeues of what has to go, and the queues that destroy themselves instead.

    Raises:
        ResourceLimitExceeded: a queue refuses a message; nothing has been done.
    """
    fillings: dict[Queue, _Filling] = {}
    for effect in effects:
        if isinstance(effect, Enqueue):
            filling = fillings.get(effect.queue)
            if filling is None:
                filling = fillings[effect.queue] = _Filling(effect.queue)
            filling.add(effect, strict=strict)
    gone: list[Effect] = [
        Dequeue(queue, list(filling.going))
        for queue, filling in fillings.items()
        if filling.going and not filling.destroyed
    ]
    coming = [
        effect
        for effect in effects
        if not isinstance(effect, Enqueue)
        or (effect in fillings[effect.queue].coming and not fillings[effect.queue].destroyed)
    ]
    if counting:
        for filling in fillings.values():
            filling.count()
    return gone + coming, [queue for queue, filling in fillings.items() if filling.destroyed]


class _Filling:
    """What one command puts on one queue.

    Attributes:
        coming: what is left of that.
        going: what leaves the queue for it.
        destroyed: the queue cannot stand it and goes.
    """

    def __init__(self, queue: Queue) -> None:
        self.queue = queue
        self.coming: dict[Enqueue, None] = {}
        self.going: dict[QueueEntry, None] = {}
        self.destroyed = False
        self._depth = queue.depth
        self._size = queue.byte_depth
        self._by_key: dict[str, Enqueue] = {}
        self._expendable = queue.expendable()
        self._victim: QueueEntry | None = None
        self._discarded = 0
        self._replaced = 0

    def add(self, effect: Enqueue, *, strict: bool) -> None:
        """One message more."""
        if self.destroyed:
            return
        self._replace(effect)
        queue, size = self.queue, effect.message.size
        limits = queue.limits
        while limits is not None and limits.exceeded(self._depth + 1, self._size + size):
            if limits.policy == "self-destruct":
                self.destroyed = True
                return
            if limits.policy != "ring" or (limits.size and size > limits.size):
                queue.overflowed += 1
                if strict:
                    raise ResourceLimitExceeded(f"Maximum depth exceeded on {queue.name}: {queue.depth} messages")
                return
            self._discarded += 1
            if not self._drop_one(queue.rank(effect.message)):
                return
        self.coming[effect] = None
        self._depth += 1
        self._size += size

    def _replace(self, effect: Enqueue) -> None:
        key = self.queue.key(effect.message)
        if key is None:
            return
        earlier = self._by_key.get(key)
        entry = self.queue.holder(key)
        if earlier is not None and earlier in self.coming:
            self._uninvite(earlier)
            self._replaced += 1
        elif entry is not None and entry not in self.going:
            self._let_go(entry)
            self._replaced += 1
        self._by_key[key] = effect

    def _drop_one(self, rank: int) -> bool:
        """Make room for a message of that rank; False if everything else is dearer."""
        queue = self.queue
        while self._victim is None or self._victim.state == GONE or self._victim in self.going:
            self._victim = next(self._expendable, None)
            if self._victim is None:
                break
        victim = self._victim
        first = min(self.coming, key=lambda effect: queue.rank(effect.message), default=None)
        if first is not None and (victim is None or queue.rank(first.message) < queue.rank(victim.message)):
            if queue.rank(first.message) > rank:
                return False
            self._uninvite(first)
        elif victim is None or queue.rank(victim.message) > rank:
            return False
        else:
            self._let_go(victim)
        return True

    def _uninvite(self, effect: Enqueue) -> None:
        del self.coming[effect]
        self._depth -= 1
        self._size -= effect.message.size

    def _let_go(self, entry: QueueEntry) -> None:
        self.going[entry] = None
        self._depth -= 1
        self._size -= entry.message.size

    def count(self) -> None:
        """The command will be carried out: count what it costs others."""
        if not self.destroyed:
            self.queue.discarded += self._discarded
            self.queue.replaced += self._replaced
