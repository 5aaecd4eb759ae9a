"""The packed form of names, octets and replication ids in records that are hot."""

from __future__ import annotations

import struct
from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

from ..message import ReplicationId
from .records import ReplicationError

U16 = struct.Struct("!H")
U32 = struct.Struct("!I")
U64 = struct.Struct("!Q")
_RUN = struct.Struct("!HQI")
NO_PAYLOAD = 0xFFFFFFFF


def octets_of(text: str) -> bytes:
    """A name as octets. Clients may have given it others than UTF-8, which the codec leaves as surrogate escapes."""
    return text.encode("utf-8", "surrogateescape")


def text_of(octets: bytes) -> str:
    """The name that `octets_of` made these of."""
    return octets.decode("utf-8", "surrogateescape")


class Run(NamedTuple):
    """Replication ids of one epoch with consecutive numbers."""

    epoch: tuple[int, str]
    first: int
    length: int


def runs(ids: Iterable[ReplicationId]) -> Iterator[Run]:
    """Consecutive ids, in the order given, gathered into runs."""
    epoch: tuple[int, str] | None = None
    first = count = 0
    for id_epoch, number in ids:
        if id_epoch == epoch and number == first + count:
            count += 1
            continue
        if epoch is not None:
            yield Run(epoch, first, count)
        epoch, first, count = id_epoch, number, 1
    if epoch is not None:
        yield Run(epoch, first, count)


class Writer:
    """Packs one payload; epochs become small numbers of a table at its head."""

    def __init__(self) -> None:
        self._parts: list[bytes] = []
        self._epochs: dict[tuple[int, str], int] = {}

    def raw(self, data: bytes) -> None:
        self._parts.append(data)

    def text(self, text: str) -> None:
        data = octets_of(text)
        self._parts.append(U16.pack(len(data)) + data)

    def blob(self, data: bytes | None) -> None:
        if data is None:
            self._parts.append(U32.pack(NO_PAYLOAD))
        else:
            self._parts.append(U32.pack(len(data)))
            self._parts.append(data)

    def epoch(self, epoch: tuple[int, str]) -> int:
        """The number of the epoch in the table."""
        number = self._epochs.get(epoch)
        if number is None:
            number = self._epochs[epoch] = len(self._epochs)
        return number

    def ids(self, ids: Iterable[ReplicationId]) -> None:
        packed = [_RUN.pack(self.epoch(epoch), first, count) for epoch, first, count in runs(ids)]
        self._parts.append(U32.pack(len(packed)))
        self._parts.extend(packed)

    def done(self) -> bytes:
        """The payload."""
        table = [U16.pack(len(self._epochs))]
        for counter, broker in self._epochs:
            name = octets_of(broker)
            table.append(U32.pack(counter) + U16.pack(len(name)) + name)
        return b"".join(table + self._parts)


class Reader:
    """Takes apart what a `Writer` packed.

    Raises:
        ReplicationError: from every method, where the payload ends too early or makes no sense.
    """

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._offset = 0
        self.epochs: list[tuple[int, str]] = []
        for _ in range(self.u16()):
            counter = self.u32()
            self.epochs.append((counter, self.text()))

    @property
    def more(self) -> bool:
        """Whether anything is left."""
        return self._offset < len(self._data)

    def _unpack(self, form: struct.Struct) -> Any:
        try:
            values = form.unpack_from(self._data, self._offset)
        except struct.error as error:
            raise ReplicationError("a record ends too early") from error
        self._offset += form.size
        return values

    def u8(self) -> int:
        if self._offset >= len(self._data):
            raise ReplicationError("a record ends too early")
        self._offset += 1
        return self._data[self._offset - 1]

    def u16(self) -> int:
        return int(self._unpack(U16)[0])

    def u32(self) -> int:
        return int(self._unpack(U32)[0])

    def u64(self) -> int:
        return int(self._unpack(U64)[0])

    def text(self) -> str:
        return text_of(self._take(self.u16()))

    def blob(self) -> bytes | None:
        size = self.u32()
        return None if size == NO_PAYLOAD else self._take(size)

    def epoch(self) -> tuple[int, str]:
        number = self.u16()
        if number >= len(self.epochs):
            raise ReplicationError("an id has an epoch that the record does not name")
        return self.epochs[number]

    def runs(self) -> Iterator[Run]:
        """What `Writer.ids` packed. A run may claim any length: never take it apart before something bounds it."""
        for _ in range(self.u32()):
            yield Run(self.epoch(), self.u64(), self.u32())

    def ids(self) -> Iterator[ReplicationId]:
        """The ids one by one: only for those who stop at the first one that they do not know."""
        for epoch, first, length in self.runs():
            for number in range(first, first + length):
                yield epoch, number

    def _take(self, size: int) -> bytes:
        data = self._data[self._offset : self._offset + size]
        if len(data) != size:
            raise ReplicationError("a record ends too early")
        self._offset += size
        return data
