"""A cluster of real processes: what clients see of it when its members die, stop, come back and are promoted."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from itertools import pairwise
from typing import Any

import pytest

from qpid_messaging import Connection, Empty, Message, Session
from qpid_messaging.exceptions import MessagingError
from qpid_messaging.management import AgentError
from tests.integration.cluster import ClusterOfProcesses, wait_until

ALL = "{create: always, node: {x-declare: {arguments: {'qpid.replicate': all}}}}"
HEARTBEAT = ("--link-heartbeat-interval", "1", "--link-maintenance-interval", "0.5")
SAFE = ("--ha-min-replicas", "1", *HEARTBEAT)

pytestmark = pytest.mark.timeout(120)


class Sending(threading.Thread):
    """An application that sends numbered messages until it is told to stop, or has sent so many."""

    def __init__(
        self,
        cluster: ClusterOfProcesses,
        queue: str = "q",
        *,
        sync: bool = False,
        count: int | None = None,
        pause: float = 0.0005,
    ) -> None:
        super().__init__(daemon=True)
        self.pause = pause
        self.cluster, self.address, self.sync, self.count = cluster, f"{queue}; {ALL}", sync, count
        self.sent = 0
        self.moments: list[float] = []
        self.failure: Exception | None = None
        self.enough = threading.Event()
        self.start()

    def run(self) -> None:
        try:
            connection = self.cluster.connect()
            sender = connection.session().sender(self.address, capacity=100)
            while not self.enough.is_set() and self.sent != self.count:
                sender.send(Message(str(self.sent)), sync=self.sync)
                self.sent += 1
                self.moments.append(time.monotonic())
                if not self.sync:
                    time.sleep(self.pause)
            sender.sync()
            connection.close()
        except MessagingError as error:
            self.failure = error

    def reach(self, count: int) -> None:
        """Wait until so many are sent."""
        wait_until(lambda: self.sent >= count or self.failure is not None, self.say)

    def go_on(self, count: int = 50) -> None:
        """Wait until so many more are sent than now."""
        self.reach(self.sent + count)

    def say(self) -> str:
        return f"{self.sent} sent, {self.failure!r}\n{self.cluster.logs()}"

    def finish(self) -> int:
        """Everything sent is acknowledged. Returns how many that were."""
        if self.count is None:
            self.enough.set()
        self.join(60)
        assert not self.is_alive(), self.say()
        assert self.failure is None, self.say()
        return self.sent


def fetch_all(session: Session, address: str = "q", wait: float = 0.3) -> list[str]:
    """Everything on a queue, taken and acknowledged."""
    receiver = session.receiver(address, capacity=200)
    found: list[str] = []
    try:
        while True:
            found.append(receiver.fetch(timeout=wait).content)
            session.acknowledge(sync=False)
    except Empty:
        session.acknowledge()
        receiver.close()
        return found


def drained(cluster: ClusterOfProcesses, address: str = "q") -> list[str]:
    connection = cluster.connect()
    found = fetch_all(connection.session(), address)
    connection.close()
    return found


def numbers(count: int) -> list[str]:
    return [str(number) for number in range(count)]


def browse(cluster: ClusterOfProcesses, number: int, queue: str = "q") -> list[str]:
    """What a member holds, as an administrator sees it."""
    connection = cluster[number].admin()
    try:
        receiver = connection.session().receiver(f"{queue}; {{mode: browse}}", capacity=500)
        found = []
        try:
            while True:
                found.append(receiver.fetch(timeout=0.3).content)
        except Empty:
            return found
    finally:
        connection.close(5)


# -- the primary is killed ---------------------------------------------------------------------------------------------


def kill_and_promote(cluster: ClusterOfProcesses, sending: Sending | None = None) -> None:
    """The primary dies, a backup takes over, and the dead one comes back as a backup."""
    dead = cluster.primary()
    cluster[dead].kill()
    cluster.promote_best((dead + 1) % 3)
    cluster[dead].start()
    if sending is not None:
        sending.go_on()


def test_the_primary_is_killed_while_clients_send() -> None:
    with ClusterOfProcesses(options=SAFE) as cluster:
        cluster.ready()
        for queue, sync in (("a", False), ("s", True)):
            sending = Sending(cluster, queue, sync=sync)
            for _ in range(2):
                sending.reach(50)
                cluster.wait_for_backups()
                kill_and_promote(cluster, sending)
            count = sending.finish()
            assert drained(cluster, queue) == numbers(count), "none lost, none doubled, in order"


def test_the_primary_is_killed_while_clients_receive() -> None:
    """During fetch, between fetch and acknowledge, and during acknowledge, with messages prefetched."""
    count = 500
    with ClusterOfProcesses(options=SAFE) as cluster:
        cluster.ready()
        Sending(cluster, count=count).finish()
        connection = cluster.connect()
        session = connection.session()
        receiver = session.receiver("q", capacity=50)
        received: list[Message] = []

        def take(how_many: int) -> None:
            received.extend(receiver.fetch(timeout=30) for _ in range(how_many))

        take(100)
        session.acknowledge()
        take(30)
        kill_and_promote(cluster)  # 30 fetched and not acknowledged, 50 more prefetched
        session.acknowledge()
        take(100)
        cluster.wait_for_backups()
        for message in received[-100:]:
            session.acknowledge(message, sync=False)
        kill_and_promote(cluster)  # acknowledgements on their way
        session.acknowledge()
        take(count - len(received))
        session.acknowledge()
        assert [message.content for message in received] == numbers(count)
        found: list[Any] = []
        waiting = threading.Thread(target=lambda: found.append(receiver.fetch(timeout=60).content), daemon=True)
        waiting.start()
        cluster.wait_for_backups()
        kill_and_promote(cluster)  # while a receiver waits
        other = cluster.connect()
        other.session().sender("q").send("after")
        waiting.join(30)
        assert found == ["after"], cluster.logs()
        session.acknowledge()
        connection.close()
        other.close()
        assert drained(cluster) == []


# -- a backup dies, stops, comes back ----------------------------------------------------------------------------------


def test_a_backup_dies_and_comes_back_under_load() -> None:
    with ClusterOfProcesses(options=SAFE) as cluster:
        cluster.ready()
        sending = Sending(cluster)
        sending.reach(50)
        cluster[2].kill()
        sending.go_on()
        cluster[2].start()
        cluster[2].wait_for("ready")
        sending.go_on()
        cluster[1].kill()
        cluster[0].kill()
        cluster[1].start()
        cluster[1].wait_for("joining")
        with pytest.raises(AgentError, match=f"promote 127.0.0.1:{cluster[2].port} instead"):
            cluster.promote(1)
        with pytest.raises(AgentError, match="acknowledged messages could be missing"):
            cluster.promote(2)  # the two that died held what this one may not
        cluster.promote(2, force=True)  # the test knows better
        count = sending.finish()
        assert drained(cluster) == numbers(count)


def test_a_backup_is_stopped() -> None:
    """It holds clients up for two heartbeat intervals at most, and is not promoted while it is behind."""
    with ClusterOfProcesses(options=SAFE) as cluster:
        cluster.ready()
        sending = Sending(cluster, sync=True)
        sending.reach(50)
        started = time.monotonic()
        cluster[2].stop()
        sending.go_on()
        moments = [started, *(moment for moment in sending.moments if moment > started)]
        stall = max(later - moment for moment, later in pairwise(moments))
        assert stall < 2 * 1 + 1, "two intervals of a second, and what a busy machine takes"
        sending.go_on()
        count = sending.finish()
        cluster[0].kill()
        cluster[2].resume()
        with pytest.raises(AgentError, match=f"promote 127.0.0.1:{cluster[1].port} instead"):
            cluster.promote(2)
        cluster.promote(1)
        cluster[2].wait_for("ready")
        assert browse(cluster, 2) == browse(cluster, 1) == numbers(count)


# -- promotion ---------------------------------------------------------------------------------------------------------


def test_an_old_primary_that_was_stopped_steps_down() -> None:
    with ClusterOfProcesses(options=SAFE) as cluster:
        cluster.ready()
        sending = Sending(cluster)
        sending.reach(100)
        cluster[0].stop()
        chosen = cluster.promote_best(1)
        sending.go_on()
        cluster[0].resume()
        cluster[0].wait_for("ready")
        sending.go_on()
        assert cluster[chosen].status() == "active"
        count = sending.finish()
        assert drained(cluster) == numbers(count)
        # And while nobody died, from hand to hand; not to one that comes back with nothing and has not joined.
        cluster.promote(0)
        cluster[chosen].wait_for("ready")
        assert cluster[0].status() == "active"


def test_a_joining_member_is_not_promoted_beside_ready_ones() -> None:
    """k = 0, so that nothing but the rule itself stands in the way."""
    with ClusterOfProcesses(options=("--ha-min-replicas", "0", *HEARTBEAT)) as cluster:
        cluster[2].kill()
        cluster.promote(0)
        cluster[1].wait_for("ready")
        cluster[0].stop()
        cluster[2].start()
        cluster[2].wait_for("joining")  # the primary does not answer
        with pytest.raises(AgentError, match=f"promote 127.0.0.1:{cluster[1].port} instead"):
            cluster.promote(2)
        cluster[0].resume()
        cluster.wait_for_backups()
        assert cluster[0].status() == "active"
        cluster.promote(2)  # from hand to hand, now that it has joined
        cluster.wait_for_backups()
        assert cluster[2].status() == "active"


# -- what is replicated, and who may change it -------------------------------------------------------------------------


def test_clients_at_a_backup_and_an_orderly_end() -> None:
    with ClusterOfProcesses(options=SAFE) as cluster:
        cluster.ready()
        Sending(cluster, count=5).finish()
        with pytest.raises(MessagingError):
            Connection.establish(cluster[1].url, timeout=5)
        wait_until(lambda: len(browse(cluster, 1)) == 5, cluster.logs)
        changes_nothing(cluster)
        connection = cluster[1].admin()
        session = connection.session()
        session.sender("mine; {create: always}").send("local")
        assert session.receiver("mine").fetch(timeout=5).content == "local"
        session.acknowledge()
        connection.close()
        assert browse(cluster, 1) == browse(cluster, 0) == numbers(5)
        assert cluster[1].index() == cluster[0].index()
        make_configuration(cluster)
        # SIGTERM, in the middle of sends.
        sending = Sending(cluster, "t")
        sending.reach(50)
        assert cluster[0].terminate() == 0
        cluster.promote_best(1)
        sending.go_on()
        count = sending.finish()
        assert drained(cluster, "t") == numbers(count)
        check_configuration(cluster)
        assert [member.terminate() for member in (cluster[2], cluster[1])] == [0, 0]
        assert "Traceback" not in cluster.logs()


def changes_nothing(cluster: ClusterOfProcesses) -> None:
    """An administrator at a backup tries what is the primary's business."""
    refused: list[Callable[[Session], object]] = [
        lambda session: session.sender(f"new; {ALL}"),
        lambda session: session.sender("q; {delete: always}").close(),
        lambda session: session.sender("q").send("from outside"),
        lambda session: session.receiver("q").fetch(timeout=5),
        lambda session: session.sender("q; {link: {x-bindings: [{exchange: 'amq.topic', queue: q, key: k}]}}"),
    ]
    for attempt in refused:
        connection = cluster[1].admin()
        with pytest.raises(MessagingError):
            attempt(connection.session())
        connection.close(5)


