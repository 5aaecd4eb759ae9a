"""The blocking Session."""

from __future__ import annotations

import logging
from difflib import get_close_matches
from time import monotonic
from typing import TYPE_CHECKING, Any

from .constants import UNLIMITED, Constant
from .core.link import LinkState
from .core.receiver import ReceiverCore
from .core.sender import SenderCore
from .core.session import SessionCore, checked_capacity
from .endpoint import Endpoint
from .exceptions import (
    Detached,
    Empty,
    InsufficientCapacity,
    InvalidOption,
    MessagingError,
    NontransactionalSession,
    SessionClosed,
    SessionError,
    Timeout,
    TransactionAborted,
    TransactionError,
)
from .receiver import Receiver
from .sender import Sender

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import TracebackType

    from typing_extensions import Self

    from .connection import Connection
    from .core.delivery import Delivery
    from .message import Disposition, Message

__all__ = ["Session"]

_SENDER_OPTIONS = ("capacity", "durable")
_RECEIVER_OPTIONS = ("capacity",)


class Session(Endpoint):
    """A linear context for sending and receiving. Made by `Connection.session`.

    Attributes:
        connection: the connection that it belongs to.
        name: its name at the broker.
        transactional: whether `commit` and `rollback` work.
        ack_capacity: how many messages may be acknowledged without the broker having confirmed it.
    """

    _core: SessionCore

    def __init__(self, connection: Connection, core: SessionCore) -> None:
        self.connection = connection
        self.ack_capacity: int | Constant = UNLIMITED
        self._core = core
        self._driver = connection._driver
        self._next_sender = 0
        self._next_receiver = 0
        self._on_message: Callable[..., object] | None = None
        core.owner = self

    def __repr__(self) -> str:
        return f"<Session {self.name}>"

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is None:
            self.close()

    # -- state -------------------------------------------------------------------------------------------------

    @property
    def name(self) -> str:
        return self._core.name

    @property
    def transactional(self) -> bool:
        return self._core.transactional

    @property
    def closed(self) -> bool:
        """Whether the session is closed, by request or by an error."""
        return self._core.closed

    @property
    def closing(self) -> bool:
        """Whether `close` was called."""
        return self._core.closing

    @property
    def senders(self) -> list[Sender]:
        """The open senders."""
        return [core.owner for core in self._core.senders]

    @property
    def receivers(self) -> list[Receiver]:
        """The open receivers."""
        return [core.owner for core in self._core.receivers]

    def get_error(self) -> Exception | None:
        return self.connection._core.error or self._core.error

    def check_closed(self) -> None:
        if self._core.closed:
            raise SessionClosed(text="session closed")

    def _is_closed(self) -> bool:
        return self._core.closed

    def _is_busy(self) -> bool:
        core = self._core
        return bool(core.error or core.acking or any(sender.unsettled() for sender in core.senders))

    # -- links -------------------------------------------------------------------------------------------------

    def sender(self, target: str, **options: Any) -> Sender:
        """A new sender.

        Args:
            target: the address to send to.
            options: `capacity`: how many messages may be sent without the broker having completed them, default
                UNLIMITED; `durable`: whether messages that do not say are durable.

        Raises:
            AddressError: the address does not parse, has an invalid option, or names no node that can be used.
            InvalidOption: an unknown option.
            SessionError: the session is closed or fails.
        """
        _check_options("sender", options, _SENDER_OPTIONS)
        capacity = checked_capacity(options.get("capacity", UNLIMITED))
        with self._driver.lock:
            self._check_usable()
            core = SenderCore(self._core, target, capacity, options.get("durable"))
            sender = Sender(self, core, self._next_sender, core.address, options)
            self._next_sender += 1
            self._core.senders.append(core)
            self._establish(sender, core)
        return sender

    def receiver(self, source: str, **options: Any) -> Receiver:
        """A new receiver.

        Args:
            source: the address to receive from.
            options: `capacity`: how many messages may come ahead of being fetched, default 0.

        Raises:
            AddressError: the address does not parse, has an invalid option, or names no node that can be used.
            InvalidOption: an unknown option.
            SessionError: the session is closed or fails.
        """
        _check_options("receiver", options, _RECEIVER_OPTIONS)
        capacity = checked_capacity(options.get("capacity", 0))
        with self._driver.lock:
            self._check_usable()
            core = ReceiverCore(self._core, source, str(self._next_receiver), capacity)
            receiver = Receiver(self, core, self._next_receiver, core.address, options)
            self._next_receiver += 1
            self._core.receivers.append(core)
            self._establish(receiver, core)
        return receiver

    def _check_usable(self) -> None:
        self.check_error()
        self.check_closed()

    def _establish(self, link: Sender | Receiver, core: SenderCore | ReceiverCore) -> None:
        self._core.connection.node_cache.now = monotonic()
        self._core.reconcile()
        if self.connection._core.wanted:
            link._ewait(lambda: core.state is LinkState.LINKED or core.closed)
            link.check_closed()

    # -- receiving ---------------------------------------------------------------------------------------------

    def next_receiver(self, timeout: float | None = None) -> Receiver:
        """The receiver with the message that came first of those that can be fetched.

        Args:
            timeout: seconds to wait for one; None is for ever.

        Raises:
            Empty: no message came in time.
        """
        with self._driver.lock:
            if not self._ecwait(self._core.first_receiver, timeout):
                raise Empty(text="no message at any receiver of the session")
            first = self._core.first_receiver()
            assert first is not None
            receiver: Receiver = first.owner
            return receiver

    def acknowledge(
        self, message: Message | None = None, disposition: Disposition | None = None, sync: bool = True
    ) -> None:
        """Settle one message, or all that were fetched in this session and not acknowledged yet.

        After a fail-over this returns when it is known what became of the acknowledgement: a message acknowledged does
        not come again from a broker that keeps track.

        Args:
            message: the message; None is all.
            disposition: None accepts; see `Disposition`.
            sync: whether to wait until the broker confirms it.

        Raises:
            SessionError: the message does not wait for an acknowledgement in this session; or the session failed.
        """
        with self._driver.lock:
            core = self._core
            unacked = core.unacked
            deliveries: list[Delivery]
            if message is None:
                deliveries = list(unacked)
            else:
                delivery = message._delivery
                if delivery is None or delivery not in unacked:
                    self._check_usable()
                    raise SessionError(text="the message does not wait for an acknowledgement in this session")
                deliveries = [delivery]
            if self.ack_capacity is not UNLIMITED or core.error is not None:
                self._await_ack_capacity(deliveries)
            pending = core.acknowledge(deliveries, disposition)
            if sync:
                acking = core.acking
                self._ecwait(lambda: not any(delivery in acking for delivery in pending))
            elif pending:
                self._driver.appended(64)

    def _await_ack_capacity(self, deliveries: list[Delivery]) -> None:
        self._check_usable()
        capacity = self.ack_capacity
        if capacity is UNLIMITED or not isinstance(capacity, int):
            return
        if capacity <= 0:
            raise InsufficientCapacity(text=f"ack_capacity = {capacity}")
        self._ecwait(lambda: len(self._core.acking) < capacity)

    def set_message_received_notify_handler(self, handler: Callable[[Session], object] | None) -> None:
        """Be told of each message that arrives.

        Args:
            handler: called with this session in the connection's I/O thread. It must not call the messaging API.
        """
        with self._driver.lock:
            self._core.on_message = None if handler is None else lambda: _call(handler, self)

    set_message_received_handler = set_message_received_notify_handler

    # -- transactions ------------------------------------------------------------------------------------------

    def commit(self, timeout: float | None = None) -> None:
        """Make all sends and acknowledgements since the last commit or rollback take effect.

        Args:
            timeout: seconds; None is for ever.

        Raises:
            NontransactionalSession: the session has no transactions.
            TransactionAborted: they do not: the connection was lost before, or the broker failed.
            TransactionUnknown: the connection was lost meanwhile, and no broker can tell.
            Timeout: the broker did not answer in time.
        """
        if not self.transactional:
            raise NontransactionalSession(text="commit on a session that is not transactional")
        with self._driver.lock:
            core = self._core
            try:
                self._ecwait(lambda: core.wire.attached and not core.pending, timeout)
                core.commit()
                if not self._ecwait(lambda: not core.committing, timeout):
                    raise Timeout("commit timed out")
            except TransactionError:
                raise
            except MessagingError as error:
                if core.error is None or not isinstance(core.error, TransactionError):
                    core.error = TransactionAborted(text=f"Transaction aborted: {error}")
                raise core.error from error

    def rollback(self, timeout: float | None = None) -> None:
        """Undo all sends and acknowledgements since the last commit or rollback; messages fetched come again.

        Args:
            timeout: seconds; None is for ever.

        Raises:
            NontransactionalSession: the session has no transactions.
            TransactionAborted: the connection was lost: everything is undone, and the session is of no use.
            Timeout: the broker did not answer in time.
        """
        if not self.transactional:
            raise NontransactionalSession(text="rollback on a session that is not transactional")
        with self._driver.lock:
            core = self._core
            self._ecwait(lambda: core.wire.attached, timeout)
            core.rollback()
            if not self._ecwait(lambda: not core.aborting, timeout):
                raise Timeout("rollback timed out")

    # -- the end -----------------------------------------------------------------------------------------------

    def sync(self, timeout: float | None = None) -> None:
        """Wait until everything sent and acknowledged is confirmed by the broker.

        Args:
            timeout: seconds; None is for ever.

        Raises:
            Timeout: it was not in time.
        """
        with self._driver.lock:
            for sender in self.senders:
                sender.sync(timeout=timeout)
            core = self._core
            if core.acking or core.pending:
                core.ask()
            if not self._ewait(lambda: core.closed or not (core.acking or core.pending), timeout):
                raise Timeout("session sync timed out")

    def close(self, timeout: float | None = None) -> None:
        """Close the session with its senders and receivers, after a `sync`.

        Args:
            timeout: seconds for each step of it; None is for ever.

        Raises:
            Timeout: a step was not done in time.
        """
        with self._driver.lock:
            core = self._core
            if core.error is not None:
                self.connection._remove_session(self)
                return
            if core.closed:
                return
            try:
                self.sync(timeout=timeout)
                if not self.connection._core.wanted:
                    return
                for receiver in self.receivers:
                    receiver.close(timeout=timeout)
                for sender in self.senders:
                    sender.close(timeout=timeout)
                core.closing = True
                core.reconcile()
                if not self._ewait(lambda: core.closed, timeout):
                    raise Timeout("session close timed out")
            finally:
                self.connection._remove_session(self)

    def _check_attached(self) -> None:
        if not self.connection._core.wanted or self._core.closing:
            raise Detached(text="the connection is detached" if not self._core.closing else "the session is closing")


def _call(handler: Callable[[Session], object], session: Session) -> None:
    try:
        handler(session)
    except Exception:  # an application's mistake, which must not end the connection for everybody else
        logging.getLogger("qpid_messaging").exception("message received handler of %r", session)


def _check_options(role: str, options: dict[str, Any], known: tuple[str, ...]) -> None:
    for name in options:
        if name not in known:
            near = get_close_matches(name, known, n=1)
            hint = f"; did you mean {near[0]}?" if near else ""
            raise InvalidOption(text=f"unknown option {name!r} of a {role}{hint}")
