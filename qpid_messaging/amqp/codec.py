"""Values, structs and commands to bytes and back.

What cannot be written raises EncodeError, a ValueError that names field, key and type. Bytes that do not follow the
protocol raise ProtocolError and nothing else, whatever they are.
"""

from __future__ import annotations

from typing import Any, TypeVar

from . import commands as _table  # noqa: F401  (the table has to be there before anything is decoded)
from .decoding import SHORT
from .decoding import decode_list as _decode_list
from .decoding import decode_map as _decode_map
from .encoding import encode_list as _encode_list
from .encoding import encode_map as _encode_map
from .errors import EncodeError, ProtocolError
from .schema import Command, RawStruct, Struct, StructType, Unpackers, struct_unpackers, unpack_size_and_code
from .schema import decode_struct32 as _decode_struct32
from .schema import encode_struct32 as _encode_struct32
from .values import Array, Timestamp

S = TypeVar("S", bound=Struct)

#: Decoders of a method segment's payload, by class and code.
CONTROL_UNPACKERS = Unpackers(StructType.CONTROLS)
COMMAND_UNPACKERS = Unpackers(StructType.COMMANDS)


def encode_map(value: dict[str, Any]) -> bytes:
    """A map with its size, as in application-headers or the content of an `amqp/map` message.

    Raises:
        EncodeError: a key or value that has no encoding.
    """
    return _encode_map(value)


def decode_map(data: bytes) -> dict[str, Any]:
    """The map that `data` holds, all of it.

    Raises:
        ProtocolError: malformed, nested too deeply, or followed by something else.
    """
    return _whole(_decode_map, data, "map")  # type: ignore[no-any-return]


def encode_list(value: list[Any] | tuple[Any, ...]) -> bytes:
    """A list with its size, as in the content of an `amqp/list` message. Raises EncodeError."""
    return _encode_list(value)


def decode_list(data: bytes) -> list[Any]:
    """The list that `data` holds, all of it. Raises ProtocolError."""
    return _whole(_decode_list, data, "list")  # type: ignore[no-any-return]


def _whole(decode: Any, data: bytes, what: str) -> Any:
    data = bytes(data)
    try:
        value, pos = decode(data, 0, len(data), 0)
    except SHORT:
        raise ProtocolError(f"a {what} of {len(data)} bytes ends too early", len(data)) from None
    if pos != len(data):
        raise ProtocolError(f"{len(data) - pos} bytes behind a {what}", pos)
    return value


def encode_struct32(value: Struct) -> bytes:
    """A struct with its 32-bit size and its code. Raises EncodeError."""
    return _encode_struct32(value)


def decode_struct32(data: bytes, offset: int = 0) -> tuple[Struct, int]:
    """The struct at `offset`, and the offset behind it; one that the table does not have is a `RawStruct`.

    Raises:
        ProtocolError: malformed or too short.
    """
    try:
        return _decode_struct32(bytes(data), offset, len(data))
    except SHORT:
        raise ProtocolError("a struct ends too early", offset) from None


def encode_header(*structs: Struct) -> bytes:
    """The payload of a header segment: the structs one behind the other. Raises EncodeError."""
    return b"".join([_encode_struct32(struct) for struct in structs])


def decode_header(data: bytes) -> tuple[Struct, ...]:
    """The structs of a header segment, in order; those that the table does not have as `RawStruct`.

    Raises:
        ProtocolError: malformed.
    """
    structs = []
    data = bytes(data)
    pos, end = 0, len(data)
    try:
        while pos < end:
            size, code = unpack_size_and_code(data, pos)
            stop = pos + 4 + size
            if stop > end or size < 2:
                raise _bad_struct(size, pos)
            structs.append(struct_unpackers[code](data, pos, stop, 0))
            pos = stop
    except SHORT:
        raise ProtocolError("a header ends too early", pos) from None
    return tuple(structs)


def find_struct(data: bytes, cls: type[S]) -> S | None:
    """The one struct of class `cls` in a header segment, without decoding the others; None where there is none.

    Raises:
        ProtocolError: malformed.
    """
    assert cls.CODE is not None
    wanted = cls.CODE[0] << 8 | cls.CODE[1]
    data = bytes(data)
    pos, end = 0, len(data)
    try:
        while pos < end:
            size, code = unpack_size_and_code(data, pos)
            stop = pos + 4 + size
            if stop > end or size < 2:
                raise _bad_struct(size, pos)
            if code == wanted:
                return struct_unpackers[code](data, pos, stop, 0)  # type: ignore[no-any-return]
            pos = stop
    except SHORT:
        raise ProtocolError("a header ends too early", pos) from None
    return None


def _bad_struct(size: int, pos: int) -> ProtocolError:
    return ProtocolError(f"a struct of {size} bytes overruns its header, or has no code", pos)


def encode_command(command: Command) -> bytes:
    """The payload of a control's or command's segment: class, code, session.header (commands only), arguments.

    Raises:
        EncodeError: an argument does not fit its type.
    """
    return command.pack()


def decode_command(payload: bytes, is_control: bool) -> Command:
    """The control or command that a segment's payload holds.

    Raises:
        ProtocolError: malformed, or of a class or code that AMQP 0-10 does not have.
    """
    return unpack_command(bytes(payload), 0, len(payload), is_control)


def unpack_command(data: bytes, start: int, end: int, is_control: bool) -> Command:
    """`decode_command` for a payload that stands in a larger buffer; offsets in errors are from the buffer's start."""
    unpackers = CONTROL_UNPACKERS if is_control else COMMAND_UNPACKERS
    try:
        return unpackers[data[start] << 8 | data[start + 1]](data, start, end, 0)  # type: ignore[no-any-return]
    except KeyError:
        kind = "control" if is_control else "command"
        raise ProtocolError(
            f"no {kind} has class 0x{data[start]:02x} and code 0x{data[start + 1]:02x}", start
        ) from None
    except SHORT:
        raise ProtocolError("a command ends too early", end) from None


__all__ = [
    "Array",
    "EncodeError",
    "ProtocolError",
    "RawStruct",
    "Timestamp",
    "decode_command",
    "decode_header",
    "decode_list",
    "decode_map",
    "decode_struct32",
    "encode_command",
    "encode_header",
    "encode_list",
    "encode_map",
    "encode_struct32",
    "find_struct",
    "unpack_command",
]
