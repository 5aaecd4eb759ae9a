"""Asking all other members at once how they stand."""

from __future__ import annotations

import logging
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import anyio
from qpid_address import BrokerURL

from ..broker_urls import RDMA
from .link import PEER_PROPERTY, LinkError, LinkRefused, PeerLink
from .promotion import MemberStatus
from .records import MALFORMED, Record, ReplicationError, pack_record, unpack_map, unpack_records

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from .cluster import Cluster

_log = logging.getLogger("qpid_server.ha")

Answers = list[tuple[PeerLink, MemberStatus]]


def link_heartbeat(cluster: Cluster) -> int:
    """Seconds between heartbeats on the links between members: whole ones, as AMQP 0-10 has them."""
    return max(1, round(cluster.options.link_heartbeat_interval))


async def dial(cluster: Cluster, address: str) -> PeerLink:
    """Open a link to the broker at host:port.

    Raises:
        LinkError: it cannot be opened, or that is no address: other members told it.
    """
    if address.startswith(RDMA):
        raise LinkError(f"{address}: rdma is not supported")
    try:
        (at,) = BrokerURL.parse(address).addresses
    except ValueError as error:
        raise LinkError(f"{address!r} is no address of a broker") from error
    properties = {PEER_PROPERTY: 1, "qpid.ha-admin": 1}
    return await PeerLink.open(
        cluster.network, at.host, at.port_or_default, cluster.credentials, properties, link_heartbeat(cluster)
    )


def one_record(batch: bytes) -> tuple[int, bytes]:
    """The single record of a batch.

    Raises:
        ReplicationError: the batch is another one.
    """
    records = list(unpack_records(batch))
    if len(records) != 1:
        raise ReplicationError("an answer is one record")
    return records[0]


async def ask_status(link: PeerLink) -> MemberStatus:
    """Ask the broker at the other end how it stands.

    Raises:
        LinkError: the link is gone, or its answer makes no sense.
    """
    return status_of(link, await link.request(pack_record(Record.STATUS)))


def status_of(link: PeerLink, batch: bytes) -> MemberStatus:
    """The status in an answer (see `ask_status`)."""
    try:
        _, payload = one_record(batch)
        return MemberStatus.from_map(unpack_map(payload), link.address)
    except (ReplicationError, *MALFORMED) as error:
        raise LinkError(f"{link.address}: answer cannot be understood ({error})") from error


ANSWER_TIME = 1.0
"""Seconds that a member has to say how it stands, or to promise; one that does not is taken for absent."""


@asynccontextmanager
async def survey(cluster: Cluster) -> AsyncIterator[Answers]:
    """Ask every other member; those that do not answer in `ANSWER_TIME` seconds are left out.

    Yields:
        A link and the status for each that answered; the links are open until the block ends.
    """
    answers: Answers = []

    async def ask(address: str) -> None:
        link: PeerLink | None = None
        kept = False
        try:
            link = await dial(cluster, address)
            status = await ask_status(link)
            cluster.membership.admitted_by(address)
            # One that is known by two names answers to both, and has one voice all the same.
            if cluster.met(status, link.local_host) and all(other.broker != status.broker for _, other in answers):
                answers.append((link, status))
                kept = True
        except LinkRefused as error:
            cluster.membership.refused_by(address, str(error))
        except LinkError as error:
            _log.debug("%s", error)
        finally:
            if link is not None and not kept:
                await link.aclose()

    try:
        with anyio.move_on_after(ANSWER_TIME):
            async with anyio.create_task_group() as tasks:
                for address in cluster.membership.addresses_of_others(cluster.hint):
                    tasks.start_soon(ask, address)
        yield answers
    finally:
        for link, _ in answers:
            await link.aclose()
