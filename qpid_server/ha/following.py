"""A member that is not the primary: how it finds the primary and follows its log."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

import anyio
import anyio.lowlevel

from .link import LinkError
from .records import ReplicationError
from .replica import Refusal, Replica
from .survey import ANSWER_TIME, ask_status, dial, link_heartbeat, survey

if TYPE_CHECKING:
    from .cluster import Cluster
    from .link import PeerLink

_log = logging.getLogger("qpid_server.ha")


async def follow_primary(cluster: Cluster) -> None:
    """Find the primary and follow it; returns when there is none, or when the link to it is gone."""
    hint, cluster.hint = cluster.hint, None
    if hint is not None and await _follow_at(cluster, hint):
        return
    async with survey(cluster) as answers:
        pass
    primaries = [status for _, status in answers if status.primary]
    if primaries:
        await _follow_at(cluster, max(primaries, key=lambda status: status.epoch).address)


async def _follow_at(cluster: Cluster, address: str) -> bool:
    """Follow the broker at that address. Returns False if it is no primary."""
    link: PeerLink | None = None
    try:
        with anyio.fail_after(2 * ANSWER_TIME):
            link = await dial(cluster, address)
            status = await ask_status(link)
        if not cluster.met(status, link.local_host) or not status.primary:
            return False
        await _follow(cluster, link)
    except TimeoutError:
        _log.warning("cannot follow %s: it is silent", address)
    except (LinkError, ReplicationError, Refusal) as error:
        _log.warning("cannot follow %s: %s", address, error)
    finally:
        if link is not None:
            await link.aclose()
    return link is not None


async def _follow(cluster: Cluster, link: PeerLink) -> None:
    """Join the primary at the other end and follow it until the link breaks."""
    replica = Replica(cluster.broker, cluster.log, cluster)
    link.send(
        replica.request(
            cluster.promises.broker_id,
            cluster.membership.address_on(link.local_host),
            cluster.member_status().position,
            cluster.promises.promised,
            asynchronous=cluster.options.ha_async,
        )
    )
    await link.flush()
    heartbeat = link_heartbeat(cluster)
    heartbeats = cluster.start_soon(link.heartbeats, heartbeat)
    try:
        while True:
            batch = await link.receive(2 * heartbeat)
            replica.take(batch)
            with anyio.CancelScope(shield=True):
                while replica.catch_up():
                    await anyio.lowlevel.checkpoint()
            cluster.broker.settle()
            confirmation = replica.confirmation()
            if confirmation is not None:
                link.send(confirmation)
            await link.flush()
    finally:
        heartbeats.cancel()
        cluster.left_by_primary()
