"""Plain models of the types of queue: lists that are searched from one end to the other."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any


@dataclass
class Kept:
    """A message as the model keeps it."""

    body: bytes
    priority: int
    key: str
    expires: float | None
    size: int = 0
    holder: int | None = None
    """The consumer that has acquired it."""


@dataclass
class Model:
    """First in, first out."""

    arguments: dict[str, Any] = field(default_factory=dict)
    kept: list[Kept] = field(default_factory=list)
    header: str = "key"
    """Where messages have their key."""
    destroyed: bool = False
    """It could not stand the last message."""

    def publish(self, message: Kept) -> bool:
        """Whether it is kept; what has to go for it is gone."""
        self.kept.append(message)
        return True

    def free(self) -> list[Kept]:
        """What nobody has acquired, in the order in which it is dealt with."""
        return [message for message in self.kept if message.holder is None]

    def pick(self, consumer: int) -> Kept | None:
        """What the consumer gets next."""
        return next(iter(self.free()), None)

    def take(self, consumer: int) -> Kept | None:
        """What the consumer gets next is its own from now on."""
        message = self.pick(consumer)
        if message is not None:
            message.holder = consumer
        return message

    def may_acquire(self, message: Kept) -> bool:
        """Whether a browser that sees a message may have it."""
        return True

    def lost(self, consumer: int) -> None:
        """The consumer is gone: what it held is there for others."""
        for message in self.kept:
            if message.holder == consumer:
                message.holder = None

    def remove(self, gone: Iterable[Kept]) -> None:
        for message in gone:
            self.kept.remove(message)

    def in_order(self) -> list[bytes]:
        """Everything, as it lies on the queue."""
        return [message.body for message in self.kept]


@dataclass
class Ring(Model):
    arguments: dict[str, Any] = field(default_factory=lambda: {"qpid.max_count": 4, "qpid.policy_type": "ring"})

    def publish(self, message: Kept) -> bool:
        if len(self.kept) == 4:
            del self.kept[0]
        return super().publish(message)


@dataclass
class Full(Model):
    """It refuses what is too much."""

    arguments: dict[str, Any] = field(default_factory=lambda: {"qpid.max_count": 4})

    def publish(self, message: Kept) -> bool:
        return len(self.kept) < 4 and super().publish(message)


@dataclass
class RingBySize(Model):
    """It holds three messages or more, as long as they are."""

    most: int = 180
    arguments: dict[str, Any] = field(default_factory=lambda: {"qpid.max_size": 180, "qpid.policy_type": "ring"})

    def publish(self, message: Kept) -> bool:
        while sum(kept.size for kept in self.kept) + message.size > self.most:
            del self.kept[0]
        return super().publish(message)


@dataclass
class SelfDestruct(Model):
    """It goes, with all that is on it."""

    arguments: dict[str, Any] = field(
        default_factory=lambda: {"qpid.max_count": 4, "qpid.policy_type": "self-destruct"}
    )

    def publish(self, message: Kept) -> bool:
        self.destroyed = self.destroyed or len(self.kept) == 4
        return not self.destroyed and super().publish(message)


@dataclass
class BrowseOnly(Model):
    """Consumers see everything once, and have nothing."""

    arguments: dict[str, Any] = field(default_factory=lambda: {"qpid.browse-only": True})
    seen: dict[int, set[bytes]] = field(default_factory=lambda: {1: set(), 2: set()})

    def take(self, consumer: int) -> Kept | None:
        message = next((message for message in self.kept if message.body not in self.seen[consumer]), None)
        if message is not None:
            self.seen[consumer].add(message.body)
        return message

    def may_acquire(self, message: Kept) -> bool:
        return False

    def lost(self, consumer: int) -> None:
        self.seen[consumer] = set()


@dataclass
class LastValue(Model):
    arguments: dict[str, Any] = field(default_factory=lambda: {"qpid.last_value_queue_key": "key"})

    def publish(self, message: Kept) -> bool:
        self.kept = [kept for kept in self.kept if kept.key != message.key]
        return super().publish(message)


@dataclass
class LegacyLastValue(LastValue):
    arguments: dict[str, Any] = field(default_factory=lambda: {"qpid.last_value_queue": 1})
    header: str = "qpid.LVQ_key"


@dataclass
class LastValueRing(LastValue):
    arguments: dict[str, Any] = field(
        default_factory=lambda: {
            "qpid.last_value_queue_key": "key",
            "qpid.max_count": 2,
            "qpid.policy_type": "ring",
        }
    )

    def publish(self, message: Kept) -> bool:
        self.kept = [kept for kept in self.kept if kept.key != message.key]
        if len(self.kept) == 2:
            del self.kept[0]
        return super().publish(message)


@dataclass
class Priority(Model):
    """Three levels: priorities to 3, 4, from 5."""

    arguments: dict[str, Any] = field(default_factory=lambda: {"qpid.priorities": 3})

    def level(self, message: Kept) -> int:
        return 0 if message.priority <= 3 else 1 if message.priority == 4 else 2

    def free(self) -> list[Kept]:
        return sorted(super().free(), key=self.level, reverse=True)


@dataclass
class PriorityRing(Priority):
    arguments: dict[str, Any] = field(
        default_factory=lambda: {"x-qpid-priorities": 3, "qpid.max_count": 4, "qpid.policy_type": "ring"}
    )

    def publish(self, message: Kept) -> bool:
        if len(self.kept) == 4:
            victim = min(self.kept, key=self.level)
            if self.level(victim) > self.level(message):
                return False
            self.kept.remove(victim)
        return super().publish(message)


@dataclass
class Fairshare(Priority):
    """Two of the highest level in a row, one of the middle one, any number of the lowest."""

    arguments: dict[str, Any] = field(
        default_factory=lambda: {
            "qpid.priorities": 3,
            "qpid.fairshare": 2,
            "qpid.fairshare-1": 1,
            "x-qpid-fairshare-0": 0,
        }
    )
    level_now: int = 2
    in_a_row: int = 0

    def pick(self, consumer: int) -> Kept | None:
        share = {2: 2, 1: 1, 0: None}[self.level_now]
        used_up = self.in_a_row == share
        start = (self.level_now - 1) % 3 if used_up else self.level_now
        for level in (start, (start - 1) % 3, (start - 2) % 3):
            for message in self.free():
                if self.level(message) == level:
                    self.in_a_row = self.in_a_row + 1 if level == self.level_now and not used_up else 1
                    self.level_now = level
                    return message
        return None


@dataclass
class Groups(Model):
    arguments: dict[str, Any] = field(
        default_factory=lambda: {"qpid.group_header_key": "key", "qpid.shared_msg_group": 1}
    )

    def owner(self, key: str) -> int | None:
        return next((m.holder for m in self.kept if m.key == key and m.holder is not None), None)

    def pick(self, consumer: int) -> Kept | None:
        return next((m for m in self.free() if self.owner(m.key) in (None, consumer)), None)

    def may_acquire(self, message: Kept) -> bool:
        return self.owner(message.key) is None


MODELS: tuple[type[Model], ...] = (
    Model, Ring, Full, LastValue, LegacyLastValue, LastValueRing, Priority, PriorityRing, Fairshare, Groups,
)  # fmt: skip
