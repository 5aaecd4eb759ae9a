"""Branches of distributed transactions: the state machine behind the dtx class (AMQP 0-10), after the XA model.

Sessions *associate* themselves with a branch and publish and accept under it; what they do is held back. When all
associations have ended, whoever knows the branch's xid may prepare, commit or roll it back, from any session.

    ACTIVE ──────────── prepare ──────────► PREPARED ─── commit, rollback ──► forgotten
      │  └─ one-phase commit, rollback ──────────────────────────────────────► forgotten
      ├─ end(fail), a session that ends, prepare over a limit ─► ROLLBACK_ONLY ─ commit, rollback, forget ─► forgotten
      └─ time-out, also of ROLLBACK_ONLY ─► TIMED_OUT ─ prepare, commit, rollback, forget, half an hour ─► forgotten

Work that cannot be committed any more is undone at once: what was accepted goes back to its queues. A prepared branch
has promised that it can be committed: no time-out touches it, and no limit of a queue refuses it. It is state like a
queue is, so it comes and goes by effects (:class:`DtxPrepared`, :class:`DtxCommitted`, :class:`DtxRolledBack`), which
backups apply as well; all other states live and die with this broker and its sessions.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from enum import Enum
from typing import TYPE_CHECKING

from qpid_messaging.amqp.commands import XaStatus

from .dtx_effects import DtxCommitted, DtxPrepared, DtxRolledBack, Prepared, XidKey
from .effects import Enqueue, Passed
from .errors import (
    CommandInvalid,
    IllegalState,
    InvalidArgument,
    NotAllowed,
    NotFound,
    ResourceLimitExceeded,
)
from .journal import Effect, Entry
from .queue import QueueEntry, Replicate
from .timers import Timer
from .transaction import Work, count_transaction, dequeues

if TYPE_CHECKING:
    from .broker import Broker

__all__ = [
    "Association",
    "Branch",
    "BranchState",
    "Branches",
    "DtxCommitted",
    "DtxPrepared",
    "DtxRolledBack",
    "Prepared",
    "XidKey",
]

KEPT_AFTER_TIMEOUT = 1800
"""Seconds for which the outcome of a branch that timed out is known."""

Done = Callable[[XaStatus], None]


class BranchState(Enum):
    """What may become of a branch."""

    ACTIVE = "active"
    ROLLBACK_ONLY = "rollback only"
    TIMED_OUT = "timed out"
    PREPARED = "prepared"


class Branch:
    """One branch, from the start of the first association until it is forgotten."""

    __slots__ = ("associations", "prepared", "state", "timeout", "timer", "xid")

    def __init__(self, xid: XidKey, timeout: int) -> None:
        self.xid = xid
        self.state = BranchState.ACTIVE
        self.associations: list[Association] = []
        self.prepared: Prepared | None = None
        self.timeout = timeout
        self.timer: Timer | None = None

    def check_ended(self) -> None:
        """Nobody works for the branch any more.

        Raises:
            IllegalState: a session is still associated, or has suspended its association.
        """
        if not all(association.ended for association in self.associations):
            raise IllegalState(f"Branch with xid {self.xid} not completed!")

    def sent(self) -> tuple[list[Enqueue], list[Passed]]:
        """What it will put on the queues that are still there, and what exchanges keep of that."""
        effects = [effect for association in self.associations for effect in association.possible_effects()]
        return (
            [effect for effect in effects if isinstance(effect, Enqueue)],
            [effect for effect in effects if isinstance(effect, Passed)],
        )

    def entries(self) -> list[QueueEntry]:
        """What it will take off queues."""
        return [entry for association in self.associations for entry in association.accepted_entries()]

    def undo(self, state: BranchState, broker: Broker) -> None:
        """Nothing of it will be done."""
        self.state = state
        for association in self.associations:
            association.undo(broker)


class Association(Work):
    """What one session does for a branch, between start and end."""

    def __init__(self, branch: Branch, broker: Broker) -> None:
        super().__init__()
        self.branch = branch
        self.ended = False
        self._broker = broker
        branch.associations.append(self)

    def end(self, *, fail: bool = False) -> XaStatus:
        """The session's part is done.

        Args:
            fail: the branch can only be rolled back.
        """
        branch = self.branch
        self.ended = True
        if branch.state is not BranchState.ACTIVE:
            self.undo(self._broker)
        elif fail:
            branch.undo(BranchState.ROLLBACK_ONLY, self._broker)
        if branch.state is BranchState.TIMED_OUT:
            return XaStatus.XA_RBTIMEOUT
        return XaStatus.XA_RBROLLBACK if fail else XaStatus.XA_OK

    def abort(self) -> None:
        """The session ends without dtx.end: the branch can only be rolled back."""
        self.end(fail=True)

    def undo(self, broker: Broker) -> None:
        """What was accepted goes back to its queue, what was published is dropped."""
        _give_back(self.accepted_entries(), broker)
        self.effects = []
        self.accepted = {}


class Branches:
    """The branches that a broker knows.

    `done` is called with the outcome of prepare, commit and rollback once that is safe; all raise
    :class:`~qpid_server.errors.NotFound` for an unknown xid.
    """

    def __init__(self, broker: Broker) -> None:
        self._broker = broker
        self._branches: dict[XidKey, Branch] = {}

    def find(self, xid: XidKey) -> Branch:
        """The branch of that name.

        Raises:
            NotFound: there is none.
        """
        branch = self._branches.get(xid)
        if branch is None:
            raise NotFound(f"Unrecognised xid {xid}")
        return branch

    def knows(self, branch: Branch) -> bool:
        """Whether the branch has not been forgotten."""
        return self._branches.get(branch.xid) is branch

    # -- associations

    def start(self, xid: XidKey) -> Association:
        """A new branch.

        Raises:
            NotAllowed: the xid is known.
        """
        if xid in self._branches:
            raise NotAllowed(f"Xid {xid} is already known (use 'join' to add work to an existing xid)")
        branch = self._branches[xid] = Branch(xid, self._broker.options.dtx_default_timeout)
        self._count(branch)
        return Association(branch, self._broker)

    def join(self, xid: XidKey) -> Association | None:
        """More work for a branch; None where it has timed out.

        Raises:
            CommandInvalid: it is prepared.
        """
        branch = self.find(xid)
        if branch.state is BranchState.TIMED_OUT:
            return None
        if branch.state is BranchState.PREPARED:
            raise CommandInvalid(f"Branch with xid {xid} has been completed!")
        return Association(branch, self._broker)

    # -- outcomes

    def prepare(self, xid: XidKey, done: Done) -> None:
        """See that the branch can be committed, and promise so.

        Raises:
            IllegalState: a session is still associated.
        """
        branch = self._to_complete(xid, done)
        if branch is None:
            return
        if branch.state is BranchState.PREPARED:
            self._broker.journal.when_confirmed(lambda: done(XaStatus.XA_OK))
            return
        if branch.state is BranchState.ACTIVE:
            (enqueues, passed), entries = branch.sent(), branch.entries()
            try:
                # What a ring queue has to drop for it shows at the commit; here only refusals count.
                self._broker.check_room([effect for effect in enqueues if _refuses(effect)])
            except ResourceLimitExceeded:
                branch.undo(BranchState.ROLLBACK_ONLY, self._broker)
        if branch.state is BranchState.ROLLBACK_ONLY:
            done(XaStatus.XA_RBROLLBACK)
            return
        queues = [*(effect.queue for effect in enqueues), *(entry.queue for entry in entries)]
        replicated = any(queue.replicate is Replicate.ALL for queue in queues)
        prepared = Prepared(xid, enqueues, entries, replicated=replicated)
        self._broker.commit(Entry([DtxPrepared(prepared), *passed]), lambda entry: done(XaStatus.XA_OK))

    def commit(self, xid: XidKey, one_phase: bool, done: Done) -> None:
        """Do all that was held back, in one entry.

        Raises:
            IllegalState: a session is still associated; it is prepared and one phase is asked for, or the reverse.
        """
        branch = self._to_complete(xid, done)
        if branch is None:
            return
        broker = self._broker
        effects: list[Effect]
        if branch.prepared is not None:
            if one_phase:
                raise IllegalState(f"Branch with xid {xid} has been prepared, one-phase option not valid!")
            prepared = branch.prepared
            effects = [effect for effect in prepared.enqueues if not effect.queue.deleted]
            with suppress(ResourceLimitExceeded):  # where others filled a queue meanwhile, the promise counts more
                effects = broker.admit(effects)
            effects = [DtxCommitted(prepared), *dequeues(prepared.entries), *effects]
        else:
            if branch.state is BranchState.ACTIVE:
                if not one_phase:
                    raise IllegalState(f"Branch with xid {xid} has not been prepared, one-phase option required!")
                enqueues, passed = branch.sent()
                try:
                    effects = [*dequeues(branch.entries()), *broker.admit([*enqueues, *passed])]
                except ResourceLimitExceeded:
                    branch.undo(BranchState.ROLLBACK_ONLY, broker)
            if branch.state is BranchState.ROLLBACK_ONLY:
                self.drop(branch)
                done(XaStatus.XA_RBROLLBACK)
                return
        count_transaction(effects)
        broker.commit(Entry(effects), lambda entry: done(XaStatus.XA_OK))
        self.drop(branch)

    def rollback(self, xid: XidKey, done: Done) -> None:
        """Do nothing of it.

        Raises:
            IllegalState: a session is still associated.
        """
        branch = self._to_complete(xid, done)
        if branch is None:
            return
        if branch.prepared is not None:
            self._broker.commit(Entry([DtxRolledBack(branch.prepared)]), lambda entry: done(XaStatus.XA_OK))
            return
        branch.undo(BranchState.ROLLBACK_ONLY, self._broker)
        self.drop(branch)
        done(XaStatus.XA_OK)

    def forget(self, xid: XidKey) -> None:
        """The transaction manager knows that the broker rolled the branch back by itself.

        Raises:
            IllegalState: a session is still associated, or the branch can still be completed.
        """
        branch = self.find(xid)
        branch.check_ended()
        if branch.state in (BranchState.ACTIVE, BranchState.PREPARED):
            raise IllegalState(f"Branch with xid {xid} not heuristically completed!")
        self.drop(branch)

    def in_doubt(self) -> list[XidKey]:
        """The prepared branches."""
        return [xid for xid, branch in self._branches.items() if branch.state is BranchState.PREPARED]

    def _to_complete(self, xid: XidKey, done: Done) -> Branch | None:
        """The branch, if its outcome is still to be decided; one that timed out is forgotten once that was told."""
        branch = self.find(xid)
        if branch.state is BranchState.TIMED_OUT:
            self.drop(branch)
            done(XaStatus.XA_RBTIMEOUT)
            return None
        branch.check_ended()
        return branch

    def drop(self, branch: Branch) -> None:
        """Forget a branch; nothing happens if that was done before."""
        if branch.timer is not None:
            branch.timer.cancel()
            branch.timer = None
        if self.knows(branch):
            del self._branches[branch.xid]

    # -- time-outs

    def timeout(self, xid: XidKey) -> int:
        """Seconds after which the branch is rolled back unless it is prepared; 0: never."""
        return self.find(xid).timeout

    def set_timeout(self, xid: XidKey, timeout: int) -> None:
        """Give the branch so many seconds from now; 0: as many as are usual here.

        Raises:
            InvalidArgument: more than the broker's options allow.
        """
        options = self._broker.options
        if options.dtx_max_timeout and timeout > options.dtx_max_timeout:
            raise InvalidArgument(
                f"xid {xid} has timeout {timeout} bigger than maximum allowed {options.dtx_max_timeout}"
            )
        branch = self.find(xid)
        timeout = timeout or options.dtx_default_timeout
        if timeout != branch.timeout:
            branch.timeout = timeout
            if branch.state in (BranchState.ACTIVE, BranchState.ROLLBACK_ONLY):
                self._count(branch)

    def _count(self, branch: Branch) -> None:
        if branch.timer is not None:
            branch.timer.cancel()
            branch.timer = None
        if branch.timeout:
            broker = self._broker
            branch.timer = broker.timers.at(broker.clock() + branch.timeout, lambda: self._time_out(branch))

    def _time_out(self, branch: Branch) -> None:
        broker = self._broker
        branch.undo(BranchState.TIMED_OUT, broker)
        branch.timer = broker.timers.at(broker.clock() + KEPT_AFTER_TIMEOUT, lambda: self.drop(branch))
        broker.settle()

    # -- application of effects

    def prepared(self) -> list[Prepared]:
        """What the prepared branches hold."""
        return [branch.prepared for branch in self._branches.values() if branch.prepared is not None]

    def hold(self, prepared: Prepared) -> None:
        """A branch is prepared; on a backup this is the first that is heard of it."""
        branch = self._branches.get(prepared.xid)
        if branch is None:
            branch = self._branches[prepared.xid] = Branch(prepared.xid, self._broker.options.dtx_default_timeout)
        elif branch.timer is not None:
            branch.timer.cancel()
            branch.timer = None
        branch.state = BranchState.PREPARED
        branch.prepared = prepared
        branch.associations = []
        for entry in prepared.entries:
            # On a backup nobody has acquired it, and that it is confirmed may not have been heard.
            entry.queue.offer(entry)
            entry.queue.acquire(entry)
            entry.owner = None

    def release(self, prepared: Prepared) -> None:
        """A branch that was prepared is not committed: its messages can be had again."""
        _give_back(prepared.entries, self._broker)

    def forget_replicated(self) -> None:
        """Before this broker takes over another member's branches: forget those that it had from the log."""
        for prepared in self.prepared():
            if prepared.replicated:
                self.drop(self._branches[prepared.xid])
                self.release(prepared)


def _give_back(entries: list[QueueEntry], broker: Broker) -> None:
    for entry in entries:
        entry.queue.release(entry, redelivered=True)
        broker.dirty[entry.queue] = None


def _refuses(effect: Enqueue) -> bool:
    limits = effect.queue.limits
    return limits is not None and limits.policy == "reject"
