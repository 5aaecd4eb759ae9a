"""The schema as a console reads it, from what the broker's agent writes."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qpid_messaging.amqp.errors import ProtocolError
from qpid_messaging.management.schema import TYPE_NAMES, ClassId, request_unit, units
from qpid_server.management import CLASSES, v1_format
from qpid_server.management.classes import BROKER
from qpid_server.management.declarations import ClassSchema, EventSchema, Kind
from qpid_server.management.event_classes import EVENTS

SCHEMAS: list[ClassSchema | EventSchema] = [*(managed.schema for managed in CLASSES), *EVENTS.values()]


@pytest.mark.parametrize("declared", SCHEMAS, ids=lambda schema: schema.name)
def test_what_the_agent_writes_is_what_the_console_reads(declared: ClassSchema | EventSchema) -> None:
    [(opcode, sequence, read)] = units(v1_format.schema_unit(declared, 7))
    assert (opcode, sequence) == (b"s", 7)
    assert read.id == ClassId(declared.package, declared.name, declared.hash, isinstance(declared, EventSchema))
    if isinstance(declared, EventSchema):
        assert [(a.name, a.type) for a in read.arguments] == [(a.name, a.kind) for a in declared.arguments]
        return
    assert [(p.name, p.type, p.access, p.index, p.optional, p.unit) for p in read.properties] == [
        (p.name, p.kind, p.access, p.index, p.optional, p.unit) for p in declared.properties
    ]
    assert [(s.name, s.type, s.unit) for s in read.statistics] == [
        (s.name, s.kind, s.unit) for s in declared.statistics
    ]
    for method in declared.methods:
        found = read.method(method.name)
        assert found is not None
        assert [(a.name, a.type, a.direction) for a in found.arguments] == [
            (a.name, a.kind, a.direction) for a in method.arguments
        ]


def test_all_types_have_names() -> None:
    assert {int(kind) for kind in Kind} <= TYPE_NAMES.keys()


def test_requests_as_the_agent_reads_them() -> None:
    reader = v1_format.Reader(request_unit(b"Q", 3, package="a.b"))
    assert (reader.head(), reader.value(Kind.SHORT_TEXT), reader.more) == (("Q", 3), "a.b", False)
    named = ClassId(BROKER.package, BROKER.name, BROKER.hash)
    reader = v1_format.Reader(request_unit(b"S", 4, of_class=named))
    assert reader.head() == ("S", 4)
    assert reader.class_key() == (BROKER.package, BROKER.name, BROKER.hash)


def test_units_behind_each_other() -> None:
    packages = [v1_format.unit(b"p", 1, v1_format.write(Kind.SHORT_TEXT, name)) for name in ("a", "b")]
    end = v1_format.unit(b"z", 1, v1_format.write(Kind.UINT32, 0) + v1_format.write(Kind.SHORT_TEXT, "OK"))
    assert list(units(b"".join([*packages, end]))) == [(b"p", 1, "a"), (b"p", 1, "b"), (b"z", 1, None)]


@given(st.integers(0), st.binary(max_size=4))
def test_what_does_not_decode_is_a_protocol_error(size: int, tail: bytes) -> None:
    whole = v1_format.schema_unit(BROKER, 1)
    try:
        list(units(whole[: size % len(whole)] + tail))
    except ProtocolError:
        return


@pytest.mark.parametrize("body", [b"AM3s\0\0\0\1", b"AM2x\0\0\0\1", b"AM2", v1_format.schema_unit(BROKER, 1)[:-1]])
def test_no_unit(body: bytes) -> None:
    with pytest.raises(ProtocolError):
        list(units(body))
