"""The broker as a whole, the system that it runs on, its one virtual host, and its memory."""

from __future__ import annotations

import ctypes
import os
from collections.abc import Callable, Iterable, Mapping
from functools import cache
from operator import attrgetter
from typing import TYPE_CHECKING, Any

from qpid_messaging.management.qmf import BROKER_OBJECT, BROKER_PACKAGE, object_name, reference

from ..connection import VERSION
from ..observer import Observer
from .classes import BROKER, MEMORY, SYSTEM, VHOST
from .configuration import create, delete
from .movement import move
from .redirection import redirect
from .schema import ManagedClass, MethodCall
from .switches import SWITCHES

if TYPE_CHECKING:
    from ..broker import Broker
    from ..exchange import Exchange
    from ..queue import Queue
    from .agent import Agent

__all__ = ["VHOST_REFERENCE", "BrokerClass", "MemoryClass", "SystemClass", "VhostClass"]

BROKER_NAME = "amqp-broker"
VHOST_NAME = "/"
#: The virtual host's object id, which most objects refer to.
VHOST_REFERENCE = reference(object_name(BROKER_PACKAGE, "vhost", f"{BROKER_OBJECT},{VHOST_NAME}"))

#: Statistics of the broker that are those of its queues added up, by the name that the queue has for them.
_COUNTERS = {
    "msgTotalEnqueues": "enqueued",
    "msgTotalDequeues": "dequeued",
    "byteTotalEnqueues": "enqueued_bytes",
    "byteTotalDequeues": "dequeued_bytes",
    "msgPersistEnqueues": "persistent_enqueued",
    "msgPersistDequeues": "persistent_dequeued",
    "bytePersistEnqueues": "persistent_enqueued_bytes",
    "bytePersistDequeues": "persistent_dequeued_bytes",
    "msgTxnEnqueues": "tx_enqueued",
    "msgTxnDequeues": "tx_dequeued",
    "byteTxnEnqueues": "tx_enqueued_bytes",
    "byteTxnDequeues": "tx_dequeued_bytes",
    "acquires": "acquires",
    "releases": "releases",
    "discardsTtl": "expired",
    "discardsRing": "discarded",
    "discardsLvq": "replaced",
    "discardsOverflow": "overflowed",
    "discardsSubscriber": "rejects",
    "discardsPurge": "purged",
    "reroutes": "rerouted",
}
_GETTERS: dict[str, Callable[[Queue], int]] = {name: attrgetter(counter) for name, counter in _COUNTERS.items()}


class _Totals(Observer):
    """The counters of what exists no more: a broker's totals never go back."""

    def __init__(self) -> None:
        self.counters = dict.fromkeys(_COUNTERS, 0)
        self.dropped = 0

    def queue_deleted(self, queue: Queue) -> None:
        for name, counter in _GETTERS.items():
            self.counters[name] += counter(queue)

    def exchange_deleted(self, exchange: Exchange) -> None:
        self.dropped += dropped_by(exchange)


def dropped_by(exchange: Exchange) -> int:
    """Messages that came to nothing at an exchange: where it has an alternate exchange, that one counts."""
    exchange.count()
    return 0 if exchange.alternate_exchange is not None else exchange.drops


class BrokerClass(ManagedClass["Broker"]):
    """org.apache.qpid.broker:broker: totals, and the methods that are about no object in particular."""

    schema = BROKER

    def __init__(self, agent: Agent) -> None:
        super().__init__(agent)
        self._totals = _Totals()
        self.broker.observers.append(self._totals)

    def all(self) -> Iterable[Broker]:
        """There is one."""
        return (self.broker,)

    def key(self, item: Broker) -> str:
        """The name that the C++ broker has there."""
        return BROKER_NAME

    def durable(self, item: Broker) -> bool:
        """Yes."""
        return True

    def values(self, item: Broker) -> dict[str, Any]:
        """Configuration, and totals over all queues there have been."""
        options = item.options
        queues = item.queues.values()
        gone = self._totals.counters
        counters = {name: gone[name] + sum(map(counter, queues)) for name, counter in _GETTERS.items()}
        values = {
            "name": BROKER_NAME,
            "systemRef": self.agent.managed(BROKER_PACKAGE, "system").reference(item),
            "port": self.agent.port(),
            "maxConns": options.max_connections,
            "connBacklog": options.connection_backlog,
            "workerThreads": 1,
            "mgmtPublish": options.mgmt_publish,
            "mgmtPubInterval": int(self.agent.interval),
            "version": VERSION,
            "uptime": int((item.clock() - item.started) * 1_000_000_000),
            "queueCount": len(item.queues),
            **counters,
            "msgDepth": counters["msgTotalEnqueues"] - counters["msgTotalDequeues"],
            "byteDepth": counters["byteTotalEnqueues"] - counters["byteTotalDequeues"],
            "discardsNoRoute": self._totals.dropped + sum(map(dropped_by, item.exchanges.values())),
            "abandoned": item.abandoned,
            "abandonedViaAlt": item.abandoned_via_alternate,
        }
        if options.data_path is not None:
            values["dataDir"] = str(options.data_path)
        return values

    def stamp(self, item: Broker) -> object:
        """It grows older all the time."""
        return item.clock()

    @property
    def methods(self) -> Mapping[str, Callable[[Broker, MethodCall], None]]:
        """All that the schema has."""
        return {
            **SWITCHES,
            "echo": _echo,
            "create": create,
            "delete": delete,
            "queueMoveMessages": move,
            "queueRedirect": redirect,
        }


