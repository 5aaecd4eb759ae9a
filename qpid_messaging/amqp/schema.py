"""How the table's classes are declared: a class for each control, command and struct, a line for each field.

    class MessageTransfer(Command, code=(0x4, 0x1), content=True):
        destination: str | None = field(str8)

Instances have slots, take their fields by position or by name in the order of the table, compare by value, and print
only what is set. A field that is not on the wire is None, a bit that is not is False. Constructors, encoders and
decoders are generated at first use (`compiler.py`): a program uses a dozen of the hundred classes.
"""

from __future__ import annotations

from collections.abc import Callable
from struct import Struct as Layout
from typing import TYPE_CHECKING, Any, ClassVar, TypeVar

from . import compiler
from .decoding import DECODERS
from .encoding import ENCODERS
from .errors import EncodeError, ProtocolError
from .types import NAMESPACE, WireType
from .values import MAX_DEPTH

if TYPE_CHECKING:
    from enum import IntEnum

    from typing_extensions import Self, dataclass_transform
else:

    def dataclass_transform(**_: Any) -> Callable[[type], type]:
        return lambda cls: cls


T = TypeVar("T")
S = TypeVar("S", bound="Struct")


class Field:
    """One field of a class of the table.

    Attributes:
        name: the attribute's name; the specification's with underscores.
        type: how it is written; None for a bit, which is its own flag.
        struct: the class of an embedded struct, whose type this is then.
        domain: the enum that names its values.
    """

    __slots__ = ("domain", "name", "struct", "type")

    def __init__(
        self, wire_type: WireType[Any] | None, domain: type[IntEnum] | None = None, struct: type[Struct] | None = None
    ) -> None:
        self.name = ""
        self.type = wire_type
        self.domain = domain
        self.struct = struct

    @property
    def default(self) -> bool | None:
        return None if self.type or self.struct else False

    def __repr__(self) -> str:
        return f"{self.name}: {self.type or (self.struct and self.struct.NAME) or 'bit'}"


def field(wire_type: WireType[T], domain: type[IntEnum] | None = None) -> T | None:
    """Declare a field of a primitive type, whose values `domain` names if given."""
    return Field(wire_type, domain)  # type: ignore[return-value]


def bit() -> bool:
    """Declare a field that is nothing but its flag."""
    return Field(None)  # type: ignore[return-value]


def struct(cls: type[S]) -> S | None:
    """Declare a field that embeds a struct with the size and code of its class."""
    return Field(None, struct=cls)  # type: ignore[return-value]


def session_header_bit(*, default: bool, kw_only: bool) -> bool:
    """Declare what travels in the session.header in front of the arguments."""
    return default


def _wire_name(name: str, *, qualified: bool) -> str:
    """MessageSetFlowMode: message.set-flow-mode. DeliveryProperties: delivery-properties."""
    name = "".join(f"-{char.lower()}" if char.isupper() else char for char in name)[1:]
    return name.replace("-", ".", 1) if qualified else name


@dataclass_transform(field_specifiers=(session_header_bit,))
class StructType(type):
    """Makes slots of the declared fields, and knows every class by its code."""

    CONTROLS: ClassVar[dict[int, type[Command]]] = {}
    COMMANDS: ClassVar[dict[int, type[Command]]] = {}
    STRUCTS: ClassVar[dict[int, type[Struct]]] = {}

    def __new__(
        mcs,
        name: str,
        bases: tuple[type, ...],
        namespace: dict[str, Any],
        *,
        code: tuple[int, int] | None = None,
        size: int = 0,
        pack: int = 2,
        content: bool = False,
        result: type[Struct] | None = None,
    ) -> Any:
        fields = {key: value for key, value in namespace.items() if isinstance(value, Field)}
        for key, value in fields.items():
            value.name = key
            del namespace[key]
        namespace["__slots__"] = (*fields, *namespace.pop("_extra_slots", ()))
        cls: Any = super().__new__(mcs, name, bases, namespace)
        cls.FIELDS = tuple(fields.values())
        cls.CODE = code
        cls.SIZE = size
        cls.PACK = pack
        cls.CONTENT = content
        cls.RESULT = result
        command = getattr(cls, "IS_CONTROL", None)
        cls.NAME = _wire_name(name, qualified=command is not None)
        if code is not None:
            known = mcs.STRUCTS if command is None else mcs.CONTROLS if command else mcs.COMMANDS
            known[code[0] << 8 | code[1]] = cls
        return cls

    def __init__(cls, name: str, bases: tuple[type, ...], namespace: dict[str, Any], **_: Any) -> None:
        super().__init__(name, bases, namespace)


# None of these has a hash: they change.
# ruff: noqa: PLW1641


class Struct(metaclass=StructType):
    """A row of fields behind flags that tell which of them are there.

    Attributes:
        CODE: class and struct code, for structs that can stand in a struct32; a command's or control's class and code.
        NAME: as in the specification.
        FIELDS: in wire order; position and flag go together.
        SIZE: bytes of the length in front of an encoded struct: 0, 1, 2 or 4.
        PACK: bytes of flags: 0, 1 or 2; without flags every field is there.
    """

    CODE: ClassVar[tuple[int, int] | None]
    NAME: ClassVar[str]
    FIELDS: ClassVar[tuple[Field, ...]]
    SIZE: ClassVar[int]
    PACK: ClassVar[int]
    CONTENT: ClassVar[bool]
    RESULT: ClassVar[type[Struct] | None]

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        compiler.install_init(type(self))
        self.__init__(*args, **kwargs)  # type: ignore[misc]

    def pack(self, depth: int = 0) -> bytes:
        """The whole encoded form, with its size, code and flags; for a command or control the payload of its segment.

        Raises:
            EncodeError: a field does not fit its type; the error's path names it.
        """
        return compiler.install_pack(type(self))(self, depth)

    @classmethod
    def unpacker(cls) -> Callable[[bytes, int, int, int], Self]:
        """The generated decoder of the class: `(buffer, position, end, depth)` of all that `pack` gives, in full."""
        return compiler.unpacker(cls)

    def __eq__(self, other: object) -> bool:
        if type(other) is not type(self):
            return NotImplemented
        return all(getattr(self, f.name) == getattr(other, f.name) for f in self.FIELDS)

    def __repr__(self) -> str:
        shown = []
        for f in self.FIELDS:
            value = getattr(self, f.name)
            if value is None or (value is False and f.default is False):
                continue
            named = f.domain(value).name if f.domain is not None and value in f.domain._value2member_map_ else None
            shown.append(f"{f.name}={named or repr(value)}")
        return f"{type(self).__name__}({', '.join(shown)})"


