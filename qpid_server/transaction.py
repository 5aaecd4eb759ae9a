"""Transactions of one session: publishes and accepts are held back and done in one entry at commit.

:class:`Transaction` is the local one (AMQP 0-10, tx class); the work for branches of distributed ones
(:mod:`qpid_server.dtx`) is held back in the same way.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from .effects import Dequeue, Enqueue, Passed
from .journal import Effect, Entry
from .line import GONE
from .queue import Queue, QueueEntry

if TYPE_CHECKING:
    from .session import SessionHandler
    from .subscription import Delivery

__all__ = ["Transaction", "Work", "count_transaction", "dequeues"]


class Work:
    """What a session published and accepted in a transaction.

    Attributes:
        effects: what its publishes will do.
        accepted: the deliveries that it accepted, by command id.
    """

    def __init__(self) -> None:
        self.effects: list[Enqueue | Passed] = []
        self.accepted: dict[int, Delivery] = {}

    def possible_effects(self) -> list[Enqueue | Passed]:
        """Those of the effects whose queue or exchange is still there."""
        return [
            effect
            for effect in self.effects
            if not (effect.queue if isinstance(effect, Enqueue) else effect.exchange).deleted
        ]

    def accepted_entries(self) -> list[QueueEntry]:
        """The accepted messages that this session has acquired; to accept what was only browsed means nothing."""
        return [delivery.entry for delivery in self.accepted.values() if delivery.entry.owner is delivery.subscription]

    def abort(self) -> None:
        """The session ends with the transaction open."""
        raise NotImplementedError


class Transaction(Work):
    """What a session did since its last commit or rollback."""

    def __init__(self, session: SessionHandler) -> None:
        super().__init__()
        self.session = session

    def begin(self, command_id: int) -> None:
        """From now on there is a record: a client that has lost a commit's answer learns that it was not done."""
        session = self.session
        session.commit(Entry((), session.mark(command_id), command_id, decisive=True))

    def commit(self, command_id: int) -> None:
        """Do everything at once; the command completes when that is confirmed."""
        session = self.session
        effects = [*dequeues(self.accepted_entries()), *session.broker.admit(self.possible_effects())]
        count_transaction(effects)
        session.tx_commits += 1
        self.effects = []
        self.accepted = {}
        session.commit(Entry(effects, session.mark(command_id), command_id, decisive=True))

    def rollback(self) -> None:
        """Do nothing of it; what was accepted is unsettled again."""
        self.session.tx_rejects += 1
        self.effects = []
        unsettled = {**self.accepted, **self.session.unsettled}
        self.session.unsettled = dict(sorted(unsettled.items()))
        self.accepted = {}

    def abort(self) -> None:
        """The session ends: as :meth:`rollback`, the session gives the messages back."""
        self.rollback()


def count_transaction(effects: Iterable[Effect]) -> None:
    """Count on the queues what the commit of a transaction does to them."""
    for effect in effects:
        if isinstance(effect, Enqueue):
            effect.queue.tx_enqueued += 1
            effect.queue.tx_enqueued_bytes += effect.message.size
        elif isinstance(effect, Dequeue):
            effect.queue.tx_dequeued += len(effect.entries)
            effect.queue.tx_dequeued_bytes += sum(entry.message.size for entry in effect.entries)


def dequeues(entries: Iterable[QueueEntry]) -> list[Effect]:
    """One effect a queue for messages that leave their queues; those that have left already are not named."""
    by_queue: dict[Queue, list[QueueEntry]] = {}
    for entry in entries:
        if entry.state != GONE:
            by_queue.setdefault(entry.queue, []).append(entry)
    return [Dequeue(queue, gone) for queue, gone in by_queue.items()]
