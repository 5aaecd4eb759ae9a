"""Writes self-describing values: what stands in maps, lists and arrays, each behind the code of its type.

The types are those that peers send: int64 (uint64 where the number needs it), double, str16, vbin32, datetime, uuid,
dec32 or dec64; subclasses are written as what they derive from. A str whose UTF-8 needs more than the 65535 bytes of a
str16 is an error, as in the original client: a vbin32 would arrive as bytes.
"""

# The encoders of all types share one signature, whether they use all of it or not.
from __future__ import annotations

from collections.abc import Callable
from struct import Struct as Layout
from typing import Any
from uuid import UUID

from .errors import EncodeError
from .values import MAX_DEPTH, MAX_EMPTY_ELEMENTS, Array, Timestamp

_INT64_MIN, _INT64_MAX, _UINT64_MAX = -(1 << 63), (1 << 63) - 1, (1 << 64) - 1
_UINT32_MAX = (1 << 32) - 1

Encoder = Callable[[Any, int], bytes]

#: The byte of each number: a length of eight bits without a call.
BYTE = [bytes((_number,)) for _number in range(256)]

_pack_two_uint32 = Layout(">II").pack
_pack_code_size16 = Layout(">BH").pack
_pack_code_size32 = Layout(">BI").pack
_pack_code_int64 = Layout(">Bq").pack
_pack_code_uint64 = Layout(">BQ").pack
_pack_code_double = Layout(">Bd").pack
_pack_array_head = Layout(">IBI").pack


def _encode_none(value: None, depth: int) -> bytes:
    return b"\xf0"


def _encode_bool(value: bool, depth: int) -> bytes:
    return b"\x08\x01" if value else b"\x08\x00"


def _encode_int(value: int, depth: int) -> bytes:
    if _INT64_MIN <= value <= _INT64_MAX:
        return _pack_code_int64(0x31, value)
    if 0 <= value <= _UINT64_MAX:
        return _pack_code_uint64(0x32, value)
    raise EncodeError(f"int {value} needs more than 64 bits")


def _encode_float(value: float, depth: int) -> bytes:
    return _pack_code_double(0x33, value)


def _encode_str(value: str, depth: int) -> bytes:
    try:
        raw = value.encode("utf-8", "surrogateescape")
    except UnicodeEncodeError as error:
        raise EncodeError(f"str is not text: {error}") from None
    if len(raw) > 0xFFFF:
        raise EncodeError(f"str of {len(raw)} bytes, and a str16 holds 65535: send it as bytes")
    return _pack_code_size16(0x95, len(raw)) + raw


def _encode_bytes(value: bytes, depth: int) -> bytes:
    raw = bytes(value)
    if len(raw) > _UINT32_MAX:
        raise EncodeError(f"{type(value).__name__} of {len(raw)} bytes, and a vbin32 holds {_UINT32_MAX}")
    return _pack_code_size32(0xA0, len(raw)) + raw


def _encode_timestamp(value: Timestamp, depth: int) -> bytes:
    if not 0 <= value <= _UINT64_MAX:
        raise EncodeError(f"{value!r} does not fit a datetime, an unsigned number of 64 bits")
    return _pack_code_uint64(0x38, value)


def _encode_uuid(value: UUID, depth: int) -> bytes:
    return b"\x48" + value.bytes


def _encode_map_value(value: dict[str, Any], depth: int) -> bytes:
    return b"\xa8" + encode_map(value, depth)


def _encode_list_value(value: list[Any] | tuple[Any, ...], depth: int) -> bytes:
    return b"\xa9" + encode_list(value, depth)


def _encode_array_value(value: Array, depth: int) -> bytes:
    return b"\xaa" + encode_array(value, depth)


def _encode_datetime(value: Any, depth: int) -> bytes:
    """A datetime.datetime; without a time zone it is local time, as everywhere in Python."""
    return _encode_timestamp(Timestamp(value.timestamp()), depth)


def _encode_decimal(value: Any, depth: int) -> bytes:
    sign, digits, exponent = value.as_tuple()
    if not isinstance(exponent, int) or exponent > 64:
        raise EncodeError(f"Decimal {value} does not fit a dec64")
    unscaled: int = int("".join(map(str, digits)) or "0") * 10 ** max(exponent, 0)
    unscaled = -unscaled if sign else unscaled
    if exponent < -255 or not _INT64_MIN <= unscaled <= _INT64_MAX:
        raise EncodeError(f"Decimal {value} does not fit a dec64")
    places = bytes((max(-exponent, 0),))
    if -(1 << 31) <= unscaled < 1 << 31:
        return b"\xc8" + places + unscaled.to_bytes(4, "big", signed=True)
    return b"\xd8" + places + unscaled.to_bytes(8, "big", signed=True)


