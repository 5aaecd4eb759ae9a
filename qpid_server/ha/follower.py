"""A backup as its primary sees it: what it was sent, and how much of that it holds."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from .epoch import Epoch
from .records import Record, pack_map

CHUNK = 1 << 18
"""Bytes of a difference that are sent at a time: other work of the broker comes between."""
CHUNK_RECORDS = 8
"""Records of a difference that are sent at a time: those of places are small and take as long to make."""


class Follower:
    """A backup as its primary sees it.

    Args:
        broker_id: who it is.
        address: where it listens, host:port.
        send: takes a batch of records to be sent to it.
        asynchronous: it follows without ever being waited for (a disaster-recovery site).
        congested: whether so much waits to be sent that a difference had better wait, too.

    Attributes:
        confirmed: index up to which it has confirmed; -1 while the difference is on its way.
        in_sync: completions wait for it.
        counted: enough of the other members know that it has joined. Before that, one that does not, and is promoted
            without it, could do without what it holds.
    """

    def __init__(
        self,
        broker_id: str,
        address: str,
        send: Callable[[bytes], None],
        *,
        asynchronous: bool = False,
        congested: Callable[[], bool] = lambda: False,
    ) -> None:
        self.broker_id = broker_id
        self.address = address
        self.asynchronous = asynchronous
        self.congested = congested
        self.confirmed = -1
        self.in_sync = False
        self.counted = True
        self._send = send
        self._backlog: Iterator[bytes] | None = None
        self._batch: list[bytes] = []
        self._epoch: Epoch | None = None

    def catch_up(self, difference: Iterator[bytes]) -> None:
        """Send these records, bit by bit, before everything that `push` takes from now on."""
        self._backlog = difference

    def push(self, *records: bytes) -> None:
        """Append records to the batch that `flush` sends."""
        self._batch.extend(records)

    def push_entry(self, epoch: Epoch, head: bytes, data: bytes) -> None:
        """Append a log entry behind its `pack_entry_head`, and behind its epoch where that is not the last entry's."""
        if epoch != self._epoch:
            self._epoch = epoch
            self._batch.append(pack_map(Record.EPOCH, {"counter": epoch.counter, "broker": epoch.broker}))
        self._batch += (head, data)

    @property
    def behind(self) -> bool:
        """There is a backlog, and the link takes more."""
        return self._backlog is not None and not self.congested()

    def catch_up_further(self) -> None:
        """Send the next piece of the backlog."""
        if self._backlog is None:
            return
        chunk: list[bytes] = []
        size = 0
        for record in self._backlog:
            chunk.append(record)
            size += len(record)
            if size >= CHUNK or len(chunk) == CHUNK_RECORDS:
                break
        else:
            self._backlog = None
        self._send(b"".join(chunk))

    def flush(self) -> None:
        """Send the batch, unless a backlog has to go before it."""
        if self._backlog is None and self._batch:
            batch, self._batch = self._batch, []
            self._send(b"".join(batch))
