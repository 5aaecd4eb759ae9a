"""The effects that commands have on queues, exchanges, bindings and session records.

The primary makes them, a backup applies the same ones through the same functions.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any
from uuid import UUID, uuid4

from .journal import Effect
from .queue import Queue, QueueEntry, Replicate
from .queue_arguments import binding_replicated

if TYPE_CHECKING:
    from .broker import Broker
    from .exchange import Exchange
    from .message import Message

__all__ = [
    "Bound",
    "Dequeue",
    "Effect",
    "Enqueue",
    "ExchangeDeclared",
    "ExchangeDeleted",
    "Passed",
    "QueueDeclared",
    "QueueDeleted",
    "QueueUsed",
    "SessionEnded",
    "Unbound",
]


class Enqueue(Effect):
    """A message is put at the end of a queue. ``entry`` is its place there, once applied."""

    __slots__ = ("entry", "message", "position", "queue")
    entry: QueueEntry

    def __init__(self, queue: Queue, message: Message, position: int | None = None) -> None:
        self.queue = queue
        self.message = message
        self.position = position

    def apply(self, broker: Broker) -> None:
        """Take a position on the queue; nobody is offered the message yet."""
        self.entry = entry = self.queue.enqueue(self.message, self.position)
        # A queue that numbers its messages holds another one.
        self.message = entry.message
        queue = self.queue
        if queue.flow is not None:
            queue.flow.grew(queue)
        if queue.alerts is not None:
            queue.alerts.grew(broker, queue)

    def confirmed(self, broker: Broker) -> None:
        """Offer the message."""
        queue = self.queue
        queue.offer(self.entry)
        if queue.subscriptions or queue.feeds:
            broker.dirty[queue] = None

    @property
    def replicated(self) -> bool:
        """With the queue's messages."""
        return self.queue.replicate is Replicate.ALL

    def __repr__(self) -> str:
        return f"Enqueue({self.queue.name!r}, {self.message!r})"


class Dequeue(Effect):
    """Messages leave a queue: accepted, expired, purged, replaced or moved."""

    __slots__ = ("entries", "queue")

    def __init__(self, queue: Queue, entries: Sequence[QueueEntry]) -> None:
        self.queue = queue
        self.entries = entries

    def apply(self, broker: Broker) -> None:
        """Remove them; from then on it names those that were there."""
        remove = self.queue.remove
        self.entries = gone = [entry for entry in self.entries if remove(entry)]
        queue = self.queue
        if queue.flow is not None and queue.flow.stopped:
            queue.flow.shrank(queue, gone)
        if queue.alerts is not None:
            queue.alerts.shrank(broker, queue)
        if queue.choosy and queue.consumers:
            # The group that they were of may be free for others now.
            broker.dirty[queue] = None

    def confirmed(self, broker: Broker) -> None:
        """A queue may go when it is empty."""
        queue = self.queue
        if queue.goes_when_empty:
            broker.queue_unused(queue)
        if queue.feeds:
            for feed in queue.feeds:
                feed.left(self.entries)
            broker.dirty[queue] = None

    @property
    def replicated(self) -> bool:
        """With the queue's messages."""
        return self.queue.replicate is Replicate.ALL

    def __repr__(self) -> str:
        return f"Dequeue({self.queue.name!r}, {[entry.position for entry in self.entries]})"


class QueueDeclared(Effect):
    """A queue comes into being."""

    __slots__ = (
        "alternate_exchange",
        "arguments",
        "auto_delete",
        "creator",
        "durable",
        "exclusive",
        "identity",
        "name",
        "queue",
        "replicate",
    )
    queue: Queue

    def __init__(
        self,
        name: str,
        *,
        durable: bool = False,
        exclusive: bool = False,
        auto_delete: bool = False,
        alternate_exchange: str | None = None,
        arguments: Mapping[str, Any] | None = None,
        replicate: Replicate = Replicate.NONE,
        creator: str = "",
        identity: UUID | None = None,
    ) -> None:
        self.name = name
        self.creator = creator
        self.identity = identity if identity is not None else uuid4()
        self.durable = durable
        self.exclusive = exclusive
        self.auto_delete = auto_delete
        self.alternate_exchange = alternate_exchange
        self.arguments = dict(arguments or {})
        self.replicate = replicate

    def apply(self, broker: Broker) -> None:
        """Create it and bind it to the default exchange."""
        self.queue = broker.create_queue(self)

    @property
    def replicated(self) -> bool:
        """With the queue's configuration."""
        return self.replicate is not Replicate.NONE

    def __repr__(self) -> str:
        return f"QueueDeclared({self.name!r})"


class QueueDeleted(Effect):
    """A queue, its bindings and the messages still on it are gone."""

    __slots__ = ("queue",)

    def __init__(self, queue: Queue) -> None:
        self.queue = queue

    def apply(self, broker: Broker) -> None:
        """Unbind it everywhere and forget it."""
        broker.destroy_queue(self.queue)

    @property
    def replicated(self) -> bool:
        """With the queue's configuration."""
        return self.queue.replicate is not Replicate.NONE

    def __repr__(self) -> str:
        return f"QueueDeleted({self.queue.name!r})"


