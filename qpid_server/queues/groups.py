"""Message groups: messages of a group go to one consumer at a time, in order (``qpid.group_header_key``).

A consumer owns a group from the first message of it that it acquires until all that it acquired of the group is
accepted, rejected or released again; then anybody may have the next. Ownership is a subscription's, and outlives it
as long as its session holds messages of the group. Browsers see all messages.
"""

from __future__ import annotations

from heapq import heappop, heappush
from typing import Any

from ..line import ACQUIRED, FifoLine, Line, Waiting
from ..message import Message
from ..queue import Queue, QueueEntry
from ..subscription import Subscription
from .header_text import header_text

__all__ = ["Group", "GroupLine", "GroupQueue"]


class Group:
    """The messages of one group.

    Attributes:
        name: the value of the header.
        line: those that are available.
        count: all of them.
        acquired: how many somebody has.
        owner: the consumer that gets them, while it has any.
    """

    __slots__ = ("acquired", "count", "line", "name", "owner", "placed")

    def __init__(self, name: str) -> None:
        self.name = name
        self.line = FifoLine()
        self.count = 0
        self.acquired = 0
        self.owner: object | None = None
        self.placed = 0
        """Position of the message that it stands in line with, among the free groups or its owner's; 0: none."""


class _Owned:
    """The groups of one consumer."""

    __slots__ = ("groups", "heads")

    def __init__(self) -> None:
        self.groups = 0
        self.heads: list[tuple[int, Group]] = []


class GroupLine:
    """Which message a consumer gets: the first of those whose group is its own or free.

    Free groups stand in one heap by the position of their first message, those of each consumer in another. What a
    heap says of a group may be out of date; it is put right when the group comes to the front.
    """

    def __init__(self) -> None:
        self.groups: dict[str, Group] = {}
        self._by_position: dict[int, Group] = {}
        self._free: list[tuple[int, Group]] = []
        self._owned: dict[object, _Owned] = {}

    def add(self, entry: QueueEntry, name: str) -> None:
        """An entry of this group is on the queue."""
        group = self.groups.get(name)
        if group is None:
            group = self.groups[name] = Group(name)
        group.count += 1
        self._by_position[entry.position] = group

    def put(self, entry: Waiting) -> None:
        """The entry is available."""
        group = self._by_position[entry.position]
        group.line.put(entry)
        self._place(group)

    def permits(self, entry: QueueEntry, consumer: object) -> bool:
        """Whether the consumer may have messages of the entry's group."""
        return self._by_position[entry.position].owner in (None, consumer)

    def acquired(self, entry: QueueEntry, consumer: object | None) -> None:
        """The entry is somebody's; without a consumer it is about to go."""
        group = self._by_position[entry.position]
        group.acquired += 1
        if consumer is not None and group.owner is None:
            group.owner = consumer
            self._owned.setdefault(consumer, _Owned()).groups += 1
            group.placed = 0
        self._place(group)

    def settled(self, entry: QueueEntry) -> None:
        """The entry is nobody's any more: it was released, or leaves the queue."""
        group = self._by_position[entry.position]
        group.acquired -= 1
        if not group.acquired and group.owner is not None:
            owned = self._owned[group.owner]
            owned.groups -= 1
            if not owned.groups:
                del self._owned[group.owner]
            group.owner = None
            group.placed = 0
            self._place(group)

    def left(self, entry: QueueEntry) -> None:
        """The entry is off the queue."""
        group = self._by_position.pop(entry.position)
        group.count -= 1
        if not group.count:
            del self.groups[group.name]

    def _place(self, group: Group) -> None:
        """See that it stands in the right heap with its first message."""
        head = group.line.first()
        if head is None or head.position == group.placed:
            return
        group.placed = head.position
        heap = self._free if group.owner is None else self._owned[group.owner].heads
        heappush(heap, (head.position, group))

    def _front(self, heap: list[tuple[int, Group]], owner: object | None) -> Waiting | None:
        while heap:
            position, group = heap[0]
            head = group.line.first()
            if group.owner is owner and head is not None and head.position == position:
                return head
            heappop(heap)
            if group.owner is owner:
                if group.placed == position:
                    group.placed = 0
                self._place(group)
        return None

    def first(self, consumer: object = None) -> Waiting | None:
        """The first available entry that the consumer may have."""
        free = self._front(self._free, None)
        owned = self._owned.get(consumer)
        own = None if owned is None else self._front(owned.heads, consumer)
        if free is None or own is None:
            return own or free
        return free if free.position < own.position else own

    def removed(self, entry: Waiting) -> None:
        """The entry left the queue while it stood in line."""
        self._by_position[entry.position].line.removed(entry)

    def clear(self) -> None:
        """Every entry left the queue."""
        self.groups.clear()
        self._by_position.clear()
        self._free.clear()
        self._owned.clear()


class GroupQueue(Queue):
    """A queue that keeps the messages of a group together."""

    choosy = True
    line: GroupLine

    def _prepare(self) -> Line:
        return GroupLine()

    def enqueue(self, message: Message, position: int | None = None) -> QueueEntry:
        """Put a message at the end; it is not offered yet."""
        entry = super().enqueue(message, position)
        self.line.add(entry, header_text(message, self.settings.group_key) or self.settings.default_group)
        return entry

    def permits(self, entry: QueueEntry, consumer: Subscription) -> bool:
        """Not where its group is another's."""
        return self.holds(entry) and self.line.permits(entry, consumer)

    def acquire(self, entry: QueueEntry, owner: Subscription | None = None) -> bool:
        """Take an available message off the market; False also where its group is another's."""
        if owner is not None and not self.permits(entry, owner):
            return False
        if not super().acquire(entry, owner):
            return False
        self.line.acquired(entry, owner)
        return True

    def release(self, entry: QueueEntry, *, redelivered: bool) -> None:
        """Put an acquired message back at its position."""
        if entry.state == ACQUIRED:
            super().release(entry, redelivered=redelivered)
            self.line.settled(entry)

    def remove(self, entry: QueueEntry) -> bool:
        """Take a message off the queue for good."""
        acquired = entry.state == ACQUIRED
        if not super().remove(entry):
            return False
        if acquired:
            self.line.settled(entry)
        self.line.left(entry)
        return True

    def describe(self) -> dict[str, Any]:
        """The state of the groups, with the names of the C++ broker."""
        return {
            "qpid.message_group_queue": {
                "group_header_key": self.settings.group_key,
                "group_state": [
                    {
                        "group_id": group.name,
                        "msg_count": group.count,
                        "timestamp": self._arrival(group),
                        "consumer": group.owner.name if isinstance(group.owner, Subscription) else "",
                    }
                    for group in self.line.groups.values()
                ],
            }
        }

    def _arrival(self, group: Group) -> int:
        """The timestamp of the first available message, 0 where messages have none."""
        head = group.line.first()
        timestamp = head.message.delivery_properties.timestamp if isinstance(head, QueueEntry) else None
        return timestamp or 0
