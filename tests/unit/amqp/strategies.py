"""Hypothesis strategies for values, structs and commands, made from the table."""

from __future__ import annotations

from datetime import datetime, timezone
from decimal import Decimal
from typing import Any

from hypothesis import strategies as st

from qpid_messaging.amqp import commands as c
from qpid_messaging.amqp.ranges import RangeSet
from qpid_messaging.amqp.schema import Field, Struct
from qpid_messaging.amqp.values import Array, Timestamp

text = st.text(max_size=20)
uint64s = st.integers(0, 2**64 - 1)

scalars = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(2**63), 2**64 - 1),
    st.floats(allow_nan=False),
    text,
    st.binary(max_size=20),
    st.uuids(),
    st.builds(Timestamp, uint64s),
    st.decimals(allow_nan=False, allow_infinity=False, places=3, min_value=-(10**15), max_value=10**15),
)
arrays = st.one_of(
    *(
        st.lists(items, max_size=5)
        for items in (
            st.integers(-(2**63), 2**63 - 1),
            text,
            st.binary(max_size=20),
            st.booleans(),
            st.uuids(),
            st.none(),
            st.lists(text, max_size=2),
        )
    )
)


def _containers(values: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return st.one_of(
        st.lists(values, max_size=4),
        st.dictionaries(text, values, max_size=4),
        st.builds(Array, arrays),
    )


values = st.recursive(scalars, _containers, max_leaves=12)
maps = st.dictionaries(text, values, max_size=4)


@st.composite
def range_sets(draw: st.DrawFn, limit: int = 2**32 - 1) -> RangeSet:
    ends = sorted(draw(st.lists(st.integers(0, limit), max_size=8, unique=True)))
    pairs = [pair for pair in zip(ends[::2], ends[1::2], strict=False) if pair[1] - pair[0] < 2**31]
    return RangeSet(pairs)


BY_TYPE: dict[str, st.SearchStrategy[Any]] = {
    "uint8": st.integers(0, 2**8 - 1),
    "uint16": st.integers(0, 2**16 - 1),
    "uint32": st.integers(0, 2**32 - 1),
    "uint64": uint64s,
    "datetime": uint64s,
    "sequence-no": st.integers(0, 2**32 - 1),
    "str8": st.text(max_size=60),
    "str16": text,
    "vbin8": st.binary(max_size=255),
    "vbin16": st.binary(max_size=300),
    "vbin32": st.binary(max_size=300),
    "uuid": st.uuids(),
    "map": maps,
    "array": arrays,
    "str16-array": st.lists(text, max_size=4),
    "sequence-set": range_sets(),
    "byte-ranges": range_sets(2**64 - 1),
    "struct32": st.deferred(lambda: coded_structs),
}


def _field_values(field: Field, pack: int) -> st.SearchStrategy[Any]:
    if field.default is False:
        return st.booleans()
    if field.struct is not None:
        present: st.SearchStrategy[Any] = instances(field.struct)
    else:
        assert field.type is not None
        present = BY_TYPE[field.type.name]
    return st.none() | present if pack else present


def instances(cls: type[Struct]) -> st.SearchStrategy[Any]:
    """Any instance of one class of the table."""
    fields = {f.name: _field_values(f, cls.PACK) for f in cls.FIELDS}
    if issubclass(cls, c.Command) and not cls.IS_CONTROL:
        fields["sync"] = st.booleans()
    return st.builds(cls, **fields)


coded_structs: st.SearchStrategy[Any] = st.one_of(*(instances(cls) for cls in c.STRUCTS.values())) | st.builds(
    c.RawStruct, st.tuples(st.integers(0x20, 0xFF), st.integers(0, 0xFF)), st.binary(max_size=20)
)
controls = st.one_of(*(instances(cls) for cls in c.CONTROLS.values()))
commands = st.one_of(*(instances(cls) for cls in c.COMMANDS.values()))


@st.composite
def units(draw: st.DrawFn) -> tuple[int, c.Command, bytes | None, bytes | None]:
    """A channel, a control or command, and content where the command may have some."""
    command = draw(controls | commands)
    content = st.none() | st.binary(max_size=200) if command.CONTENT else st.none()
    return draw(st.integers(0, 3)), command, draw(content), draw(content)


#: What has no code of its own on the way back: decoded, it is something else that is worth the same.
MOMENTS = st.datetimes(min_value=datetime(1970, 1, 1), timezones=st.just(timezone.utc))  # noqa: DTZ001
DECIMALS = st.sampled_from([Decimal(0), Decimal("-1.50"), Decimal("1E+5"), Decimal(9223372036854775807)])