class QueueUsed(Effect):
    """A queue that is deleted when nobody uses it any more has its first consumer."""

    __slots__ = ("queue",)

    def __init__(self, queue: Queue) -> None:
        self.queue = queue

    def apply(self, broker: Broker) -> None:
        """Remember it."""
        self.queue.used = True

    @property
    def replicated(self) -> bool:
        """With the queue's configuration."""
        return self.queue.replicate is not Replicate.NONE

    def __repr__(self) -> str:
        return f"QueueUsed({self.queue.name!r})"


class ExchangeDeclared(Effect):
    """An exchange comes into being."""

    __slots__ = ("alternate_exchange", "arguments", "auto_delete", "durable", "exchange", "name", "replicate", "type")
    exchange: Exchange

    def __init__(
        self,
        name: str,
        type: str,
        *,
        durable: bool = False,
        auto_delete: bool = False,
        alternate_exchange: str | None = None,
        arguments: Mapping[str, Any] | None = None,
        replicate: Replicate = Replicate.NONE,
    ) -> None:
        self.name = name
        self.type = type
        self.durable = durable
        self.auto_delete = auto_delete
        self.alternate_exchange = alternate_exchange
        self.arguments = dict(arguments or {})
        self.replicate = replicate

    def apply(self, broker: Broker) -> None:
        """Create it."""
        self.exchange = broker.create_exchange(self)

    @property
    def replicated(self) -> bool:
        """With the exchange's configuration."""
        return self.replicate is not Replicate.NONE

    def __repr__(self) -> str:
        return f"ExchangeDeclared({self.name!r}, {self.type!r})"


class ExchangeDeleted(Effect):
    """An exchange and its bindings are gone."""

    __slots__ = ("exchange",)

    def __init__(self, exchange: Exchange) -> None:
        self.exchange = exchange

    def apply(self, broker: Broker) -> None:
        """Unbind all its queues and forget it."""
        broker.destroy_exchange(self.exchange)

    @property
    def replicated(self) -> bool:
        """With the exchange's configuration."""
        return self.exchange.replicate is not Replicate.NONE

    def __repr__(self) -> str:
        return f"ExchangeDeleted({self.exchange.name!r})"


class Passed(Effect):
    """A message went through an exchange that keeps something of it."""

    __slots__ = ("exchange", "message", "number")

    def __init__(self, exchange: Exchange, number: int, message: Message | None) -> None:
        self.exchange = exchange
        self.number = number
        self.message = message

    def apply(self, broker: Broker) -> None:
        """Keep it."""
        if self.exchange.memory is not None:
            self.exchange.memory.passed(self.number, self.message)

    @property
    def replicated(self) -> bool:
        """With the messages, not with the configuration alone."""
        return self.exchange.replicate is Replicate.ALL

    def __repr__(self) -> str:
        return f"Passed({self.exchange.name!r}, {self.number})"


class Bound(Effect):
    """A queue is bound to an exchange."""

    __slots__ = ("_replicated", "arguments", "exchange", "key", "queue")

    def __init__(self, queue: Queue, exchange: Exchange, key: str, arguments: Mapping[str, Any] | None = None) -> None:
        self.queue = queue
        self.exchange = exchange
        self.key = key
        self.arguments = dict(arguments or {})
        self._replicated = binding_replicated(queue, exchange, self.arguments)

    @property
    def replicated(self) -> bool:
        """When both ends are, and the binding's own arguments do not say otherwise."""
        return self._replicated

    def apply(self, broker: Broker) -> None:
        """Add the binding, or give it new arguments."""
        broker.bind(self.queue, self.exchange, self.key, self.arguments)

    def __repr__(self) -> str:
        return f"Bound({self.queue.name!r}, {self.exchange.name!r}, {self.key!r})"


class Unbound(Effect):
    """A binding is taken away."""

    __slots__ = ("_replicated", "exchange", "key", "queue")

    def __init__(self, queue: Queue, exchange: Exchange, key: str) -> None:
        self.queue = queue
        self.exchange = exchange
        self.key = key
        self._replicated = any(
            binding_replicated(queue, exchange, binding.arguments) for binding in exchange.find(queue, key)
        )

    @property
    def replicated(self) -> bool:
        """When both ends are, and the binding's own arguments do not say otherwise."""
        return self._replicated

    def apply(self, broker: Broker) -> None:
        """Remove the binding."""
        broker.unbind(self.queue, self.exchange, self.key)

    def __repr__(self) -> str:
        return f"Unbound({self.queue.name!r}, {self.exchange.name!r}, {self.key!r})"


class SessionEnded(Effect):
    """The record of a session that survives connections is dropped: detached by its client, or expired."""

    __slots__ = ("name", "user")

    def __init__(self, user: str, name: bytes) -> None:
        self.user = user
        self.name = name

    def apply(self, broker: Broker) -> None:
        """Forget the record."""
        broker.session_records.forget(self.user, self.name)

    @property
    def replicated(self) -> bool:
        """Always: every member holds the records."""
        return True

    def __repr__(self) -> str:
        return f"SessionEnded({self.user!r}, {self.name!r})"
