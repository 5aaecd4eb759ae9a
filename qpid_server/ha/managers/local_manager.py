"""A manager without a quorum, for brokers that are all on one machine: what does not answer there is dead, not cut off.

Between machines nobody can tell the two apart, and two such managers could promote two brokers.
"""

from __future__ import annotations

import logging
from dataclasses import replace

import anyio

from .managed_broker import BrokerGone, ManagedBroker, NotDone
from .standing import Standing, best

__all__ = ["LocalManager"]

_log = logging.getLogger("qpid_server.ha.managers")

_PATIENCE = 2.0
"""Seconds that a broker that refused is passed over."""


class LocalManager:
    """Manages all brokers of a cluster.

    Args:
        brokers: all of them.
        interval: seconds between looks at them.
    """

    def __init__(self, brokers: list[ManagedBroker], *, interval: float) -> None:
        self._brokers = {broker.url: broker for broker in brokers}
        self._interval = interval
        self._unwilling: dict[str, float] = {}

    async def run(self) -> None:
        """Manage them until cancelled; the primary goes on as one."""
        _log.warning("managing without a quorum: for brokers on one machine only, and nobody else may manage them")
        try:
            while True:
                standings = await self._standings()
                if not any(standing.primary for standing in standings.values()):
                    await self._promote(standings)
                await anyio.sleep(self._interval)
        finally:
            for broker in self._brokers.values():
                broker.close()

    async def _standings(self) -> dict[str, Standing]:
        found: dict[str, Standing] = {}

        async def ask(broker: ManagedBroker) -> None:
            try:
                standing = await broker.standing()
            except BrokerGone as error:
                _log.debug("%s", error)
                return
            now = anyio.current_time()
            found[broker.url] = replace(standing, willing=now >= self._unwilling.get(broker.url, 0))

        async with anyio.create_task_group() as tasks:
            for broker in self._brokers.values():
                tasks.start_soon(ask, broker)
        return found

    async def _promote(self, standings: dict[str, Standing]) -> None:
        candidate = best(standings)
        if candidate is None:
            return
        try:
            await self._brokers[candidate].promote()
            _log.info("%s is promoted", candidate)
        except (NotDone, BrokerGone) as error:
            _log.warning("%s is not promoted: %s", candidate, error)
            self._unwilling[candidate] = anyio.current_time() + _PATIENCE
