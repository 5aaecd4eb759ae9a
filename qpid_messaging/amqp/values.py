"""Self-describing values: what stands in maps, lists and arrays, each behind the code of its type.

Encoding follows what peers send: int64 (uint64 where the number needs it), double, str16, vbin32. Decoding takes all
types of AMQP 0-10 in every width; a type that the specification does not have is read as bytes, since the top of its
code tells its width. Text that is not valid UTF-8 comes out with surrogate escapes, as Python does it for file names:
nothing fails, and encoding gives back the bytes that came in.

Decoders take `(buffer, position, end, depth)` and give `(value, position behind it)`. They check a compound's size when
they enter it and the position when they leave it; in between an overrun shows as an IndexError, a struct.error or a
position past the end, and the outermost caller turns it into a ProtocolError. Nothing is allocated for a count that the
bytes do not back.
"""

# The decoders and encoders of all types share one signature, whether they use all of it or not.
from __future__ import annotations

from collections.abc import Callable
from struct import Struct as Layout
from struct import error as LayoutError  # noqa: N812  (there are too many errors to call it just that)
from typing import Any
from uuid import UUID, SafeUUID

from .errors import EncodeError, ProtocolError

#: How many containers may stand in one another.
MAX_DEPTH = 64

#: How many elements an array of a type without width (void, bit) may have: nothing in the bytes bounds them.
MAX_EMPTY_ELEMENTS = 16

_INT64_MIN, _INT64_MAX, _UINT64_MAX = -(1 << 63), (1 << 63) - 1, (1 << 64) - 1
_UINT32_MAX = (1 << 32) - 1

Decoder = Callable[[bytes, int, int, int], "tuple[Any, int]"]
Encoder = Callable[[Any, int], bytes]

#: The byte of each number: a length of eight bits without a call.
BYTE = [bytes((_number,)) for _number in range(256)]

pack_uint32 = Layout(">I").pack
unpack_uint32 = Layout(">I").unpack_from
_unpack_int64 = Layout(">q").unpack_from
_pack_two_uint32 = Layout(">II").pack
_pack_code_size16 = Layout(">BH").pack
_pack_code_size32 = Layout(">BI").pack
_pack_code_int64 = Layout(">Bq").pack
_pack_code_uint64 = Layout(">BQ").pack
_pack_code_double = Layout(">Bd").pack
_pack_array_head = Layout(">IBI").pack


class Timestamp(int):
    """A point in time as AMQP's datetime: whole seconds since 1970-01-01 UTC. An int that stays a datetime in maps."""

    def __repr__(self) -> str:
        return f"Timestamp({int(self)})"


class Array(list[Any]):
    """A list that travels as an array: all elements of one type, which is written once."""

    def __repr__(self) -> str:
        return f"Array({super().__repr__()})"


# --- Decoding ---------------------------------------------------------------------------------------------------------


def _too_deep(pos: int) -> ProtocolError:
    return ProtocolError(f"values nested deeper than {MAX_DEPTH} levels", pos)


def _fixed(layout: str) -> Decoder:
    compiled = Layout(layout)
    unpack, width = compiled.unpack_from, compiled.size

    def decode(buf: bytes, pos: int, end: int, depth: int) -> tuple[Any, int]:
        return unpack(buf, pos)[0], pos + width

    return decode


def _fixed_bytes(width: int) -> Decoder:
    def decode(buf: bytes, pos: int, end: int, depth: int) -> tuple[bytes, int]:
        stop = pos + width
        return buf[pos:stop], stop

    return decode


def _variable(width: int, convert: Callable[[bytes], Any] | None = None) -> Decoder:
    """A type that carries its length in `width` bytes."""

    def decode(buf: bytes, pos: int, end: int, depth: int) -> tuple[Any, int]:
        start = pos + width
        stop = start + int.from_bytes(buf[pos:start], "big")
        if stop > end:
            raise ProtocolError(f"a value of {stop - start} bytes ends {stop - end} bytes behind what holds it", pos)
        raw = buf[start:stop]
        return (raw if convert is None else convert(raw)), stop

    return decode


def _utf8(raw: bytes) -> str:
    return raw.decode("utf-8", "surrogateescape")


def _latin(raw: bytes) -> str:
    return raw.decode("iso-8859-15")


def _utf16(raw: bytes) -> str | bytes:
    try:
        return raw.decode("utf-16-be")
    except UnicodeDecodeError:
        return raw


