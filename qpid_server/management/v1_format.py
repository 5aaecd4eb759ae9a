"""QMF v1 without I/O: its messages as bytes.

A message is one or more units behind each other; a unit has the mark `AM2`, an opcode, a sequence number and what the
opcode says. Values come without their types: both sides know the schema. Objects are named by two numbers: the agent's
(with the life that the object belongs to) and the object's, here a digest of its QMF v2 name, so that nobody has to
remember which was given to whom.
"""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Callable, Iterable, Mapping
from typing import Any
from uuid import UUID

from qpid_messaging.amqp.codec import encode_list, encode_map
from qpid_messaging.amqp.decoding import SHORT, decode_list, decode_map
from qpid_messaging.amqp.errors import ProtocolError

from .declarations import Argument, ClassSchema, EventSchema, Kind

__all__ = ["MARK", "ObjectNumber", "Reader", "class_key", "object_number", "schema_unit", "unit", "values_of", "write"]

MARK = b"AM2"
_HEAD = struct.Struct("!3scI")
_NUMBERS = {
    Kind.UINT8: struct.Struct("!B"),
    Kind.UINT16: struct.Struct("!H"),
    Kind.UINT32: struct.Struct("!I"),
    Kind.UINT64: struct.Struct("!Q"),
    Kind.TIME: struct.Struct("!q"),
    Kind.DURATION: struct.Struct("!Q"),
    Kind.INT8: struct.Struct("!b"),
    Kind.INT16: struct.Struct("!h"),
    Kind.INT32: struct.Struct("!i"),
    Kind.INT64: struct.Struct("!q"),
}
_FLOATS = {Kind.FLOAT: struct.Struct("!f"), Kind.DOUBLE: struct.Struct("!d")}
_OBJECT = struct.Struct("!QQ")
_BROKER_BANK = 1 << 28
_CLASS, _EVENT = 1, 2

#: The two numbers of an object's id.
ObjectNumber = tuple[int, int]


def object_number(reference: Mapping[str, Any]) -> ObjectNumber:
    """The id of the object that a QMF v2 object id names."""
    name = reference["_object_name"]
    if isinstance(name, str):
        name = name.encode("utf-8", "surrogateescape")
    if not name:
        return 0, 0
    digest = hashlib.blake2b(name, digest_size=8).digest()
    return reference.get("_agent_epoch", 0) << 48 | _BROKER_BANK, int.from_bytes(digest, "big")


# -- writing


def unit(opcode: bytes, sequence: int, content: bytes = b"") -> bytes:
    """One unit."""
    return _HEAD.pack(MARK, opcode, sequence) + content


def _raw(value: Any) -> bytes:
    return value if isinstance(value, bytes) else str(value).encode("utf-8", "surrogateescape")


def _short(value: Any) -> bytes:
    raw = _raw(value)[:0xFF]
    return bytes((len(raw),)) + raw


def _long(value: Any) -> bytes:
    raw = _raw(value)[:0xFFFF]
    return len(raw).to_bytes(2, "big") + raw


_WRITERS: dict[Kind, Callable[[Any], bytes]] = {
    Kind.SHORT_TEXT: _short,
    Kind.LONG_TEXT: _long,
    Kind.REFERENCE: lambda value: _OBJECT.pack(*object_number(value)),
    Kind.BOOLEAN: lambda value: b"\1" if value else b"\0",
    Kind.UUID: lambda value: value.bytes,
    Kind.MAP: encode_map,
    Kind.LIST: encode_list,
    **{kind: form.pack for kind, form in _FLOATS.items()},
}


def _number_writer(form: struct.Struct, signed: bool) -> Callable[[Any], bytes]:
    bits = 8 * form.size
    low, high = (-1 << bits - 1, (1 << bits - 1) - 1) if signed else (0, (1 << bits) - 1)
    return lambda value: form.pack(min(max(int(value), low), high))


_WRITERS.update({kind: _number_writer(form, form.format.islower()) for kind, form in _NUMBERS.items()})


def write(kind: Kind, value: Any) -> bytes:
    """A value as bytes; a number or text that is too large for its type is cut to the largest there is."""
    return _WRITERS[kind](value)


def class_key(schema: ClassSchema | EventSchema) -> bytes:
    """What names a class: package, name, digest."""
    return _short(schema.package) + _short(schema.name) + schema.hash.bytes


def class_kind(schema: ClassSchema | EventSchema) -> bytes:
    """The octet that tells classes of objects from those of events."""
    return bytes((_CLASS if isinstance(schema, ClassSchema) else _EVENT,))