class Command(Struct):
    """A command of a session: numbered, completed, perhaps answered with a result. Also the base of `Control`.

    Attributes:
        sync: the session.header's bit: the peer shall announce completion at once.
        CONTENT: whether header and body segments may follow.
        RESULT: the struct of its execution.result.
    """

    CODE: ClassVar[tuple[int, int]]
    IS_CONTROL: ClassVar[bool] = False
    _extra_slots = ("sync",)

    if TYPE_CHECKING:
        # Only for the type checker: it makes `sync` a keyword of every constructor.
        sync: bool = session_header_bit(default=False, kw_only=True)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Command):
            return NotImplemented
        return self.sync == other.sync and super().__eq__(other) is True

    def __repr__(self) -> str:
        text = super().__repr__()
        if not self.sync:
            return text
        return text[:-1] + ("sync=True)" if text.endswith("()") else ", sync=True)")


class Control(Command):
    """A control of the connection or of the session layer: neither numbered nor completed, and `sync` means nothing."""

    IS_CONTROL: ClassVar[bool] = True


class RawStruct(Struct):
    """A struct32 with a code that the table does not have, kept as it came.

    Args:
        type_code: class and struct code.
        data: the bytes behind them.
    """

    _extra_slots = ("data", "type_code")
    if TYPE_CHECKING:
        type_code: tuple[int, int]
        data: bytes
    else:

        def __init__(self, type_code: tuple[int, int], data: bytes) -> None:
            self.type_code = type_code
            self.data = data

    def pack(self, depth: int = 0) -> bytes:
        return (len(self.data) + 2).to_bytes(4, "big") + bytes(self.type_code) + self.data

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, RawStruct):
            return NotImplemented
        return self.type_code == other.type_code and self.data == other.data

    def __repr__(self) -> str:
        return f"RawStruct({self.type_code!r}, {self.data!r})"


# --- struct32 ---------------------------------------------------------------------------------------------------------


class Unpackers(dict[int, "Callable[[bytes, int, int, int], Any]"]):
    """Generated decoders by class and code, made when first asked for. Raises KeyError for a code without class."""

    def __init__(self, classes: dict[int, Any]) -> None:
        super().__init__()
        self._classes = classes

    def __missing__(self, code: int) -> Callable[[bytes, int, int, int], Any]:
        unpack = self[code] = compiler.unpacker(self._classes[code])
        return unpack


class _StructUnpackers(Unpackers):
    """The same for structs, of which those without class are kept as they came."""

    def __missing__(self, code: int) -> Callable[[bytes, int, int, int], Any]:
        return super().__missing__(code) if code in self._classes else _unpack_raw


def _unpack_raw(buf: bytes, pos: int, end: int, depth: int) -> RawStruct:
    return RawStruct((buf[pos + 4], buf[pos + 5]), buf[pos + 6 : end])


struct_unpackers = _StructUnpackers(StructType.STRUCTS)
unpack_size_and_code = Layout(">IH").unpack_from


def decode_struct32(buf: bytes, pos: int, end: int, depth: int = 0) -> tuple[Struct, int]:
    """A struct behind its size and code; one that the table does not have comes as a RawStruct."""
    size, code = unpack_size_and_code(buf, pos)
    stop = pos + 4 + size
    if stop > end or size < 2:
        raise ProtocolError(f"a struct of {size} bytes overruns what holds it, or has no code", pos)
    if depth > MAX_DEPTH:
        raise ProtocolError(f"values nested deeper than {MAX_DEPTH} levels", pos)
    return struct_unpackers[code](buf, pos, stop, depth), stop


def encode_struct32(value: object, depth: int = 0) -> bytes:
    """A struct with its size of 32 bits and its code. Raises EncodeError for structs that have none."""
    if depth > MAX_DEPTH:
        raise EncodeError(f"values nested deeper than {MAX_DEPTH} levels")
    if not isinstance(value, Struct) or (value.SIZE != 4 and not isinstance(value, RawStruct)):
        raise EncodeError(f"{type(value).__name__} cannot travel as a struct32")
    return value.pack(depth)


def _encode_struct_value(value: Struct, depth: int) -> bytes:
    return b"\xab" + encode_struct32(value, depth)


DECODERS[0xAB] = decode_struct32
ENCODERS[Struct] = _encode_struct_value

NAMESPACE["encode_struct32"] = encode_struct32
NAMESPACE["decode_struct32"] = decode_struct32
#: Any struct with a code, behind a size of 32 bits.
struct32: WireType[Struct] = WireType(
    "struct32",
    0xAB,
    "out += encode_struct32(v, depth + 1)",
    "{target}, pos = decode_struct32(buf, pos, end, depth + 1)",
)
