"""Events: what happens on the broker, told to consoles that listen.

QMF v2 tells them on `qmf.default.topic`, QMF v1 on `qpid.management`; where nobody listens to an event it is not even
made.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from qpid_messaging.management import qmf
from qpid_messaging.management.qmf import TOPIC_EXCHANGE, Opcode

from ..observer import Observer
from ..queue import Queue
from . import v1_format
from .declarations import EventSchema, Kind
from .event_classes import EVENTS
from .exchanges import V1_EXCHANGE
from .ha import member_maps
from .v1_format import unit

if TYPE_CHECKING:
    from ..connection import ConnectionHandler
    from ..exchange import Binding, Exchange
    from ..subscription import Subscription
    from .agent import Agent

__all__ = ["Events"]


class _Channel:
    """Where an event is told."""

    __slots__ = ("schema", "v1_key", "v2_key")

    def __init__(self, schema: EventSchema, agent: Agent) -> None:
        self.schema = schema
        package = schema.package.replace(".", "_")
        self.v1_key = f"console.event.1.0.{schema.package}.{schema.name}"
        self.v2_key = f"agent.ind.event.{package}.{schema.name}.{schema.severity.word}.{agent.routing_key}"


class Events(Observer):
    """Makes events of what the broker tells its observers.

    Args:
        agent: publishes them.
    """

    def __init__(self, agent: Agent) -> None:
        self._agent = agent
        self._broker = agent.broker
        self._members: list[dict[str, Any]] = []
        self._channels = {name: _Channel(schema, agent) for name, schema in EVENTS.items()}

    def _tell(self, name: str, connection: ConnectionHandler | None = None, **values: Any) -> None:
        """Publish an event; `connection` is where it came from, for events that say."""
        agent, channel = self._agent, self._channels[name]
        v1, v2 = agent.listened(V1_EXCHANGE, channel.v1_key), agent.listened(TOPIC_EXCHANGE, channel.v2_key)
        if not (v1 or v2):
            return
        schema = channel.schema
        if any(argument.name == "rhost" for argument in schema.arguments):
            values["rhost"] = "" if connection is None else connection.peer
        if any(argument.name == "user" for argument in schema.arguments):
            values["user"] = "" if connection is None else connection.user
        now = agent.now()
        if v2:
            headers = qmf.response_headers(Opcode.DATA_INDICATION, agent.name, content="_event", indication=True)
            agent.publish(TOPIC_EXCHANGE, channel.v2_key, [_v2_event(schema, values, now)], headers)
        if v1:
            agent.publish_v1(V1_EXCHANGE, channel.v1_key, _v1_event(schema, values, now))

    # -- connections

    def connected(self, connection: ConnectionHandler) -> None:
        """clientConnect."""
        self._tell("clientConnect", connection, properties=dict(connection.client_properties))

    def disconnected(self, connection: ConnectionHandler) -> None:
        """clientDisconnect."""
        self._tell("clientDisconnect", connection, properties=dict(connection.client_properties))

    def connection_refused(self, connection: ConnectionHandler, reason: str) -> None:
        """clientConnectFail."""
        self._tell("clientConnectFail", connection, reason=reason, properties=dict(connection.client_properties))

    # -- queues

    def queue_created(self, queue: Queue) -> None:
        """queueDeclare."""
        self._queue_declared(queue, "created")

    def queue_declared_again(self, queue: Queue) -> None:
        """queueDeclare."""
        self._queue_declared(queue, "existing")

    def _queue_declared(self, queue: Queue, disposition: str) -> None:
        self._tell(
            "queueDeclare",
            self._broker.actor,
            qName=queue.name,
            durable=queue.durable,
            excl=queue.exclusive,
            autoDel=queue.auto_delete,
            altEx=_name(queue.alternate_exchange),
            args=queue.arguments,
            disp=disposition,
        )

    def queue_deleted(self, queue: Queue) -> None:
        """queueDelete."""
        self._tell("queueDelete", self._broker.actor, qName=queue.name)

    def threshold_crossed(self, queue: Queue, *, upward: bool) -> None:
        """queueThresholdCrossedUpward, queueThresholdCrossedDownward."""
        self._threshold(f"queueThresholdCrossed{'Upward' if upward else 'Downward'}", queue)

    def threshold_exceeded(self, queue: Queue) -> None:
        """queueThresholdExceeded."""
        self._threshold("queueThresholdExceeded", queue)

    def _threshold(self, name: str, queue: Queue) -> None:
        self._tell(name, qName=queue.name, msgDepth=queue.depth, byteDepth=queue.byte_depth)

    def redirected(self, source: Queue, target: Queue, *, active: bool) -> None:
        """queueRedirect, queueRedirectCancelled."""
        self._tell("queueRedirect" if active else "queueRedirectCancelled", qName=source.name, qTarget=target.name)

    # -- exchanges and bindings

    def exchange_created(self, exchange: Exchange) -> None:
        """exchangeDeclare."""
        self._exchange_declared(exchange, "created")

    def exchange_declared_again(self, exchange: Exchange) -> None:
        """exchangeDeclare."""
        self._exchange_declared(exchange, "existing")

    def _exchange_declared(self, exchange: Exchange, disposition: str) -> None:
        self._tell(
            "exchangeDeclare",
            self._broker.actor,
            exName=exchange.name,
            exType=exchange.type,
            altEx=_name(exchange.alternate_exchange),
            durable=exchange.durable,
            autoDel=exchange.auto_delete,
            args=exchange.arguments,
            disp=disposition,
        )

    def exchange_deleted(self, exchange: Exchange) -> None:
        """exchangeDelete."""
        self._tell("exchangeDelete", self._broker.actor, exName=exchange.name)

    def bound(self, binding: Binding) -> None:
        """bind."""
        queue = binding.destination
        if isinstance(queue, Queue):
            self._tell(
                "bind",
                self._broker.actor,
                exName=binding.exchange.name,
                qName=queue.name,
                key=binding.key,
                args=dict(binding.arguments),
            )

    def unbound(self, binding: Binding) -> None:
        """unbind; not where the binding goes with its queue or exchange."""
        queue = binding.destination
        if isinstance(queue, Queue) and not queue.deleted and not binding.exchange.deleted:
            self._tell("unbind", self._broker.actor, exName=binding.exchange.name, qName=queue.name, key=binding.key)

    # -- subscriptions

    def subscribed(self, subscription: Subscription) -> None:
        """subscribe."""
        self._tell(
            "subscribe",
            subscription.session.connection,
            qName=subscription.queue.name,
            dest=subscription.destination,
            excl=subscription.exclusive,
            args=subscription.arguments,
        )

    def unsubscribed(self, subscription: Subscription) -> None:
        """unsubscribe."""
        self._tell("unsubscribe", subscription.session.connection, dest=subscription.destination)

    # -- the cluster

    def members_changed(self) -> None:
        """membersUpdate."""
        ha = self._broker.ha
        members = [] if ha is None else member_maps(ha.members)
        if members != self._members:
            self._members = members
            self._tell("membersUpdate", members=members)


def _name(exchange: Exchange | None) -> str:
    return "" if exchange is None else exchange.name


def _v2_event(schema: EventSchema, values: Mapping[str, Any], now: int) -> dict[str, Any]:
    return {
        "_schema_id": qmf.schema_id(schema.package, schema.name, "_event", schema.hash),
        "_severity": int(schema.severity),
        "_timestamp": now,
        "_values": {name: qmf.as_binary(value) if isinstance(value, str) else value for name, value in values.items()},
    }


def _v1_event(schema: EventSchema, values: Mapping[str, Any], now: int) -> bytes:
    parts = [v1_format.class_key(schema), v1_format.write(Kind.TIME, now), bytes((int(schema.severity),))]
    parts += [v1_format.write(argument.kind, values[argument.name]) for argument in schema.arguments]
    return unit(b"e", 0, b"".join(parts))
