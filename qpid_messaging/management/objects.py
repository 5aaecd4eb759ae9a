"""Managed objects as a console sees them: a broker's queues, exchanges, connections and the rest.

Each holds the properties and statistics of the moment it was fetched, as attributes under their names in the management
schema (`queue.msgDepth`); a name that the agent did not send is None, as in `qpidtoollibs`.
"""

# The names of methods are those of the management schema and of qpidtoollibs.
# ruff: noqa: N802, N803

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from .errors import ObjectDeleted

if TYPE_CHECKING:
    from .agent import Agent
    from .qmf import Data

__all__ = [
    "Acl",
    "Binding",
    "Broker",
    "BrokerObject",
    "Cluster",
    "Connection",
    "Exchange",
    "HaBroker",
    "Link",
    "Memory",
    "Queue",
    "Session",
    "Subscription",
    "managed_object",
]


class BrokerObject:
    """A managed object.

    Args:
        broker: the agent that it came from, and that its methods are called through.
        data: what the agent said of it.
    """

    def __init__(self, broker: Agent, data: Data) -> None:
        self.broker = broker
        self.data = data

    @property
    def values(self) -> dict[str, Any]:
        """All properties and statistics; references to other objects are object ids."""
        return self.data.values

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        value = self.data.values.get(name)
        if isinstance(value, dict) and "_object_name" in value:
            # A reference: what stands behind package and class.
            full = str(value["_object_name"])
            parts = full.split(":", 2)
            return parts[2] if len(parts) == 3 else full
        return value

    def getObjectId(self) -> str:
        """Name of the object, unique on its agent."""
        return self.data.name

    def getAttributes(self) -> dict[str, Any]:
        """All properties and statistics by name."""
        return self.data.values

    def getCreateTime(self) -> int:
        """When the object came into being, in nanoseconds since 1970."""
        return self.data.created

    def getUpdateTime(self) -> int:
        """When its values were taken, in nanoseconds since 1970."""
        return self.data.updated

    def getDeleteTime(self) -> int:
        """When it was deleted, in nanoseconds since 1970; 0 while it exists."""
        return self.data.deleted

    def update(self) -> None:
        """Fetch the values again.

        Raises:
            ObjectDeleted: it exists no more.
        """
        data = self.broker.find(self.data.name)
        if data is None:
            raise ObjectDeleted(text=f"no longer exists on the broker: {self.data.name}")
        self.data = data

    def call(
        self, method: str, arguments: Mapping[str, Any] | None = None, timeout: float | None = None
    ) -> dict[str, Any]:
        """Call one of its methods: see `Agent.call`."""
        return self.broker.call(self.data.name, method, arguments, timeout)

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.data.name!r}>"


class Broker(BrokerObject):
    """The broker as a whole."""


class Cluster(BrokerObject):
    """A cluster of the kind that brokers had before they had HA."""


class HaBroker(BrokerObject):
    """A broker's part in a highly available cluster."""

    def promote(self, *, force: bool = False, timeout: float | None = None) -> None:
        """Make the broker the cluster's primary. For cluster managers, which see to it that there is one only.

        Args:
            force: also where acknowledged messages may be lost by it.
            timeout: seconds to wait until it is done; None is the agent's timeout.
        """
        self.call("promote", {"force": True} if force else {}, timeout)

    def demote(self, *, wait: float | None = None, timeout: float | None = None) -> None:
        """Make the broker the primary no more, where it is; it follows whoever is promoted next. The C++ broker cannot:
        there the process is ended.

        Args:
            wait: seconds that its backups may take to hold everything before; None is the broker's choice.
            timeout: seconds to wait until it is done; None is the agent's timeout.
        """
        self.call("demote", {} if wait is None else {"wait": round(wait * 1000)}, timeout)

    def forget(self, member: str) -> None:
        """Count a member of the cluster no more, which will not come back; for the primary. The C++ broker cannot.

        Args:
            member: its address, host:port, or its system id.
        """
        self.call("forget", {"member": member})

    def stopReplicating(self, queue: str) -> None:
        """Let a queue follow the one on another broker no more. Brokers of the C++ kind cannot: there it is deleted."""
        self.call("stopReplicating", {"queue": queue})

    def setBrokersUrl(self, url: str) -> None:
        """Tell the broker where the members of its cluster are."""
        self.call("setBrokersUrl", {"url": url})

    def setPublicUrl(self, url: str) -> None:
        """Tell the broker what to tell clients about where the cluster is."""
        self.call("setPublicUrl", {"url": url})

    def setReplicateRules(self, rules: Sequence[str]) -> None:
        """Tell the broker what is replicated of queues and exchanges to come that do not say, by their names."""
        self.call("setReplicateRules", {"rules": list(rules)})

    def replicate(self, broker: str, queue: str) -> None:
        """Have the broker copy a queue from another one, which is not in its cluster."""
        self.call("replicate", {"broker": broker, "queue": queue})


class Queue(BrokerObject):
    """A queue."""

    def purge(self, request: int = 0, filter: Mapping[str, Any] | None = None) -> None:
        """Discard messages: the first `request` of them, or all where that is 0."""
        arguments: dict[str, Any] = {"request": request}
        if filter:
            arguments["filter"] = dict(filter)
        self.call("purge", arguments)

    def reroute(
        self,
        request: int,
        useAltExchange: bool,
        exchange: str,
        filter: Mapping[str, Any] | None = None,
    ) -> None:
        """Send messages through another exchange: the first `request` of them, or all where that is 0."""
        self.call(
            "reroute",
            {
                "request": request,
                "useAltExchange": useAltExchange,
                "exchange": exchange,
                "filter": dict(filter or {}),
            },
        )


class Exchange(BrokerObject):
    """An exchange."""


class Binding(BrokerObject):
    """A binding of a queue to an exchange."""


class Subscription(BrokerObject):
    """A subscription to a queue."""


class Connection(BrokerObject):
    """A client's connection to the broker."""

    def close(self) -> None:
        """Have the broker close it."""
        self.call("close")


class Session(BrokerObject):
    """A session on one of the broker's connections."""


class Link(BrokerObject):
    """A connection to another broker."""


class Memory(BrokerObject):
    """The broker process's memory."""


class Acl(BrokerObject):
    """The broker's access control."""


_CLASSES: dict[str, type[BrokerObject]] = {
    cls.__name__.lower(): cls
    for cls in (
        Acl,
        Binding,
        Broker,
        Cluster,
        Connection,
        Exchange,
        HaBroker,
        Link,
        Memory,
        Queue,
        Session,
        Subscription,
    )
}


def managed_object(broker: Agent, data: Data) -> BrokerObject:
    """The object in the class that fits what it describes."""
    return _CLASSES.get(data.class_name.lower(), BrokerObject)(broker, data)
