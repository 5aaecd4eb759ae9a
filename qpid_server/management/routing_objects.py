"""Queues, exchanges and bindings."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from qpid_messaging.management.qmf import BROKER_PACKAGE

from ..exchange import Binding, Exchange
from ..queue import Queue
from .broker_objects import NEVER, VHOST
from .configuration import purge, reroute
from .schema import ManagedClass, MethodCall

__all__ = ["BindingClass", "ExchangeClass", "QueueClass"]


def _watermarks(name: str, value: int) -> dict[str, int]:
    """A value with its highest and lowest in the reporting interval; reports on an interval are not sent."""
    return {name: value, f"{name}High": value, f"{name}Low": value}


class QueueClass(ManagedClass[Queue]):
    """org.apache.qpid.broker:queue."""

    name = "queue"

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
        values: dict[str, Any] = {
            "vhostRef": VHOST,
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
            "acquires": item.acquires,
            "releases": item.releases,
            "discardsTtl": item.expired,
            "discardsSubscriber": item.rejects,
            "discardsPurge": item.purged,
            **_watermarks("consumerCount", len(item.subscriptions)),
            **_watermarks("bindingCount", len(item.bindings)),
            **dict.fromkeys(NEVER, 0),
            # Deprecated: 0 in every broker.
            **_watermarks("unackedMessages", 0),
            **dict.fromkeys(("messageLatencyAvg", "messageLatencyCount", "messageLatencyMax", "messageLatencyMin"), 0),
            # Producers are not held back, and queues not redirected.
            "flowStopped": False,
            "flowStoppedCount": 0,
            "redirectPeer": "",
            "redirectSource": False,
        }
        if item.alternate_exchange is not None:
            exchanges = self.agent.managed(BROKER_PACKAGE, "exchange")
            values["altExchange"] = exchanges.reference(item.alternate_exchange)
        return values

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

    name = "exchange"

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
            "vhostRef": VHOST,
            "name": item.name,
            "type": item.type,
            "durable": item.durable,
            "autoDelete": item.auto_delete,
            "arguments": item.arguments,
            **_watermarks("producerCount", 0),
            **_watermarks("bindingCount", len(item.bindings)),
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


class BindingClass(ManagedClass[Binding]):
    """org.apache.qpid.broker:binding, those of the default exchange included, those of the broker's own left out."""

    name = "binding"

    @property
    def _exchanges(self) -> ManagedClass[Any]:
        return self.agent.managed(BROKER_PACKAGE, "exchange")

    @property
    def _queues(self) -> ManagedClass[Any]:
        return self.agent.managed(BROKER_PACKAGE, "queue")

    def all(self) -> Iterable[Binding]:
        """Those of queues."""
        for exchange in self.broker.exchanges.values():
            exchange.count()
        return [
            binding
            for exchange in self.broker.exchanges.values()
            for binding in exchange.bindings.values()
            if isinstance(binding.destination, Queue)
        ]

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
