"""A broker as a manager sees it: asked over QMF, on a connection that is kept."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, TypeVar

import anyio
import anyio.to_thread

from qpid_messaging import Connection
from qpid_messaging.exceptions import MessagingError, Timeout
from qpid_messaging.management import AgentError, BrokerAgent, HaBroker

from .standing import Standing

__all__ = ["BrokerGone", "ManagedBroker", "NotDone"]

T = TypeVar("T")


class BrokerGone(Exception):
    """The broker does not answer; the text says why."""


class NotDone(Exception):
    """The broker refuses what it was asked for; the text says why."""


class ManagedBroker:
    """One broker.

    Args:
        url: where it is.
        settings: arguments for `Connection.establish`.
        timeout: seconds that it has to answer; changes of roles may take ten.
    """

    def __init__(self, url: str, settings: dict[str, Any], *, timeout: float) -> None:
        self.url = url
        self._settings = {**settings, "timeout": timeout, "client_properties": {"qpid.ha-admin": 1}}
        self._timeout = timeout
        self._connection: Connection | None = None

    async def standing(self) -> Standing:
        """How it stands.

        Raises:
            BrokerGone: it does not answer.
        """
        return await self._use(_standing, self._timeout)

    async def brokers_url(self) -> str:
        """Where the brokers of its cluster are.

        Raises:
            BrokerGone: it does not answer.
        """
        return await self._use(lambda ha: str(ha.brokersUrl), self._timeout)

    async def promote(self) -> None:
        """Make it the primary.

        Raises:
            NotDone: it refuses.
            BrokerGone: it does not answer.
        """
        await self._use(lambda ha: ha.promote(timeout=10), 12)

    async def demote(self, *, wait: float | None = None) -> None:
        """Make it the primary no more.

        Args:
            wait: seconds that its backups have to confirm what they were sent.

        Raises:
            NotDone: it does not do it now.
            BrokerGone: it does not answer.
        """
        await self._use(lambda ha: ha.demote(wait=wait, timeout=10), 12)

    async def _use(self, use: Callable[[HaBroker], T], patience: float) -> T:
        # A call that is given up keeps its thread for a while, and its connection: the next one gets another.
        connection, self._connection = self._connection, None
        try:
            with anyio.fail_after(patience):
                result, self._connection = await anyio.to_thread.run_sync(
                    partial(self._call, connection, use), abandon_on_cancel=True
                )
                return result
        except AgentError as error:
            raise NotDone(error.text) from error
        except (MessagingError, Timeout, TimeoutError) as error:
            raise BrokerGone(f"{self.url}: {str(error) or f'no answer within {patience:g} s'}") from error

    def _call(self, connection: Connection | None, use: Callable[[HaBroker], T]) -> tuple[T, Connection]:
        if connection is None:
            connection = Connection.establish(self.url, **self._settings)
        try:
            ha = BrokerAgent(connection, timeout=self._timeout).getHaBroker()
            if ha is None:
                raise BrokerGone(f"{self.url} is in no cluster")
            return use(ha), connection
        except BaseException:
            _close(connection)
            raise

    def close(self) -> None:
        """Ask nothing more."""
        if self._connection is not None:
            _close(self._connection)
            self._connection = None


def _close(connection: Connection) -> None:
    try:
        connection.close(1)
    except (MessagingError, Timeout):
        return  # it is gone already


def _standing(ha: HaBroker) -> Standing:
    return Standing(
        broker=str(ha.systemId), status=str(ha.status), epoch=int(str(ha.epoch).partition(":")[0]), index=int(ha.index)
    )
