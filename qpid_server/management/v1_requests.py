"""QMF v1: requests of consoles, and their answers.

Requests come through the exchange `qpid.management` (keys `broker` and `agent.1.0`), those about schemas also through
QMF v2's exchanges: consoles that speak v2 ask for schemas in the old way.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from qpid_messaging.management.qmf import Data, Status

from ..errors import SessionError
from ..message import Message
from . import v1_format
from .declarations import ClassSchema, Kind, Method
from .schema import ManagedClass, MethodCall, MethodError
from .v1_format import ObjectNumber, Reader, object_number, unit

if TYPE_CHECKING:
    from .agent import Agent

__all__ = ["V1Requests", "content"]

log = logging.getLogger(__name__)

#: Objects in one message of a query's answer, which is made in one turn of the broker.
_OBJECTS_PER_MESSAGE = 50


def content(schema: ClassSchema, data: Data, opcode: bytes, sequence: int = 0) -> bytes:
    """The unit that tells of an object: of its properties (opcode c), its statistics (i) or both (g)."""
    times = (data.updated, data.created, data.deleted)
    first, second = object_number({"_object_name": data.name, "_agent_epoch": data.epoch or 0})
    parts = [v1_format.class_key(schema), *(v1_format.write(Kind.UINT64, time) for time in (*times, first, second))]
    parts.append(
        v1_format.values_of(schema, data.values, properties=opcode in (b"c", b"g"), statistics=opcode in (b"i", b"g"))
    )
    return unit(opcode, sequence, b"".join(parts))


class V1Requests:
    """Answers QMF v1 requests.

    Args:
        agent: whose objects they are about.
    """

    def __init__(self, agent: Agent) -> None:
        self._agent = agent
        self._handlers = {
            "B": self._broker,
            "P": self._packages,
            "Q": self._classes,
            "S": self._schema,
            "G": self._query,
            "M": self._method,
        }

    def take(self, message: Message, publisher: Any) -> None:
        """Answer a message.

        Raises:
            ProtocolError: it does not decode.
        """
        reply_to = message.properties.reply_to
        if reply_to is None:
            log.debug("ignored a QMF v1 message without reply-to: %r", message)
            return
        console = _Console(self._agent, reply_to.exchange or "", reply_to.routing_key or "", publisher)
        reader = Reader(message.body or b"")
        while reader.more:
            opcode, sequence = reader.head()
            handler = self._handlers.get(opcode)
            if handler is None:
                log.debug("ignored a QMF v1 message with opcode %r", opcode)
                return
            handler(console, sequence, reader)

    def _broker(self, console: _Console, sequence: int, reader: Reader) -> None:
        console.send(unit(b"b", sequence, self._agent.system_id.bytes))

    def _packages(self, console: _Console, sequence: int, reader: Reader) -> None:
        for package in dict.fromkeys(schema.package for schema in self._agent.schemas()):
            console.send(unit(b"p", sequence, v1_format.write(Kind.SHORT_TEXT, package)))
        console.complete(sequence)

    def _classes(self, console: _Console, sequence: int, reader: Reader) -> None:
        package = reader.value(Kind.SHORT_TEXT)
        for schema in self._agent.schemas():
            if schema.package == package:
                # Each in a message of its own: some consoles leave one that they have no use for unread to its end.
                console.send(unit(b"q", sequence, v1_format.class_kind(schema) + v1_format.class_key(schema)))
        console.complete(sequence)

    def _schema(self, console: _Console, sequence: int, reader: Reader) -> None:
        key = reader.class_key()
        for schema in self._agent.schemas():
            if (schema.package, schema.name, schema.hash) == key:
                console.send(v1_format.schema_unit(schema, sequence))
                return
        console.complete(sequence, 1, f"no class {key[0]}:{key[1]} of that form")

    # -- queries

    def _query(self, console: _Console, sequence: int, reader: Reader) -> None:
        query = reader.value(Kind.MAP)
        class_name, package, object_id = (_text(query.get(name)) for name in ("_class", "_package", "_objectid"))
        if object_id:
            found = self._by_number(_parse(object_id))
            objects: Iterator[tuple[ManagedClass[Any], Any]] = iter(() if found is None else (found,))
        elif class_name:
            objects = self._of_class(class_name, package or None)
        else:
            console.complete(sequence, int(Status.INVALID_PARAMETER), "a query needs _class or _objectid")
            return
        self._agent.turns.start(self._in_parts(console, sequence, objects))

    def _of_class(self, class_name: str, package: str | None) -> Iterator[tuple[ManagedClass[Any], Any]]:
        for managed in self._agent.matching(class_name, package):
            for item in managed.ordered():
                yield managed, item

    def _in_parts(
        self, console: _Console, sequence: int, objects: Iterator[tuple[ManagedClass[Any], Any]]
    ) -> Iterator[None]:
        part: list[bytes] = []
        for managed, item in objects:
            part.append(content(managed.schema, self._agent.data(managed, item), b"g", sequence))
            if len(part) == _OBJECTS_PER_MESSAGE:
                console.send(b"".join(part))
                yield
                part = []
        if part:
            console.send(b"".join(part))
        console.complete(sequence)

    def _by_number(self, number: ObjectNumber | None, name: str = "") -> tuple[ManagedClass[Any], Any] | None:
        """The object of that id, of a class of that name where one is given."""
        if number is None:
            return None
        for managed in self._agent.classes:
            if name in ("", managed.name):
                for item in managed.all():
                    if object_number(managed.reference(item))[1] == number[1]:
                        return managed, item
        return None

    # -- methods

    def _method(self, console: _Console, sequence: int, reader: Reader) -> None:
        number = reader.value(Kind.REFERENCE)
        _, class_name, _ = reader.class_key()
        name = reader.value(Kind.SHORT_TEXT)
        found = self._by_number(number, class_name)
        if found is None:
            console.refuse(sequence, Status.UNKNOWN_OBJECT, f"UnknownObject: {class_name} {number[0]}-{number[1]}")
            return
        managed, item = found
        method = managed.schema.method(name)
        if method is None:
            console.refuse(sequence, Status.UNKNOWN_METHOD, f"UnknownMethod: {class_name} has no {name!r}")
            return
        arguments = {a.name: reader.value(a.kind) for a in method.arguments if "I" in a.direction}

        def respond(results: Mapping[str, Any]) -> None:
            console.respond(sequence, method, results)

        def refuse(status: Status, text: str) -> None:
            console.refuse(sequence, status, text)

        try:
            managed.call(item, MethodCall(name, arguments, console.publisher, respond, refuse))
        except MethodError as error:
            refuse(error.status, error.text)
        except SessionError as error:
            refuse(Status.EXCEPTION, error.description)
        except Exception as error:
            # The fault is ours, but it must not end the session of whoever asked.
            log.exception("management method %s failed", name)
            refuse(Status.EXCEPTION, f"internal-error: {error!r}")


class _Console:
    """Where a request came from, and its answers go."""

    def __init__(self, agent: Agent, exchange: str, key: str, publisher: Any) -> None:
        self._agent = agent
        self._exchange = exchange
        self._key = key
        self.publisher = publisher

    def send(self, units: bytes) -> None:
        self._agent.publish_v1(self._exchange, self._key, units)
        self._agent.settle()

    def complete(self, sequence: int, code: int = 0, text: str = "OK") -> None:
        self.send(unit(b"z", sequence, v1_format.write(Kind.UINT32, code) + v1_format.write(Kind.SHORT_TEXT, text)))

    def respond(self, sequence: int, method: Method, results: Mapping[str, Any]) -> None:
        values = b"".join(
            v1_format.write(argument.kind, results[argument.name])
            for argument in method.arguments
            if "O" in argument.direction
        )
        self._answer(sequence, Status.OK, "OK", values)

    def refuse(self, sequence: int, status: Status, text: str) -> None:
        self._answer(sequence, status, text)

    def _answer(self, sequence: int, status: Status, text: str, values: bytes = b"") -> None:
        head = v1_format.write(Kind.UINT32, int(status)) + v1_format.write(Kind.LONG_TEXT, text)
        self.send(unit(b"m", sequence, head + values))


def _text(value: object) -> str:
    if isinstance(value, bytes):
        return value.decode("utf-8", "surrogateescape")
    return value if isinstance(value, str) else ""


def _parse(object_id: str) -> ObjectNumber | None:
    """The numbers in `flags-epoch-broker bank-agent bank-object`; None where it has another form."""
    parts = object_id.split("-")
    if len(parts) != 5 or not all(part.isascii() and part.isdigit() for part in parts):
        return None
    flags, epoch, broker_bank, agent_bank, number = (int(part) for part in parts)
    return flags << 60 | epoch << 48 | broker_bank << 28 | agent_bank, number
