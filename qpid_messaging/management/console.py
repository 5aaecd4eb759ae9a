"""A QMF v2 console: asks a broker's management agent about its objects, and calls their methods."""

# The names of methods are those of qpidtoollibs, so that scripts written for it go on working.
# ruff: noqa: N802, N803

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, TypeVar

from . import objects, qmf
from .agent import Agent
from .objects import BrokerObject

__all__ = ["BrokerAgent"]

_Object = TypeVar("_Object", bound=BrokerObject)


class BrokerAgent(Agent):
    """The management agent of the broker at the other end of a connection.

    Not to be used by several threads at once: requests are answered one at a time.

    Args:
        connection: an open connection; the agent has a session of its own on it.
        timeout: seconds to wait for an answer; None waits for as long as it takes.

    Raises:
        NotFound: management is not enabled on that broker.
    """

    # -- objects by class

    def list(self, _type: str) -> Sequence[dict[str, Any]]:
        """The properties and statistics of all objects of a class."""
        return [found.values for found in self.find_all(_type)]

    def _all(self, cls: type[_Object]) -> Sequence[_Object]:
        return [cls(self, data) for data in self._query(qmf.query_class(cls.__name__.lower()))]

    def _single(self, cls: type[_Object]) -> _Object | None:
        found = self._all(cls)
        return found[0] if found else None

    def _named(self, cls: type[_Object], key: str) -> _Object | None:
        data = self.find(qmf.object_name(qmf.BROKER_PACKAGE, cls.__name__.lower(), key))
        return None if data is None else cls(self, data)

    def getBroker(self) -> objects.Broker | None:
        """The broker's own statistics."""
        return self._single(objects.Broker)

    def getHaBroker(self) -> objects.HaBroker | None:
        """The broker's part in a cluster; None where it stands alone."""
        return self._single(objects.HaBroker)

    def getCluster(self) -> objects.Cluster | None:
        """The cluster in the sense of very old brokers; None with all others. See `getHaBroker`."""
        return self._single(objects.Cluster)

    def getMemory(self) -> objects.Memory | None:
        """The broker process's memory."""
        return self._single(objects.Memory)

    def getAcl(self) -> objects.Acl | None:
        """The broker's access control; None where it has none."""
        return self._single(objects.Acl)

    def getAllQueues(self) -> Sequence[objects.Queue]:
        """All queues."""
        return self._all(objects.Queue)

    def getQueue(self, name: str) -> objects.Queue | None:
        """The queue of that name; None where there is none."""
        return self._named(objects.Queue, name)

    def getAllExchanges(self) -> Sequence[objects.Exchange]:
        """All exchanges."""
        return self._all(objects.Exchange)

    def getExchange(self, name: str) -> objects.Exchange | None:
        """The exchange of that name; None where there is none."""
        return self._named(objects.Exchange, name)

    def getAllBindings(self) -> Sequence[objects.Binding]:
        """All bindings."""
        return self._all(objects.Binding)

    def getAllSubscriptions(self) -> Sequence[objects.Subscription]:
        """All subscriptions."""
        return self._all(objects.Subscription)

    def getSubscription(self, oid: str) -> objects.Subscription | None:
        """The subscription whose object id ends like that."""
        return self._named(objects.Subscription, oid)

    def getAllConnections(self) -> Sequence[objects.Connection]:
        """All connections of clients."""
        return self._all(objects.Connection)

    def getConnection(self, oid: str) -> objects.Connection | None:
        """The connection whose object id ends like that."""
        return self._named(objects.Connection, oid)

    def getAllSessions(self) -> Sequence[objects.Session]:
        """All sessions."""
        return self._all(objects.Session)

    def getSession(self, oid: str) -> objects.Session | None:
        """The session whose object id ends like that."""
        return self._named(objects.Session, oid)

    def getAllLinks(self) -> Sequence[objects.Link]:
        """All links to other brokers."""
        return self._all(objects.Link)

    # -- the broker's methods

    def _broker_call(self, method: str, **arguments: Any) -> dict[str, Any]:
        return self.call(qmf.BROKER_OBJECT, method, arguments)

    def _method(
        self,
        method: str,
        arguments: Mapping[str, Any] | None = None,
        addr: str = qmf.BROKER_OBJECT,
        timeout: float | None = None,
    ) -> dict[str, Any]:
        # What scripts for qpidtoollibs use in the place of `call`.
        return self.call(addr, method, arguments, timeout)

    def echo(self, sequence: int = 1, body: str = "Body") -> dict[str, Any]:
        """Have the agent say the same again: shows that the path to it is whole."""
        return self._broker_call("echo", sequence=sequence, body=body)

    def connect(
        self, host: str, port: int, durable: bool, authMechanism: str, username: str, password: str, transport: str
    ) -> None:
        """Have the broker make a link to another one."""
        self._broker_call(
            "connect",
            host=host,
            port=port,
            durable=durable,
            authMechanism=authMechanism,
            username=username,
            password=password,
            transport=transport,
        )

    def create(
        self, _type: str, name: str, properties: Mapping[str, Any] | None = None, strict: bool = False
    ) -> dict[str, Any]:
        """Create a queue, an exchange or a binding.

        Args:
            _type: `queue`, `exchange` or `binding`.
            name: its name; a binding's is `exchange/queue/key`.
            properties: its options and arguments.
            strict: refuse properties that the broker does not know.
        """
        return self._broker_call("create", type=_type, name=name, properties=dict(properties or {}), strict=strict)

    def delete(self, _type: str, name: str, options: Mapping[str, Any] | None = None) -> dict[str, Any]:
        """Delete a queue, an exchange or a binding.

        Args:
            _type: `queue`, `exchange` or `binding`.
            name: its name; a binding's is `exchange/queue/key`.
            options: for a queue `if_empty` and `if_unused`.
        """
        return self._broker_call("delete", type=_type, name=name, options=dict(options or {}))

    def query(self, _type: str, oid: str) -> dict[str, Any]:
        """The inner state of an object: of a queue for example its message groups."""
        answer = self._broker_call("query", type=_type, name=oid)
        results: dict[str, Any] = answer.get("results", {})
        return results

    def addQueue(self, name: str, options: Mapping[str, Any] | None = None, **kwargs: Any) -> None:
        """Create a queue; options and arguments by name, also as keywords."""
        self.create("queue", name, {**(options or {}), **kwargs}, strict=True)

    def delQueue(self, name: str, if_empty: bool = True, if_unused: bool = True) -> None:
        """Delete a queue, by default only one without messages and subscriptions."""
        self.delete("queue", name, {"if_empty": if_empty, "if_unused": if_unused})

    def addExchange(
        self, exchange_type: str, name: str, options: Mapping[str, Any] | None = None, **kwargs: Any
    ) -> None:
        """Create an exchange; options and arguments by name, also as keywords."""
        self.create("exchange", name, {"exchange-type": exchange_type, **(options or {}), **kwargs}, strict=True)

    def delExchange(self, name: str) -> None:
        """Delete an exchange."""
        self.delete("exchange", name)

    def bind(
        self, exchange: str, queue: str, key: str = "", options: Mapping[str, Any] | None = None, **kwargs: Any
    ) -> None:
        """Bind a queue to an exchange; arguments of the binding by name, also as keywords."""
        self.create("binding", f"{exchange}/{queue}/{key}", {**(options or {}), **kwargs}, strict=True)

    def unbind(self, exchange: str, queue: str, key: str, **kwargs: Any) -> None:
        """Take a binding away. Keywords are taken for the sake of `qpidtoollibs`, and mean nothing there either."""
        self.delete("binding", f"{exchange}/{queue}/{key}")

    def queueMoveMessages(self, srcQueue: str, destQueue: str, qty: int) -> None:
        """Move the first `qty` messages to another queue, or all where that is 0."""
        self._broker_call("queueMoveMessages", srcQueue=srcQueue, destQueue=destQueue, qty=qty)

    def queueRedirect(self, sourceQueue: str, targetQueue: str) -> dict[str, Any]:
        """Let another queue have what is sent to one; without a target (an empty name): no more."""
        return self._broker_call("queueRedirect", sourceQueue=sourceQueue, targetQueue=targetQueue)

    #: The same under its other name in `qpidtoollibs`.
    Redirect = queueRedirect

    def setLogLevel(self, level: str) -> None:
        """Change what the broker logs: rules as of its option `log-enable`."""
        self._broker_call("setLogLevel", level=level)

    def getLogLevel(self) -> dict[str, Any]:
        """What the broker logs, as `level`."""
        return self._broker_call("getLogLevel")

    def setTimestampConfig(self, receive: bool) -> None:
        """Give messages the time of their arrival, or not."""
        self._broker_call("setTimestampConfig", receive=receive)

    def getTimestampConfig(self) -> dict[str, Any]:
        """Whether messages get the time of their arrival, as `receive`."""
        return self._broker_call("getTimestampConfig")

    def setLogHiresTimestamp(self, logHires: bool) -> None:
        """Log times with fractions of a second, or without."""
        self._broker_call("setLogHiresTimestamp", logHires=logHires)

    def getLogHiresTimestamp(self) -> dict[str, Any]:
        """Whether times are logged with fractions of a second, as `logHires`."""
        return self._broker_call("getLogHiresTimestamp")

    def shutdown(self) -> None:
        """End the broker."""
        self._broker_call("shutdown")

    # -- access control

    def reloadAclFile(self) -> None:
        """Have the broker read its file of access rules again."""
        self.call(qmf.ACL_OBJECT, "reloadACLFile")

    def acl_lookup(
        self, userName: str, action: str, aclObj: str, aclObjName: str, propMap: Mapping[str, Any]
    ) -> dict[str, Any]:
        """Ask whether a user may do something, as `result`."""
        arguments = {
            "userId": userName,
            "action": action,
            "object": aclObj,
            "objectName": aclObjName,
            "propertyMap": dict(propMap),
        }
        return self.call(qmf.ACL_OBJECT, "Lookup", arguments)

    def acl_lookupPublish(self, userName: str, exchange: str, key: str) -> dict[str, Any]:
        """Ask whether a user may publish with a routing key, as `result`."""
        arguments = {"userId": userName, "exchangeName": exchange, "routingKey": key}
        return self.call(qmf.ACL_OBJECT, "LookupPublish", arguments)
