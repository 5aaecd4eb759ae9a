"""QMF v2: requests of consoles, and their answers."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

from qpid_messaging.amqp.codec import decode_list, decode_map
from qpid_messaging.amqp.errors import ProtocolError
from qpid_messaging.management import qmf
from qpid_messaging.management.qmf import Data, Opcode, Status

from ..errors import SessionError
from ..message import Message
from .predicate import Predicate, matches
from .schema import MethodCall, MethodError

if TYPE_CHECKING:
    from .agent import Agent

__all__ = ["OBJECTS_PER_MESSAGE", "V2Requests"]

log = logging.getLogger(__name__)

#: Objects in one message of a query's answer, which is made in one turn of the broker.
OBJECTS_PER_MESSAGE = 100
#: Objects that a query's predicate looks at in one turn.
_LOOKED_AT = 200

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

    def map(self, what: str) -> dict[str, Any]:
        """The map that was sent.

        Raises:
            MethodError: it is none; `what` says what it should have been.
        """
        content = self.content()
        if not isinstance(content, dict):
            raise MethodError(Status.INVALID_PARAMETER, f"{what} must be a map")
        return content


class V2Requests:
    """Answers QMF v2 requests.

    Args:
        agent: whose objects they are about.
    """

    def __init__(self, agent: Agent) -> None:
        self._agent = agent
        self._handlers = {
            Opcode.LOCATE_REQUEST: self._locate,
            Opcode.QUERY_REQUEST: self._query,
            Opcode.METHOD_REQUEST: self._method,
        }

    def take(self, message: Message, publisher: Any) -> None:
        """Answer a message.

        Raises:
            ProtocolError: its header does not decode.
        """
        request = _Request(message, publisher)
        handler = self._handlers.get(request.opcode or "")
        if handler is None:
            self._refuse(request, Status.NOT_IMPLEMENTED, f"opcode {request.opcode!r} is not supported")
        else:
            self._guarded(request, lambda: handler(request))

    def _guarded(self, request: _Request, action: Callable[[], None]) -> None:
        """Do something for a request; what is raised becomes its answer."""
        try:
            action()
        except MethodError as error:
            self._refuse(request, error.status, error.text)
        except SessionError as error:
            self._refuse(request, Status.EXCEPTION, error.description)
        except Exception as error:
            # The fault is ours, but it must not end the session of whoever asked.
            log.exception("management request %s failed", request.opcode)
            self._refuse(request, Status.EXCEPTION, f"internal-error: {error!r}")

    def _locate(self, request: _Request) -> None:
        agent = self._agent
        wanted = request.content() if request.content_type == "amqp/list" else None
        if not matches(Predicate.of(wanted), agent.attributes):
            return
        values = {**qmf.as_binary(agent.attributes), "_name": agent.name.encode(), "_timestamp": agent.now()}
        self._answer(request, Opcode.LOCATE_RESPONSE, {"_values": values}, indication=True)

    # -- queries

    def _query(self, request: _Request) -> None:
        content = request.map("a query")
        what = qmf.as_text(content.get("_what"))
        if what == "SCHEMA_ID":
            self._answer(request, Opcode.QUERY_RESPONSE, self._schema_ids(), content="_schema_id")
            return
        if what != "OBJECT":
            raise MethodError(Status.INVALID_PARAMETER, f"query for _what => {what!r} is not supported")
        where = Predicate.of(content.get("_where"))
        if "_object_id" in content:
            objects = self._one(content["_object_id"], where)
        elif "_schema_id" in content:
            objects = self._all(content["_schema_id"], where)
        else:
            raise MethodError(Status.INVALID_PARAMETER, "a query needs _object_id or _schema_id")
        self._agent.turns.start(self._in_parts(request, objects))

    def _schema_ids(self) -> list[dict[str, Any]]:
        return [qmf.schema_id(schema.package, schema.name, kind, schema.hash) for kind, schema in self._kinds()]

    def _kinds(self) -> Iterator[tuple[str, Any]]:
        for schema in self._agent.schemas():
            yield "_data" if hasattr(schema, "properties") else "_event", schema

    def _one(self, object_id: object, where: Predicate | None) -> Iterator[Data | None]:
        """The object that an object id names."""
        found = self._agent.find(_object_name(object_id))
        if found is not None:
            data = self._agent.data(*found)
            if matches(where, data.values):
                yield data

    def _all(self, schema_id: object, where: Predicate | None) -> Iterator[Data | None]:
        """All objects of a class, in order; None now and then, where the predicate let nothing pass for a while."""
        if not isinstance(schema_id, dict):
            raise MethodError(Status.INVALID_PARAMETER, "_schema_id must be a map")
        class_name = qmf.as_text(schema_id.get("_class_name"))
        package = qmf.as_text(schema_id.get("_package_name"))
        if not isinstance(class_name, str):
            raise MethodError(Status.INVALID_PARAMETER, "_schema_id needs a _class_name")
        passed_over = 0
        for managed in self._agent.matching(class_name, package):
            for item in managed.ordered():
                data = self._agent.data(managed, item)
                if matches(where, data.values):
                    yield data
                else:
                    passed_over += 1
                    if passed_over % _LOOKED_AT == 0:
                        yield None

    def _in_parts(self, request: _Request, objects: Iterator[Data | None]) -> Iterator[None]:
        """Answer with as many messages as it takes, one in each turn."""
        part: list[dict[str, Any]] = []
        for data in objects:
            if data is None:
                yield
                continue
            if len(part) == OBJECTS_PER_MESSAGE:
                self._answer(request, Opcode.QUERY_RESPONSE, part, content="_data", partial=True)
                yield
                part = []
            part.append(data.to_map())
        self._answer(request, Opcode.QUERY_RESPONSE, part, content="_data")

    # -- methods

    def _method(self, request: _Request) -> None:
        content = request.map("a method request")
        name = qmf.as_text(content.get("_method_name"))
        arguments = content.get("_arguments", {})
        if not isinstance(name, str) or not isinstance(arguments, dict):
            raise MethodError(Status.INVALID_PARAMETER, "a method request needs a _method_name and a map of _arguments")
        if "_object_id" not in content:
            raise MethodError(Status.INVALID_PARAMETER, "a method request needs an _object_id")
        object_id = _object_name(content["_object_id"])
        found = self._agent.find(object_id)
        if found is None:
            raise MethodError(Status.UNKNOWN_OBJECT, f"No object found with ID={object_id}")

        def respond(results: Mapping[str, Any]) -> None:
            self._answer(request, Opcode.METHOD_RESPONSE, {"_arguments": dict(results)})

        def refuse(status: Status, text: str) -> None:
            self._refuse(request, status, text)

        managed, item = found
        managed.call(item, MethodCall(name, arguments, request.publisher, respond, refuse))

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
        agent = self._agent
        name = agent.name if indication or request.agent != qmf.BROKER_AGENT else request.agent
        headers = qmf.response_headers(opcode, name, content=content, partial=partial, indication=indication)
        agent.publish(request.exchange, request.key, body, headers, request.correlation_id)
        agent.settle()


def _object_name(object_id: object) -> str:
    name = qmf.as_text(object_id.get("_object_name")) if isinstance(object_id, dict) else None
    if not isinstance(name, str):
        raise MethodError(Status.INVALID_PARAMETER, "_object_id needs an _object_name")
    return name
