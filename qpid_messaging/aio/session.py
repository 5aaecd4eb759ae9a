"""The async Session."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ..verbs.session import SessionVerbs
from .opening import Opening
from .receiver import Receiver
from .sender import Sender

if TYPE_CHECKING:
    from types import TracebackType

    from typing_extensions import Self

    from ..message import Disposition, Message
    from .connection import Connection
    from .driver import Driver

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

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is None:
            await self.close()
        else:
            self._give_up()

    def sender(self, target: str, **options: Any) -> Opening[Sender]:
        """A new sender: to be awaited, or entered with `async with`.

        Args:
            target: the address to send to.
            options: `capacity`: how many messages may be sent without the broker having completed them, default
                UNLIMITED; `durable`: whether messages that do not say are durable.

        Raises:
            AddressError: the address does not parse, has an invalid option, or names no node that can be used.
            InvalidOption: an unknown option.
            SessionError: the session is closed or fails.
        """
        return Opening(lambda: self._driver.run(self._sender(target, options)))

    def receiver(self, source: str, **options: Any) -> Opening[Receiver]:
        """A new receiver: to be awaited, or entered with `async with`.

        Args:
            source: the address to receive from.
            options: `capacity`: how many messages may come ahead of being fetched, default 0.

        Raises:
            AddressError: the address does not parse, has an invalid option, or names no node that can be used.
            InvalidOption: an unknown option.
            SessionError: the session is closed or fails.
        """
        return Opening(lambda: self._driver.run(self._receiver(source, options)))

    async def next_receiver(self, timeout: float | None = None) -> Receiver:
        """The receiver with the message that came first of those that can be fetched.

        Args:
            timeout: seconds to wait for one; None is for ever.

        Raises:
            Empty: no message came in time.
        """
        await self._driver.checkpoint()
        return await self._driver.run(self._await_receiver(timeout))

    async def acknowledge(
        self, message: Message | None = None, disposition: Disposition | None = None, sync: bool = True
    ) -> None:
        """Settle one message, or all that were fetched in this session and not acknowledged yet.

        After a fail-over this returns when it is known what became of the acknowledgement: a message acknowledged does
        not come again from a broker that keeps track. A cancelled `acknowledge` is on its way, unless it waited for
        `ack_capacity`.

        Args:
            message: the message; None is all.
            disposition: None accepts; see `Disposition`.
            sync: whether to wait until the broker confirms it.

        Raises:
            SessionError: the message does not wait for an acknowledgement in this session; or the session failed.
        """
        await self._driver.checkpoint()
        if sync or not self._acknowledge_at_once(message, disposition):
            await self._driver.run(self._acknowledge(message, disposition, sync))

    async def commit(self, timeout: float | None = None) -> None:
        """Make all sends and acknowledgements since the last commit or rollback take effect.

        Args:
            timeout: seconds; None is for ever.

        Raises:
            NontransactionalSession: the session has no transactions.
            TransactionAborted: they do not: the connection was lost before, or the broker failed.
            TransactionUnknown: the connection was lost meanwhile, and no broker can tell.
            Timeout: the broker did not answer in time.
        """
        await self._driver.run(self._commit(timeout))

    async def rollback(self, timeout: float | None = None) -> None:
        """Undo all sends and acknowledgements since the last commit or rollback; messages fetched come again.

        Args:
            timeout: seconds; None is for ever.

        Raises:
            NontransactionalSession: the session has no transactions.
            TransactionAborted: the connection was lost: everything is undone, and the session is of no use.
            Timeout: the broker did not answer in time.
        """
        await self._driver.run(self._rollback(timeout))

    async def sync(self, timeout: float | None = None) -> None:
        """Wait until everything sent and acknowledged is confirmed by the broker.

        Args:
            timeout: seconds; None is for ever.

        Raises:
            Timeout: it was not in time.
        """
        await self._driver.run(self._sync(timeout))

    async def close(self, timeout: float | None = None) -> None:
        """Close the session with its senders and receivers, after a `sync`.

        Args:
            timeout: seconds for each step of it; None is for ever.

        Raises:
            Timeout: a step was not done in time.
        """
        await self._driver.run(self._close(timeout))
