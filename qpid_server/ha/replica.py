"""What a backup makes of its primary's batches, without I/O."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Any, Protocol

from .difference import Joining, inventory
from .epoch import NO_EPOCH, Epoch, Position
from .records import (
    MALFORMED,
    Record,
    ReplicationError,
    pack_index,
    pack_map,
    text_in,
    unpack_entry,
    unpack_index,
    unpack_map,
    unpack_records,
)

if TYPE_CHECKING:
    from ..broker import Broker
    from .log import Log


_ENTRY = int(Record.ENTRY)


class Refusal(Exception):
    """The broker that was asked to be followed says no; the text says why."""


class Member(Protocol):
    """Who is told what the primary says of the backup itself."""

    def promised_above(self, epoch: Epoch) -> bool:
        """Whether this broker promised a later epoch than that."""

    def joined(self, epoch: Epoch, *, difference: bool) -> None:
        """The primary took this broker in, under its epoch; a difference comes first.

        Raises:
            ReplicationError: this broker promised a later epoch.
        """

    def replacing(self) -> None:
        """A difference is here, whole, and about to take the place of what this broker held."""

    def ready(self) -> None:
        """The primary waits for this broker from now on."""

    def take_members(self, values: dict[str, Any]) -> None:
        """Who the members are."""


class Replica:
    """A backup's end of one link to a primary.

    A difference is kept until it is here to its end, and what comes behind it, too. A primary that is lost halfway must
    not cost the backup what it held: with the primary, that may be the only copy.

    Args:
        broker: the backup.
        log: its log.
        member: told what concerns its role.
    """

    def __init__(self, broker: Broker, log: Log, member: Member) -> None:
        self._broker = broker
        self._log = log
        self._member = member
        self._joining: Joining | None = None
        self._kept: deque[tuple[int, bytes]] | None = None
        self._complete = False
        self._reign: Epoch | None = None
        self._epoch = NO_EPOCH
        self._confirmed = -1

    def request(
        self, broker_id: str, address: str, position: Position, promised: Epoch, *, asynchronous: bool
    ) -> bytes:
        """The request to join.

        Args:
            broker_id: who this is.
            address: where the others reach it.
            position: how far its log goes.
            promised: the highest epoch that it promised.
            asynchronous: the primary shall never wait for it.
        """
        return pack_map(
            Record.JOIN,
            {
                "broker": broker_id,
                "address": address,
                "position": position.to_list(),
                "promised": list(promised),
                "inventory": inventory(self._broker),
                "async": asynchronous,
            },
        )

    def take(self, batch: bytes) -> None:
        """Take a batch of the primary.

        Raises:
            Refusal: it does not take this broker in.
            ReplicationError: the batch does not fit what is here, or is of a reign that is over; to join anew brings
                the difference.
        """
        if self._over():
            raise ReplicationError(f"epoch {self._reign} is older than what this broker promised")
        try:
            for kind, payload in unpack_records(batch):
                if self._kept is None:
                    if kind == _ENTRY and self._reign is not None:  # as nearly all are
                        index, entry = unpack_entry(payload)
                        self._log.follow(index, self._epoch, entry)
                    else:
                        self._take(kind, payload)
                else:
                    self._kept.append((kind, payload))
                    self._complete = self._complete or kind == Record.CAUGHT_UP
        except MALFORMED as error:
            raise ReplicationError(f"the primary's batch cannot be understood ({error!r})") from error

    def catch_up(self) -> bool:
        """Apply a record of a difference that is here to its end, and of what came behind it.

        Returns:
            Whether there is more to apply. Once begun it is to be carried through, whatever becomes of the primary.

        Raises:
            ReplicationError: it does not fit what is here.
        """
        if self._kept is None or not self._complete:
            return False
        try:
            self._take(*self._kept.popleft())
        except MALFORMED as error:
            raise ReplicationError(f"the primary's difference cannot be understood ({error!r})") from error
        if not self._kept:
            self._kept, self._complete = None, False
        return self._kept is not None

    def confirmation(self) -> bytes | None:
        """What to tell the primary: how far this broker holds the log, where that changed."""
        index = self._log.last.index
        if self._reign is None or self._over() or self._kept is not None or index == self._confirmed:
            return None
        self._confirmed = index
        return pack_index(Record.POSITION, index)

    def _over(self) -> bool:
        """What was promised since says that nothing of this primary is to be confirmed any more."""
        return self._reign is not None and self._member.promised_above(self._reign)

    def _take(self, kind: int, payload: bytes) -> None:
        if self._reign is None and kind not in (Record.JOINED, Record.REFUSED):
            raise ReplicationError(f"record {kind} comes before the primary took this broker in")
        if kind == _ENTRY:
            index, entry = unpack_entry(payload)
            self._log.follow(index, self._epoch, entry)
        elif kind == Record.CONFIRMED:
            self._log.confirm(unpack_index(payload))
        elif kind == Record.DIFFERENCE and self._kept is not None:
            self._member.replacing()
            self._joining = Joining(self._broker, self._log)
            self._joining.take(kind, payload)
        elif self._joining is not None and Record.DIFFERENCE < kind <= Record.CAUGHT_UP:
            if self._joining.take(kind, payload):
                self._joining = None
        elif kind == Record.EPOCH:
            values = unpack_map(payload)
            self._epoch = Epoch(int(values["counter"]), text_in(values, "broker"))
        elif kind == Record.MEMBERS:
            self._member.take_members(unpack_map(payload))
        elif kind == Record.READY:
            self._member.ready()
        elif kind == Record.JOINED:
            values = unpack_map(payload)
            reign = Epoch.of(values["epoch"])
            self._member.joined(reign, difference=bool(values["difference"]))
            self._reign = reign
            if values["difference"]:
                self._kept = deque()
        elif kind == Record.REFUSED:
            raise Refusal(str(unpack_map(payload)["text"]))
        else:
            raise ReplicationError(f"record {kind} is none that a primary sends")
