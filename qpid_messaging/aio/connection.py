"""The async Connection."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

# The policy of reconnecting imports it when the first connection is lost; an event loop has no 40 ms for that then.
import tenacity  # noqa: F401

from ..verbs.connection import ConnectionVerbs
from .driver import Driver
from .opening import Opening
from .session import Session

if TYPE_CHECKING:
    from collections.abc import Mapping
    from types import TracebackType

    from qpid_address import BrokerURL
    from typing_extensions import Self

    from ..options import URLParts

__all__ = ["Connection"]


class Connection(ConnectionVerbs[Session]):
    """A connection to a broker, or to whichever of several brokers is there: the parent of sessions.

    A new connection is not open. With `reconnect` it looks for a broker again whenever it loses one; verbs then wait
    instead of failing. Leaving an `async with` block closes it; with an exception, without waiting for the broker.

    Args:
        url: `[user[/password]@]host[:port]`, `amqp://...`, `amqps://...`, `amqp:` with several addresses; or the
            connection URL of the legacy JMS client.
        options, named: those of `qpid_messaging.Connection`, which also has them as attributes.

    Raises:
        ConnectionError: an unknown option, one that cannot be had here, or a value that an option cannot have.
        ConnectError: the URL does not parse.
    """

    _driver: Driver
    _session_type = Session

    @staticmethod
    def establish(
        url: str | BrokerURL | URLParts | None = None,
        timeout: float | None = None,
        options: Mapping[str, Any] | str | None = None,
        **named: Any,
    ) -> Opening[Connection]:
        """Make a connection and open it: to be awaited, or entered with `async with`.

        Args:
            url: as for the constructor.
            timeout: as for `open`.
            options, named: as for the constructor.

        Raises:
            ConnectionError: no broker let us in. Nothing of the connection is left then.
            Timeout: none did in time.
        """

        async def establish() -> Connection:
            connection = Connection(url, options, **named)
            try:
                await connection.open(timeout=timeout)
            except BaseException:
                await connection._abandon()
                raise
            return connection

        return Opening(establish)

    def _make_driver(self) -> Driver:
        return Driver(self._core)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is None:
            await self.close()
        else:
            await self._abandon()

    async def open(self, timeout: float | None = None) -> None:
        """Open the connection.

        Args:
            timeout: seconds; None is for ever. `reconnect_timeout` goes before it.

        Raises:
            ConnectionError: it is open already, or no broker let us in.
            Timeout: none did in time.
        """
        await self._driver.run(self._begin(timeout))

    async def attach(self, timeout: float | None = None) -> None:
        """Connect to a broker, with all sessions, senders and receivers that there are.

        Args:
            timeout: seconds; None is for ever.

        Raises:
            ConnectionError: no broker let us in.
            Timeout: it was not done in time; reconnecting is switched off then.
        """
        await self._driver.run(self._attach(timeout))

    async def detach(self, timeout: float | None = None) -> None:
        """Disconnect. `attach` connects again.

        Args:
            timeout: seconds for the broker to agree; None is as many as a broker gets.

        Raises:
            Timeout: it did not agree in time.
        """
        try:
            await self._driver.run(self._detach(timeout))
        finally:
            await self._driver.join()

    async def close(self, timeout: float | None = None) -> None:
        """Close all sessions and the connection. What was sent is completed by the broker before.

        Args:
            timeout: seconds for each step of it; None is for ever.

        Raises:
            MessagingError: the connection had failed, or a session had; it is closed all the same.
            Timeout: a step was not done in time; it is closed all the same.
        """
        try:
            await self._driver.run(self._close(timeout))
        finally:
            await self._driver.join()

    async def _abandon(self) -> None:
        """Close without waiting for anything: the connection is of no use."""
        self._abort()
        await self._driver.join()
