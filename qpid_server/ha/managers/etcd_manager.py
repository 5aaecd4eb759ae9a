"""A manager beside each broker: who holds the key at etcd has its broker promoted, and demoted when its lease runs out.

    campaigning -> reigning -> campaigning ...

While it campaigns, a manager tells the others how its broker stands, and takes the key if nobody has it and no other
broker stands better. While it reigns, it looks after its broker; it gives the key up when that one is gone, is deposed
or refuses, and demotes it when etcd cannot be reached for two thirds of the lease's time: before anybody else can have
the key.
"""

from __future__ import annotations

import logging
from dataclasses import replace

import anyio

from .etcd import Etcd, EtcdError
from .lease import Lease
from .managed_broker import BrokerGone, ManagedBroker, NotDone
from .standing import Standing, best

__all__ = ["EtcdManager"]

_log = logging.getLogger("qpid_server.ha.managers")

_LAST_WORDS = 5.0
"""Seconds to hand the reign on when the manager is stopped."""


class EtcdManager:
    """Manages one broker of a cluster.

    Args:
        broker: the broker on this host.
        etcd: the members of etcd, an odd number of them, on hosts of their own or on these.
        cluster: name of the brokers' cluster: clusters of other names share the etcd.
        ttl: seconds after which the others may take over from a host that is gone.
        interval: seconds between looks at the broker and at the key.
    """

    def __init__(self, broker: ManagedBroker, etcd: Etcd, *, cluster: str, ttl: int, interval: float) -> None:
        self._broker = broker
        self._etcd = etcd
        self._lease = Lease(etcd, ttl)
        self._ttl = ttl
        self._interval = interval
        self._members = f"/qpid-ha/{cluster}/members/"
        self._key = f"/qpid-ha/{cluster}/primary"
        self._unwilling_until = 0.0
        self._published: str | None = None
        self._said = ""

    async def run(self) -> None:
        """Manage the broker until cancelled; then hand the reign on, if it has it."""
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(self._lease.keep)
            try:
                while True:
                    await self._reign(await self._campaign())
            finally:
                with anyio.move_on_after(_LAST_WORDS, shield=True):
                    await self._demote(wait=None)
                    await self._lease.end()
                self._broker.close()

    # -- campaigning

    async def _campaign(self) -> Standing:
        """Wait until this manager has the key. Returns how its broker stands."""
        while True:
            try:
                standing = await self._own_standing()
                lease = self._lease.id
                if self._lease.good and lease is not None:
                    with self._lease.reliance():
                        if await self._takes_key(standing, lease):
                            return standing
                elif standing.primary:
                    self._say("there is no lease to vouch for the primary here: it is demoted")
                    await self._demote(wait=0)
            except BrokerGone as error:
                self._say(str(error))
                await self._withdraw()
            except EtcdError as error:
                self._say(str(error))
            await anyio.sleep(self._interval)

    async def _own_standing(self) -> Standing:
        standing = await self._broker.standing()
        return replace(standing, willing=anyio.current_time() >= self._unwilling_until)

    async def _publish(self, standing: Standing, lease: str) -> None:
        self._published = self._members + standing.broker
        await self._etcd.put(self._published, standing.to_json(), lease)

    async def _withdraw(self) -> None:
        """The broker is gone: the others are not to wait until it has the key."""
        if self._published is not None:
            try:
                await self._etcd.delete(self._published)
                self._published = None
            except EtcdError as error:
                self._say(str(error))

    async def _takes_key(self, standing: Standing, lease: str) -> bool:
        await self._publish(standing, lease)
        holder = (await self._etcd.below(self._key)).get("")
        if holder not in (None, standing.broker):
            if standing.primary:
                self._say(f"the key is the manager's of broker {holder}: the primary here is demoted")
                await self._demote(wait=None)
            return False
        if best(await self._standings()) == standing.broker:
            return await self._etcd.claim(self._key, standing.broker, lease)
        if holder is not None:
            # It was claimed, and the answer did not come in time.
            await self._etcd.give_up(self._key, standing.broker)
        return False

    async def _standings(self) -> dict[str, Standing]:
        """How all brokers stand; what cannot be read, as one of another version may write it, stands for none."""
        found: dict[str, Standing] = {}
        for name, text in (await self._etcd.below(self._members)).items():
            try:
                found[name] = Standing.from_json(text)
            except ValueError as error:
                self._say(f"of broker {name}: {error}")
        return found

    # -- reigning

    async def _reign(self, standing: Standing) -> None:
        """Have the broker promoted, and look after it until that is over; then it is demoted, and the key free."""
        _log.info("broker %s has the key", standing.broker)
        wait = None
        with self._lease.reliance() as reliance:
            try:
                await self._look_after(standing)
            except NotDone as error:
                _log.warning("the broker is not promoted: %s", error)
                self._unwilling_until = anyio.current_time() + self._ttl
            except BrokerGone as error:
                _log.warning("the broker is gone: %s", error)
        if reliance.cancelled_caught:
            _log.warning("the lease cannot be renewed: the broker is demoted")
            wait = 0.0
        await self._demote(wait=wait)
        try:
            await self._etcd.give_up(self._key, standing.broker)
        except EtcdError as error:
            _log.debug("the key goes with the lease: %s", error)

    async def _look_after(self, standing: Standing) -> None:
        if not standing.primary:
            await self._broker.promote()
            _log.info("the broker is promoted")
        while True:
            await anyio.sleep(self._interval)
            standing = await self._broker.standing()
            if not standing.primary:
                _log.warning("the broker is the primary no more, but %s", standing.status)
                return
            lease = self._lease.id
            if lease is None:
                continue  # its end comes at the same moment as the broker's answer
            try:
                await self._publish(standing, lease)
            except EtcdError as error:
                _log.debug("the others are not told: %s", error)  # the lease says whether that matters

    async def _demote(self, *, wait: float | None) -> None:
        """See to it that the broker is no primary, also one that refuses now since a promotion is under way."""
        while True:
            try:
                await self._broker.demote(wait=wait)
                return
            except BrokerGone as error:
                _log.debug("there is nobody to be demoted: %s", error)
                return
            except NotDone as error:
                _log.warning("the broker is not demoted yet: %s", error)
                await anyio.sleep(self._interval)

    def _say(self, text: str) -> None:
        """Log what is wrong, once."""
        if text != self._said:
            _log.warning("%s", text)
        self._said = text
