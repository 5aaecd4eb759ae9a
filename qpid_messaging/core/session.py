"""A session: attaching it, settling messages, transactions, and taking it up again after a fail-over.

How a session survives the loss of its connection (AMQP 0-10, session controls):

1. attach under the old name, request-timeout, flush(expected). The broker answers with the first transfer that it has
   not, or with an empty set when it does not know the session.
2. Links are made again, under new command ids. Receivers claim what they or the application hold.
3. Transfers that the broker lacks go again, in order, under their old ids; only then new ones. accept, release and flow
   never go again: they speak of deliveries of the lost connection.

A broker that keeps no sessions gets a new one instead, and all that it did not complete: at least once.
"""

from __future__ import annotations

import enum
from collections import deque
from typing import TYPE_CHECKING

from ..amqp.commands import (
    Command,
    DetachCode,
    ErrorCode,
    ExecutionException,
    ExecutionSync,
    MessageRelease,
    MessageTransfer,
    TxCommit,
    TxRollback,
    TxSelect,
)
from ..amqp.errors import ProtocolError
from ..amqp.session import Session
from ..constants import UNLIMITED, Constant
from ..exceptions import (
    MessagingError,
    NotFound,
    ReceiverError,
    ServerError,
    SessionError,
    TargetCapacityExceeded,
    TransactionAborted,
    TransactionUnknown,
    UnauthorizedAccess,
)
from .endpoint import Endpoint
from .link import LinkState
from .settlement import Committed, Selected, Settled, settlement
from .tasks import Task
from .transfers import transfer_ids

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from ..message import Disposition
    from .connection import ConnectionCore
    from .delivery import Delivery
    from .receiver import ReceiverCore
    from .sender import SenderCore
    from .tasks import Steps

#: Seconds that a session asks to outlive its connection.
SESSION_TIMEOUT = 300

_ERRORS: dict[int, type[MessagingError]] = {
    ErrorCode.UNAUTHORIZED_ACCESS: UnauthorizedAccess,
    ErrorCode.NOT_FOUND: NotFound,
    ErrorCode.RESOURCE_LOCKED: ReceiverError,
    ErrorCode.RESOURCE_LIMIT_EXCEEDED: TargetCapacityExceeded,
    ErrorCode.INTERNAL_ERROR: ServerError,
}


class SessionState(enum.Enum):
    """Where a session stands on the wire of the current connection."""

    DETACHED = enum.auto()
    RESUMING = enum.auto()
    ATTACHED = enum.auto()
    DETACHING = enum.auto()
    CLOSED = enum.auto()


