"""The management agent of a broker: what it manages, who it is, and how its messages come and go.

It takes the messages that are routed to its keys on `qmf.default.direct`, `qmf.default.topic` and `qpid.management`,
and publishes as any client would. Whatever is wrong with a request is answered where it says where to; it never reaches
the session that it came through.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING, Any
from uuid import UUID, uuid4

from qpid_messaging.amqp.codec import encode_header, encode_list, encode_map
from qpid_messaging.amqp.commands import DeliveryProperties, MessageProperties
from qpid_messaging.amqp.errors import ProtocolError
from qpid_messaging.management import qmf
from qpid_messaging.management.qmf import Data

from ..message import Message
from . import v1_format
from .creation import CreationTimes
from .declarations import ClassSchema, EventSchema
from .event_classes import EVENTS
from .exchanges import V1_EXCHANGE, ManagementTopicExchange
from .schema import ManagedClass
from .turns import Turns
from .v1_requests import V1Requests
from .v2_requests import V2Requests
from .watermarks import Watermarks

if TYPE_CHECKING:
    from ..broker import Broker

__all__ = ["Agent"]

log = logging.getLogger(__name__)


class Agent:
    """The management agent of a broker.

    Args:
        broker: what it manages.
        classes: the classes of objects that it knows.
        instance: tells this broker's agent from those of other brokers.
        port: where the broker listens.
        now: nanoseconds since 1970, for the times that consoles are told.

    Attributes:
        name: the agent's name in QMF v2.
        routing_key: the same as the last words of a routing key.
        interval: seconds between reports.
        turns: long work is done here.
    """

    def __init__(
        self,
        broker: Broker,
        classes: Iterable[type[ManagedClass[Any]]],
        *,
        instance: str,
        port: Callable[[], int],
        now: Callable[[], int] = time.time_ns,
    ) -> None:
        self.broker = broker
        self.port = port
        self.now = now
        self.interval: float = broker.options.mgmt_pub_interval
        # Consoles look for brokers by the names that qpidd has always had.
        self.attributes = {"_vendor": "apache.org", "_product": "qpidd", "_instance": instance}
        self.name = ":".join(self.attributes.values())
        self.routing_key = ".".join(value.replace(".", "_") for value in self.attributes.values())
        self.creation = CreationTimes(now)
        self.watermarks = Watermarks(self)
        self.turns = Turns(broker)
        self._system_id = uuid4()
        self.classes: list[ManagedClass[Any]] = [cls(self) for cls in classes]
        self._by_name = {(managed.package, managed.name): managed for managed in self.classes}
        self._v1 = V1Requests(self)
        self._v2 = V2Requests(self)
        options = broker.options
        told_over = ((options.mgmt_qmf1, V1_EXCHANGE), (options.mgmt_qmf2, qmf.TOPIC_EXCHANGE))
        self._told_over = frozenset(exchange for wanted, exchange in told_over if wanted)
        self._delivering = False

    @property
    def system_id(self) -> UUID:
        """Tells the system that the broker is from others: a cluster's member has its own, others make one up."""
        ha = self.broker.ha
        return self._system_id if ha is None else ha.system_id

    # -- what there is

    def managed(self, package: str, name: str) -> ManagedClass[Any]:
        """The class of that name.

        Raises:
            KeyError: the agent has none such.
        """
        return self._by_name[package, name]

    def schemas(self) -> list[ClassSchema | EventSchema]:
        """All classes, of objects and of events."""
        return [*(managed.schema for managed in self.classes), *EVENTS.values()]

    def matching(self, class_name: str, package: str | None) -> Iterator[ManagedClass[Any]]:
        """The classes of that name, of a certain package or of any; consoles do not agree about capitals."""
        for managed in self.classes:
            if managed.name.lower() == class_name.lower() and package in (None, managed.package):
                yield managed

    def find(self, name: str) -> tuple[ManagedClass[Any], Any] | None:
        """The object of that name, with its class; None where there is none."""
        package, _, rest = name.partition(":")
        class_name, _, key = rest.partition(":")
        managed = self._by_name.get((package, class_name))
        item = None if managed is None else managed.find(key)
        return None if managed is None or item is None else (managed, item)

    def data(self, managed: ManagedClass[Any], item: Any, *, deleted: int = 0) -> Data:
        """An object as consoles are told of it."""
        return Data(
            managed.object_name(item),
            managed.package,
            managed.name,
            managed.schema.complete(managed.values(item)),
            created=managed.created(item),
            updated=managed.updated(item),
            deleted=deleted,
            epoch=managed.epoch(item),
            schema_hash=managed.schema.hash,
        )

    # -- what comes

    def deliver(self, message: Message, publisher: Any) -> None:
        """Answer a console's message. Never raises, whatever the message holds.

        Args:
            message: what was routed to the agent.
            publisher: the connection that it came from.
        """
        outer, self._delivering = self._delivering, True
        try:
            if message.properties.app_id == qmf.APP_ID.encode():
                self._v2.take(message, publisher)
            elif message.body is not None and message.body.startswith(v1_format.MARK):
                self._v1.take(message, publisher)
            else:
                log.debug("ignored a message to the management agent that is not QMF: %r", message)
        except ProtocolError as error:
            log.debug("ignored a message to the management agent that does not decode: %s", error)
        finally:
            self._delivering = outer

    # -- what goes

    def listened(self, exchange_name: str, key: str) -> bool:
        """Whether anybody is to be told what goes there without having been asked for."""
        if exchange_name not in self._told_over:
            return False
        exchange = self.broker.exchanges.get(exchange_name)
        return isinstance(exchange, ManagementTopicExchange) and exchange.listened(key)

    def publish(
        self,
        exchange_name: str,
        key: str,
        content: dict[str, Any] | list[Any],
        headers: dict[str, Any],
        correlation_id: bytes | None = None,
    ) -> None:
        """Publish a QMF v2 message."""
        is_map = isinstance(content, dict)
        body = encode_map(content) if isinstance(content, dict) else encode_list(content)
        properties = MessageProperties(
            content_length=len(body),
            correlation_id=correlation_id,
            content_type="amqp/map" if is_map else "amqp/list",
            app_id=qmf.APP_ID.encode(),
            application_headers=headers,
        )
        self._publish(exchange_name, key, properties, body)

    def publish_v1(self, exchange_name: str, key: str, units: bytes) -> None:
        """Publish a QMF v1 message."""
        self._publish(exchange_name, key, MessageProperties(content_length=len(units)), units)

    def _publish(self, exchange_name: str, key: str, properties: MessageProperties, body: bytes) -> None:
        exchange = self.broker.exchanges.get(exchange_name)
        if exchange is None:
            log.debug("no exchange %r for a message of the management agent", exchange_name)
            return
        header = encode_header(properties, DeliveryProperties(routing_key=key))
        broker = self.broker
        effects = broker.route(Message(exchange_name, header, body), exchange)
        # The agent is a publisher that nobody can hold back: what is too much for a queue is dropped.
        broker.do(*broker.admit(effects, strict=False))

    def settle(self) -> None:
        """Hand out what was published, unless that is about to happen anyway."""
        if not self._delivering:
            self.broker.settle()
