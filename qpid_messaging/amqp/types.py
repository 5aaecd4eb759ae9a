"""The primitive types that fields of commands and structs are declared with.

A type knows how one value of it is written and read, as a function for everybody and as a line or two of source for the
generated encoders and decoders of `compiler.py`, where a call for each field would cost more than the work.
"""

# The decoders and encoders of all types share one signature, whether they use all of it or not.
from __future__ import annotations

from collections.abc import Callable
from struct import Struct as Layout
from typing import Any, Generic, TypeVar
from uuid import UUID

from .decoding import decode_array, decode_list, decode_map, unpack_uint32, uuid_from_bytes
from .encoding import BYTE, encode_array, encode_list, encode_map
from .errors import EncodeError, ProtocolError
from .ranges import RangeSet

T = TypeVar("T")

#: What the lines of the types refer to.
NAMESPACE: dict[str, Any] = {"uuid_from_bytes": uuid_from_bytes, "unpack_uint32": unpack_uint32, "BYTE": BYTE}


class WireType(Generic[T]):
    """A type of AMQP 0-10.

    Attributes:
        name: as the specification spells it.
        code: the type code in front of a self-describing value; None for types that never stand in a map.
        pack: source that appends the encoded local `v` to `out`.
        unpack: source that assigns to `{target}` what stands at `pos`, and moves `pos` behind it. Like the decoders of
            `decoding.py` it may run over `end`; whoever runs it compares `pos` afterwards.
    """

    __slots__ = ("code", "name", "pack", "unpack")

    def __init__(self, name: str, code: int | None, pack: str, unpack: str) -> None:
        self.name = name
        self.code = code
        self.pack = pack
        self.unpack = unpack

    def __repr__(self) -> str:
        return self.name


def _fixed(name: str, code: int | None, layout: str) -> WireType[Any]:
    compiled = Layout(layout)
    ident = name.replace("-", "_")
    NAMESPACE[f"pack_{ident}"] = compiled.pack
    NAMESPACE[f"unpack_{ident}"] = compiled.unpack_from
    unpack = f"{{target}} = unpack_{ident}(buf, pos)[0]; pos += {compiled.size}"
    return WireType(name, code, f"out += pack_{ident}(v)", unpack)


def _variable(name: str, code: int, width: int, *, text: bool = False) -> WireType[Any]:
    """Bytes or UTF-8 behind a length of `width` bytes."""
    size = {1: "buf[pos]", 2: "(buf[pos] << 8 | buf[pos + 1])", 4: "unpack_uint32(buf, pos)[0]"}[width]
    start = f"start = pos + {width}; pos = start + {size}; "
    packed = {1: "BYTE[len(v)]", 2: "pack_uint16(len(v))", 4: "pack_uint32(len(v))"}[width]
    if text:
        pack = f"v = v.encode('utf-8', 'surrogateescape'); out += {packed} + v"
        return WireType(name, code, pack, start + "{target} = buf[start:pos].decode('utf-8', 'surrogateescape')")
    return WireType(name, code, f"out += {packed} + v", start + "{target} = buf[start:pos]")


def _called(
    name: str, code: int | None, encode: Callable[[Any, int], bytes], decode: Callable[..., tuple[Any, int]]
) -> WireType[Any]:
    """A type that is too much for a line of source."""
    ident = name.replace("-", "_")
    NAMESPACE[f"encode_{ident}"] = encode
    NAMESPACE[f"decode_{ident}"] = decode
    unpack = f"{{target}}, pos = decode_{ident}(buf, pos, end, depth)"
    return WireType(name, code, f"out += encode_{ident}(v, depth)", unpack)


# --- Numbers, text, bytes ---------------------------------------------------------------------------------------------

uint8: WireType[int] = WireType("uint8", 0x02, "out += pack_uint8(v)", "{target} = buf[pos]; pos += 1")
NAMESPACE["pack_uint8"] = Layout(">B").pack
int8: WireType[int] = _fixed("int8", 0x01, ">b")
uint16: WireType[int] = _fixed("uint16", 0x12, ">H")
int16: WireType[int] = _fixed("int16", 0x11, ">h")
uint32: WireType[int] = _fixed("uint32", 0x22, ">I")
int32: WireType[int] = _fixed("int32", 0x21, ">i")
uint64: WireType[int] = _fixed("uint64", 0x32, ">Q")
int64: WireType[int] = _fixed("int64", 0x31, ">q")
float32: WireType[float] = _fixed("float", 0x23, ">f")
double: WireType[float] = _fixed("double", 0x33, ">d")
#: Seconds since 1970-01-01 UTC.
datetime: WireType[int] = _fixed("datetime", 0x38, ">Q")
boolean: WireType[bool] = WireType(
    "boolean", 0x08, r"out += b'\x01' if v else b'\x00'", "{target} = buf[pos] != 0; pos += 1"
)

#: A command id: 32 bits on the wire. Any int may be given, its lower 32 bits are sent.
sequence_no: WireType[int] = WireType(
    "sequence-no", None, "out += pack_uint32(v & 0xFFFFFFFF)", "{target} = unpack_uint32(buf, pos)[0]; pos += 4"
)

