"""Values in maps, lists and arrays: both ways, every type code, and what cannot be encoded or decoded."""

from __future__ import annotations

import collections
import enum
import struct
from datetime import datetime, timezone
from decimal import Decimal
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given

from qpid_messaging.amqp import commands as c
from qpid_messaging.amqp.codec import decode_list, decode_map, encode_list, encode_map
from qpid_messaging.amqp.errors import EncodeError, ProtocolError
from qpid_messaging.amqp.values import MAX_DEPTH, Array, Timestamp
from tests.unit.amqp import strategies


def list_of(*encoded: str) -> bytes:
    """A list whose elements are given as hexadecimal text, type codes included."""
    body = bytes.fromhex("".join(encoded))
    return struct.pack(">II", len(body) + 4, len(encoded)) + body


def same(left: Any, right: Any) -> bool:
    """Equal, with the same types all the way down: True is not 1."""
    if type(left) is not type(right) or left != right:
        return False
    if isinstance(left, dict):
        return list(left) == list(right) and all(same(left[key], right[key]) for key in left)
    if isinstance(left, list):
        return all(same(a, b) for a, b in zip(left, right, strict=True))
    return True


@given(strategies.maps)
def test_maps_round_trip(value: dict[str, Any]) -> None:
    assert same(decode_map(encode_map(value)), value)


@given(strategies.coded_structs)
def test_structs_are_values(value: c.Struct) -> None:
    assert decode_list(encode_list([value, 1])) == [value, 1]


@given(strategies.MOMENTS)
def test_datetimes_become_timestamps(moment: datetime) -> None:
    (found,) = decode_list(encode_list([moment]))
    assert type(found) is Timestamp
    assert found == int(moment.timestamp())


@given(strategies.DECIMALS)
def test_decimals(value: Decimal) -> None:
    assert decode_list(encode_list([value])) == [value]


def test_what_peers_send() -> None:
    assert encode_list([1])[8:] == b"\x31" + (1).to_bytes(8, "big")
    assert encode_list([2**64 - 1])[8:] == b"\x32" + b"\xff" * 8
    assert encode_list(["\u20ac"])[8:] == b"\x95\x00\x03\xe2\x82\xac"
    assert encode_list([b"ab"])[8:] == b"\xa0\x00\x00\x00\x02ab"
    assert encode_list([1.5])[8:] == b"\x33" + struct.pack(">d", 1.5)
    assert encode_list([datetime(1970, 1, 1, 0, 1, tzinfo=timezone.utc)])[8:] == b"\x38" + (60).to_bytes(8, "big")


def test_subclasses_are_encoded_as_what_they_are() -> None:
    class Text(str):
        __slots__ = ()

    class Number(enum.IntEnum):
        SEVEN = 7

    value = [Text("x"), Number.SEVEN, collections.OrderedDict(a=1), (1, 2), bytearray(b"b"), memoryview(b"m")]
    assert decode_list(encode_list(value)) == ["x", 7, {"a": 1}, [1, 2], b"b", b"m"]


@pytest.mark.parametrize(
    ("encoded", "value"),
    [
        ("00ff", b"\xff"),
        ("01ff", -1),
        ("02ff", 255),
        ("0441", "A"),
        ("0802", True),
        ("0800", False),
        ("10abcd", b"\xab\xcd"),
        ("11ffff", -1),
        ("12ffff", 65535),
        ("2000000001", b"\0\0\0\1"),
        ("21ffffffff", -1),
        ("22ffffffff", 2**32 - 1),
        ("233fc00000", 1.5),
        ("270001f600", "\U0001f600"),
        ("27ffffffff", b"\xff\xff\xff\xff"),
        ("30" + "01" * 8, b"\1" * 8),
        ("31" + "ff" * 8, -1),
        ("32" + "ff" * 8, 2**64 - 1),
        ("333ff8000000000000", 1.5),
        ("380000000000000001", Timestamp(1)),
        ("40" + "01" * 16, b"\1" * 16),
        ("4812345678123456781234567812345678", UUID("12345678-1234-5678-1234-567812345678")),
        ("50" + "01" * 32, b"\1" * 32),
        ("60" + "01" * 64, b"\1" * 64),
        ("70" + "01" * 128, b"\1" * 128),
        ("8002abcd", b"\xab\xcd"),
        ("8402e9a4", "é€"),
        ("8503e282ac", "€"),
        ("860420ac0041", "€A"),
        ("8603ffffff", b"\xff\xff\xff"),
        ("900002abcd", b"\xab\xcd"),
        ("940001a4", "€"),
        ("950003e282ac", "€"),
        ("950002c3e9", "\udcc3\udce9"),
        ("96000220ac", "€"),
        ("a000000002abcd", b"\xab\xcd"),
        ("a800000000", {}),
        ("a80000000400000000", {}),
        ("a900000000", []),
        ("a90000000400000000", []),
        ("aa00000000", Array()),
        ("aa000000059500000000", Array()),
        ("aa000000070200000002" + "0102", Array([1, 2])),
        ("aa00000005f000000002", Array([None, None])),
        ("ab00000004" + "0403" + "0000", c.MessageProperties()),
        ("ab00000003" + "ffee" + "01", c.RawStruct((0xFF, 0xEE), b"\1")),
        ("c00102030405", b"\1\2\3\4\5"),
        ("c802000000ff", Decimal("2.55")),
        ("c802ffffffff", Decimal("-0.01")),
        ("d0" + "01" * 9, b"\1" * 9),
        ("d8030000000000000001", Decimal("0.001")),
        ("f0", None),
        ("f1", True),
        # Codes that nobody has given a meaning.
        ("0f01", b"\1"),
        ("2f01020304", b"\1\2\3\4"),
        ("8f0101", b"\1"),
        ("9f000101", b"\1"),
        ("af0000000101", b"\1"),
        ("cf0102030405", b"\1\2\3\4\5"),
        ("ff", b""),
    ],
)
def test_every_width_is_understood(encoded: str, value: Any) -> None:
    assert decode_list(list_of(encoded)) == [value]
    assert type(decode_list(list_of(encoded))[0]) is type(value)
    # The value can be sent on, whatever it came in; it is the same value then.
    assert decode_list(encode_list([value])) == [value]