def make_configuration(cluster: ClusterOfProcesses) -> None:
    connection = cluster.connect()
    session = connection.session()
    bindings = "[{exchange: ex, key: 'a.*'}, {exchange: 'amq.topic', key: 'b.#'}]"
    session.sender("ex; {create: always, node: {type: topic, x-declare: {arguments: {'qpid.replicate': all}}}}")
    session.sender(
        f"whole; {{create: always, node: {{durable: True, x-declare: {{arguments: {{'qpid.replicate': all, 'my': 7}}}},"
        f" x-bindings: {bindings}}}}}"
    )
    session.sender("shape; {create: always, node: {x-declare: {arguments: {'qpid.replicate': configuration}}}}")
    session.sender("local; {create: always, node: {x-declare: {arguments: {'qpid.replicate': none}}}}")
    session.sender("plain; {create: always}")
    for queue in ("whole", "shape", "local", "plain"):
        session.sender(queue).send("1")
    with pytest.raises(MessagingError, match="replication"):
        connection.session().sender("odd; {create: always, node: {x-declare: {arguments: {'qpid.replicate': some}}}}")
    connection.close()


def check_configuration(cluster: ClusterOfProcesses) -> None:
    connection = cluster.connect()
    session = connection.session()
    session.sender("ex/a.1").send("2")
    session.sender("amq.topic/b.1.2").send("3")
    assert fetch_all(session, "whole") == ["1", "2", "3"]
    assert fetch_all(session, "shape") == []
    for queue in ("local", "plain", "odd"):
        with pytest.raises(MessagingError, match="no such queue"):
            connection.session().sender(queue)
    connection.close()
