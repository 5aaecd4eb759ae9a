"""A session's state, and what its verbs do."""

from __future__ import annotations

import inspect
import logging
from difflib import get_close_matches
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from ..constants import UNLIMITED, Constant
from ..core.link import LinkState
from ..core.receiver import ReceiverCore
from ..core.sender import SenderCore
from ..core.session import checked_capacity
from ..endpoint import Endpoint
from ..exceptions import (
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
    TransactionUnknown,
)
from .receiver import ReceiverVerbs
from .sender import SenderVerbs

if TYPE_CHECKING:
    from collections.abc import Callable

    from ..core.delivery import Delivery
    from ..core.session import SessionCore
    from ..message import Disposition, Message
    from .connection import ConnectionVerbs
    from .waiting import Verb

S = TypeVar("S", bound=SenderVerbs)
R = TypeVar("R", bound=ReceiverVerbs)

_SENDER_OPTIONS = ("capacity", "durable")
_RECEIVER_OPTIONS = ("capacity",)


class SessionVerbs(Endpoint, Generic[S, R]):
    """What a Session is, but for how it waits.

    Attributes:
        connection: the connection that it belongs to.
        ack_capacity: how many messages may be acknowledged without the broker having confirmed it.
    """

    _core: SessionCore
    _sender_type: type[S]
    _receiver_type: type[R]

    def __init__(self, connection: ConnectionVerbs[Any], core: SessionCore) -> None:
        self.connection = connection
        self.ack_capacity: int | Constant = UNLIMITED
        self._core = core
        self._driver = connection._driver
        self._next_sender = 0
        self._next_receiver = 0
        core.owner = self

    def __repr__(self) -> str:
        return f"<Session {self.name}>"

    # -- state -------------------------------------------------------------------------------------------------

    @property
    def name(self) -> str:
        """Its name at the broker."""
        return self._core.name

    @property
    def transactional(self) -> bool:
        """Whether `commit` and `rollback` work."""
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
    def senders(self) -> list[S]:
        """The open senders."""
        return [core.owner for core in self._core.senders]

    @property
    def receivers(self) -> list[R]:
        """The open receivers."""
        return [core.owner for core in self._core.receivers]

    def get_error(self) -> Exception | None:
        return self.connection._core.error or self._core.error

    def check_closed(self) -> None:
        if self._core.closed:
            raise SessionClosed(text="session closed")

    def set_message_received_notify_handler(self, handler: Callable[..., object] | None) -> None:
        """Be told of each message that arrives.

        Args:
            handler: called with this session, or without arguments where it takes none, in the connection's I/O thread,
                with `qpid_messaging.aio` in the event loop. It must not call the messaging API.
        """
        arguments = () if handler is None or _takes_none(handler) else (self,)
        with self._driver.lock:
            self._core.on_message = None if handler is None else lambda: self._notify(handler, *arguments)
            self._driver.attend()

    set_message_received_handler = set_message_received_notify_handler

    def _notify(self, handler: Callable[..., object], *arguments: object) -> None:
        try:
            handler(*arguments)
        except Exception:  # an application's mistake, which must not end the connection for everybody else
            logging.getLogger("qpid_messaging").exception("message received handler of %r", self)

    def _is_closed(self) -> bool:
        return self._core.closed

    def _is_busy(self) -> bool:
        core = self._core
        return bool(core.error or core.acking or any(sender.unsettled() for sender in core.senders))

    def _check_usable(self) -> None:
        self.check_error()
        self.check_closed()

    def _check_open(self) -> None:
        self.check_error()
        if self._core.closed:
            raise Detached(text="the session is closed")

    def _check_attached(self) -> None:
        if not self.connection._core.wanted or self._core.closing:
            raise Detached(text="the connection is detached" if not self._core.closing else "the session is closing")

    # -- links -------------------------------------------------------------------------------------------------

    def _sender(self, target: str, options: dict[str, Any]) -> Verb[S]:
        _check_options("sender", options, _SENDER_OPTIONS)
        capacity = checked_capacity(options.get("capacity", UNLIMITED))
        self._check_open()
        core = SenderCore(self._core, target, capacity, options.get("durable"))
        sender = self._sender_type(self, core, self._next_sender, core.address, options)
        self._next_sender += 1
        self._core.senders.append(core)
        yield from self._establish(sender, core)
        return sender

    def _receiver(self, source: str, options: dict[str, Any]) -> Verb[R]:
        _check_options("receiver", options, _RECEIVER_OPTIONS)
        capacity = checked_capacity(options.get("capacity", 0))
        self._check_open()
        core = ReceiverCore(self._core, source, str(self._next_receiver), capacity)
        receiver = self._receiver_type(self, core, self._next_receiver, core.address, options)
        self._next_receiver += 1
        self._core.receivers.append(core)
        yield from self._establish(receiver, core)
        return receiver

    def _establish(self, link: SenderVerbs | ReceiverVerbs, core: SenderCore | ReceiverCore) -> Verb[None]:
        self._core.connection.node_cache.now = self._driver.now()
        self._core.reconcile()
        if not self.connection._core.wanted:
            return
        try:
            yield from link._ewait(lambda: core.state is LinkState.LINKED or core.closed)
        except Exception:
            raise
        except BaseException:
            # Nobody has it, and nobody ever will.
            link._give_up()
            raise
        link.check_closed()

    # -- receiving ---------------------------------------------------------------------------------------------

    def _await_receiver(self, timeout: float | None) -> Verb[R]:
        if not (yield from self._ecwait(self._core.first_receiver, timeout)):
            raise Empty(text="no message at any receiver of the session")
        first = self._core.first_receiver()
        assert first is not None
        receiver: R = first.owner
        return receiver

    def _fetched(self, message: Message | None) -> list[Delivery]:
        """What of this session waits for being acknowledged: the message, or all."""
        unacked = self._core.unacked
        if message is None:
            return list(unacked)
        delivery = message._delivery
        if delivery is None or delivery not in unacked:
            self._check_usable()
            raise SessionError(text="the message does not wait for an acknowledgement in this session")
        return [delivery]

    def _acknowledge_at_once(self, message: Message | None, disposition: Disposition | None) -> bool:
        """Acknowledge without waiting for the broker, unless it has to wait itself. Returns whether that is done."""
        if self.ack_capacity is not UNLIMITED or self._core.error is not None:
            return False
        if self._core.acknowledge(self._fetched(message), disposition):
            self._driver.appended(64)
        return True

    def _acknowledge(self, message: Message | None, disposition: Disposition | None, sync: bool) -> Verb[None]:
        yield from self._await_ack_capacity()
        pending = self._core.acknowledge(self._fetched(message), disposition)
        if sync:
            acking = self._core.acking
            yield from self._ecwait(lambda: not any(delivery in acking for delivery in pending))
        elif pending:
            self._driver.appended(64)

    def _await_ack_capacity(self) -> Verb[None]:
        self._check_usable()
        capacity = self.ack_capacity
        if capacity is UNLIMITED or not isinstance(capacity, int):
            return
        if capacity <= 0:
            raise InsufficientCapacity(text=f"ack_capacity = {capacity}")
        yield from self._ecwait(lambda: len(self._core.acking) < capacity)

    # -- transactions ------------------------------------------------------------------------------------------

    def _commit(self, timeout: float | None) -> Verb[None]:
        self._check_transactional("commit")
        core = self._core
        commits: int | None = None
        try:
            # One that was given up while it was on its way comes first.
            yield from self._ecwait(
                lambda: core.wire.attached and core.selected and not core.pending and not core.committing, timeout
            )
            commits = core.commits
            core.commit()
            if not (yield from self._ecwait(lambda: core.commits > commits, timeout)):
                raise Timeout("commit timed out")
        except MessagingError as error:
            if commits is not None and core.commits > commits:
                return  # the connection was lost right behind it: whoever goes on is told that
            if isinstance(error, TransactionError):
                raise
            if not isinstance(core.error, TransactionError):
                if core.committing:
                    core.error = TransactionUnknown(text=f"Transaction outcome unknown: {error}")
                else:
                    core.error = TransactionAborted(text=f"Transaction aborted: {error}")
            raise core.error from error

    def _rollback(self, timeout: float | None) -> Verb[None]:
        self._check_transactional("rollback")
        core = self._core
        yield from self._ecwait(lambda: core.wire.attached and not core.aborting, timeout)
        core.rollback()
        if not (yield from self._ecwait(lambda: not core.aborting, timeout)):
            raise Timeout("rollback timed out")

    def _check_transactional(self, verb: str) -> None:
        if not self.transactional:
            raise NontransactionalSession(text=f"{verb} on a session that is not transactional")

    # -- the end -----------------------------------------------------------------------------------------------

    def _sync(self, timeout: float | None) -> Verb[None]:
        for sender in self.senders:
            yield from sender._sync(timeout)
        core = self._core
        if core.acking or core.pending:
            core.ask()
        if not (yield from self._ewait(lambda: core.closed or not (core.acking or core.pending), timeout)):
            raise Timeout("session sync timed out")

    def _close(self, timeout: float | None, *, with_connection: bool = False) -> Verb[None]:
        """Close in order; where the connection is closed right behind it, without waiting for the broker to agree."""
        core = self._core
        if core.error is not None:
            self._give_up()
            return
        if core.closed:
            return
        try:
            yield from self._sync(timeout)
            if not self.connection._core.wanted:
                return
            for receiver in self.receivers:
                yield from receiver._close(timeout)
            for sender in self.senders:
                yield from sender._close(timeout)
            core.close()
            if not (yield from self._ewait(lambda: core.closed or (with_connection and core.detaching), timeout)):
                raise Timeout("session close timed out")
        finally:
            self._give_up()

    def _give_up(self) -> None:
        """Close, or go on closing, without waiting for it."""
        self.connection.sessions.pop(self.name, None)
        self._core.abandon()
        self._driver.wake()


def _takes_none(handler: Callable[..., object]) -> bool:
    """Whether it cannot be called with the session: in qpid.messaging there were such handlers first."""
    try:
        inspect.signature(handler).bind(None)
    except TypeError:
        return True
    except ValueError:  # nobody knows
        return False
    return False


def _check_options(role: str, options: dict[str, Any], known: tuple[str, ...]) -> None:
    for name in options:
        if name not in known:
            near = get_close_matches(name, known, n=1)
            hint = f"; did you mean {near[0]}?" if near else ""
            raise InvalidOption(text=f"unknown option {name!r} of a {role}{hint}")
