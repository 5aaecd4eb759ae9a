"""A client that knows nothing of this project loses its primary, twice: while it sends and while it receives."""

from __future__ import annotations

import subprocess
from pathlib import Path

from interop.clients import Client
from tests.integration.cluster import ClusterOfProcesses

PROGRAM = Path(__file__).parent / "programs" / "fail_over.py"
COUNT = 300


def test_the_primary_is_killed(client: Client) -> None:
    with ClusterOfProcesses() as cluster:
        cluster.ready()
        brokers = [member.url for member in cluster.members]
        command = [str(client.python), str(PROGRAM), client.module, str(COUNT), *brokers]
        with subprocess.Popen(
            command, env=client.environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        ) as process:
            assert process.stdout is not None
            assert process.stderr is not None
            sent: list[int] = []
            received: list[int] = []
            for line in process.stdout:
                word, number = line.split()
                (sent if word == "sent" else received).append(int(number))
                if word == "sent" and int(number) == COUNT // 2:
                    cluster[0].kill()
                    cluster.promote(1)
                    cluster[0].start()
                if len(received) == COUNT // 3 and word == "received":
                    cluster.wait_for_backups()
                    cluster[1].kill()
                    cluster.promote(2)
            problems = process.stderr.read()
        assert process.returncode == 0, problems
    everything = list(range(COUNT))
    assert sent == everything
    assert sorted(set(received)) == everything, "lost"
    if client.module == "qpid_messaging":
        assert received == everything, "doubled or out of order"
