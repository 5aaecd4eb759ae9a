"""QMF v1 as bytes: values, objects, schemas, and that nothing but ProtocolError comes of nonsense."""

from __future__ import annotations

from contextlib import suppress
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qpid_messaging.amqp.codec import encode_map
from qpid_messaging.amqp.errors import ProtocolError
from qpid_server.management.classes import CONNECTION, QUEUE
from qpid_server.management.declarations import ClassSchema, Kind, Property, Statistic
from qpid_server.management.event_classes import EVENTS
from qpid_server.management.v1_format import Reader, object_number, schema_unit, unit, values_of, write

ID = UUID("03cd654c-0ebc-41ba-b9b6-35f7221859b9")


@pytest.mark.parametrize(
    ("kind", "value", "raw"),
    [
        (Kind.UINT8, 255, "ff"),
        (Kind.UINT16, 258, "0102"),
        (Kind.UINT32, 1, "00000001"),
        (Kind.UINT64, 1 << 40, "0000010000000000"),
        (Kind.SHORT_TEXT, "aü", "0361c3bc"),
        (Kind.LONG_TEXT, "a", "000161"),
        (Kind.TIME, -1, "ffffffffffffffff"),
        (Kind.DURATION, 5, "0000000000000005"),
        (Kind.BOOLEAN, True, "01"),
        (Kind.BOOLEAN, False, "00"),
        (Kind.FLOAT, 0.5, "3f000000"),
        (Kind.DOUBLE, 0.5, "3fe0000000000000"),
        (Kind.UUID, ID, ID.hex),
        (Kind.INT8, -2, "fe"),
        (Kind.INT16, -2, "fffe"),
        (Kind.INT32, -2, "fffffffe"),
        (Kind.INT64, -2, "fffffffffffffffe"),
        (Kind.MAP, {"a": 1}, encode_map({"a": 1}).hex()),
    ],
)
def test_values(kind: Kind, value: Any, raw: str) -> None:
    assert write(kind, value).hex() == raw
    reader = Reader(bytes.fromhex(raw))
    assert reader.value(kind) == value
    assert not reader.more


@pytest.mark.parametrize(
    ("kind", "value", "cut"),
    [
        (Kind.UINT16, 70000, 65535),
        (Kind.UINT32, -1, 0),
        (Kind.INT8, -200, -128),
        (Kind.SHORT_TEXT, "x" * 300, "x" * 255),
        (Kind.LONG_TEXT, "x" * 70000, "x" * 65535),
    ],
)
def test_what_is_too_large_is_cut(kind: Kind, value: Any, cut: Any) -> None:
    assert Reader(write(kind, value)).value(kind) == cut


def test_an_objects_number_follows_from_its_name() -> None:
    name = b"org.apache.qpid.broker:queue:q"
    first, second = object_number({"_object_name": name, "_agent_epoch": 3})
    assert first == 3 << 48 | 1 << 28
    assert (first & ~(3 << 48), second) == object_number({"_object_name": name.decode()})
    assert second != object_number({"_object_name": name + b"2"})[1]
    assert object_number({"_object_name": b""}) == (0, 0)


def test_there_is_a_bit_for_each_optional_property() -> None:
    names = [f"p{number}" for number in range(10)]
    schema = ClassSchema(
        "p",
        "c",
        (Property("first", Kind.UINT8), *(Property(name, Kind.UINT8, optional=True) for name in names)),
        (Statistic("last", Kind.UINT8),),
    )
    values = schema.complete({"first": 7, "p1": 1, "p8": 8})
    assert values["last"] == 0
    assert values_of(schema, values, properties=True, statistics=False) == bytes((0b10, 0b1, 7, 1, 8))
    assert values_of(schema, values, properties=False, statistics=True) == b"\0"


@pytest.mark.parametrize("schema", [QUEUE, CONNECTION, EVENTS["queueDeclare"]])
def test_schema(schema: Any) -> None:
    reader = Reader(schema_unit(schema, 9))
    assert reader.head() == ("s", 9)
    kind = reader.value(Kind.UINT8)
    assert reader.class_key() == (schema.package, schema.name, schema.hash)
    if kind == 2:
        arguments = [reader.value(Kind.MAP) for _ in range(reader.value(Kind.UINT16))]
        assert [(a["name"], a["type"]) for a in arguments] == [(a.name, a.kind) for a in schema.arguments]
    else:
        counts = [reader.value(Kind.UINT16) for _ in range(3)]
        assert counts == [len(schema.properties), len(schema.statistics), len(schema.methods)]
        properties = [reader.value(Kind.MAP) for _ in range(counts[0])]
        assert [bool(p["optional"]) for p in properties] == [p.optional for p in schema.properties]
        assert [p["access"] for p in properties] == [p.access for p in schema.properties]
        assert [reader.value(Kind.MAP)["name"] for _ in range(counts[1])] == [s.name for s in schema.statistics]
        for method in schema.methods:
            told = reader.value(Kind.MAP)
            assert (told["name"], told["argCount"]) == (method.name, len(method.arguments))
            assert [reader.value(Kind.MAP)["dir"] for _ in method.arguments] == [a.direction for a in method.arguments]
    assert not reader.more


@given(st.binary(max_size=64), st.sampled_from(list(Kind)))
def test_nonsense_is_a_protocol_error(data: bytes, kind: Kind) -> None:
    with suppress(ProtocolError):
        Reader(data).value(kind)
    with suppress(ProtocolError):
        Reader(data).head()


def test_a_unit_has_a_mark() -> None:
    assert unit(b"B", 7) == b"AM2B\0\0\0\7"
    with pytest.raises(ProtocolError):
        Reader(b"AM1B\0\0\0\7").head()