def _decode_boolean(buf: bytes, pos: int, end: int, depth: int) -> tuple[bool, int]:
    return buf[pos] != 0, pos + 1


def _decode_char(buf: bytes, pos: int, end: int, depth: int) -> tuple[str, int]:
    return chr(buf[pos]), pos + 1


def _decode_char_utf32(buf: bytes, pos: int, end: int, depth: int) -> tuple[str | bytes, int]:
    stop = pos + 4
    (point,) = unpack_uint32(buf, pos)
    return chr(point) if point <= 0x10FFFF else buf[pos:stop], stop


def _decode_datetime(buf: bytes, pos: int, end: int, depth: int) -> tuple[Timestamp, int]:
    stop = pos + 8
    return Timestamp(int.from_bytes(buf[pos:stop], "big")), stop


_new_uuid = UUID.__new__
# UUID's constructor checks what cannot be wrong here, and costs more than the rest of a message's properties.
_set_uuid_int = UUID.__dict__["int"].__set__
_set_uuid_safe = UUID.__dict__["is_safe"].__set__
_UNKNOWN_SAFETY = SafeUUID.unknown


def uuid_from_bytes(raw: bytes) -> UUID:
    """The UUID of 16 bytes in network order; the caller has checked the length."""
    value = _new_uuid(UUID)
    _set_uuid_int(value, int.from_bytes(raw, "big"))
    _set_uuid_safe(value, _UNKNOWN_SAFETY)
    return value


def _decode_uuid(buf: bytes, pos: int, end: int, depth: int) -> tuple[UUID, int]:
    stop = pos + 16
    return uuid_from_bytes(buf[pos:stop]), stop


def _decimal(width: int) -> Decoder:
    """One byte of decimal places, then a signed integer of `width` bytes."""

    def decode(buf: bytes, pos: int, end: int, depth: int) -> tuple[Any, int]:
        from decimal import Decimal  # noqa: PLC0415

        stop = pos + 1 + width
        unscaled = int.from_bytes(buf[pos + 1 : stop], "big", signed=True)
        digits = tuple(map(int, str(abs(unscaled))))
        return Decimal((unscaled < 0, digits, -buf[pos])), stop

    return decode


def _decode_void(buf: bytes, pos: int, end: int, depth: int) -> tuple[None, int]:
    return None, pos


def _decode_bit(buf: bytes, pos: int, end: int, depth: int) -> tuple[bool, int]:
    return True, pos


def _enter(buf: bytes, pos: int, end: int, depth: int) -> tuple[int, int]:
    """Where the contents of a compound with a 32-bit size start and stop."""
    if depth > MAX_DEPTH:
        raise _too_deep(pos)
    start = pos + 4
    stop = start + int(unpack_uint32(buf, pos)[0])
    if stop > end:
        raise ProtocolError(f"a compound of {stop - start} bytes ends {stop - end} bytes behind what holds it", pos)
    return start, stop


def decode_map(buf: bytes, pos: int, end: int, depth: int = 0) -> tuple[dict[str, Any], int]:
    """A map: size, count, then for each entry a str8 key, a type code and a value.

    A map of size 0, without even a count, is what some peers send for an empty one.
    """
    start = pos
    pos += 4
    stop = pos + unpack_uint32(buf, start)[0]
    if depth > MAX_DEPTH or stop > end:
        _enter(buf, start, end, depth)  # says which
    result: dict[str, Any] = {}
    if pos == stop:
        return result, pos
    (count,) = unpack_uint32(buf, pos)
    pos += 4
    depth += 1
    found = 0
    decoders = DECODERS
    while pos < stop:
        key_start = pos + 1
        key_stop = key_start + buf[pos]
        key = buf[key_start:key_stop].decode("utf-8", "surrogateescape")
        code = buf[key_stop]
        pos = key_stop + 1
        if code == 0x95:
            text = pos + 2
            pos = text + (buf[pos] << 8 | buf[pos + 1])
            result[key] = buf[text:pos].decode("utf-8", "surrogateescape")
        elif code == 0x31:
            (result[key],) = _unpack_int64(buf, pos)
            pos += 8
        else:
            result[key], pos = decoders[code](buf, pos, stop, depth)
        found += 1
    if pos != stop or found != count:
        raise ProtocolError(f"a map of {stop - start - 4} bytes does not hold the {count} entries it claims", start)
    return result, pos


