"""The QMF v2 agent: answers what consoles ask about the broker's objects, and carries out their methods.

It takes the messages that are routed to its keys on `qmf.default.direct` and `qmf.default.topic`, and publishes answers
to their reply-to address as any client would. Whatever is wrong with a request is answered with an exception where it
says where to; it never reaches the session that it came through.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from itertools import islice
from typing import TYPE_CHECKING, Any
from uuid import UUID, uuid4

from qpid_messaging.amqp.codec import decode_list, decode_map, encode_header, encode_list, encode_map
from qpid_messaging.amqp.commands import DeliveryProperties, MessageProperties
from qpid_messaging.amqp.errors import ProtocolError
from qpid_messaging.management import qmf
from qpid_messaging.management.qmf import Data, Opcode, Status

from ..errors import SessionError
from ..message import Message
from .creation import CreationTimes
from .schema import ManagedClass, MethodCall, MethodError

if TYPE_CHECKING:
    from ..broker import Broker

__all__ = ["Agent"]

log = logging.getLogger(__name__)

#: Objects in one message of a query's answer.
OBJECTS_PER_MESSAGE = 100

_DECODERS: dict[str, Callable[[bytes], Any]] = {"amqp/map": decode_map, "amqp/list": decode_list}


class _Request:
    """A console's message, as far as it makes sense."""

    __slots__ = ("agent", "body", "content_type", "correlation_id", "exchange", "key", "opcode", "publisher")

    def __init__(self, message: Message, publisher: Any) -> None:
        properties = message.properties
        headers = properties.application_headers or {}
        reply_to = properties.reply_to
        self.publisher = publisher
        self.opcode = qmf.opcode_of(headers)
        self.content_type = properties.content_type
        self.body = message.body or b""
        self.correlation_id = properties.correlation_id
        self.exchange: str | None = None if reply_to is None else reply_to.exchange or ""
        self.key = "" if reply_to is None else reply_to.routing_key or ""
        #: The agent's name as this console knows it.
        self.agent = message.routing_key

    def content(self) -> Any:
        """The map or list that was sent.

        Raises:
            MethodError: it is neither.
        """
        decode = _DECODERS.get(self.content_type or "")
        if decode is None:
            raise MethodError(
                Status.INVALID_PARAMETER, f"content type {self.content_type!r} is neither amqp/map nor amqp/list"
            )
        try:
            return decode(self.body)
        except ProtocolError as error:
            raise MethodError(Status.INVALID_PARAMETER, f"malformed {self.content_type}: {error}") from error


