"""The broker as a whole, the system that it runs on, its one virtual host, and its memory."""

from __future__ import annotations

import ctypes
import os
from collections.abc import Callable, Iterable, Mapping
from functools import cache
from typing import TYPE_CHECKING, Any

from qpid_messaging.management.qmf import BROKER_OBJECT, BROKER_PACKAGE, Status, object_name, reference

from ..connection import VERSION
from ..observer import Observer
from .configuration import create, delete
from .schema import ManagedClass, MethodCall, MethodError

if TYPE_CHECKING:
    from ..broker import Broker
    from ..queue import Queue
    from .agent import Agent

__all__ = ["VHOST", "BrokerClass", "MemoryClass", "SystemClass", "VhostClass"]

BROKER_NAME = "amqp-broker"
VHOST_NAME = "/"
#: The virtual host's object id, which most objects refer to.
VHOST = reference(object_name(BROKER_PACKAGE, "vhost", f"{BROKER_OBJECT},{VHOST_NAME}"))

_COUNTERS = {
    "msgTotalEnqueues": "enqueued",
    "msgTotalDequeues": "dequeued",
    "byteTotalEnqueues": "enqueued_bytes",
    "byteTotalDequeues": "dequeued_bytes",
    "acquires": "acquires",
    "releases": "releases",
    "discardsTtl": "expired",
    "discardsSubscriber": "rejects",
    "discardsPurge": "purged",
}

#: Statistics of what never happens here: messages are not flowed to disk, and no queue has a ring's, a last value
#: queue's or a limit's policy.
NEVER = (
    *("msgFtdEnqueues", "msgFtdDequeues", "byteFtdEnqueues", "byteFtdDequeues", "msgFtdDepth", "byteFtdDepth"),
    *("discardsRing", "discardsLvq", "discardsOverflow"),
)

#: Methods of the management schema's class broker that this broker does not have yet.
_UNSUPPORTED = (
    "connect",
    "getLogHiresTimestamp",
    "getLogLevel",
    "getTimestampConfig",
    "query",
    "queueMoveMessages",
    "queueRedirect",
    "setLogHiresTimestamp",
    "setLogLevel",
    "setTimestampConfig",
    "shutdown",
)


class _Totals(Observer):
    """The counters of queues that exist no more: a broker's totals never go back."""

    def __init__(self) -> None:
        self.counters = dict.fromkeys(_COUNTERS, 0)

    def queue_deleted(self, queue: Queue) -> None:
        for name, attribute in _COUNTERS.items():
            self.counters[name] += getattr(queue, attribute)


def _unsupported(broker: Broker, call: MethodCall) -> None:
    raise MethodError(Status.NOT_IMPLEMENTED, f"method {call.method} is not implemented")


class BrokerClass(ManagedClass["Broker"]):
    """org.apache.qpid.broker:broker: totals, and the methods that configure queues, exchanges and bindings."""

    name = "broker"

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
        counters = dict(self._totals.counters)
        for queue in item.queues.values():
            for name, attribute in _COUNTERS.items():
                counters[name] += getattr(queue, attribute)
        dropped = 0
        for exchange in item.exchanges.values():
            exchange.count()
            if exchange.alternate_exchange is None:
                dropped += exchange.drops
        values = {
            "name": BROKER_NAME,
            "systemRef": self.agent.managed(BROKER_PACKAGE, "system").reference(item),
            "port": self.agent.port(),
            "maxConns": options.max_connections,
            "mgmtPublish": False,
            "stagingThreshold": 0,
            "version": VERSION,
            "uptime": int((item.clock() - item.started) * 1_000_000_000),
            "queueCount": len(item.queues),
            **counters,
            "msgDepth": counters["msgTotalEnqueues"] - counters["msgTotalDequeues"],
            "byteDepth": counters["byteTotalEnqueues"] - counters["byteTotalDequeues"],
            "discardsNoRoute": dropped,
            "workerThreads": 1,
            **dict.fromkeys(NEVER, 0),
        }
        if options.data_path is not None:
            values["dataDir"] = str(options.data_path)
        return values

    @property
    def methods(self) -> Mapping[str, Callable[[Broker, MethodCall], None]]:
        """echo, create, delete; the rest of the schema's is refused by name."""
        return {**dict.fromkeys(_UNSUPPORTED, _unsupported), "echo": _echo, "create": create, "delete": delete}


def _echo(broker: Broker, call: MethodCall) -> None:
    call.done(call.arguments)


class SystemClass(ManagedClass["Broker"]):
    """org.apache.qpid.broker:system: what the broker runs on."""

    name = "system"

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

    name = "vhost"

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

    name = "memory"

    def all(self) -> Iterable[Broker]:
        """One a process."""
        return (self.broker,)

    def key(self, item: Broker) -> str:
        """As the broker's."""
        return BROKER_NAME

    def durable(self, item: Broker) -> bool:
        """Yes."""
        return True

    def values(self, item: Broker) -> dict[str, Any]:
        """All but the name are optional, and only there with glibc."""
        values: dict[str, Any] = {"name": BROKER_NAME}
        mallinfo = _mallinfo()
        if mallinfo is not None:
            info = mallinfo()
            for name in ("arena", "ordblks", "hblks", "hblkhd", "uordblks", "fordblks", "keepcost"):
                values[f"malloc_{name}"] = getattr(info, name)
        return values
