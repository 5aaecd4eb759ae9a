"""Reads self-describing values: what stands in maps, lists and arrays, each behind the code of its type.

All types of AMQP 0-10 are taken, in every width; a type that the specification does not have is read as bytes, since
the top of its code tells its width. Text that is not valid UTF-8 comes out with surrogate escapes, as Python does it
for file names: nothing fails, and encoding gives back the bytes that came in.

Decoders take `(buffer, position, end, depth)` and give `(value, position behind it)`. They check a compound's size when
they enter it and the position when they leave it; in between an overrun shows as an IndexError, a struct.error or a
position past the end, and the outermost caller turns it into a ProtocolError. Nothing is allocated for a count that the
bytes do not back.
"""

# The decoders of all types share one signature, whether they use all of it or not.
from __future__ import annotations

from collections.abc import Callable
from struct import Struct as Layout
from struct import error as LayoutError  # noqa: N812  (there are too many errors to call it just that)
from typing import Any
from uuid import UUID, SafeUUID

from .errors import ProtocolError
from .values import MAX_DEPTH, MAX_EMPTY_ELEMENTS, Array, Timestamp

Decoder = Callable[[bytes, int, int, int], "tuple[Any, int]"]

#: What decoders raise for bytes that end too early.
SHORT = (IndexError, LayoutError)

unpack_uint32 = Layout(">I").unpack_from
_unpack_int64 = Layout(">q").unpack_from


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