ENCODERS: dict[type, Encoder] = {
    type(None): _encode_none,
    bool: _encode_bool,
    int: _encode_int,
    float: _encode_float,
    str: _encode_str,
    bytes: _encode_bytes,
    bytearray: _encode_bytes,
    memoryview: _encode_bytes,
    Timestamp: _encode_timestamp,
    UUID: _encode_uuid,
    dict: _encode_map_value,
    list: _encode_list_value,
    tuple: _encode_list_value,
    Array: _encode_array_value,
}


def _encoder_for(cls: type) -> Encoder:
    """The encoder for a class that has none of its own: that of its nearest base."""
    for base in cls.__mro__:
        if base in ENCODERS:
            return ENCODERS[base]
    # The types that few messages carry are not imported for the sake of those.
    from datetime import datetime  # noqa: PLC0415
    from decimal import Decimal  # noqa: PLC0415

    for base in cls.__mro__:
        if base is datetime:
            return _encode_datetime
        if base is Decimal:
            return _encode_decimal
    raise EncodeError(f"{cls.__name__} has no encoding in AMQP 0-10")


def encode_value(value: Any, depth: int = 0) -> bytes:
    """A type code and the value.

    Raises:
        EncodeError: a type without encoding, a value that is too large, containers nested deeper than `MAX_DEPTH`.
    """
    encoder = ENCODERS.get(value.__class__)
    if encoder is None:
        encoder = _encoder_for(type(value))
    return encoder(value, depth)


def _check_depth(depth: int) -> None:
    if depth > MAX_DEPTH:
        raise EncodeError(f"values nested deeper than {MAX_DEPTH} levels")


def _sized(body: bytes, count: int) -> bytes:
    if len(body) + 4 > _UINT32_MAX:
        raise EncodeError(f"{len(body)} bytes in one container, and its size has 32 bits")
    return _pack_two_uint32(len(body) + 4, count) + body


def encode_map(value: dict[str, Any], depth: int = 0) -> bytes:
    """A map without the type code. Raises EncodeError, whose path names the entry."""
    _check_depth(depth)
    depth += 1
    parts: list[bytes] = []
    encoders = ENCODERS
    for key, item in value.items():
        try:
            raw = key.encode("utf-8", "surrogateescape")
            encoder = encoders.get(item.__class__) or _encoder_for(type(item))
            parts += BYTE[len(raw)], raw, encoder(item, depth)
        except EncodeError as error:
            raise error.inside(key) from None
        except (AttributeError, UnicodeEncodeError, IndexError):
            raise EncodeError(_bad_key(key)) from None
    return _sized(b"".join(parts), len(value))


def _bad_key(key: object) -> str:
    if not isinstance(key, str):
        return f"map key {key!r} is {type(key).__name__}, and keys are str"
    return f"map key {key[:40]!r} does not fit a str8 of 255 bytes of UTF-8"


def encode_list(value: list[Any] | tuple[Any, ...], depth: int = 0) -> bytes:
    """A list without the type code. Raises EncodeError, whose path names the element."""
    _check_depth(depth)
    depth += 1
    parts = []
    for index, item in enumerate(value):
        try:
            parts.append(encode_value(item, depth))
        except EncodeError as error:
            raise error.inside(index) from None
    return _sized(b"".join(parts), len(value))


def encode_array(value: list[Any] | tuple[Any, ...], depth: int = 0, code: int | None = None) -> bytes:
    """An array without its own type code, whose elements take the type of the first one.

    Args:
        code: the elements' type code, where it is known, so that an empty array carries it too (void otherwise).

    Raises:
        EncodeError: for elements of different types, or whatever is wrong with an element.
    """
    _check_depth(depth)
    depth += 1
    parts = []
    for index, item in enumerate(value):
        try:
            encoded = encode_value(item, depth)
            if code is None:
                code = encoded[0]
            elif encoded[0] != code:
                name = type(item).__name__
                raise EncodeError(f"{name} in an array whose elements have type code 0x{code:02x}")
        except EncodeError as error:
            raise error.inside(index) from None
        parts.append(encoded[1:])
    if code is None:
        code = 0xF0
    if code >= 0xF0 and len(parts) > MAX_EMPTY_ELEMENTS:
        raise EncodeError(f"an array of {len(parts)} values without width: peers take {MAX_EMPTY_ELEMENTS}")
    body = b"".join(parts)
    if len(body) + 5 > _UINT32_MAX:
        raise EncodeError(f"{len(body)} bytes in one array, and its size has 32 bits")
    return _pack_array_head(len(body) + 5, code, len(parts)) + body
