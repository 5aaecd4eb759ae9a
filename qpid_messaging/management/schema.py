"""The management schema as a console reads it: which classes there are, and what they are made of.

QMF v2 has no request for that which brokers answer: they are asked in QMF v1. A message is one or more units behind
each other; a unit has the mark `AM2`, an opcode, a sequence number and what the opcode says.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from ..amqp.decoding import SHORT, decode_map
from ..amqp.errors import ProtocolError

__all__ = ["TYPE_NAMES", "ClassId", "Method", "Schema", "SchemaElement", "request_unit", "units"]

_MARK = b"AM2"
_HEAD = struct.Struct("!3scI")
_NUMBER = {size: struct.Struct(form) for size, form in ((1, "!B"), (2, "!H"), (4, "!I"))}
_EVENT = 2  # of the octet that tells classes of events from those of objects

#: Words for the types of values by their codes.
TYPE_NAMES = {
    1: "uint8",
    2: "uint16",
    3: "uint32",
    4: "uint64",
    5: "bool",
    6: "short-string",
    7: "long-string",
    8: "abs-time",
    9: "delta-time",
    10: "reference",
    11: "boolean",
    12: "float",
    13: "double",
    14: "uuid",
    15: "field-table",
    16: "int8",
    17: "int16",
    18: "int32",
    19: "int64",
    20: "object",
    21: "list",
    22: "array",
}


@dataclass(frozen=True)
class ClassId:
    """What names a class.

    Attributes:
        package: the package that it is in.
        name: its name there.
        hash: tells this form of the class from others.
        event: a class of events, not of objects.
    """

    package: str
    name: str
    hash: UUID
    event: bool = False

    def __str__(self) -> str:
        return f"{self.package}:{self.name}:{'_event' if self.event else '_data'}({self.hash})"


@dataclass(frozen=True)
class SchemaElement:
    """A property or statistic of a class, or an argument of a method or event.

    Attributes:
        name: its name.
        type: the code of its type: see `TYPE_NAMES`.
        access: of a property: 1 for who creates the object sets it, 2 for anybody does, 3 for nobody does.
        index: of a property: it is a part of what tells the object from others.
        optional: of a property: an object may have none.
        unit: what is counted.
        description: what it is.
        direction: of a method's argument: I, O or IO; it goes in, comes back, or both.
    """

    name: str
    type: int
    access: int = 0
    index: bool = False
    optional: bool = False
    unit: str = ""
    description: str = ""
    direction: str = ""


@dataclass(frozen=True)
class Method:
    """A method of a class."""

    name: str
    arguments: tuple[SchemaElement, ...]
    description: str = ""


@dataclass(frozen=True)
class Schema:
    """What a class is made of: properties, statistics and methods of objects, or arguments of an event."""

    id: ClassId
    properties: tuple[SchemaElement, ...] = ()
    statistics: tuple[SchemaElement, ...] = ()
    methods: tuple[Method, ...] = ()
    arguments: tuple[SchemaElement, ...] = ()

    def method(self, name: str) -> Method | None:
        """The method of that name; None where there is none."""
        return next((method for method in self.methods if method.name == name), None)


def request_unit(opcode: bytes, sequence: int, *, package: str = "", of_class: ClassId | None = None) -> bytes:
    """A console's request in QMF v1.

    Args:
        opcode: P for the packages, Q for the classes of `package`, S for the schema of `of_class`.
        sequence: comes back in the answers.
        package: see there.
        of_class: see there.
    """
    head = _HEAD.pack(_MARK, opcode, sequence)
    if of_class is not None:
        return head + _short(of_class.package) + _short(of_class.name) + of_class.hash.bytes
    return head + (_short(package) if package else b"")


def _short(text: str) -> bytes:
    raw = text.encode()
    return bytes((len(raw),)) + raw


def units(body: bytes) -> Iterator[tuple[bytes, int, Any]]:
    """What the units of an answer say.

    Yields:
        Opcode, sequence number, and of p a package's name, of q a `ClassId`, of s a `Schema`, of z (the end) None.

    Raises:
        ProtocolError: it does not decode, or has another opcode.
    """
    reader = _Reader(body)
    while reader.more:
        mark, opcode, sequence = _HEAD.unpack(reader.take(_HEAD.size))
        read = _CONTENTS.get(opcode)
        if mark != _MARK or read is None:
            raise ProtocolError(f"a unit of QMF v1 that a console does not know: {mark!r} {opcode!r}", 0)
        yield opcode, sequence, read(reader)


class _Reader:
    def __init__(self, data: bytes) -> None:
        self._data = data
        self._pos = 0

    @property
    def more(self) -> bool:
        return self._pos < len(self._data)

    def take(self, size: int) -> bytes:
        end = self._pos + size
        if end > len(self._data):
            raise ProtocolError("a QMF v1 message ends too early", len(self._data))
        taken = self._data[self._pos : end]
        self._pos = end
        return taken

    def number(self, size: int) -> int:
        value: int = _NUMBER[size].unpack(self.take(size))[0]
        return value

    def text(self) -> str:
        return self.take(self.number(1)).decode("utf-8", "surrogateescape")

    def class_id(self, kind: int) -> ClassId:
        return ClassId(self.text(), self.text(), UUID(bytes=self.take(16)), kind == _EVENT)

    def described(self) -> dict[str, Any]:
        try:
            value, self._pos = decode_map(self._data, self._pos, len(self._data))
        except SHORT:
            raise ProtocolError("a QMF v1 message ends too early", len(self._data)) from None
        return value

    def element(self) -> SchemaElement:
        told = self.described()
        return SchemaElement(
            _text(told, "name"),
            _code(told, "type"),
            _code(told, "access"),
            bool(told.get("index")),
            bool(told.get("optional")),
            _text(told, "unit"),
            _text(told, "desc"),
            _text(told, "dir").upper(),
        )

    def elements(self, count: int) -> tuple[SchemaElement, ...]:
        return tuple(self.element() for _ in range(count))

    def method(self) -> Method:
        told = self.described()
        return Method(_text(told, "name"), self.elements(_code(told, "argCount")), _text(told, "desc"))


def _text(told: dict[str, Any], name: str) -> str:
    value = told.get(name, "")
    return value.decode("utf-8", "surrogateescape") if isinstance(value, bytes) else str(value)


def _code(told: dict[str, Any], name: str) -> int:
    value = told.get(name, 0)
    if not isinstance(value, int):
        raise ProtocolError(f"{name} in a schema must be a number, not {value!r}", 0)
    return value


def _schema(reader: _Reader) -> Schema:
    named = reader.class_id(reader.number(1))
    if named.event:
        return Schema(named, arguments=reader.elements(reader.number(2)))
    properties, statistics, methods = (reader.number(2) for _ in range(3))
    return Schema(
        named,
        reader.elements(properties),
        reader.elements(statistics),
        tuple(reader.method() for _ in range(methods)),
    )


def _completion(reader: _Reader) -> None:
    reader.number(4)
    reader.text()


_CONTENTS = {
    b"p": _Reader.text,
    b"q": lambda reader: reader.class_id(reader.number(1)),
    b"s": _schema,
    b"z": _completion,
}