def decode_list(buf: bytes, pos: int, end: int, depth: int = 0) -> tuple[list[Any], int]:
    """A list: size, count, then for each element a type code and a value."""
    start = pos
    pos, stop = _enter(buf, pos, end, depth)
    result: list[Any] = []
    if pos == stop:
        return result, pos
    (count,) = unpack_uint32(buf, pos)
    pos += 4
    depth += 1
    decoders = DECODERS
    while pos < stop:
        value, pos = decoders[buf[pos]](buf, pos + 1, stop, depth)
        result.append(value)
    if pos != stop or len(result) != count:
        raise ProtocolError(f"a list of {stop - start - 4} bytes does not hold the {count} elements it claims", start)
    return result, pos


def decode_array(buf: bytes, pos: int, end: int, depth: int = 0) -> tuple[Array, int]:
    """An array: size, one type code, count, then the elements."""
    start = pos
    pos, stop = _enter(buf, pos, end, depth)
    result = Array()
    if pos == stop:
        return result, pos
    code = buf[pos]
    (count,) = unpack_uint32(buf, pos + 1)
    pos += 5
    decode = DECODERS[code]
    depth += 1
    if code >= 0xF0 and count <= MAX_EMPTY_ELEMENTS:
        for _ in range(count):
            result.append(decode(buf, pos, stop, depth)[0])
    while pos < stop:
        value, pos = decode(buf, pos, stop, depth)
        if code >= 0xF0:
            break
        result.append(value)
    if pos != stop or len(result) != count:
        raise ProtocolError(f"an array of {stop - start - 4} bytes does not hold the {count} elements it claims", start)
    return result, pos


def decode_value(buf: bytes, pos: int, end: int, depth: int = 0) -> tuple[Any, int]:
    """A type code and the value behind it."""
    return DECODERS[buf[pos]](buf, pos + 1, end, depth)


def _reserved(code: int) -> Decoder:
    def decode(buf: bytes, pos: int, end: int, depth: int) -> tuple[Any, int]:
        raise ProtocolError(f"type code 0x{code:02x} has no width", pos - 1)

    return decode


def _decoder_by_width(code: int) -> Decoder:
    """For codes that the specification leaves open: the top four bits tell the width."""
    widths = {0x0: 1, 0x1: 2, 0x2: 4, 0x3: 8, 0x4: 16, 0x5: 32, 0x6: 64, 0x7: 128, 0xC: 5, 0xD: 9, 0xF: 0}
    lengths = {0x8: 1, 0x9: 2, 0xA: 4}
    top = code >> 4
    if top in widths:
        return _fixed_bytes(widths[top])
    if top in lengths:
        return _variable(lengths[top])
    return _reserved(code)


DECODERS: list[Decoder] = [_decoder_by_width(code) for code in range(256)]
for _code, _decoder in {
    0x01: _fixed(">b"),
    0x02: _fixed(">B"),
    0x04: _decode_char,
    0x08: _decode_boolean,
    0x11: _fixed(">h"),
    0x12: _fixed(">H"),
    0x21: _fixed(">i"),
    0x22: _fixed(">I"),
    0x23: _fixed(">f"),
    0x27: _decode_char_utf32,
    0x31: _fixed(">q"),
    0x32: _fixed(">Q"),
    0x33: _fixed(">d"),
    0x38: _decode_datetime,
    0x48: _decode_uuid,
    0x84: _variable(1, _latin),
    0x85: _variable(1, _utf8),
    0x86: _variable(1, _utf16),
    0x94: _variable(2, _latin),
    0x95: _variable(2, _utf8),
    0x96: _variable(2, _utf16),
    0xA8: decode_map,
    0xA9: decode_list,
    0xAA: decode_array,
    # 0xab, struct32, is registered by schema.py.
    0xC8: _decimal(4),
    0xD8: _decimal(8),
    0xF0: _decode_void,
    0xF1: _decode_bit,
}.items():
    DECODERS[_code] = _decoder


# --- Encoding ---------------------------------------------------------------------------------------------------------


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


__all__ = [
    "DECODERS",
    "ENCODERS",
    "MAX_DEPTH",
    "Array",
    "LayoutError",
    "Timestamp",
    "decode_array",
    "decode_list",
    "decode_map",
    "decode_value",
    "encode_array",
    "encode_list",
    "encode_map",
    "encode_value",
]
