"""Last value queues: a message takes the place of the one with the same key (``qpid.last_value_queue_key``).

The newer message goes to the end; browsers, who go by position, see it again there. A message that a consumer has
acquired is replaced, too: to accept it then changes nothing, and to release it does not bring it back. Messages
without the key have the empty one in common, as on the C++ broker.

The primary decides what is replaced, before the entry is made (:mod:`qpid_server.limits`): to the journal it is a
dequeue like any other. A ring that is full drops nothing for a message that replaces another.
"""

from __future__ import annotations

from ..line import Line
from ..message import Message
from ..queue import Queue, QueueEntry
from .header_text import header_text

__all__ = ["LastValueQueue"]


class LastValueQueue(Queue):
    """A queue that holds the last message of each key."""

    def _prepare(self) -> Line:
        self._holders: dict[str, QueueEntry] = {}
        return super()._prepare()

    def key(self, message: Message) -> str:
        """The value of the header that the queue was declared with."""
        return header_text(message, self.settings.last_value_key)

    def holder(self, key: str) -> QueueEntry | None:
        """The last message with that key."""
        return self._holders.get(key)

    def takes(self, message: Message) -> bool:
        """Not where it replaces another."""
        return self.key(message) not in self._holders and super().takes(message)

    def enqueue(self, message: Message, position: int | None = None) -> QueueEntry:
        """Put a message at the end; it is not offered yet."""
        entry = super().enqueue(message, position)
        self._holders[self.key(message)] = entry
        return entry

    def remove(self, entry: QueueEntry) -> bool:
        """Take a message off the queue for good."""
        if not super().remove(entry):
            return False
        key = self.key(entry.message)
        if self._holders.get(key) is entry:
            del self._holders[key]
        return True

    def abandon(self) -> dict[int, QueueEntry]:
        """Take everything off at once."""
        self._holders.clear()
        return super().abandon()
