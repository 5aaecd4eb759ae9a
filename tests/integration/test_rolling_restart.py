"""All brokers of a cluster are restarted, one after the other, and applications that use it do not notice.

The steps are those of an operator: each backup is restarted, and waited for until it is ready again; then one of them
is promoted, to which the primary hands over in order; then the old primary is restarted, too.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import pairwise

import pytest

from tests.integration.cluster import BrokerProcess, ClusterOfProcesses
from tests.integration.test_cluster import SAFE, Sending, drained, numbers
from tests.integration.test_demotion import Receiving

GAP = 0.5
"""Seconds that an application may have to wait for a send, on a machine with time for it."""
TURNS = 3
"""Processes that each need a turn for a send to complete: the client, the primary, a backup."""

pytestmark = pytest.mark.timeout(120)


@contextmanager
def stalls() -> Iterator[list[float]]:
    """For how many seconds at a time this machine had no turn for us, while the block runs."""
    found = [0.0]
    over = threading.Event()

    def watch() -> None:
        before = time.monotonic()
        while not over.wait(0.005):
            now = time.monotonic()
            found.append(now - before)
            before = now

    thread = threading.Thread(target=watch)
    thread.start()
    try:
        yield found
    finally:
        over.set()
        thread.join()


def restart(member: BrokerProcess, cluster: ClusterOfProcesses) -> None:
    """Until all are ready again."""
    assert member.terminate() == 0
    member.start()
    cluster.wait_for_backups()


def test_all_are_restarted_one_after_the_other() -> None:
    with ClusterOfProcesses(options=SAFE) as cluster:
        cluster.ready()
        sending = [Sending(cluster, "s", sync=True), *(Sending(cluster, queue, pause=0.005) for queue in "ar")]
        for each in sending:
            each.reach(50)
        receiving = Receiving(cluster, sending[2].address)
        with stalls() as stalled:
            restart(cluster[1], cluster)
            restart(cluster[2], cluster)
            cluster.promote(1)  # under load, and it is not refused
            restart(cluster[0], cluster)
            for each in sending:
                each.go_on(50)
        counts = [each.finish() for each in sending]
        assert receiving.finish() == numbers(counts[2])
        for queue, count in zip("sa", counts, strict=False):
            assert drained(cluster, queue) == numbers(count), "none lost, none doubled, in order"
        gap = max(later - moment for moment, later in pairwise(sending[0].moments))
        assert gap < GAP + TURNS * max(stalled), cluster.logs()
        assert [member.status() for member in cluster.members] == ["ready", "active", "ready"]
        assert "Traceback" not in cluster.logs()
