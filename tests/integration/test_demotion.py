"""A primary that is demoted steps down in order: everything it took is acknowledged, and no backup is behind."""

from __future__ import annotations

import threading

import pytest

from qpid_messaging import Empty
from qpid_messaging.management import AgentError
from tests.integration.cluster import ClusterOfProcesses, wait_until
from tests.integration.test_cluster import SAFE, Sending, drained, numbers

pytestmark = pytest.mark.timeout(120)


class Receiving(threading.Thread):
    """An application that takes what comes until there was nothing for a while after it was told to stop."""

    def __init__(self, cluster: ClusterOfProcesses, address: str) -> None:
        super().__init__(daemon=True)
        self.session = cluster.connect().session()
        self.receiver = self.session.receiver(address, capacity=50)
        self.found: list[str] = []
        self.enough = threading.Event()
        self.start()

    def run(self) -> None:
        while True:
            try:
                self.found.append(self.receiver.fetch(timeout=0.3).content)
                self.session.acknowledge(sync=False)
            except Empty:
                if self.enough.is_set():
                    self.session.acknowledge()
                    return

    def finish(self) -> list[str]:
        """All that it acknowledged."""
        self.enough.set()
        self.join(60)
        assert not self.is_alive()
        return self.found


def test_reigns_are_handed_on_under_load() -> None:
    with ClusterOfProcesses(options=SAFE) as cluster:
        cluster.ready()
        sending = [Sending(cluster, "a", pause=0.005), *(Sending(cluster, queue, sync=True) for queue in "sr")]
        for each in sending:
            each.reach(50)
        receiving = Receiving(cluster, sending[2].address)
        primary = 0
        for _ in range(3):
            cluster[primary].demote()
            assert cluster[primary].status() == "joining"
            primary = (primary + 1) % 3
            cluster.promote(primary)  # it is never behind
            for each in sending:
                each.go_on(100)
            cluster.wait_for_backups()
        counts = [each.finish() for each in sending]
        assert receiving.finish() == numbers(counts[2])
        for queue, count in zip("as", counts, strict=False):
            assert drained(cluster, queue) == numbers(count), "none lost, none doubled, in order"
        assert "before backups confirmed" not in cluster.logs()
        assert "needs the difference" not in "".join(member.log.split("demoted")[-1] for member in cluster.members)


def test_a_primary_that_is_cut_off_does_not_wait_for_its_backups() -> None:
    with ClusterOfProcesses(options=SAFE) as cluster:
        cluster.ready()
        sending = Sending(cluster, pause=0.005)
        sending.reach(50)
        cluster[1].stop()
        cluster[2].stop()
        # Within the heartbeats that it takes to notice, it takes something that they never confirm.
        index = cluster[0].index()
        wait_until(lambda: cluster[0].index() > index, sending.say)
        cluster[0].demote(wait=0)
        assert cluster[0].status() == "joining"
        cluster[1].resume()
        cluster[2].resume()
        with pytest.raises(AgentError, match=f"promote {cluster[0].url} instead"):
            cluster.promote(1)
        cluster.promote(0)
        cluster.wait_for_backups()
        sending.go_on()
        count = sending.finish()
        assert drained(cluster) == numbers(count)


def test_one_that_is_no_primary_has_nothing_to_hand_on() -> None:
    with ClusterOfProcesses(2) as cluster:
        cluster[1].demote()
        cluster.ready()
        cluster[1].demote()
        assert [member.status() for member in cluster.members] == ["active", "ready"]