def _echo(broker: Broker, call: MethodCall) -> None:
    call.done(call.arguments)


class SystemClass(ManagedClass["Broker"]):
    """org.apache.qpid.broker:system: what the broker runs on."""

    schema = SYSTEM

    def all(self) -> Iterable[Broker]:
        """The broker knows of one."""
        return (self.broker,)

    def key(self, item: Broker) -> str:
        """The system id."""
        return str(self.agent.system_id)

    def durable(self, item: Broker) -> bool:
        """Yes."""
        return True

    def values(self, item: Broker) -> dict[str, Any]:
        """What uname says."""
        system = os.uname()
        return {
            "systemId": self.agent.system_id,
            "osName": system.sysname,
            "nodeName": system.nodename,
            "release": system.release,
            "version": system.version,
            "machine": system.machine,
        }


class VhostClass(ManagedClass["Broker"]):
    """org.apache.qpid.broker:vhost: brokers have one, `/`."""

    schema = VHOST

    def all(self) -> Iterable[Broker]:
        """The one."""
        return (self.broker,)

    def key(self, item: Broker) -> str:
        """The broker, and the name."""
        return f"{BROKER_OBJECT},{VHOST_NAME}"

    def durable(self, item: Broker) -> bool:
        """Yes."""
        return True

    def values(self, item: Broker) -> dict[str, Any]:
        """Name and federation tag."""
        return {
            "brokerRef": self.agent.managed(BROKER_PACKAGE, "broker").reference(item),
            "name": VHOST_NAME,
            "federationTag": item.federation_tag,
        }


class _MallInfo(ctypes.Structure):
    """struct mallinfo2 of glibc."""

    _fields_ = [
        (name, ctypes.c_size_t)
        for name in (
            "arena",
            "ordblks",
            "smblks",
            "hblks",
            "hblkhd",
            "usmblks",
            "fsmblks",
            "uordblks",
            "fordblks",
            "keepcost",
        )
    ]


@cache
def _mallinfo() -> Callable[[], Any] | None:
    """glibc's function that tells what malloc has, where there is one."""
    function = getattr(ctypes.CDLL(None), "mallinfo2", None)
    if function is None:
        return None
    function.restype = _MallInfo
    function.argtypes = ()
    return function  # type: ignore[no-any-return]


class MemoryClass(ManagedClass["Broker"]):
    """org.apache.qpid.broker:memory: what malloc says of itself."""

    schema = MEMORY

    def all(self) -> Iterable[Broker]:
        """One a process."""
        return (self.broker,)

    def key(self, item: Broker) -> str:
        """As the broker's."""
        return BROKER_NAME

    def durable(self, item: Broker) -> bool:
        """Yes."""
        return True

    def stamp(self, item: Broker) -> object:
        """It changes all the time."""
        return item.clock()

    def values(self, item: Broker) -> dict[str, Any]:
        """All but the name are optional, and only there with glibc."""
        values: dict[str, Any] = {"name": BROKER_NAME}
        mallinfo = _mallinfo()
        if mallinfo is not None:
            info = mallinfo()
            for name in ("arena", "ordblks", "hblks", "hblkhd", "uordblks", "fordblks", "keepcost"):
                values[f"malloc_{name}"] = getattr(info, name)
        return values
