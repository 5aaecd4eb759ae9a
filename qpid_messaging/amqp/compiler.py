"""Writes constructors, encoders and decoders for the classes of the table, each once, as straight-line Python.

For ReplyTo (16-bit size, two flag bytes, two strings), the decoder comes out as

    def unpack(buf, pos, end, depth):
        self = new(cls)
        size = unpack_uint16(buf, pos)[0]
        pos += 2
        ...
        flags = buf[pos] << 8 | buf[pos + 1]
        pos += 2
        if flags & 256:
            start = pos + 1; pos = start + buf[pos]; self.exchange = buf[start:pos].decode('utf-8', 'surrogateescape')
        else:
            self.exchange = None
        ...
        if pos != end: raise trailing(cls, pos, end)
        return self

Nothing in between looks at `end`: an overrun ends in an IndexError or a struct.error, or in the comparison at the end.
"""

from __future__ import annotations

from collections.abc import Callable
from struct import Struct as Layout
from struct import error as LayoutError  # noqa: N812
from typing import TYPE_CHECKING, Any

from .errors import EncodeError, ProtocolError
from .types import NAMESPACE

if TYPE_CHECKING:
    from .schema import Field, Struct

Unpack = Callable[[bytes, int, int, int], Any]


def _compile(cls: type[Struct], name: str, lines: list[str], namespace: dict[str, Any]) -> Any:
    source = "\n".join(lines)
    scope: dict[str, Any] = {**NAMESPACE, "cls": cls, **namespace}
    exec(compile(source, f"<{cls.__name__}.{name}>", "exec"), scope)
    function = scope[name]
    function.__qualname__ = f"{cls.__name__}.{name}"
    return function


def _is_command(cls: type[Struct]) -> bool:
    return hasattr(cls, "IS_CONTROL")


