"""`tests/data/codec.json`: values and the bytes that the original client's encoder makes of them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest

from qpid_messaging.amqp import types
from qpid_messaging.amqp.codec import decode_list, decode_map, encode_list, encode_map
from qpid_messaging.amqp.schema import Struct, StructType, field

VECTORS = json.loads((Path(__file__).parents[2] / "data" / "codec.json").read_text())


def carrier(wire_type: types.WireType[Any]) -> Any:
    return StructType("Carrier", (Struct,), {"value": field(wire_type)}, pack=0)


def value_of(value: Any) -> Any:
    if isinstance(value, dict) and set(value) == {"bytes-hex"}:
        return bytes.fromhex(value["bytes-hex"])
    if isinstance(value, dict) and set(value) == {"uuid"}:
        return UUID(value["uuid"])
    return value


@pytest.mark.parametrize("vector", VECTORS, ids=[f"{i}-{v['type']}" for i, v in enumerate(VECTORS)])
def test_agrees(vector: dict[str, Any]) -> None:
    data = bytes.fromhex(vector["hex"])
    value = value_of(vector["value"])
    if vector["type"] == "map":
        assert decode_map(data) == value
        assert encode_map(value) == data
    elif vector["type"] == "list":
        assert decode_list(data) == value
        assert encode_list(value) == data
    else:
        name = {"float": "float32"}.get(vector["type"], vector["type"])
        cls = carrier(getattr(types, name))
        assert cls(value).pack() == data
        decoded = cls.unpacker()(data, 0, len(data), 0)
        assert decoded.value == value
        assert type(decoded.value) is type(value)


def test_all_vectors_are_there() -> None:
    assert len(VECTORS) == 67