class SessionCore(Endpoint):
    """What a session wants, and how far that is done.

    Args:
        connection: the connection that it belongs to.
        name: its name on the wire.
        transactional: whether sends and acknowledgements wait for a commit.
        continues: whether a broker may know it from an earlier process.

    Attributes:
        wire: the AMQP 0-10 session machine.
        state: where it stands on the wire.
        closing: whether it shall be closed.
        senders, receivers: its links, until they are closed.
        destinations: receivers by the destination of their subscription.
        pending: messages that wait for their link: sender, header, body.
        unacked: what the application fetched and did not acknowledge.
        acking: what it acknowledged without the broker having confirmed it.
        recovering: whether messages wait to be sent again.
        selected: whether the broker has completed tx.select: from then on the outcome of a commit can be looked up.
        commits: transactions that were committed.
        committing, aborting: whether a commit or rollback goes on.
    """

    def __init__(self, connection: ConnectionCore, name: str, transactional: bool, continues: bool) -> None:
        self.connection = connection
        self.name = name
        self.transactional = transactional
        self.wire = Session(name.encode())
        self.state = SessionState.DETACHED
        self.closing = False
        self.senders: list[SenderCore] = []
        self.receivers: list[ReceiverCore] = []
        self.destinations: dict[str, ReceiverCore] = {}
        self.pending: deque[tuple[SenderCore, bytes, bytes | None]] = deque()
        self.unacked: dict[Delivery, None] = {}
        self.acking: dict[Delivery, None] = {}
        self.recovering = False
        self.selected = False
        self.commits = 0
        self.committing = False
        self.aborting = False
        self.on_message: Callable[[], object] | None = None
        self._continues = continues
        self._generation = 0
        self._arrivals = 0
        # Transfers from the broker that came and are not yet marked as completed: first and one past the last.
        self._came: tuple[int, int] | None = None
        self._transacted: list[Delivery] = []
        self._commit_id: int | None = None
        # What each sender had been given when the commit began.
        self._committing_sends: list[tuple[SenderCore, int]] = []
        # A commit that was given up while it was on its way was received, and what was begun behind it is lost.
        self._outrun = False
        self._reconciling = False
        self._reconcile_again = False

    @property
    def closed(self) -> bool:
        """Whether it is gone, by request or by an error."""
        return self.state is SessionState.CLOSED

    @property
    def detaching(self) -> bool:
        """Whether all is done, and the broker is told that it can forget the session."""
        return self.state is SessionState.DETACHING

    @property
    def replays(self) -> bool:
        """Whether transfers are kept for sending them again. A transaction is never replayed."""
        return not self.transactional

    # -- attaching ---------------------------------------------------------------------------------------------

    def reconcile(self) -> None:
        """Bring the wire closer to what is wanted."""
        if self._reconciling:
            # A step below completed at once and calls again: go round once more instead of deeper.
            self._reconcile_again = True
            return
        self._reconciling = True
        try:
            while True:
                self._reconcile_again = False
                self._reconcile()
                if not self._reconcile_again:
                    return
        finally:
            self._reconciling = False

    def _reconcile(self) -> None:
        if self.error is not None:
            return
        if self.state is SessionState.DETACHED:
            if not self.connection.opened:
                return
            if self.closing and self._generation == 0:
                self._close(None)
                return
            self._attach()
        if self.state is not SessionState.ATTACHED:
            return
        for link in [*self.senders, *self.receivers]:
            link.reconcile()
        if self.recovering:
            self._replay()
        if self.pending and not self.recovering:
            self._send_pending()
        if self.closing and not self.senders and not self.receivers and not self.acking and not self.recovering:
            self.state = SessionState.DETACHING
            self.wire.detach()

    def _attach(self) -> None:
        again = self._generation > 0
        self._generation += 1
        resumes = self.connection.resumes
        if again and not resumes:
            # This broker keeps no sessions. Should it still hold the old one, on a connection that it takes to be
            # alive, our second counting from 0 would look like repetitions there: be somebody else.
            self.wire.name = f"{self.name}.{self._generation}".encode()
        wire = self.connection.wire
        assert wire is not None
        try:
            wire.attach(self.wire, force=again)
        except ProtocolError as error:
            self._close(SessionError(text=str(error)))
            return
        asks = resumes and (again or self._continues)
        if resumes:
            self.wire.request_timeout(SESSION_TIMEOUT)
        if asks:
            self.wire.flush(expected=True)
            self.state = SessionState.RESUMING
            return
        if again:
            self._resume(0)
        else:
            self._start()

    def _start(self) -> None:
        self.state = SessionState.ATTACHED
        if self.transactional:
            self.selected = False
            self.wire.send(TxSelect(sync=True), token=Selected(self))

    def _resume(self, expected: int | None) -> None:
        """The broker told where it stands; None: it does not know the session."""
        commit = None
        if self._commit_id is not None:
            if not self._received(self._commit_id, expected):
                return
            commit = (self._commit_id, Committed(self))
        for token in self.wire.resume(expected, commit):
            token.completed()
        self.recovering = self.replays and any(sender.unsettled() for sender in self.senders)
        self._start()

    def expected(self, id: int | None) -> None:
        """session.expected came."""
        if self.state is SessionState.RESUMING:
            self._resume(id)
            self.reconcile()

    def _replay(self) -> None:
        """Send again what the broker lacks, once every sender concerned has its node again."""
        for sender in self.senders:
            if sender.unsettled() and sender.state in (LinkState.UNLINKED, LinkState.LINKING):
                return
        self.recovering = False
        resent = self.wire.replay()
        self.connection.stats.resent += resent
        # Also for those that were received before: their completions were lost with the connection.
        self.wire.sync()

    def _send_pending(self) -> None:
        pending = self.pending
        while pending:
            sender, header, body = pending[0]
            if sender.state in (LinkState.UNLINKED, LinkState.LINKING):
                return
            pending.popleft()
            if sender.state is not LinkState.CLOSED:
                sender.transfer(header, body)

    def suspend(self) -> None:
        """The connection is lost: keep what can be taken up again."""
        self._came = None
        self.wire.suspend()
        if self.state in (SessionState.CLOSED, SessionState.DETACHED):
            return  # also one that this broker has not heard of yet: nothing of it was there to be lost
        if self.state is SessionState.DETACHING:
            self._close(None)
            return
        self.state = SessionState.DETACHED
        for link in [*self.senders, *self.receivers]:
            link.suspend()
        for delivery in [*self.unacked, *self.acking]:
            delivery.transfer_id = None
            delivery.receiver.claim(delivery)
        for delivery in [delivery for delivery in self.acking if not delivery.receiver.is_claiming(delivery)]:
            # Nobody can tell this message from others when it comes again.
            del self.acking[delivery]
        if self.transactional and not (self.committing and self._commit_id is not None and self.connection.resumes):
            kind = TransactionUnknown if self.committing and self._commit_id is not None else TransactionAborted
            outcome = "outcome unknown" if kind is TransactionUnknown else "aborted"
            self._close(kind(text=f"Transaction {outcome} due to transport failure"))

    def detached(self, code: int) -> None:
        """The broker detached the session, at our request or not."""
        if self.state is SessionState.CLOSED:
            return
        if self.state is SessionState.DETACHING or self.error is not None:
            self._close(None)
        else:
            reason = DetachCode(code).name.lower().replace("_", "-") if code in set(DetachCode) else str(code)
            self._close(SessionError(code, f"session {self.name} was detached by the broker: {reason}"))

    def failed(self, exception: ExecutionException) -> None:
        """The broker refused a command: that ends the session."""
        code = exception.error_code or 0
        self.error = _ERRORS.get(code, SessionError)(code, exception.description or "")

    def close(self) -> None:
        """Want it to be closed, which waits for its links to be closed."""
        self.closing = True
        self.reconcile()

    def abandon(self) -> None:
        """The application is done with it: forget it as soon as nothing of it is left on the wire."""
        if self.closed or self.error is not None:
            self.connection.forget_session(self)
            return
        for link in [*self.senders, *self.receivers]:
            link.closing = True
        self.close()

    def end(self) -> None:
        """The connection is closed for good, and this with it."""
        self._close(None)

    def _close(self, error: Exception | None) -> None:
        self.state = SessionState.CLOSED
        if error is not None and self.error is None:
            self.error = error
        if self.closing:
            self.connection.forget_session(self)
        for link in [*self.senders, *self.receivers]:
            link.state = LinkState.CLOSED
        self.destinations.clear()
        self.recovering = False

    # -- receiving ---------------------------------------------------------------------------------------------

    def transferred(self, id: int, transfer: Command, header: bytes | None, body: bytes | None) -> None:
        """A command of the broker came; of these a client gets message.transfer only."""
        if type(transfer) is not MessageTransfer:
            self.wire.complete(id)
            return
        came = self._came
        if came is None:
            self._came = (id, id + 1)
        elif came[1] == id:
            self._came = (came[0], id + 1)
        else:
            self.announce()
            self._came = (id, id + 1)
        receiver = self.destinations.get(transfer.destination or "")
        if receiver is None:
            # It crossed with the end of the subscription.
            self.wire.send(MessageRelease(transfers=transfer_ids([id]), set_redelivered=True))
        else:
            receiver.deliver(id, transfer, header, body)
        if transfer.sync:
            self.announce()

    def announce(self) -> None:
        """Let the next write tell the broker that the transfers so far have come."""
        if self._came is not None:
            lower, end = self._came
            self._came = None
            self.wire.complete_range(lower, end - 1)

    def next_arrival(self) -> int:
        """The place of the next delivery among all of this session."""
        self._arrivals += 1
        return self._arrivals

    def arrived(self) -> None:
        """A message can be fetched."""
        if self.on_message is not None:
            self.on_message()

    def first_receiver(self) -> ReceiverCore | None:
        """The receiver with the message that came first of those that can be fetched."""
        ready = [r for r in self.receivers if r.incoming and r.state is LinkState.LINKED]
        return min(ready, key=lambda receiver: receiver.incoming[0].arrival, default=None)

    # -- settling ----------------------------------------------------------------------------------------------

    def acknowledge(self, deliveries: Iterable[Delivery], disposition: Disposition | None) -> list[Delivery]:
        """Settle messages.

        Args:
            deliveries: what the application fetched and did not acknowledge yet.
            disposition: what becomes of them; None accepts them.

        Returns:
            Those that the broker has to confirm.
        """
        told: list[Delivery] = []
        waiting: list[Delivery] = []
        acking = self.acking
        for delivery in deliveries:
            del self.unacked[delivery]
            receiver = delivery.receiver
            delivery.disposition = disposition
            if delivery.transfer_id is not None:
                if receiver.explicit:
                    acking[delivery] = None
                    told.append(delivery)
                elif self.transactional:
                    self._transacted.append(delivery)
            elif receiver.is_claiming(delivery):
                acking[delivery] = None
                waiting.append(delivery)
        if told:
            self.announce()
            self.tell(told)
        elif self._came is not None and self.wire.attached:
            self.announce()
        return told + waiting

    def tell(self, deliveries: list[Delivery]) -> None:
        """Tell the broker the disposition of deliveries that it knows."""
        if self.state is not SessionState.ATTACHED:
            return
        start = 0
        for end in range(1, len(deliveries) + 1):
            if end == len(deliveries) or deliveries[end].disposition is not deliveries[start].disposition:
                batch = deliveries[start:end]
                command = settlement(batch)
                command.sync = True
                for delivery in batch:
                    delivery.told = True
                self.wire.send(command, token=Settled(self, batch))
                start = end
        if self.transactional:
            self._transacted += deliveries

    def settled(self, deliveries: list[Delivery]) -> None:
        """The broker confirmed a disposition."""
        acking = self.acking
        for delivery in deliveries:
            acking.pop(delivery, None)
        if self.closing and not acking:
            self.reconcile()

    def claim_lost(self, delivery: Delivery) -> None:
        """A message that the application holds or has just acknowledged did not come again."""
        if delivery in self.acking:
            del self.acking[delivery]
            if delivery.told:
                # Most likely that is why: the acknowledgement was carried out, and only its confirmation was lost.
                return
        self.connection.stats.claims_lost += 1

    def forget_sender(self, sender: SenderCore) -> None:
        """A sender is closed."""
        if sender in self.senders:
            self.senders.remove(sender)
        if sender.unsettled():
            self.wire.forget(sender)
            self.pending = deque(item for item in self.pending if item[0] is not sender)

    def ask(self) -> None:
        """Ask the broker to tell what it completed."""
        if self.state is SessionState.ATTACHED and not self.recovering:
            self.wire.sync()

    # -- transactions ------------------------------------------------------------------------------------------

    def commit(self) -> None:
        """Begin a commit; `committing` is False when it is done."""
        self.committing = True
        # What is acknowledged from now on belongs to the next transaction.
        self._transacted = []
        self._committing_sends = [(sender, sender.queued) for sender in self.senders]
        self.announce()
        self._commit_id = self.wire.send(TxCommit(sync=True), token=Committed(self))

    def committed(self) -> None:
        """The broker completed the commit."""
        self._commit_id = None
        self.committing = False
        self.commits += 1
        if self._outrun:
            text = "Transaction aborted: its connection was lost; the commit before it took effect"
            self._close(TransactionAborted(text=text))
            self.wire.detach()

    def _received(self, commit_id: int, expected: int | None) -> bool:
        """Look up whether a commit whose connection was lost had been received; if so, it is yet to be completed."""
        if expected is None or (expected == 0 and commit_id):
            self._close(TransactionUnknown(text="Transaction outcome unknown: the broker knows nothing of the session"))
        elif expected <= commit_id:
            self._close(TransactionAborted(text="Transaction aborted: its connection was lost before the commit"))
        else:
            # What was begun behind a commit that nobody waited for any more went with its connection.
            self._outrun = self._outrun or bool(
                self._transacted or any(sender.queued > queued for sender, queued in self._committing_sends)
            )
            for sender, queued in self._committing_sends:
                sender.settled = queued
            return True
        self.wire.detach()
        return False

    def rollback(self) -> None:
        """Begin a rollback; `aborting` is False when it is done."""
        self.aborting = True
        Task(self.wire, self._roll_back(), self._rolled_back).start()

    def _roll_back(self) -> Steps[None]:
        receivers = [receiver for receiver in self.receivers if receiver.state is LinkState.LINKED]
        yield [*(receiver.stop() for receiver in receivers), ExecutionSync()]
        unfetched = [delivery for receiver in self.receivers for delivery in receiver.incoming]
        deliveries = [*self._transacted, *self.unacked, *unfetched]
        held = sorted({delivery.transfer_id for delivery in deliveries if delivery.transfer_id is not None})
        self.announce()
        commands: list[Command] = [TxRollback()]
        if held:
            # Behind the rollback, since only that undoes the accepts among them.
            commands.append(MessageRelease(transfers=transfer_ids(held), set_redelivered=True))
        yield commands

    def _rolled_back(self, error: MessagingError | None) -> None:
        self._transacted.clear()
        self.unacked.clear()
        self.aborting = False
        if error is not None:
            self._close(error)
        for receiver in self.receivers:
            receiver.incoming.clear()
            receiver.grant()


def checked_capacity(capacity: object) -> int | Constant:
    """A capacity as an application gives it.

    Raises:
        SessionError: it is neither a count nor UNLIMITED.
    """
    if capacity is UNLIMITED:
        return UNLIMITED
    if isinstance(capacity, int) and not isinstance(capacity, bool) and capacity >= 0:
        return capacity
    raise SessionError(text=f"a capacity is a number of messages or UNLIMITED, not {capacity!r}")
