"""Single queues that follow queues of other brokers, on real processes, set up with the tools."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

import qpid_server
from qpid_messaging import Connection, ConnectionError, Empty, Message
from qpid_messaging.management import BrokerAgent
from qpid_server import connection as broker_connection
from qpid_server.security.users import UsersFile
from tests.integration.cluster import BrokerProcess, ClusterOfProcesses, free_ports, wait_until
from tests.integration.tool_runner import ToolRunner

pytestmark = pytest.mark.timeout(120)

COPYING = ("--ha-queue-replication", "yes", "--link-maintenance-interval", "0.2", "--link-heartbeat-interval", "1")


Tool = Callable[..., tuple[int, str]]


@pytest.fixture
def tool(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Tool:
    """Runs a tool: exit status and output."""
    runner = ToolRunner(monkeypatch, capsys)

    def run(name: str, *arguments: str) -> tuple[int, str]:
        ended = runner.run(name, *arguments)
        assert ended.err == ""
        return ended.status, ended.out

    return run


class Alone:
    """A broker that stands alone, and what is done with its queues.

    Args:
        name: of its log.
        folder: where it keeps its things.
        options: of qpidd.
    """

    def __init__(self, name: str, folder: Path, *options: str) -> None:
        self.process = BrokerProcess(name, free_ports(1)[0], folder, options)
        self.url = self.process.url
        self.wait()

    def wait(self) -> None:
        """Until it lets clients in."""
        wait_until(self._lets_in, "it lets clients in")

    def _lets_in(self) -> bool:
        try:
            Connection.establish(self.url, timeout=5).close()
        except ConnectionError:
            return False
        return True

    def send(self, *texts: str, queue: str = "q") -> None:
        connection = Connection.establish(self.url)
        sender = connection.session().sender(f"{queue}; {{create: always}}")
        for text in texts:
            sender.send(Message(text, durable=True))
        connection.close()

    def take(self, count: int, queue: str = "q") -> list[Message]:
        """Take messages for good."""
        connection = Connection.establish(self.url)
        session = connection.session()
        receiver = session.receiver(queue)
        found = [receiver.fetch(timeout=10) for _ in range(count)]
        session.acknowledge()
        connection.close()
        return found

    def holds(self, *texts: str, queue: str = "q") -> None:
        """Wait until exactly that is on the queue."""
        found: list[str] = []

        def browse() -> bool:
            connection = Connection.establish(self.url)
            receiver = connection.session().receiver(f"{queue}; {{mode: browse}}", capacity=100)
            found.clear()
            try:
                while True:
                    found.append(receiver.fetch(timeout=0.2).content)
            except Empty:
                return found == list(texts)
            finally:
                connection.close()

        wait_until(browse, lambda: f"{found}\n{self.process.log}")

    def replicas(self) -> list[tuple[str, ...]]:
        """What management says of its queues that follow others: queue, URL, status and reason."""
        connection = Connection.establish(self.url)
        ha = BrokerAgent(connection).getHaBroker()
        connection.close()
        assert ha is not None
        return [tuple(replica.values()) for replica in ha.replicas]


@pytest.fixture
def brokers(tmp_path: Path) -> Iterator[tuple[Alone, Alone]]:
    """Two brokers that stand alone."""
    there, here = Alone("there", tmp_path, *COPYING), Alone("here", tmp_path, *COPYING)
    yield there, here
    for broker in there, here:
        broker.process.end()


def test_a_queue_follows_another_one(brokers: tuple[Alone, Alone], tool: Tool) -> None:
    there, here = brokers
    assert tool("qpid-ha", "status", "-b", here.url) == (0, "standalone\n")
    there.send("0", "1", "2")
    status, out = tool("qpid-ha", "replicate", "q", there.url, "-b", here.url)
    assert (status, "not-found: Queue not found: q" in out) == (1, True)
    assert tool("qpid-config", "add", "queue", "q", "-b", here.url) == (0, "")
    assert tool("qpid-ha", "replicate", "q", there.url, "-b", here.url) == (0, "")
    here.holds("0", "1", "2")
    there.send("3")
    assert [message.content for message in there.take(2)] == ["0", "1"]
    here.holds("2", "3")
    assert f"Replica:             q of amqp:tcp:{there.url}: following\n" in tool("qpid-ha", "query", "-b", here.url)[1]
    # As in the original, qpid-config sets it up in one go.
    there.send("x", queue="second")
    assert tool("qpid-config", "add", "queue", "second", "--start-replica", there.url, "-b", here.url) == (0, "")
    here.holds("x", queue="second")
    assert f"queue second follows the one at {there.url}" in here.process.log
    # The broker of the queue is lost: the copy is there to be used, and nobody's new queue of that name wipes it out.
    there.process.kill()
    there.process.start()
    there.wait()
    wait_until(lambda: [replica[2] for replica in here.replicas()] == ["ended"] * 2, "both end")
    there.send("new")
    (first,) = here.take(1)
    assert (first.content, first.durable, first.redelivered) == ("2", True, True)
    here.holds("3")
    assert "queue q follows no more" in here.process.log
    assert "it keeps its 2 messages" in here.process.log


def test_a_link_that_is_silent_is_opened_again(brokers: tuple[Alone, Alone], tool: Tool) -> None:
    there, here = brokers
    there.send("0")
    here.send(queue="q")
    assert tool("qpid-ha", "replicate", "q", there.url, "-b", here.url) == (0, "")
    here.holds("0")
    there.process.stop()
    wait_until(lambda: "silent for 2 s" in here.process.log, here.process.log)
    there.process.resume()
    there.send("1")
    here.holds("0", "1")
    assert here.replicas() == [("q", f"amqp:tcp:{there.url}", "following", "")]
    # An operator ends it, and takes it up again: what was missed comes, what was there comes no second time.
    assert tool("qpid-ha", "replicate", "--stop", "q", "-b", here.url) == (0, "")
    there.send("2")
    there.take(1)
    assert here.replicas() == [("q", f"amqp:tcp:{there.url}", "ended", "an operator ended it")]
    here.holds("0", "1")
    assert tool("qpid-ha", "replicate", "q", there.url, "-b", here.url) == (0, "")
    here.holds("1", "2")
    status, out = tool("qpid-ha", "replicate", "q", there.url, "-b", here.url)
    assert (status, f"queue q follows the one at amqp:tcp:{there.url} already" in out) == (1, True)
    # A queue that is deleted here follows no more.
    assert tool("qpid-config", "del", "queue", "q", "--force", "-b", here.url) == (0, "")
    there.send("3")
    wait_until(lambda: "queue q follows no more: it is gone here" in here.process.log, here.process.log)
    assert here.replicas() == []


def test_a_queue_of_a_cluster_survives_its_fail_over(tmp_path: Path, tool: Tool) -> None:
    here = Alone("here", tmp_path, *COPYING)
    here.send(queue="q")
    try:
        with ClusterOfProcesses(2, ("--ha-replicate", "all", "--link-maintenance-interval", "0.2")) as cluster:
            cluster.ready()
            connection = cluster.connect()
            session = connection.session()
            sender = session.sender("q; {create: always}")
            for number in range(3):
                sender.send(str(number))
            # The backup turns the copying broker away: it finds the primary behind it.
            backwards = f"{cluster[1].url},{cluster[0].url}"
            assert tool("qpid-ha", "replicate", "q", backwards, "-b", here.url) == (0, "")
            here.holds("0", "1", "2")
            cluster[0].kill()
            cluster.promote(1)
            sender.send("3")
            assert session.receiver("q").fetch(timeout=10).content == "0"
            session.acknowledge()
            here.holds("1", "2", "3")
            connection.close()
            cluster[1].kill()
        here.holds("1", "2", "3")
    finally:
        here.process.end()


def test_what_cannot_be_copied(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, tool: Tool) -> None:
    users = tmp_path / "users"
    UsersFile(users).add("ha", "secret")
    here = Alone("here", tmp_path, *COPYING, "--ha-username", "ha", "--ha-password", "wrong")
    here.send(queue="q")

    def refused(url: str) -> str:
        status, out = tool("qpid-ha", "replicate", "q", url, "-b", here.url)
        assert status == 1
        assert [replica[2] for replica in here.replicas()] in ([], ["ended"])
        return out

    try:
        with qpid_server.running(ha_queue_replication=True) as there:
            assert "there is no queue 'q'" in refused(there.url)
        with qpid_server.running() as there:
            assert "it wants ha-queue-replication=yes" in refused(there.url)
            assert tool("qpid-ha", "replicate", "q", here.url, "-b", there.url) == (
                1,
                f"Exception: HA module is not loaded on broker at {there.url}\n",
            )
        with qpid_server.running(ha_queue_replication=True, auth=True, users_file=str(users)) as there:
            assert "Authentication failed" in refused(there.url)
            Connection.establish(f"ha/secret@{there.url}").session().sender("q; {create: always}").send("a")
            assert tool("qpid-ha", "replicate", "q", f"ha/secret@{there.url}", "-b", here.url) == (0, "")
            here.holds("a")
            assert here.replicas() == [("q", f"amqp:tcp:{there.url}", "following", "")]
            tool("qpid-ha", "replicate", "--stop", "q", "-b", here.url)
        monkeypatch.setattr(broker_connection, "PRODUCT", "qpid-cpp")
        with qpid_server.running() as there:
            assert "the broker there, qpid-cpp, has another way to copy queues" in refused(there.url)
        assert "rdma is not supported" in refused("rdma:localhost")
        assert "replicate: " in refused("a,,b")
        # Nobody there for now is no reason to give up.
        status, out = tool("qpid-ha", "replicate", "q", f"127.0.0.1:{free_ports(1)[0]}", "-b", here.url)
        assert (status, out) == (0, "")
        assert [replica[2] for replica in here.replicas()] == ["connecting"]
    finally:
        here.process.end()