@pytest.mark.parametrize(
    "encoded",
    [
        "b0",  # no width
        "e00101",
        "95ffff41",  # overruns the list
        "9500",
        "a0ffffffff",
        "31",
        "a8000000080000000101",  # overruns inside
        "a8000000050000000100f0",  # size too small by one
        "a80000000400000001",  # claims an entry
        "a900000004ffffffff",
        "aa00000005f0ffffffff",  # four billion nothings
        "aa0000000502ffffffff",
        "aa0000000602ffffffff01",
        "aa000000060200000000" + "01",
        "aa00000003020000",
        "ab0000000104",  # no room for a code
        "ab00000005040300" + "0001",  # a byte behind the fields
        "ab000000040403" + "ffff",  # unknown fields
    ],
)
def test_malformed_values(encoded: str) -> None:
    with pytest.raises(ProtocolError):
        decode_list(list_of(encoded))


@pytest.mark.parametrize("data", [b"", b"\0", b"\0\0\0\4", b"\0\0\0\4\0\0\0\0\0", b"\xff" * 8, b"\0\0\0\1\0"])
def test_malformed_containers(data: bytes) -> None:
    with pytest.raises(ProtocolError):
        decode_map(data)
    with pytest.raises(ProtocolError):
        decode_list(data)


def test_bytes_that_are_not_text_survive_in_keys_and_values() -> None:
    data = struct.pack(">II", 4 + 7, 1) + b"\x01\xe9" + b"\x95\x00\x02\xff\xfe"
    value = decode_map(data)
    assert value == {"\udce9": "\udcff\udcfe"}
    assert encode_map(value) == data


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ({"a": {"b": [1, object()]}}, "[0]['a']['b'][1]: object has no encoding"),
        ({"a": 2**64}, "[0]['a']: int 18446744073709551616 needs more than 64 bits"),
        ({"a": -(2**63) - 1}, "needs more than 64 bits"),
        ({"a": "x" * 65536}, "[0]['a']: str of 65536 bytes, and a str16 holds 65535"),
        ({"a": "\ud800"}, "[0]['a']: str is not text"),
        ({"k" * 256: 1}, "does not fit a str8"),
        ({"\ud800": 1}, "does not fit a str8"),
        ({5: 1}, "map key 5 is int, and keys are str"),
        ({"a": Array([1, "x"])}, "[0]['a'][1]: str in an array whose elements have type code 0x31"),
        ({"a": Array([None] * 17)}, "an array of 17 values without width"),
        ({"a": 1j}, "[0]['a']: complex has no encoding"),
        ({"a": Decimal("NaN")}, "Decimal NaN does not fit"),
        ({"a": Decimal(10**30)}, "does not fit a dec64"),
        ({"a": Timestamp(-1)}, "does not fit a datetime"),
        ({"a": {1, 2}}, "set has no encoding"),
        ({"a": c.ReplyTo()}, "ReplyTo cannot travel as a struct32"),
    ],
)
def test_what_cannot_be_encoded(value: Any, message: str) -> None:
    with pytest.raises(EncodeError) as caught:
        encode_list([value])
    assert message in str(caught.value)
    assert isinstance(caught.value, ValueError)


def test_depth_is_bounded_both_ways() -> None:
    endless: list[Any] = []
    endless.append(endless)
    with pytest.raises(EncodeError, match="nested deeper"):
        encode_list(endless)
    knot: dict[str, Any] = {}
    knot["x"] = Array([knot])
    with pytest.raises(EncodeError, match="nested deeper"):
        encode_map(knot)
    properties = c.MessageProperties()
    properties.application_headers = {"again": properties}
    with pytest.raises(EncodeError, match="nested deeper"):
        encode_list([properties])

    deep = b"\0\0\0\4\0\0\0\0"
    for _ in range(MAX_DEPTH):
        deep = struct.pack(">II", len(deep) + 5, 1) + b"\xa9" + deep
    value = decode_list(deep)
    assert encode_list(value) == deep
    for _ in range(5000):
        deep = struct.pack(">II", len(deep) + 5, 1) + b"\xa9" + deep
    with pytest.raises(ProtocolError, match="nested deeper"):
        decode_list(deep)


def test_depth_is_bounded_through_structs() -> None:
    data = b"\0\0\0\4\0\0\0\0"
    for _ in range(2000):
        # A list that holds message properties whose application headers hold ... such a list.
        entry = b"\x01k\xa9" + data
        headers = struct.pack(">II", len(entry) + 4, 1) + entry
        item = b"\xab" + struct.pack(">I", len(headers) + 4) + b"\x04\x03\x00\x01" + headers
        data = struct.pack(">II", len(item) + 4, 1) + item
    with pytest.raises(ProtocolError, match="nested deeper"):
        decode_list(data)
