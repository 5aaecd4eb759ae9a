"""Three hosts under Pacemaker, and a link that is taken down: who serves, and what applications see of it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from interop.conftest import require
from interop.managers.applications import Application, Traffic, wait_until
from interop.managers.hosts import Hosts, require_namespaces, running_hosts
from interop.managers.pacemaker import PRIVATE, VIRTUAL_IP, PacemakerCluster, require_pacemaker

pytestmark = pytest.mark.timeout(400)

# One address, which whoever is the primary has: the members learn of one another from the primary.
OPTIONS = f"""auth=no
interface=0.0.0.0
ha-cluster=yes
ha-brokers-url={VIRTUAL_IP}
ha-min-replicas=1
link-heartbeat-interval=1
link-maintenance-interval=0.5
log-enable=info+
"""


@pytest.fixture
def hosts() -> Iterator[Hosts]:
    require(require_namespaces)
    require(require_pacemaker)
    with running_hosts(PRIVATE) as hosts:
        yield hosts


def test_the_primary_is_cut_off_and_comes_back(hosts: Hosts, tmp_path: Path) -> None:
    cluster = PacemakerCluster(hosts, tmp_path, OPTIONS)
    cluster.configure()
    first = cluster.wait_for_primary(cluster.members)
    cluster.wait_for_backups(2)

    clients = hosts.add("clients")
    shown = clients.run("qpid-ha", "status", "--all", "-b", VIRTUAL_IP).splitlines()
    states = {host.address: "active" if host is first else "ready" for host in cluster.members}
    assert sorted(shown) == sorted(f"{address}:5672 {status}" for address, status in states.items())

    traffic = [
        Traffic(clients, "address", [VIRTUAL_IP], tmp_path),
        Traffic(clients, "list", [host.address for host in cluster.members], tmp_path),
    ]
    for each in traffic:
        each.go_on()
    # One that the primary takes with it: it knows no other broker.
    lonely = Application(first, "send", "lonely", ["127.0.0.1"], tmp_path)
    lonely.go_on()

    hosts.unplug(first)
    acknowledged = len(lonely.numbers())
    others = [host for host in cluster.members if host is not first]
    second = cluster.wait_for_primary(others)
    for each in traffic:
        each.go_on()
    # Without a quorum its broker is demoted, and goes on as one that would follow.
    wait_until(lambda: cluster.status(first) == "joining", cluster.logs)
    assert len(lonely.numbers()) <= acknowledged + 1, "what it takes alone is not acknowledged"
    assert VIRTUAL_IP not in first.run("ip", "address"), "nor does it keep the address"

    hosts.plug(first)
    wait_until(lambda: cluster.status(first) == "ready", cluster.logs)
    assert cluster.wait_for_primary(cluster.members) is second, "it changes nothing that it is back"
    for each in traffic:
        each.go_on()

    # A host that goes for maintenance hands its reign on; not to those that are refused, who go on as backups.
    others = [host for host in cluster.members if host is not second]
    lives = [cluster.broker_log(host).count("listening on") for host in others]
    for host in others:
        host.write("/run/refuse", "")
    second.run("crm_attribute", "--node", second.name, "--name", "standby", "--update", "on")
    wait_until(lambda: all(map(cluster.refused, others)), cluster.logs)
    others[0].run("rm", "/run/refuse")
    assert cluster.wait_for_primary(others) is others[0]
    for each in traffic:
        each.go_on()
    assert "stepping down as the primary" in cluster.broker_log(second)
    assert "before backups confirmed" not in cluster.broker_log(second)
    assert [cluster.broker_log(host).count("listening on") for host in others] == lives
    for each in traffic:
        each.finish()
