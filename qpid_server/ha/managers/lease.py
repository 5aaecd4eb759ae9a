"""A lease at etcd that is renewed for as long as that is possible."""

from __future__ import annotations

import logging
import math

import anyio

from .etcd import Etcd, EtcdError

__all__ = ["Lease"]

_log = logging.getLogger("qpid_server.ha.managers")


class Lease:
    """Somebody's word that he is there. It is good until shortly before etcd would let it go, and not longer.

    Args:
        etcd: where it is.
        ttl: seconds that etcd keeps it without a renewal.

    Attributes:
        id: the lease; None while there is none.
    """

    def __init__(self, etcd: Etcd, ttl: int) -> None:
        self.id: str | None = None
        self._etcd = etcd
        self._ttl = ttl
        self._until = -math.inf
        self._reliance: anyio.CancelScope | None = None
        self._complained = False

    @property
    def good(self) -> bool:
        """Whether it may be relied on now."""
        return self.id is not None and anyio.current_time() < self._until

    def reliance(self) -> anyio.CancelScope:
        """A scope for what may be done only under the lease: cancelled when that is not good any more.

        A third of the lease's time is left then, to undo what was done under it before somebody else has it.
        """
        self._reliance = anyio.CancelScope(deadline=self._until)
        return self._reliance

    async def keep(self) -> None:
        """Get it and renew it, until cancelled."""
        while True:
            try:
                await self._renew()
                self._complained = False
            except EtcdError as error:
                if not self._complained:
                    _log.warning("no lease: %s", error)
                self._complained = True
            await anyio.sleep(self._ttl / 6)

    async def _renew(self) -> None:
        # etcd counts from when it hears of it, which is later.
        asked = anyio.current_time()
        if self.id is None:
            self.id, seconds = await self._etcd.grant(self._ttl)
        else:
            seconds = await self._etcd.keep_alive(self.id)
        if seconds <= 0:
            _log.warning("the lease has run out")
            self.id, self._until = None, -math.inf
        else:
            self._until = asked + seconds * 2 / 3
        if self._reliance is not None:
            self._reliance.deadline = self._until

    async def end(self) -> None:
        """Let it go at once, so that nobody waits for it."""
        if self.id is not None:
            try:
                await self._etcd.revoke(self.id)
            except EtcdError as error:
                _log.debug("the lease ends by itself: %s", error)
            self.id, self._until = None, -math.inf
