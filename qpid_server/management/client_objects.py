"""Clients: their connections, sessions and subscriptions."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any

from qpid_messaging.amqp.commands import CloseCode
from qpid_messaging.management.qmf import BROKER_PACKAGE

from .broker_objects import VHOST
from .schema import ManagedClass, MethodCall

if TYPE_CHECKING:
    from ..connection import ConnectionHandler
    from ..session import SessionHandler
    from ..subscription import Subscription

__all__ = ["ConnectionClass", "SessionClass", "SubscriptionClass"]


class ConnectionClass(ManagedClass["ConnectionHandler"]):
    """org.apache.qpid.broker:connection."""

    name = "connection"

    def all(self) -> Iterable[ConnectionHandler]:
        """Those that are open."""
        return list(self.broker.connections)

    def key(self, item: ConnectionHandler) -> str:
        """The client's address."""
        return item.peer

    def values(self, item: ConnectionHandler) -> dict[str, Any]:
        """Who it is, what the client told of itself, and counters."""
        told = item.client_properties
        values: dict[str, Any] = {
            "vhostRef": VHOST,
            "address": self.key(item),
            "incoming": True,
            "SystemConnection": False,
            "userProxyAuth": False,
            "federationLink": False,
            "shadow": False,
            "authIdentity": item.user,
            "saslMechanism": item.machine.mechanism,
            "saslSsf": 0,
            "remoteProperties": dict(told),
            "protocol": "AMQP 0-10",
            "closing": False,
            "bytesFromClient": item.bytes_in,
            "bytesToClient": item.bytes_out,
        }
        for name, client_property in (
            ("remoteProcessName", "qpid.client_process"),
            ("remotePid", "qpid.client_pid"),
            ("remoteParentPid", "qpid.client_ppid"),
        ):
            if isinstance(told.get(client_property), str if name == "remoteProcessName" else int):
                values[name] = told[client_property]
        return values

    @property
    def methods(self) -> Mapping[str, Callable[[ConnectionHandler, MethodCall], None]]:
        """close."""
        return {"close": _close}


def _close(connection: ConnectionHandler, call: MethodCall) -> None:
    call.done()
    connection.close(CloseCode.CONNECTION_FORCED, "Connection closed by management request")


class SessionClass(ManagedClass["SessionHandler"]):
    """org.apache.qpid.broker:session: those that are attached."""

    name = "session"

    def all(self) -> Iterable[SessionHandler]:
        """All."""
        return list(self.broker.sessions.values())

    def key(self, item: SessionHandler) -> str:
        """User and name: a name is unique for one user."""
        return f"{item.user}.{item.name.decode('utf-8', 'surrogateescape')}"

    def values(self, item: SessionHandler) -> dict[str, Any]:
        """Where it is attached, and what it has not settled."""
        name = self.key(item)
        return {
            "vhostRef": VHOST,
            "name": name,
            "fullName": name,
            "channelId": item.channel,
            "connectionRef": self.agent.managed(BROKER_PACKAGE, "connection").reference(item.connection),
            "detachedLifespan": item.surviving,
            "attached": True,
            "unackedMessages": len(item.unsettled),
            "TxnCount": 0 if item.transaction is None else 1,
            # Deprecated in the schema: neither is counted.
            "clientCredit": 0,
            "framesOutstanding": 0,
        }


class SubscriptionClass(ManagedClass["Subscription"]):
    """org.apache.qpid.broker:subscription."""

    name = "subscription"

    def all(self) -> Iterable[Subscription]:
        """Those of all queues."""
        return [subscription for queue in list(self.broker.queues.values()) for subscription in queue.subscriptions]

    def key(self, item: Subscription) -> str:
        """Session, queue, and the subscription's name in the session."""
        session = self.agent.managed(BROKER_PACKAGE, "session").object_name(item.session)
        queue = self.agent.managed(BROKER_PACKAGE, "queue").object_name(item.queue)
        return f"{session},{queue},{item.destination}"

    def values(self, item: Subscription) -> dict[str, Any]:
        """Both ends, and how it takes messages."""
        return {
            "sessionRef": self.agent.managed(BROKER_PACKAGE, "session").reference(item.session),
            "queueRef": self.agent.managed(BROKER_PACKAGE, "queue").reference(item.queue),
            "name": item.destination,
            "browsing": not item.acquire,
            "acknowledged": item.accept,
            "exclusive": item.exclusive,
            "creditMode": "WINDOW" if item.window else "CREDIT",
            "arguments": item.arguments,
            "delivered": item.delivered,
        }
