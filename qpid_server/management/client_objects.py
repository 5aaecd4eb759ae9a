"""Clients: their connections, sessions and subscriptions."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any

from qpid_messaging.amqp.commands import CloseCode
from qpid_messaging.management.qmf import BROKER_PACKAGE

from .broker_objects import VHOST_REFERENCE
from .classes import CONNECTION, SESSION, SUBSCRIPTION
from .schema import ManagedClass, MethodCall

if TYPE_CHECKING:
    from ..connection import ConnectionHandler
    from ..session import SessionHandler
    from ..subscription import Subscription

__all__ = ["ConnectionClass", "SessionClass", "SubscriptionClass"]


class ConnectionClass(ManagedClass["ConnectionHandler"]):
    """org.apache.qpid.broker:connection."""

    schema = CONNECTION

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
            "vhostRef": VHOST_REFERENCE,
            "address": self.key(item),
            "incoming": True,
            "authIdentity": item.user,
            "saslMechanism": item.machine.mechanism,
            "remoteProperties": dict(told),
            "protocol": "AMQP 0-10",
            "closing": item.closing,
            "framesFromClient": item.frames_in,
            "framesToClient": item.frames_out,
            "bytesFromClient": item.bytes_in,
            "bytesToClient": item.bytes_out,
            "msgsFromClient": item.messages_in,
            "msgsToClient": item.messages_out,
        }
        for name, client_property in (
            ("remoteProcessName", "qpid.client_process"),
            ("remotePid", "qpid.client_pid"),
            ("remoteParentPid", "qpid.client_ppid"),
        ):
            if isinstance(told.get(client_property), str if name == "remoteProcessName" else int):
                values[name] = told[client_property]
        return values

    def updated(self, item: ConnectionHandler) -> int:
        """When something came or went: tools show how long ago that was."""
        return self.agent.now() - int(item.idle * 1_000_000_000)

    def stamp(self, item: ConnectionHandler) -> object:
        """Nothing changes without bytes."""
        return item.bytes_in, item.bytes_out

    @property
    def methods(self) -> Mapping[str, Callable[[ConnectionHandler, MethodCall], None]]:
        """close."""
        return {"close": _close}


def _close(connection: ConnectionHandler, call: MethodCall) -> None:
    call.done()
    connection.close(CloseCode.CONNECTION_FORCED, "Connection closed by management request")


class SessionClass(ManagedClass["SessionHandler"]):
    """org.apache.qpid.broker:session: those that are attached."""

    schema = SESSION

    def all(self) -> Iterable[SessionHandler]:
        """All."""
        return list(self.broker.sessions.values())

    def key(self, item: SessionHandler) -> str:
        """User and name: a name is unique for one user."""
        return f"{item.user}.{item.name.decode('utf-8', 'surrogateescape')}"

    def values(self, item: SessionHandler) -> dict[str, Any]:
        """Where it is attached, and what it has not settled."""
        name = self.key(item)
        pending = 0 if item.transaction is None else 1
        return {
            "vhostRef": VHOST_REFERENCE,
            "name": name,
            "fullName": name,
            "channelId": item.channel,
            "connectionRef": self.agent.managed(BROKER_PACKAGE, "connection").reference(item.connection),
            "detachedLifespan": item.surviving,
            "attached": True,
            "unackedMessages": len(item.unsettled),
            "TxnStarts": item.tx_commits + item.tx_rejects + pending,
            "TxnCommits": item.tx_commits,
            "TxnRejects": item.tx_rejects,
            "TxnCount": pending,
        }

    def stamp(self, item: SessionHandler) -> object:
        """What changes is what it has not settled, and its transactions."""
        return len(item.unsettled), item.tx_commits, item.tx_rejects, item.transaction is None, item.surviving

    @property
    def methods(self) -> Mapping[str, Callable[[SessionHandler, MethodCall], None]]:
        """detach, close."""
        return {"detach": _detach, "close": _detach}


def _detach(session: SessionHandler, call: MethodCall) -> None:
    call.done()
    session.connection.detach(session)


class SubscriptionClass(ManagedClass["Subscription"]):
    """org.apache.qpid.broker:subscription."""

    schema = SUBSCRIPTION

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

    def stamp(self, item: Subscription) -> object:
        """Only what it was given changes, and its credit mode."""
        return item.delivered, item.window
