"""Queues, exchanges and bindings."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from qpid_messaging.management.qmf import BROKER_PACKAGE

from ..exchange import Binding, Exchange
from ..queue import Queue
from .broker_objects import VHOST_REFERENCE
from .classes import BINDING, EXCHANGE, QUEUE
from .exchanges import MANAGEMENT_TYPE
from .movement import purge, reroute
from .schema import ManagedClass, MethodCall

__all__ = ["BindingClass", "ExchangeClass", "QueueClass"]


class QueueClass(ManagedClass[Queue]):
    """org.apache.qpid.broker:queue."""

    schema = QUEUE

    def all(self) -> Iterable[Queue]:
        """All."""
        return list(self.broker.queues.values())

    def key(self, item: Queue) -> str:
        """Its name."""
        return item.name

    def find(self, key: str) -> Queue | None:
        """By name."""
        return self.broker.queues.get(key)

    def durable(self, item: Queue) -> bool:
        """As declared."""
        return item.durable

    def values(self, item: Queue) -> dict[str, Any]:
        """Declaration, depth and counters."""
        peer = item.redirect or item.redirected
        values: dict[str, Any] = {
            "vhostRef": VHOST_REFERENCE,
            "name": item.name,
            "durable": item.durable,
            "autoDelete": item.auto_delete,
            "exclusive": item.exclusive,
            "arguments": item.arguments,
            "msgTotalEnqueues": item.enqueued,
            "msgTotalDequeues": item.dequeued,
            "msgDepth": item.depth,
            "byteTotalEnqueues": item.enqueued_bytes,
            "byteTotalDequeues": item.dequeued_bytes,
            "byteDepth": item.byte_depth,
            "msgPersistEnqueues": item.persistent_enqueued,
            "msgPersistDequeues": item.persistent_dequeued,
            "bytePersistEnqueues": item.persistent_enqueued_bytes,
            "bytePersistDequeues": item.persistent_dequeued_bytes,
            "msgTxnEnqueues": item.tx_enqueued,
            "msgTxnDequeues": item.tx_dequeued,
            "byteTxnEnqueues": item.tx_enqueued_bytes,
            "byteTxnDequeues": item.tx_dequeued_bytes,
            "acquires": item.acquires,
            "releases": item.releases,
            "discardsTtl": item.expired,
            "discardsRing": item.discarded,
            "discardsLvq": item.replaced,
            "discardsOverflow": item.overflowed,
            "discardsSubscriber": item.rejects,
            "discardsPurge": item.purged,
            "reroutes": item.rerouted,
            **self.agent.watermarks.consumers(item),
            **self.agent.watermarks.bindings(item),
            **self.agent.watermarks.unacknowledged(item),
            "flowStopped": item.flow is not None and item.flow.stopped,
            "flowStoppedCount": 0 if item.flow is None else item.flow.stops,
            "redirectPeer": "" if peer is None else peer.name,
            "redirectSource": item.redirect is not None,
            "creator": item.creator,
        }
        if item.alternate_exchange is not None:
            exchanges = self.agent.managed(BROKER_PACKAGE, "exchange")
            values["altExchange"] = exchanges.reference(item.alternate_exchange)
        return values

    def stamp(self, item: Queue) -> object:
        """Counters of what comes and goes stand for those of why."""
        return (
            item.enqueued,
            item.dequeued,
            item.acquires,
            item.releases,
            item.overflowed,
            len(item.subscriptions),
            len(item.bindings),
            item.owner is None,
            item.redirect,
            item.redirected,
            item.flow is not None and item.flow.stopped,
        )

    @property
    def methods(self) -> Mapping[str, Callable[[Queue, MethodCall], None]]:
        """purge, reroute."""
        broker = self.broker
        return {
            "purge": lambda queue, call: purge(broker, queue, call),
            "reroute": lambda queue, call: reroute(broker, queue, call),
        }


class ExchangeClass(ManagedClass[Exchange]):
    """org.apache.qpid.broker:exchange; the default exchange's name is empty."""

    schema = EXCHANGE

    def all(self) -> Iterable[Exchange]:
        """All."""
        return list(self.broker.exchanges.values())

    def key(self, item: Exchange) -> str:
        """Its name."""
        return item.name

    def find(self, key: str) -> Exchange | None:
        """By name."""
        return self.broker.exchanges.get(key)

    def durable(self, item: Exchange) -> bool:
        """As declared."""
        return item.durable

    def values(self, item: Exchange) -> dict[str, Any]:
        """Declaration and counters."""
        item.count()
        values: dict[str, Any] = {
            "vhostRef": VHOST_REFERENCE,
            "name": item.name,
            "type": item.type.removeprefix(MANAGEMENT_TYPE),
            "durable": item.durable,
            "autoDelete": item.auto_delete,
            "arguments": item.arguments,
            **self.agent.watermarks.bindings(item),
            "msgReceives": item.receives,
            "msgDrops": item.drops,
            "msgRoutes": item.routed,
            "byteReceives": item.receives_bytes,
            "byteDrops": item.drops_bytes,
            "byteRoutes": item.routed_bytes,
        }
        if item.alternate_exchange is not None:
            values["altExchange"] = self.reference(item.alternate_exchange)
        return values

    def stamp(self, item: Exchange) -> object:
        """Counters and bindings."""
        item.count()
        return item.receives, len(item.bindings)


class BindingClass(ManagedClass[Binding]):
    """org.apache.qpid.broker:binding, those of the default exchange included, those of the broker's own left out."""

    schema = BINDING

    @property
    def _exchanges(self) -> ManagedClass[Any]:
        return self.agent.managed(BROKER_PACKAGE, "exchange")

    @property
    def _queues(self) -> ManagedClass[Any]:
        return self.agent.managed(BROKER_PACKAGE, "queue")

    def all(self) -> Iterable[Binding]:
        """Those of queues."""
        for exchange in list(self.broker.exchanges.values()):
            yield from self._of(exchange)

    def ordered(self) -> Iterable[Binding]:
        """By exchange, queue and key."""
        for name in sorted(self.broker.exchanges):
            exchange = self.broker.exchanges.get(name)
            if exchange is not None:
                yield from sorted(self._of(exchange), key=lambda binding: (binding.destination.name, binding.key))

    def _of(self, exchange: Exchange) -> list[Any]:
        exchange.count()
        return [binding for binding in exchange.bindings.values() if isinstance(binding.destination, Queue)]

    def key(self, item: Binding) -> str:
        """Both ends, and the binding key."""
        exchange = self._exchanges.object_name(item.exchange)
        return f"{exchange},{self._queues.object_name(item.destination)},{item.key}"

    def created(self, item: Binding) -> int:
        """A queue is bound to the default exchange when it is created."""
        return self.agent.creation.of(item.destination if item.exchange is self.broker.default_exchange else item)

    def values(self, item: Binding) -> dict[str, Any]:
        """Both ends, key, arguments, and how much went through it."""
        return {
            "exchangeRef": self._exchanges.reference(item.exchange),
            "queueRef": self._queues.reference(item.destination),
            "bindingKey": item.key,
            "arguments": dict(item.arguments),
            "msgMatched": item.matched,
        }

    def stamp(self, item: Binding) -> object:
        """The exchange has counted when this is asked."""
        return item.matched