def values_of(schema: ClassSchema, values: Mapping[str, Any], *, properties: bool, statistics: bool) -> bytes:
    """An object's properties (behind a bit for each optional one: is it there?), and its statistics."""
    parts: list[bytes] = []
    if properties:
        mask = bit = 0
        masks = bytearray()
        for member in schema.properties:
            if member.optional:
                mask |= (values.get(member.name) is not None) << bit
                bit += 1
                if bit == 8:
                    masks.append(mask)
                    mask = bit = 0
        if bit:
            masks.append(mask)
        parts.append(bytes(masks))
        parts += [
            _WRITERS[member.kind](values[member.name])
            for member in schema.properties
            if values.get(member.name) is not None
        ]
    if statistics:
        parts += [_WRITERS[member.kind](values[member.name]) for member in schema.statistics]
    return b"".join(parts)


def _described(name: str, kind: Kind | None = None, **more: Any) -> bytes:
    told = {"name": name, **({} if kind is None else {"type": int(kind)}), **more}
    return encode_map({key: value for key, value in told.items() if value != ""})


def _arguments(arguments: Iterable[Argument]) -> list[bytes]:
    return [_described(argument.name, argument.kind, dir=argument.direction) for argument in arguments]


def schema_unit(schema: ClassSchema | EventSchema, sequence: int) -> bytes:
    """The answer to a schema request."""
    parts = [class_kind(schema), class_key(schema)]
    if isinstance(schema, EventSchema):
        parts += [len(schema.arguments).to_bytes(2, "big"), *_arguments(schema.arguments)]
        return unit(b"s", sequence, b"".join(parts))
    for members in (schema.properties, schema.statistics, schema.methods):
        parts.append(len(members).to_bytes(2, "big"))
    parts += [
        _described(
            member.name,
            member.kind,
            access=int(member.access),
            index=int(member.index),
            optional=int(member.optional),
            unit=member.unit,
            refPackage=schema.package if member.references else "",
            refClass=member.references,
        )
        for member in schema.properties
    ]
    parts += [_described(member.name, member.kind, unit=member.unit) for member in schema.statistics]
    for method in schema.methods:
        parts.append(_described(method.name, argCount=len(method.arguments), desc=method.description))
        parts += _arguments(method.arguments)
    return unit(b"s", sequence, b"".join(parts))


# -- reading


class Reader:
    """Reads what a console sent.

    Args:
        data: one or more units.
    """

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._pos = 0

    @property
    def more(self) -> bool:
        """Whether there is something left."""
        return self._pos < len(self._data)

    def _take(self, size: int) -> bytes:
        end = self._pos + size
        if end > len(self._data):
            raise ProtocolError("a QMF v1 message ends too early", len(self._data))
        taken = self._data[self._pos : end]
        self._pos = end
        return taken

    def head(self) -> tuple[str, int]:
        """Opcode and sequence number of the next unit.

        Raises:
            ProtocolError: it is none.
        """
        mark, opcode, sequence = _HEAD.unpack(self._take(_HEAD.size))
        if mark != MARK:
            raise ProtocolError(f"a QMF v1 unit begins with {mark!r}", self._pos)
        return opcode.decode("latin-1"), sequence

    def value(self, kind: Kind) -> Any:
        """The next value.

        Raises:
            ProtocolError: there is none of that type.
        """
        form = _NUMBERS.get(kind) or _FLOATS.get(kind)
        if form is not None:
            return form.unpack(self._take(form.size))[0]
        if kind is Kind.SHORT_TEXT:
            return self._take(self._take(1)[0]).decode("utf-8", "surrogateescape")
        if kind is Kind.LONG_TEXT:
            return self._take(int.from_bytes(self._take(2), "big")).decode("utf-8", "surrogateescape")
        if kind is Kind.BOOLEAN:
            return self._take(1) != b"\0"
        if kind is Kind.REFERENCE:
            return _OBJECT.unpack(self._take(_OBJECT.size))
        if kind is Kind.UUID:
            return UUID(bytes=self._take(16))
        decode = decode_map if kind is Kind.MAP else decode_list
        try:
            value, self._pos = decode(self._data, self._pos, len(self._data), 0)
        except SHORT:
            raise ProtocolError("a QMF v1 message ends too early", len(self._data)) from None
        return value

    def class_key(self) -> tuple[str, str, UUID]:
        """Package, name and digest of a class."""
        return self.value(Kind.SHORT_TEXT), self.value(Kind.SHORT_TEXT), self.value(Kind.UUID)
