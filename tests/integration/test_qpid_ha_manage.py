"""`qpid-ha manage` without a quorum: it promotes the best of the brokers on one machine whenever none is primary."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from qpid_messaging.exceptions import MessagingError, Timeout
from tests.integration.cluster import PATIENCE, ROOT, ClusterOfProcesses, wait_until
from tests.integration.test_cluster import SAFE, Sending, drained, numbers

pytestmark = pytest.mark.timeout(150)


def has_primary(cluster: ClusterOfProcesses) -> bool:
    try:
        return any(member.status() in ("recovering", "active") for member in cluster.members)
    except (MessagingError, Timeout):
        return False


def test_the_best_is_promoted_whenever_there_is_no_primary(tmp_path: Path) -> None:
    log = tmp_path / "log"
    with ClusterOfProcesses(options=SAFE) as cluster, log.open("wb") as output:
        command = [sys.executable, "-m", "qpid_server.tools.qpid_ha", "manage", "-b", cluster[0].url]
        environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT), str(ROOT / "address")])}
        manager = subprocess.Popen(command, env=environment, stdout=output, stderr=output)
        try:
            wait_until(lambda: has_primary(cluster), log.read_text)
            cluster.wait_for_backups()
            sending = Sending(cluster, pause=0.01)
            sending.reach(50)
            for _ in range(2):
                dead = cluster.primary()
                cluster[dead].kill()
                sending.go_on()
                cluster[dead].start()
                cluster.wait_for_backups()
            # One that is demoted holds no less than the others: any of them will do.
            cluster[cluster.primary()].demote()
            sending.go_on()
            count = sending.finish()
            assert drained(cluster) == numbers(count)
            manager.terminate()
            assert manager.wait(PATIENCE) == 0
            assert "without a quorum" in log.read_text()
            assert "Traceback" not in log.read_text()
            assert has_primary(cluster), "it outlives its manager"
        finally:
            manager.kill()
            manager.wait()