class Agent:
    """The management agent of a broker.

    Args:
        broker: what it manages.
        classes: the classes of objects that it knows.
        instance: tells this broker's agent from those of other brokers.
        port: where the broker listens.
        now: nanoseconds since 1970, for the times that consoles are told.
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
        # Consoles look for brokers by the names that qpidd has always had.
        self.attributes = {"_vendor": "apache.org", "_product": "qpidd", "_instance": instance}
        self.name = ":".join(self.attributes.values())
        self.creation = CreationTimes(now)
        self._system_id = uuid4()
        self.classes: list[ManagedClass[Any]] = [cls(self) for cls in classes]
        self._by_name = {(managed.package, managed.name): managed for managed in self.classes}
        self._handlers = {
            Opcode.LOCATE_REQUEST: self._locate,
            Opcode.QUERY_REQUEST: self._query,
            Opcode.METHOD_REQUEST: self._method,
        }
        self._delivering = False

    @property
    def system_id(self) -> UUID:
        """Tells the system that the broker is from others: a cluster's member has its own, others make one up."""
        ha = self.broker.ha
        return self._system_id if ha is None else ha.system_id

    def managed(self, package: str, name: str) -> ManagedClass[Any]:
        """The class of that name.

        Raises:
            KeyError: the agent has none such.
        """
        return self._by_name[package, name]

    # -- requests

    def deliver(self, message: Message, publisher: Any) -> None:
        """Answer a console's message. Never raises, whatever the message holds.

        Args:
            message: what was routed to the agent.
            publisher: the connection that it came from.
        """
        try:
            properties = message.properties
            if properties.app_id != qmf.APP_ID.encode():
                log.debug("ignored a message to the management agent that is not QMF v2: %r", message)
                return
            request = _Request(message, publisher)
        except ProtocolError as error:
            log.debug("ignored a message to the management agent whose header does not decode: %s", error)
            return
        outer, self._delivering = self._delivering, True
        try:
            handler = self._handlers.get(request.opcode or "")
            if handler is None:
                raise MethodError(Status.NOT_IMPLEMENTED, f"opcode {request.opcode!r} is not supported")
            handler(request)
        except MethodError as error:
            self._refuse(request, error.status, error.text)
        except SessionError as error:
            self._refuse(request, Status.EXCEPTION, error.description)
        except Exception as error:
            # The fault is ours, but it must not end the session of whoever asked.
            log.exception("management request %s failed", request.opcode)
            self._refuse(request, Status.EXCEPTION, f"internal-error: {error!r}")
        finally:
            self._delivering = outer

    def _locate(self, request: _Request) -> None:
        values = {**qmf.as_binary(self.attributes), "_name": self.name.encode(), "_timestamp": self.now()}
        self._answer(request, Opcode.LOCATE_RESPONSE, {"_values": values}, indication=True)

    def _query(self, request: _Request) -> None:
        content = request.content()
        if not isinstance(content, dict):
            raise MethodError(Status.INVALID_PARAMETER, "a query must be a map")
        what = qmf.as_text(content.get("_what"))
        if what == "SCHEMA_ID":
            self._answer(request, Opcode.QUERY_RESPONSE, self._schema_ids(), content="_schema_id")
            return
        if what != "OBJECT":
            raise MethodError(Status.INVALID_PARAMETER, f"query for _what => {what!r} is not supported")
        if "_object_id" in content:
            found = self._find(content["_object_id"])
            objects = iter(() if found is None else (self._data(*found),))
        elif "_schema_id" in content:
            objects = self._objects(content["_schema_id"])
        else:
            raise MethodError(Status.INVALID_PARAMETER, "a query needs _object_id or _schema_id")
        part = [data.to_map() for data in islice(objects, OBJECTS_PER_MESSAGE)]
        while True:
            following = [data.to_map() for data in islice(objects, OBJECTS_PER_MESSAGE)]
            self._answer(request, Opcode.QUERY_RESPONSE, part, content="_data", partial=bool(following))
            if not following:
                return
            part = following

    def _schema_ids(self) -> list[dict[str, Any]]:
        return [
            {"_package_name": managed.package.encode(), "_class_name": managed.name.encode(), "_type": b"_data"}
            for managed in self.classes
        ]

    def _objects(self, schema_id: object) -> Iterator[Data]:
        """All objects of a class, by name."""
        if not isinstance(schema_id, dict):
            raise MethodError(Status.INVALID_PARAMETER, "_schema_id must be a map")
        class_name = qmf.as_text(schema_id.get("_class_name"))
        package = qmf.as_text(schema_id.get("_package_name"))
        if not isinstance(class_name, str):
            raise MethodError(Status.INVALID_PARAMETER, "_schema_id needs a _class_name")
        for managed in self.classes:
            if managed.name == class_name and package in (None, managed.package):
                for _, item in sorted(((managed.key(item), item) for item in managed.all()), key=lambda pair: pair[0]):
                    yield self._data(managed, item)

    def _find(self, object_id: object) -> tuple[ManagedClass[Any], Any] | None:
        """The object that an object id names."""
        name = qmf.as_text(object_id.get("_object_name")) if isinstance(object_id, dict) else None
        if not isinstance(name, str):
            raise MethodError(Status.INVALID_PARAMETER, "_object_id needs an _object_name")
        package, _, rest = name.partition(":")
        class_name, _, key = rest.partition(":")
        managed = self._by_name.get((package, class_name))
        item = None if managed is None else managed.find(key)
        return None if managed is None or item is None else (managed, item)

    def _data(self, managed: ManagedClass[Any], item: Any) -> Data:
        values = managed.values(item)
        return Data(
            managed.object_name(item),
            managed.package,
            managed.name,
            values,
            created=managed.created(item),
            updated=self.now(),
            epoch=managed.epoch(item),
            schema_hash=managed.schema_hash(values),
        )

    def _method(self, request: _Request) -> None:
        content = request.content()
        if not isinstance(content, dict):
            raise MethodError(Status.INVALID_PARAMETER, "a method request must be a map")
        name = qmf.as_text(content.get("_method_name"))
        arguments = content.get("_arguments", {})
        if not isinstance(name, str) or not isinstance(arguments, dict):
            raise MethodError(Status.INVALID_PARAMETER, "a method request needs a _method_name and a map of _arguments")
        if "_object_id" not in content:
            raise MethodError(Status.INVALID_PARAMETER, "a method request needs an _object_id")
        found = self._find(content["_object_id"])
        if found is None:
            raise MethodError(Status.UNKNOWN_OBJECT, f"UnknownObject: {qmf.as_text(content['_object_id'])}")
        managed, item = found
        method = managed.methods.get(name)
        if method is None:
            raise MethodError(Status.UNKNOWN_METHOD, f"UnknownMethod: {managed.package}:{managed.name} has no {name!r}")

        def respond(results: Mapping[str, Any]) -> None:
            self._answer(request, Opcode.METHOD_RESPONSE, {"_arguments": dict(results)})

        def refuse(status: Status, text: str) -> None:
            self._refuse(request, status, text)

        method(item, MethodCall(name, arguments, request.publisher, respond, refuse))

    # -- answers

    def _refuse(self, request: _Request, status: Status, text: str) -> None:
        self._answer(request, Opcode.EXCEPTION, qmf.error_content(status, text))

    def _answer(
        self,
        request: _Request,
        opcode: str,
        body: dict[str, Any] | list[Any],
        *,
        content: str | None = None,
        partial: bool = False,
        indication: bool = False,
    ) -> None:
        """Publish an answer to the request's reply-to address, if it has one."""
        if request.exchange is None:
            log.debug("no reply-to for the answer %s to management request %s", opcode, request.opcode)
            return
        agent = self.name if indication or request.agent != qmf.BROKER_AGENT else request.agent
        headers = qmf.response_headers(opcode, agent, content=content, partial=partial, indication=indication)
        self._publish(request.exchange, request.key, headers, body, request.correlation_id)

    def _publish(
        self,
        exchange_name: str,
        key: str,
        headers: dict[str, Any],
        content: dict[str, Any] | list[Any],
        correlation_id: bytes | None = None,
    ) -> None:
        exchange = self.broker.exchanges.get(exchange_name)
        if exchange is None:
            log.debug("no exchange %r for a message of the management agent", exchange_name)
            return
        is_map = isinstance(content, dict)
        body = encode_map(content) if isinstance(content, dict) else encode_list(content)
        properties = MessageProperties(
            content_length=len(body),
            correlation_id=correlation_id,
            content_type="amqp/map" if is_map else "amqp/list",
            app_id=qmf.APP_ID.encode(),
            application_headers=headers,
        )
        header = encode_header(properties, DeliveryProperties(routing_key=key))
        self.broker.do(*self.broker.route(Message(exchange_name, header, body), exchange))
        if not self._delivering:
            # Nobody's read or timer brought us here who would do it.
            self.broker.settle()
