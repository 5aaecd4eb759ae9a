"""Options of a cluster on real processes: rules by name, and a member that follows without being waited for."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from qpid_messaging.management import AgentError
from tests.integration.cluster import BrokerProcess, ClusterOfProcesses, free_ports, wait_until


def qpid_ha(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "qpid_server.tools.qpid_ha", *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)


def test_rules_by_name_and_an_asynchronous_member() -> None:
    options = ("--ha-replicate-rule", "queue:orders.*=all", "--link-maintenance-interval", "0.1")
    with ClusterOfProcesses(options=options) as cluster:
        near, far = cluster[1], cluster[2]
        far.kill()
        far.start("--ha-async", "yes")
        cluster.promote(0)
        near.wait_for("ready")
        far.wait_for("catchup")
        sender = cluster.connect().session().sender("orders.1; {create: always}")
        for number in range(10):
            sender.send(str(number))
        wait_until(lambda: far.index() == near.index(), "the asynchronous member holds it all")
        done = qpid_ha("set", "--all", "--replicate-rule", "other=all", "--replicate-rule", "*=none", "-b", near.url)
        assert (done.returncode, done.stderr) == (0, "")
        assert done.stdout == "".join(f"{url} set\n" for url in cluster.urls)
        assert "Replicate rules:     other=all *=none\n" in qpid_ha("query", "-b", far.url).stdout
        assert qpid_ha("set", "--replicate-rule", "other=most", "-b", near.url).returncode == 1

        with pytest.raises(AgentError, match="ha-async"):
            far.promote()
        cluster[0].kill()
        near.promote()
        near.kill()
        far.promote(force=True)
        receiver = cluster.connect().session().receiver("orders.1")
        assert [receiver.fetch(timeout=10).content for _ in range(10)] == [str(number) for number in range(10)]


def qpid_config(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "qpid_server.tools.qpid_config", *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)


def test_spellings_of_the_preview_and_what_is_set_at_run_time(tmp_path: Path) -> None:
    ports = free_ports(2)
    first, second = (f"127.0.0.1:{port}" for port in ports)
    common = ["--ha-cluster", "yes", "--ha-replicate", "configuration", "--link-maintenance-interval", "0.2"]
    preview = ["--ha-brokers", f"amqp:{first},rdma:nowhere", "--ha-public-brokers", "amqp:gate:1000"]
    # The second one looks for the cluster where it is not.
    astray = ["--ha-brokers-url", f"127.0.0.1:{free_ports(1)[0]}"]
    primary = BrokerProcess("A", ports[0], tmp_path, [*common, *preview])
    backup = BrokerProcess("B", ports[1], tmp_path, [*common, *astray])
    try:
        primary.wait_for("joining")
        primary.promote()
        assert "rdma is not supported: its addresses in" in primary.log
        shown = qpid_ha("query", "-b", first).stdout
        assert f"Brokers URL:         amqp:{first},rdma:nowhere\n" in shown
        assert "Public URL:          amqp:gate:1000\n" in shown
        backup.wait_for("joining")
        assert qpid_ha("set", "--brokers-url", f"{first},{second}", "-b", second).returncode == 0
        backup.wait_for("ready")
        # Where no public URL is given, it is the brokers' one.
        assert f"Public URL:          {first},{second}\n" in qpid_ha("query", "-b", second).stdout
        for name, *level in (("default",), ("whole", "--replicate", "all"), ("own", "--replicate", "none")):
            assert qpid_config("add", "queue", name, *level, "-b", first).returncode == 0
        wrong = qpid_config("add", "queue", "wrong", "--replicate", "some", "-b", first)
        assert (wrong.returncode, "Invalid replication level" in wrong.stdout) == (1, True)
        wrong = qpid_config("add", "queue", "wrong", "--argument", "qpid.replicate=some", "-b", first)
        assert (wrong.returncode, "replication level" in wrong.stdout) == (1, True)
        names = qpid_config("queues", "-r", "--ha-admin", "-b", second).stdout
        assert ("default" in names, "whole" in names, "own" in names, "wrong" in names) == (True, True, False, False)
    finally:
        primary.end()
        backup.end()
