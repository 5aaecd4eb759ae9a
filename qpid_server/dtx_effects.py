"""The effects of distributed transactions: what a prepared branch holds is state like a queue's, on every member.

The primary makes them (:mod:`qpid_server.dtx`), a backup applies the same ones through the same functions.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from .effects import Enqueue
from .journal import Effect
from .queue import QueueEntry

if TYPE_CHECKING:
    from .broker import Broker

__all__ = ["DtxCommitted", "DtxPrepared", "DtxRolledBack", "Prepared", "XidKey"]


class XidKey(NamedTuple):
    """A branch's name (AMQP 0-10, dtx.xid)."""

    format: int
    global_id: bytes
    branch_id: bytes

    def __str__(self) -> str:
        return f"{self.format}:{self.global_id.hex()}:{self.branch_id.hex()}"


class Prepared:
    """What a prepared branch holds.

    Args:
        xid: the branch.
        enqueues: what it will put on queues.
        entries: the messages that it will take off their queues; until then nobody else gets them.
        replicated: whether backups hold it, too.
    """

    __slots__ = ("enqueues", "entries", "replicated", "xid")

    def __init__(self, xid: XidKey, enqueues: list[Enqueue], entries: list[QueueEntry], *, replicated: bool) -> None:
        self.xid = xid
        self.enqueues = enqueues
        self.entries = entries
        self.replicated = replicated


class DtxPrepared(Effect):
    """A branch is prepared: what it holds is kept until it is committed or rolled back."""

    __slots__ = ("prepared",)

    def __init__(self, prepared: Prepared) -> None:
        self.prepared = prepared

    def apply(self, broker: Broker) -> None:
        """Hold it."""
        broker.dtx.hold(self.prepared)

    @property
    def replicated(self) -> bool:
        """With the messages of the queues that the branch works on."""
        return self.prepared.replicated

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.prepared.xid})"


class DtxCommitted(DtxPrepared):
    """A prepared branch is committed: what it does comes as effects of their own in the same entry."""

    __slots__ = ()

    def apply(self, broker: Broker) -> None:
        """Forget the branch."""
        broker.dtx.drop(broker.dtx.find(self.prepared.xid))


class DtxRolledBack(DtxPrepared):
    """A prepared branch is rolled back."""

    __slots__ = ()

    def apply(self, broker: Broker) -> None:
        """Forget the branch; nobody gets its messages yet."""
        broker.dtx.drop(broker.dtx.find(self.prepared.xid))

    def confirmed(self, broker: Broker) -> None:
        """Its messages go back to their queues."""
        broker.dtx.release(self.prepared)
