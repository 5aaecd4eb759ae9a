"""How long an application waits for a send when its primary dies or stops, on three real brokers.

`make bench ARGS="-k fail_over"`. A round is the time from the signal until the next send completes; a backup is
promoted at once, as by a manager who watches the process. The fallen broker is back in step before the next round.
"""

from __future__ import annotations

import os
import signal
import statistics
import threading
from collections.abc import Iterator
from typing import Any

import pytest

from qpid_messaging import Sender
from tests.integration.cluster import ClusterOfProcesses

ALL = "{create: always, node: {x-declare: {arguments: {'qpid.replicate': all}}}}"
SAFE = ("--ha-min-replicas", "1", "--link-heartbeat-interval", "1", "--link-maintenance-interval", "0.5")
KILLED, STOPPED = 0.3, 2.5
"""Seconds that an application waits at most, by the median: after SIGKILL, and after SIGSTOP with heartbeat=1."""


class Falling:
    """A cluster whose primary falls, again and again, under a client that sends.

    Args:
        cluster: three members.
        heartbeat: the client's, in seconds.
    """

    def __init__(self, cluster: ClusterOfProcesses, heartbeat: float) -> None:
        self._cluster = cluster
        self._connection = cluster.connect(heartbeat=heartbeat, reconnect_log=False)
        self._sender: Sender = self._connection.session().sender(f"q; {ALL}")
        self._primary = 0
        self._fallen: int | None = None

    def prepare(self) -> None:
        """All are in step, and the client sends."""
        if self._fallen is not None:
            member, self._fallen = self._cluster[self._fallen], None
            if member.process.poll() is None:
                member.resume()
            else:
                member.start()
        self._cluster.wait_for_backups()
        for _ in range(20):
            self._sender.send("x")

    def fall(self, number: int) -> None:
        """The primary falls, and meanwhile the client sends: returns when that is done."""
        self._fallen = self._primary
        manager = threading.Thread(target=self._promote)
        if number == signal.SIGSTOP:
            self._cluster[self._primary].stop()
        else:
            self._cluster[self._primary].kill()
        manager.start()
        self._sender.send("x")
        manager.join()

    def _promote(self) -> None:
        self._primary = self._cluster.promote_best((self._primary + 1) % 3)


@pytest.fixture
def cluster() -> Iterator[ClusterOfProcesses]:
    with ClusterOfProcesses(options=SAFE) as cluster:
        cluster.ready()
        yield cluster


@pytest.mark.timeout(600)
@pytest.mark.parametrize(
    ("number", "bound", "rounds"), [(signal.SIGKILL, KILLED, 20), (signal.SIGSTOP, STOPPED, 10)], ids=["kill", "stop"]
)
def test_fail_over(benchmark: Any, cluster: ClusterOfProcesses, number: int, bound: float, rounds: int) -> None:
    falling = Falling(cluster, heartbeat=1 if number == signal.SIGSTOP else 5)
    benchmark.pedantic(falling.fall, args=(number,), setup=falling.prepare, rounds=rounds, iterations=1)
    gaps = benchmark.stats.stats.data
    benchmark.extra_info["load"] = os.getloadavg()[0]
    assert statistics.median(gaps) <= bound
