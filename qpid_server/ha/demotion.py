"""A primary that is to be one no more, and has the time to end its reign in order: demoted, or asked by its successor.

It carries out nothing more that clients say and waits until the backups hold all that was: then everything it took is
acknowledged, and no backup is behind it when one of them is promoted next. What clients said meanwhile they will say
again, to that one.
"""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

import anyio

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from .cluster import Cluster


HAND_OVER_PATIENCE = 0.5
"""Seconds that clients are held for a successor to catch up: less than it waits for the answer."""


async def demote(cluster: Cluster, patience: float) -> None:
    """Step down, and wait for a primary to follow.

    Args:
        cluster: this member; where it is not the primary, nothing happens.
        patience: seconds that backups may take to confirm what they were sent. One that was cut off from them, as a
            primary that lost its lease may be, has no reason to wait.
    """
    if not cluster.log.primary:
        return
    with clients_held(cluster) as waiting:
        in_order = await _confirmed(cluster, waiting, patience)
        # Whatever deposed it meanwhile came to the same.
        if cluster.log.primary:
            cluster.step_down("demoted" if in_order else "demoted before backups confirmed all that they were sent")


async def hand_over(cluster: Cluster, answer: Callable[[], None]) -> None:
    """A backup in step is being promoted: let it catch up before it is answered, so that it need not be refused.

    Args:
        cluster: this member, the primary.
        answer: gives the promise, with which this broker steps down, or refuses it; then clients go on.
    """
    with clients_held(cluster) as waiting:
        await _confirmed(cluster, waiting, HAND_OVER_PATIENCE)
        answer()
    cluster.broker.settle()


@contextmanager
def clients_held(cluster: Cluster) -> Iterator[anyio.CancelScope]:
    """Carry out nothing that clients say while the block runs, and let no others in; answers still go to them.

    Several blocks may run at once, as when a manager loses its lease while an operator's demotion waits: clients go on
    after the last of them.

    Yields:
        A scope to wait in: it is cancelled when the reign ends for another reason.
    """
    waiting = anyio.CancelScope()
    if not cluster.handing_over:
        for connection in cluster.clients():
            connection.hold()
    cluster.handing_over.append(waiting)
    try:
        yield waiting
    finally:
        cluster.handing_over.remove(waiting)
        if not cluster.handing_over:
            for connection in cluster.clients():
                connection.release()


async def _confirmed(cluster: Cluster, waiting: anyio.CancelScope, patience: float) -> bool:
    """Wait until the log is confirmed to its end, which is so where every backup in step holds it. Returns whether."""
    log = cluster.log
    waiting.deadline = anyio.current_time() + patience
    with waiting:
        # Timers may add to it meanwhile: messages expire.
        while log.primary and log.confirmed < log.last.index:
            confirmed = anyio.Event()
            log.when_confirmed(confirmed.set)
            await confirmed.wait()
    return log.confirmed >= log.last.index
