"""A member that is, or is to be, the primary: promotion, and looking after the others."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

import anyio

from .link import LinkError, PeerLink
from .promotion import (
    READY,
    Candidacy,
    MemberStatus,
    Refused,
    check_candidate,
    check_promises,
    next_epoch,
)
from .records import Record, ReplicationError, pack_map, unpack_map
from .survey import ANSWER_TIME, Answers, one_record, status_of, survey

if TYPE_CHECKING:
    from .cluster import Cluster
    from .epoch import Epoch

_log = logging.getLogger("qpid_server.ha")


async def promote(cluster: Cluster, *, force: bool) -> None:
    """Make this broker the primary; one that is gets a new epoch.

    Raises:
        Refused: it may not become one; the text names the one that should.
    """
    before = dict(cluster.membership.peers)
    try:
        async with survey(cluster) as answers:
            await _promote(cluster, answers, before, force=force)
    finally:
        if not cluster.log.primary:
            cluster.look_for_primary()


async def _promote(cluster: Cluster, answers: Answers, before: dict[str, dict[str, str]], *, force: bool) -> None:
    others = [status for _, status in answers]
    check_candidate(cluster.member_status(), others, force=force)
    epoch = next_epoch(cluster.member_status(), others)
    promised: list[MemberStatus] = []
    # A primary that lives may refuse: then nobody else must have promised anything.
    for reigning in (True, False):
        asked = [(link, status) for link, status in answers if status.primary is reigning]
        promised += await _ask_promises(cluster, asked, epoch, force=force)
        if reigning and not cluster.promises.promise(epoch):
            raise Refused(f"this broker promised {cluster.promises.promised} meanwhile")
        if not cluster.log.primary:
            cluster.look_for_primary()
    own = cluster.member_status()
    # Meanwhile this broker may have begun to catch up, and who promised may be further than when they were first asked.
    check_candidate(own, promised, force=force, promised=True)
    members = cluster.membership.counted(id for status in promised for id in status.knows)
    legitimate = check_promises([own, *promised], members, cluster.log.min_replicas, force=force)
    if cluster.promises.promised != epoch:
        raise Refused(f"this broker promised {cluster.promises.promised} meanwhile")
    answering = {status.broker for status in others}
    expected = {
        id
        for id, member in before.items()
        if member["status"] == READY and id in answering and id != cluster.promises.broker_id
    }
    expected |= {status.broker for status in others if status.status == READY}
    cluster.become_primary(epoch, legitimate=legitimate, expected=expected)
    await announce(cluster, answers)


async def _ask_promises(cluster: Cluster, asked: Answers, epoch: Epoch, *, force: bool) -> list[MemberStatus]:
    position = cluster.member_status().position
    promised: list[MemberStatus] = []
    refusals: list[str] = []

    async def ask(link: PeerLink) -> None:
        candidacy = Candidacy(epoch, position, cluster.membership.address_on(link.local_host), force)
        try:
            batch = await link.request(pack_map(Record.PROMISE, candidacy.to_map()))
            kind, payload = one_record(batch)
            if kind == Record.REFUSED:
                refusals.append(str(unpack_map(payload).get("text", "")))
            else:
                promised.append(status_of(link, batch))
        except (LinkError, ReplicationError) as error:
            _log.debug("no promise: %s", error)

    with anyio.move_on_after(ANSWER_TIME):
        async with anyio.create_task_group() as tasks:
            for link, _ in asked:
                tasks.start_soon(ask, link)
    if refusals and not force:
        raise Refused("; ".join(refusals))
    return promised


async def announce(cluster: Cluster, answers: Answers) -> None:
    """Tell members that this broker reigns, so that they need not look for it."""
    for link, status in answers:
        if status.broker not in cluster.log.followers:
            address = cluster.membership.address_on(link.local_host)
            link.send(pack_map(Record.ACTIVE, {"address": address, "epoch": list(cluster.epoch)}))
            try:
                await link.flush()
            except LinkError as error:
                _log.debug("cannot announce: %s", error)


async def reign(cluster: Cluster) -> None:
    """Look after the other members for as long as this broker is the primary."""
    while cluster.log.primary:
        await anyio.sleep(cluster.options.link_maintenance_interval)
        await _look_after(cluster)


async def _look_after(cluster: Cluster) -> bool:
    """Ask after all members. Returns whether this broker still reigns, and nobody promised to follow another one."""
    async with survey(cluster) as answers:
        others = [status for _, status in answers]
        if cluster.deposed_by(others) or not cluster.log.primary:
            return False
        await announce(cluster, answers)
    return all(status.promised <= cluster.epoch for status in others)


async def check_alone(cluster: Cluster) -> None:
    """The last backup is gone: go on alone once every member answered, or had the time to, and none deposed us.

    Where one has promised a later epoch, its primary may be about to reign. Should that come to nothing, the member
    asks to follow this broker again, which then reigns anew above what was promised.
    """
    while not await _look_after(cluster):
        if not cluster.log.primary:
            return
        await anyio.sleep(cluster.options.link_maintenance_interval)
    cluster.log.release("alone")
    cluster.broker.settle()