str8: WireType[str] = _variable("str8", 0x85, 1, text=True)
str16: WireType[str] = _variable("str16", 0x95, 2, text=True)
vbin8: WireType[bytes] = _variable("vbin8", 0x80, 1)
vbin16: WireType[bytes] = _variable("vbin16", 0x90, 2)
vbin32: WireType[bytes] = _variable("vbin32", 0xA0, 4)
uuid: WireType[UUID] = WireType(
    "uuid", 0x48, "out += v.bytes", "start = pos; pos += 16; {target} = uuid_from_bytes(buf[start:pos])"
)


# --- Containers -------------------------------------------------------------------------------------------------------


def _decode_str16_array(buf: bytes, pos: int, end: int, depth: int) -> tuple[list[str], int]:
    start = pos
    items, pos = decode_array(buf, pos, end, depth)
    if not all(isinstance(item, str) for item in items):
        raise ProtocolError("an array of str16 holds something else", start)
    return list(items), pos


def _encode_str16_array(value: list[str], depth: int) -> bytes:
    return encode_array(value, depth, 0x95)


map_: WireType[dict[str, Any]] = _called("map", 0xA8, encode_map, decode_map)
list_: WireType[list[Any]] = _called("list", 0xA9, encode_list, decode_list)
array: WireType[list[Any]] = _called("array", 0xAA, encode_array, decode_array)
str16_array: WireType[list[str]] = _called("str16-array", 0xAA, _encode_str16_array, _decode_str16_array)


# --- Sets -------------------------------------------------------------------------------------------------------------

_pair = Layout(">II")
_size_and_pair = Layout(">HII")
_unpack_size_and_pair = _size_and_pair.unpack_from
_pack_size_and_pair = _size_and_pair.pack
_byte_range = Layout(">QQ")

#: Half of the circle of 32-bit numbers: what lies further ahead lies behind (RFC 1982).
_HALF = 1 << 31
_MASK = 0xFFFFFFFF


def decode_sequence_set(buf: bytes, pos: int, end: int, depth: int = 0) -> tuple[RangeSet, int]:
    """Ranges of 32-bit command ids. One that wraps around 2**32 comes out as its two parts."""
    size = buf[pos] << 8 | buf[pos + 1]
    if size == 8:
        _, lower, upper = _unpack_size_and_pair(buf, pos)
        if lower <= upper and upper - lower < _HALF:
            return RangeSet.of(lower, upper), pos + 10
    start = pos + 2
    stop = start + size
    if size % 8:
        raise ProtocolError(f"a sequence-set of {size} bytes is no row of ranges", pos)
    result = RangeSet()
    for lower, upper in _pair.iter_unpack(buf[start:stop]):
        if (upper - lower) & _MASK >= _HALF:
            raise ProtocolError(f"range {lower}..{upper} of a sequence-set ends before it begins", pos)
        if lower <= upper:
            result.add(lower, upper)
        else:
            result.add(lower, _MASK)
            result.add(0, upper)
    return result, stop


def encode_sequence_set(value: RangeSet, depth: int = 0) -> bytes:
    """Ranges of ids of any size, of which the lower 32 bits are sent: at most 8191 ranges, none longer than 2**31."""
    parts: list[bytes] = []
    for lower, upper in value:
        if upper - lower >= _HALF:
            raise EncodeError(f"range {lower}..{upper} is longer than half of the 32-bit numbers")
        if not parts:
            parts.append(_pack_size_and_pair(8, lower & _MASK, upper & _MASK))
        else:
            parts.append(_pair.pack(lower & _MASK, upper & _MASK))
    if len(parts) < 2:
        return parts[0] if parts else b"\0\0"
    if len(parts) > 8191:
        raise EncodeError(f"{len(parts)} ranges in one sequence-set, which holds 8191")
    body = b"".join(parts)[2:]
    return len(body).to_bytes(2, "big") + body


def _decode_byte_ranges(buf: bytes, pos: int, end: int, depth: int) -> tuple[RangeSet, int]:
    start = pos + 2
    stop = start + (buf[pos] << 8 | buf[pos + 1])
    if (stop - start) % 16:
        raise ProtocolError(f"byte-ranges of {stop - start} bytes are no row of ranges", pos)
    result = RangeSet()
    for lower, upper in _byte_range.iter_unpack(buf[start:stop]):
        if upper < lower:
            raise ProtocolError(f"byte range {lower}..{upper} ends before it begins", pos)
        result.add(lower, upper)
    return result, stop


def _encode_byte_ranges(value: RangeSet, depth: int) -> bytes:
    body = b"".join([_byte_range.pack(lower, upper) for lower, upper in value])
    return NAMESPACE["pack_uint16"](len(body)) + body  # type: ignore[no-any-return]


sequence_set: WireType[RangeSet] = _called("sequence-set", None, encode_sequence_set, decode_sequence_set)
byte_ranges_: WireType[RangeSet] = _called("byte-ranges", None, _encode_byte_ranges, _decode_byte_ranges)
