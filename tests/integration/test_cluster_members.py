"""Who is in a cluster, what is told of it, and who comes in, on real processes."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import pytest

from qpid_messaging import Connection, Message, MessagingError
from qpid_messaging.management import EventReceiver
from qpid_server.security.users import UsersFile
from tests.integration.cluster import BrokerProcess, ClusterOfProcesses, free_ports, wait_until

pytestmark = pytest.mark.timeout(120)

HEARTBEAT = ("--link-heartbeat-interval", "1", "--link-maintenance-interval", "0.2")
READY, RECOVERING, ACTIVE = 2, 3, 4


def statuses(members: list[dict[str, Any]]) -> dict[int, int]:
    """Ports and statuses, as events and the exchange amq.failover have them."""
    return {member["port"]: member["status"] for member in members}


class Heard:
    """What one member tells of the others: over QMF, and to clients at amq.failover."""

    def __init__(self, member: BrokerProcess) -> None:
        self.connection = member.admin()
        self.events = EventReceiver(self.connection, event="membersUpdate")
        self.news = self.connection.session().receiver("amq.failover; {link: {x-declare: {auto-delete: True}}}")

    def until(self, expected: dict[int, int]) -> list[dict[int, int]]:
        """Everything that was told by event until it is this."""
        told = [statuses(self.events.fetch(timeout=30).members)]
        while told[-1] != expected:
            told.append(statuses(self.events.fetch(timeout=30).members))
        return told

    def news_until(self, expected: dict[int, int]) -> Message:
        """The news at amq.failover that has these members."""
        while True:
            message = self.news.fetch(timeout=30)
            if statuses(message.properties["qpid.ha-members"]) == expected:
                return message

    def close(self) -> None:
        self.connection.close(5)


def test_what_is_told_of_the_members() -> None:
    with ClusterOfProcesses(options=HEARTBEAT) as cluster:
        first, second, third = (member.port for member in cluster.members)
        heard = Heard(cluster[0])
        cluster.promote(0)
        everybody = {first: ACTIVE, second: READY, third: READY}
        heard.until(everybody)
        urls = "amqp:" + ",".join(f"tcp:{url}" for url in cluster.urls)
        assert heard.news_until(everybody).properties["amq.failover"] == [urls]
        # A backup turns clients away at once, and has the same to tell to who may come in.
        started = time.monotonic()
        with pytest.raises(MessagingError):
            Connection.establish(cluster[1].url, timeout=20)
        assert time.monotonic() - started < 5
        backup = Heard(cluster[1])
        assert statuses(backup.news.fetch(timeout=10).properties["qpid.ha-members"])[first] == ACTIVE
        # Set at run time, and told.
        cluster[0]._ha(lambda ha: ha.setPublicUrl("amqp:gate:1000"))
        wait_until(
            lambda: heard.news.fetch(timeout=30).properties["amq.failover"] == ["amqp:tcp:gate:1000"], "it is told"
        )
        # One goes, and comes back.
        cluster[2].kill()
        heard.until({first: ACTIVE, second: READY})
        cluster[2].start()
        heard.until(everybody)
        # The primary goes: the next one recovers while the other backup is expected back, then it is active.
        heard.close()
        cluster[0].kill()
        cluster.promote(1)
        told = [members.get(second) for members in backup.until({second: ACTIVE, third: READY})]
        assert RECOVERING in told
        assert told.index(RECOVERING) < told.index(ACTIVE)
        backup.close()


class Guarded(BrokerProcess):
    """A member that asks for passwords."""

    def admin(self) -> Connection:
        return Connection.establish(
            f"ha/secret@{self.url}", client_properties={"qpid.ha-admin": 1}, sasl_mechanisms="SCRAM-SHA-256", timeout=5
        )


def test_who_comes_in(tmp_path: Path) -> None:
    users = tmp_path / "users"
    UsersFile(users).add("ha", "secret")
    UsersFile(users).add("ann", "password")
    ports = free_ports(3)
    url = ",".join(f"127.0.0.1:{port}" for port in ports)
    options = ["--ha-cluster", "yes", "--ha-brokers-url", url, *HEARTBEAT, "--ha-replicate", "all", "--auth", "yes"]
    options += ["--users-file", str(users), "--ha-username", "ha", "--ha-mechanism", "SCRAM-SHA-256"]
    passwords = ("secret", "secret", "wrong")
    members = [
        Guarded(name, port, tmp_path, [*options, "--ha-password", password])
        for name, port, password in zip("ABC", ports, passwords, strict=True)
    ]
    first, second, third = members
    try:
        for member in members:
            member.wait_for("joining")
        first.promote()
        second.wait_for("ready")
        wait_until(lambda: f"not let in by a member: {first.url}: " in third.log, lambda: third.log)
        assert "Authentication failed" in third.log
        assert "authentication failed: SCRAM: 'ha': no such user, or a wrong password" in first.log
        assert third.status() == "joining"
        # Clients have names of their own; what one sends is replicated.
        with pytest.raises(MessagingError, match="Anonymous connections disabled"):
            Connection.establish(first.url)
        client = Connection.establish(f"ann/password@{first.url}")
        client.session().sender("q; {create: always}").send("kept")
        client.close()
        # Who is no member does not become one by saying so.
        with pytest.raises(MessagingError):
            Connection.establish(f"ann/wrong@{second.url}", client_properties={"qpid.ha-peer": 1})
        third.kill()
        third.start("--ha-password", "secret")
        third.wait_for("ready")
        first.kill()
        second.promote()
        client = Connection.establish(f"ann/password@{second.url}")
        assert client.session().receiver("q").fetch(timeout=10).content == "kept"
        client.close()
    finally:
        for member in members:
            member.end()
