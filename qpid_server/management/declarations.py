"""What a class of the management schema is made of: properties, statistics, methods, and the arguments of events.

The same declarations describe a class to consoles (QMF v1 sends them, QMF v2 a digest of them), say how QMF v1 writes
values as bytes, and give a value to what an object has nothing to say about.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from enum import IntEnum
from functools import cached_property
from typing import Any
from uuid import UUID

__all__ = [
    "Access",
    "Argument",
    "ClassSchema",
    "EventSchema",
    "Kind",
    "Method",
    "Property",
    "Severity",
    "Statistic",
    "average",
    "watermarks",
]


class Kind(IntEnum):
    """Types of values, with their codes in QMF v1."""

    UINT8 = 1
    UINT16 = 2
    UINT32 = 3
    UINT64 = 4
    SHORT_TEXT = 6
    LONG_TEXT = 7
    TIME = 8
    DURATION = 9
    REFERENCE = 10
    BOOLEAN = 11
    FLOAT = 12
    DOUBLE = 13
    UUID = 14
    MAP = 15
    INT8 = 16
    INT16 = 17
    INT32 = 18
    INT64 = 19
    LIST = 21


_NOTHING: dict[Kind, Any] = {
    Kind.SHORT_TEXT: "",
    Kind.LONG_TEXT: "",
    Kind.REFERENCE: {"_object_name": b""},
    Kind.BOOLEAN: False,
    Kind.FLOAT: 0.0,
    Kind.DOUBLE: 0.0,
    Kind.UUID: UUID(int=0),
    Kind.MAP: {},
    Kind.LIST: [],
}


class Access(IntEnum):
    """Who sets a property: whoever creates the object, anybody at any time, or nobody."""

    CREATE = 1
    WRITE = 2
    READ = 3


class Severity(IntEnum):
    """How grave an event is, as syslog has it."""

    EMERGENCY = 0
    ALERT = 1
    CRITICAL = 2
    ERROR = 3
    WARNING = 4
    NOTICE = 5
    INFORM = 6
    DEBUG = 7

    @property
    def word(self) -> str:
        """Its word in routing keys."""
        return ("emerg", "alert", "crit", "error", "warn", "note", "info", "debug")[self]


@dataclass(frozen=True)
class Property:
    """A property: what an object is.

    Args:
        name: unique in its class, statistics included.
        kind: type of the value.
        access: who sets it.
        index: it is a part of what tells the object from others.
        optional: an object may have none.
        unit: what is counted.
        references: the class of the object that it refers to.
    """

    name: str
    kind: Kind
    access: Access = Access.READ
    index: bool = False
    optional: bool = False
    unit: str = ""
    references: str = ""


@dataclass(frozen=True)
class Statistic:
    """A statistic: what an object has done, or how much it holds."""

    name: str
    kind: Kind = Kind.UINT64
    unit: str = ""


def watermarks(name: str, unit: str = "") -> tuple[Statistic, ...]:
    """A statistic with the highest and lowest value of the reporting interval."""
    return tuple(Statistic(name + suffix, Kind.UINT32, unit) for suffix in ("", "High", "Low"))


def average(name: str) -> tuple[Statistic, ...]:
    """A duration with count, extremes and average over the reporting interval."""
    return tuple(Statistic(name + suffix, Kind.DURATION, "nanosecond") for suffix in ("Count", "Min", "Max", "Avg"))


@dataclass(frozen=True)
class Argument:
    """An argument of a method or event; `direction` is I, O or IO: it goes in, comes back, or both."""

    name: str
    kind: Kind
    direction: str = "I"


@dataclass(frozen=True)
class Method:
    """A method and its arguments."""

    name: str
    arguments: tuple[Argument, ...] = ()
    description: str = ""


@dataclass(frozen=True)
class ClassSchema:
    """A class of managed objects."""

    package: str
    name: str
    properties: tuple[Property, ...]
    statistics: tuple[Statistic, ...] = ()
    methods: tuple[Method, ...] = ()

    @cached_property
    def hash(self) -> UUID:
        """Identifies this form of the class, so that a console need not ask twice what it looks like."""
        return _digest(self)

    @cached_property
    def method_names(self) -> frozenset[str]:
        """The names of its methods."""
        return frozenset(method.name for method in self.methods)

    @property
    def members(self) -> tuple[Property | Statistic, ...]:
        """Its properties and statistics."""
        return (*self.properties, *self.statistics)

    @cached_property
    def optional(self) -> frozenset[str]:
        """The names of what an object need not have."""
        return frozenset(member.name for member in self.properties if member.optional)

    @cached_property
    def _nothing(self) -> dict[str, Any]:
        needed = (member for member in self.members if member.name not in self.optional)
        return {member.name: _NOTHING.get(member.kind, 0) for member in needed}

    def complete(self, values: Mapping[str, Any]) -> dict[str, Any]:
        """Values with nothing (0, no, empty) for each property and statistic that is not among them."""
        return {**self._nothing, **values}

    def method(self, name: str) -> Method | None:
        """The method of that name."""
        return next((method for method in self.methods if method.name == name), None)


@dataclass(frozen=True)
class EventSchema:
    """A class of events."""

    package: str
    name: str
    severity: Severity
    arguments: tuple[Argument, ...]

    @cached_property
    def hash(self) -> UUID:
        """As that of `ClassSchema`."""
        return _digest(self)


def _digest(schema: object) -> UUID:
    return UUID(bytes=hashlib.md5(repr(schema).encode(), usedforsecurity=False).digest())
