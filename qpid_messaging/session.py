"""The blocking Session."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from .receiver import Receiver
from .sender import Sender
from .verbs.session import SessionVerbs

if TYPE_CHECKING:
    from types import TracebackType

    from typing_extensions import Self

    from .connection import Connection
    from .driver import Driver
    from .message import Disposition, Message

__all__ = ["Session"]


class Session(SessionVerbs[Sender, Receiver]):
    """A linear context for sending and receiving. Made by `Connection.session`.

    Attributes:
        connection: the connection that it belongs to.
        name: its name at the broker.
        transactional: whether `commit` and `rollback` work.
        ack_capacity: how many messages may be acknowledged without the broker having confirmed it.
    """

    connection: Connection
    _driver: Driver
    _sender_type = Sender
    _receiver_type = Receiver

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is None:
            self.close()

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
        return self._driver.run(self._sender(target, options))

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
        return self._driver.run(self._receiver(source, options))

    def next_receiver(self, timeout: float | None = None) -> Receiver:
        """The receiver with the message that came first of those that can be fetched.

        Args:
            timeout: seconds to wait for one; None is for ever.

        Raises:
            Empty: no message came in time.
        """
        return self._driver.run(self._await_receiver(timeout))

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
        if not sync:
            with self._driver.lock:
                if self._acknowledge_at_once(message, disposition):
                    return
        self._driver.run(self._acknowledge(message, disposition, sync))

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
        self._driver.run(self._commit(timeout))

    def rollback(self, timeout: float | None = None) -> None:
        """Undo all sends and acknowledgements since the last commit or rollback; messages fetched come again.

        Args:
            timeout: seconds; None is for ever.

        Raises:
            NontransactionalSession: the session has no transactions.
            TransactionAborted: the connection was lost: everything is undone, and the session is of no use.
            Timeout: the broker did not answer in time.
        """
        self._driver.run(self._rollback(timeout))

    def sync(self, timeout: float | None = None) -> None:
        """Wait until everything sent and acknowledged is confirmed by the broker.

        Args:
            timeout: seconds; None is for ever.

        Raises:
            Timeout: it was not in time.
        """
        self._driver.run(self._sync(timeout))

    def close(self, timeout: float | None = None) -> None:
        """Close the session with its senders and receivers, after a `sync`.

        Args:
            timeout: seconds for each step of it; None is for ever.

        Raises:
            Timeout: a step was not done in time.
        """
        self._driver.run(self._close(timeout))