def flag_bit(index: int, pack: int) -> int:
    """The flag of a class's field number `index`. The first eight stand in the first byte, read as the high one."""
    return 1 << (index % 8 + 8 * (pack - 1 - index // 8))


# --- Constructor ------------------------------------------------------------------------------------------------------


def install_init(cls: type[Struct]) -> None:
    """Give the class its constructor."""
    parameters = ["self", *(f"{f.name}={f.default}" for f in cls.FIELDS)]
    body = [f"    self.{f.name} = {f.name}" for f in cls.FIELDS]
    if _is_command(cls):
        parameters += ["*", "sync=False"]
        body.append("    self.sync = sync")
    lines = [f"def __init__({', '.join(parameters)}):", *(body or ["    pass"])]
    cls.__init__ = _compile(cls, "__init__", lines, {})  # type: ignore[method-assign]


# --- Encoder ----------------------------------------------------------------------------------------------------------


def install_pack(cls: type[Struct]) -> Callable[[Any, int], bytes]:
    """Give the class its encoder, and return it."""
    fields: dict[int, Field] = {}  # by the line of source that encodes them
    namespace: dict[str, Any] = {"ERRORS": _ENCODE_ERRORS, "failure": _encode_failure, "fields": fields}
    lines = ["def pack(self, depth=0):", " try:", "  out = b''", "  flags = 0"]
    for index, f in enumerate(cls.FIELDS):
        if f.default is False:
            lines.append(f"  if self.{f.name}: flags |= {flag_bit(index, cls.PACK)}")
            continue
        lines.append(f"  v = self.{f.name}")
        if cls.PACK:
            lines += ["  if v is not None:", f"   flags |= {flag_bit(index, cls.PACK)}"]
        lines.append(f"  {' ' if cls.PACK else ''}{_pack_line(f, namespace)}")
        fields[len(lines)] = f

    # Size, code, session.header and flags are one call, as they are next to each other.
    layout, values, width = ">", [], 0
    if not _is_command(cls) and cls.SIZE:
        layout += {1: "B", 2: "H", 4: "I"}[cls.SIZE]
        width = cls.PACK + (2 if cls.CODE else 0)
        values.append(f"len(out) + {width}")
    if cls.CODE is not None:
        layout += "BB"
        values += [str(cls.CODE[0]), str(cls.CODE[1])]
    if _is_command(cls) and not cls.IS_CONTROL:  # type: ignore[attr-defined]
        layout += "B?"
        values += ["1", "self.sync"]
    if cls.PACK:
        layout += {1: "B", 2: "H"}[cls.PACK]
        values.append("flags")
    if values:
        namespace["pack_head"] = Layout(layout).pack
        lines.append(f"  return pack_head({', '.join(values)}) + out")
    else:
        lines.append("  return out")
    lines += [" except ERRORS as error:", "  raise failure(self, error, fields) from None"]
    pack: Callable[[Any, int], bytes] = _compile(cls, "pack", lines, namespace)
    cls.pack = pack  # type: ignore[method-assign, assignment]
    return pack


def _pack_line(f: Field, namespace: dict[str, Any]) -> str:
    if f.struct is not None:
        namespace["pack_struct"] = _pack_struct
        namespace[f"struct_{f.name}"] = f.struct
        return f"out += pack_struct(v, struct_{f.name}, depth + 1)"
    assert f.type is not None
    return f.type.pack


def _pack_struct(value: Struct, cls: type[Struct], depth: int) -> bytes:
    if not isinstance(value, cls):
        raise TypeError(f"not a {cls.NAME}")
    return value.pack(depth)


_ENCODE_ERRORS = (AttributeError, EncodeError, IndexError, LayoutError, OverflowError, TypeError, ValueError)


def _encode_failure(value: Struct, error: Exception, fields: dict[int, Field]) -> EncodeError:
    """Which field it was: encoders do not keep track, but the line that failed tells."""
    assert error.__traceback__ is not None
    f = fields.get(error.__traceback__.tb_lineno)
    where = f"{value.NAME} {f.name}" if f is not None else value.NAME
    if isinstance(error, EncodeError):
        return error.inside(where)
    if f is None:
        return EncodeError(str(error), (where,))
    field_value = getattr(value, f.name)
    shown = repr(field_value)
    shown = shown if len(shown) <= 60 else f"{shown[:60]}..."
    expected = f.type or (f.struct and f.struct.NAME)
    return EncodeError(f"{type(field_value).__name__} {shown} does not fit {expected}", (where,))


# --- Decoder ----------------------------------------------------------------------------------------------------------

_unpackers: dict[type[Struct], Unpack] = {}


def unpacker(cls: type[Struct]) -> Unpack:
    """The decoder of a class, of everything that its encoder writes."""
    if cls not in _unpackers:
        _unpackers[cls] = _compile_unpack(cls)
    return _unpackers[cls]


def _compile_unpack(cls: type[Struct]) -> Unpack:
    namespace: dict[str, Any] = {"new": object.__new__, "trailing": _trailing, "unknown_fields": _unknown_fields}
    lines = ["def unpack(buf, pos, end, depth):", " self = new(cls)"]
    if _is_command(cls):
        lines += _unpack_command_head(cls, namespace)
    else:
        # Whoever calls has checked that size, code and end agree, or has no end yet: an embedded struct.
        lines.append(f" pos += {cls.SIZE + (2 if cls.CODE else 0)}")
    if cls.PACK:
        lines.append(" flags = buf[pos]" if cls.PACK == 1 else " flags = buf[pos] << 8 | buf[pos + 1]")
        lines.append(f" pos += {cls.PACK}")
        known = sum(flag_bit(index, cls.PACK) for index in range(len(cls.FIELDS)))
        lines.append(f" if flags & {~known & (256**cls.PACK - 1)}: raise unknown_fields(cls, pos)")
    for index, f in enumerate(cls.FIELDS):
        flag = flag_bit(index, cls.PACK) if cls.PACK else 0
        if f.default is False:
            lines.append(f" self.{f.name} = flags & {flag} != 0")
            continue
        line = _unpack_line(f, namespace)
        if cls.PACK:
            lines += [f" if flags & {flag}:", f"  {line}", " else:", f"  self.{f.name} = None"]
        else:
            lines.append(f" {line}")
    lines += [" if pos != end: raise trailing(cls, pos, end)", " return self"]
    unpack: Unpack = _compile(cls, "unpack", lines, namespace)
    return unpack


def _unpack_command_head(cls: type[Struct], namespace: dict[str, Any]) -> list[str]:
    if cls.IS_CONTROL:  # type: ignore[attr-defined]
        return [" self.sync = False", " pos += 2"]
    namespace["bad_header"] = _bad_header
    return [
        " sync = buf[pos + 3]",
        " if buf[pos + 2] != 1 or sync > 1: raise bad_header(cls, pos + 2)",
        " self.sync = sync == 1",
        " pos += 4",
    ]


def _unpack_line(f: Field, namespace: dict[str, Any]) -> str:
    target = f"self.{f.name}"
    if f.struct is None:
        assert f.type is not None
        return f.type.unpack.replace("{target}", target)
    # An embedded struct ends where its own size says; its decoder checks that.
    assert f.struct.CODE is None or f.struct.SIZE == 4
    namespace[f"unpack_struct_{f.name}"] = unpacker(f.struct)
    namespace["enter_struct"] = _enter_struct
    code = f.struct.CODE
    width = 0 if code is None else code[0] << 8 | code[1]
    return (
        f"start = pos; pos = enter_struct(buf, pos, end, {f.struct.SIZE}, {width}); "
        f"{target} = unpack_struct_{f.name}(buf, start, pos, depth + 1)"
    )


def _enter_struct(buf: bytes, pos: int, end: int, width: int, code: int) -> int:
    """Where an embedded struct ends; its size is `width` bytes, and its code, where it has one, must be `code`."""
    start = pos + width
    stop = start + int.from_bytes(buf[pos:start], "big")
    if stop > end:
        raise ProtocolError(f"a struct of {stop - start} bytes overruns what holds it", pos)
    if code and (buf[start] << 8 | buf[start + 1]) != code:
        raise ProtocolError(f"a struct has code 0x{buf[start]:02x}{buf[start + 1]:02x}, not 0x{code:04x}", start)
    return stop


def _trailing(cls: type[Struct], pos: int, end: int) -> ProtocolError:
    if pos > end:
        return ProtocolError(f"the fields of {cls.NAME} overrun it by {pos - end} bytes", end)
    return ProtocolError(f"{end - pos} bytes behind the last field of {cls.NAME}", pos)


def _unknown_fields(cls: type[Struct], pos: int) -> ProtocolError:
    return ProtocolError(f"{cls.NAME} claims fields that it does not have", pos - cls.PACK)


def _bad_header(cls: type[Struct], pos: int) -> ProtocolError:
    return ProtocolError(f"malformed session.header in front of {cls.NAME}", pos)
