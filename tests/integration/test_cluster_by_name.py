"""A cluster set up as the README says, with names where members call themselves by numbers."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from qpid_messaging import Connection

ROOT = Path(__file__).resolve().parents[2]
ENVIRONMENT = {**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT), str(ROOT / "address")])}
ADDRESS = "q; {create: always, node: {x-declare: {arguments: {'qpid.replicate': all}}}}"

pytestmark = pytest.mark.timeout(120)


def qpid_ha(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "qpid_server.tools.qpid_ha", *arguments]
    return subprocess.run(command, env=ENVIRONMENT, capture_output=True, text=True, timeout=30, check=False)


def wait_for(broker: str, status: str) -> None:
    deadline = time.monotonic() + 30
    while qpid_ha("status", "--expect", status, "-b", broker).returncode:
        assert time.monotonic() < deadline, f"{broker} is not {status}"


@pytest.fixture
def members(tmp_path: Path) -> Iterator[dict[str, subprocess.Popen[bytes]]]:
    """Three brokers by their addresses."""
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(3)]
    ports = [str(listener.getsockname()[1]) for listener in sockets]
    for listener in sockets:
        listener.close()
    url = "amqp:" + ",".join(f"localhost:{port}" for port in ports)
    common = ["--auth", "no", "--ha-cluster", "yes", "--ha-brokers-url", url, "--ha-min-replicas", "1"]
    processes = {}
    try:
        for port in ports:
            command = [sys.executable, "-m", "qpid_server", "--port", port, "--data-dir", str(tmp_path / port), *common]
            processes[f"localhost:{port}"] = subprocess.Popen(
                command, env=ENVIRONMENT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
            )
        for broker in processes:
            wait_for(broker, "joining")
        yield processes
    finally:
        for process in processes.values():
            process.kill()
            process.wait()


def test_a_member_with_two_names_has_one_voice(members: dict[str, subprocess.Popen[bytes]]) -> None:
    first, second, third = members
    assert qpid_ha("promote", "--cluster-manager", "-b", first).returncode == 0
    wait_for(second, "ready")
    wait_for(third, "ready")
    with Connection.establish(third, reconnect=True, reconnect_urls=[second, first]) as connection:
        connection.session().sender(ADDRESS).send("kept")
    members[first].kill()
    members[first].wait()
    promoted = qpid_ha("promote", "--cluster-manager", "-b", second)
    if promoted.returncode and f"promote 127.0.0.1:{third.partition(':')[2]} instead" in promoted.stdout:
        # One backup had confirmed the message, and it was not this one.
        second, third = third, second
        promoted = qpid_ha("promote", "--cluster-manager", "-b", second)
    assert promoted.returncode == 0, promoted.stdout + promoted.stderr
    with Connection.establish(third, reconnect=True, reconnect_urls=[second, first]) as connection:
        session = connection.session()
        assert session.receiver("q").fetch(timeout=10).content == "kept"
        session.acknowledge()
    # Alone, it asks nobody else: with one voice of three it must not become primary, whatever its names.
    members[second].kill()
    members[second].wait()
    assert qpid_ha("promote", "--cluster-manager", "-b", third).returncode != 0
