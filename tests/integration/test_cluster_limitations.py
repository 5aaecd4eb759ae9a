"""What the original lists as limitations of its clusters, and what becomes of each here, on real processes.

In the order of that list. What else shows them: stalled backups and an old primary that was cut off in `test_cluster`,
commits in flight in `test_scenarios`, members that follow asynchronously in `test_cluster_options`.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from itertools import pairwise

import pytest

from qpid_messaging import Connection, Message
from qpid_messaging.amqp import commands as c
from qpid_messaging.exceptions import MessagingError, Timeout
from qpid_messaging.management import AgentError, BrokerAgent
from tests.integration.bare_session import BareSession
from tests.integration.cluster import ClusterOfProcesses, wait_until
from tests.integration.test_cluster import ALL, SAFE, Sending, browse, drained, numbers

pytestmark = pytest.mark.timeout(120)


@pytest.fixture(scope="module")
def members() -> Iterator[ClusterOfProcesses]:
    """Three brokers, for all of these tests."""
    # So short that nothing but ha-min-replicas keeps a new primary from acknowledging alone.
    with ClusterOfProcesses(options=(*SAFE, "--ha-backup-timeout", "1")) as cluster:
        yield cluster


@pytest.fixture
def cluster(members: ClusterOfProcesses, kept_running: set[int]) -> Iterator[ClusterOfProcesses]:
    """The same, all of them well again, and in the order primary, backup, backup."""
    for member in members.members:
        if member.process.poll() is not None:
            member.start()
            member.wait_for("joining", "ready", "catchup")
    states = [member.status() for member in members.members]
    if not {"active", "recovering"} & set(states):
        members.promote_best(states.index("ready") if "ready" in states else 0)
    members.wait_for_backups()
    members.members.sort(key=lambda member: member.status() not in ("active", "recovering"))
    kept_running.update(member.process.pid for member in members.members)
    yield members
    for member in members.members:
        member.resume()
    members.close_connections()
    kept_running.update(member.process.pid for member in members.members)


XID = c.Xid(format=1, global_id=b"branch", branch_id=b"1")


def declare(cluster: ClusterOfProcesses, *queues: str) -> None:
    connection = cluster.connect()
    for queue in queues:
        connection.session().sender(f"{queue}; {ALL}")
    connection.close()


def test_1_transactions_are_there_whole_or_not_at_all(cluster: ClusterOfProcesses) -> None:
    declare(cluster, "from", "one", "two", "branch", "open")
    connection = cluster.connect()
    connection.session().sender("from").send("work")
    for outcome in ("commit", "none"):
        session = connection.session(transactional=True)
        session.sender("one").send(outcome)
        session.sender("two").send(outcome)
        if outcome == "commit":
            session.receiver("from").fetch(timeout=10)
            session.acknowledge()
            session.commit()
    with BareSession("127.0.0.1", cluster[0].port) as branch:
        branch.do(c.DtxSelect())
        branch.do(c.DtxStart(xid=XID))
        branch.send("branch", "prepared")
        branch.do(c.DtxEnd(xid=XID))
        assert branch.do(c.DtxPrepare(xid=XID)).status == c.XaStatus.XA_OK
        other = c.Xid(format=1, global_id=b"other", branch_id=b"1")
        branch.do(c.DtxStart(xid=other))
        branch.send("open", "not prepared")
        branch.do(c.DtxEnd(xid=other))
        cluster[0].kill()
    cluster.promote_best(1)
    primary = cluster[cluster.primary()]
    assert [drained(cluster, queue) for queue in ("from", "one", "two")] == [[], ["commit"], ["commit"]]
    assert drained(cluster, "branch") == []
    # The coordinator finds its branch again, and carries it through; the one that it did not prepare is gone.
    with BareSession("127.0.0.1", primary.port) as coordinator:
        coordinator.do(c.DtxSelect())
        assert coordinator.do(c.DtxRecover()).in_doubt == [XID]
        assert coordinator.do(c.DtxCommit(xid=XID)).status == c.XaStatus.XA_OK
    assert drained(cluster, "branch") == [b"prepared"]
    assert drained(cluster, "open") == []


def test_2_what_a_new_primary_acknowledged_survives_its_death_too(cluster: ClusterOfProcesses) -> None:
    """Before another backup has switched over, nothing is acknowledged: only the new primary would hold it."""
    declare(cluster, "q")
    cluster[0].kill()
    cluster.promote(1)
    cluster[2].stop()
    sender = cluster.connect().session().sender("q")
    sender.send("safe", sync=False)
    with pytest.raises(Timeout):
        sender.sync(timeout=5)  # longer than a silent backup is waited for
    cluster[2].resume()
    sender.sync(timeout=30)
    cluster[0].start()
    cluster.wait_for_backups()
    cluster[1].kill()
    cluster.promote_best(2)
    assert drained(cluster) == ["safe"]


def test_3_an_accept_that_completed_stays_done(cluster: ClusterOfProcesses) -> None:
    Sending(cluster, count=100).finish()
    # A connection that is lost with its primary: nothing is said again by the client.
    session = Connection.establish(cluster[0].url).session()
    receiver = session.receiver("q", capacity=100)
    messages = [receiver.fetch(timeout=10) for _ in range(100)]
    for message in messages[:60]:
        session.acknowledge(message, sync=False)
    session.acknowledge(messages[60])
    cluster[0].kill()
    cluster.promote_best(1)
    assert drained(cluster) == [str(number) for number in range(61, 100)]


def test_4_deleted_queues_do_not_come_back(cluster: ClusterOfProcesses) -> None:
    declare(cluster, "before", "after", "stays")
    connection = Connection.establish(cluster[0].url)
    agent = BrokerAgent(connection)
    agent.delQueue("before")
    agent.addQueue("late", {"qpid.replicate": "all"})
    cluster[0].stop()  # with both queues in mind, it comes back
    chosen = cluster.promote_best(1)
    client = cluster.connect()
    BrokerAgent(client).delQueue("after")
    cluster[0].resume()
    cluster.wait_for_backups()
    for member in cluster.members:
        admin = member.admin()
        names = {queue.name for queue in BrokerAgent(admin).getAllQueues()}
        admin.close(5)
        assert names & {"before", "after", "stays", "late"} == {"stays", "late"}
    assert cluster[chosen].status() == "active"


def test_5_it_is_known_who_has_the_newest_state(cluster: ClusterOfProcesses) -> None:
    gone = cluster[0].log.count("is gone")
    cluster[2].stop()
    wait_until(lambda: cluster[0].log.count("is gone") > gone, lambda: cluster[0].log)
    Sending(cluster, "newest", count=20).finish()
    cluster[0].kill()
    cluster[2].resume()
    assert cluster[2].index() < cluster[1].index()
    assert {cluster[number]._ha(lambda ha: ha.epoch) for number in (1, 2)} == {cluster[1]._ha(lambda ha: ha.epoch)}
    with pytest.raises(AgentError, match=f"promote {cluster[1].url} instead"):
        cluster.promote(2)
    cluster.promote(1)
    assert drained(cluster, "newest") == numbers(20)


def test_6_a_returning_broker_gets_the_difference_only(cluster: ClusterOfProcesses) -> None:
    size = 20_000
    connection = cluster.connect()
    sender = connection.session().sender(f"difference; {ALL}", capacity=100)
    for number in range(200):
        sender.send(Message(str(number).ljust(size)), sync=False)
    sender.sync()
    cluster.wait_for_backups()
    assert _sent_to_backups(cluster) >= 2 * 200 * size
    gone = cluster[0].log.count("is gone")
    cluster[2].stop()
    wait_until(lambda: cluster[0].log.count("is gone") > gone, lambda: cluster[0].log)
    for number in range(200, 205):
        sender.send(Message(str(number).ljust(size)), sync=False)
    sender.sync()
    joined = cluster[0].log.count("is ready")
    cluster[2].resume()
    wait_until(lambda: cluster[0].log.count("is ready") > joined, lambda: cluster[0].log)
    # The backup that was there all the time is on the same link still; the other one is on a new one.
    again = _sent_to_backups(cluster, newest=True)
    assert 5 * size <= again < 20 * size
    assert [text.strip() for text in browse(cluster, 2, "difference")] == numbers(205)


def _sent_to_backups(cluster: ClusterOfProcesses, newest: bool = False) -> int:
    """Bytes that the primary sent to other brokers over links that are open: all of them, or the newest one."""
    admin = cluster[0].admin()
    links = [
        (link.getCreateTime(), link.bytesToClient)
        for link in BrokerAgent(admin).getAllConnections()
        if "qpid.ha-peer" in (link.remoteProperties or {})
    ]
    admin.close(5)
    return max(links)[1] if newest else sum(count for _, count in links)


def test_7_an_old_primary_that_comes_back_acknowledges_nothing(cluster: ClusterOfProcesses) -> None:
    declare(cluster, "q")
    sender = Connection.establish(cluster[0].url).session().sender("q", capacity=100)
    sender.send("before")
    cluster[0].stop()
    chosen = cluster.promote_best(1)
    for number in range(10):
        sender.send(str(number), sync=False)  # the old primary finds them when it goes on
    client = cluster.connect()
    client.session().sender("q").send("elsewhere")
    cluster[0].resume()
    with pytest.raises(MessagingError):
        sender.sync(timeout=30)
    assert sender.unsettled() == 10
    cluster[0].wait_for("ready")
    assert cluster[chosen].status() == "active"
    assert drained(cluster) == ["before", "elsewhere"]


def test_8_a_member_that_follows_asynchronously_holds_nobody_up() -> None:
    with ClusterOfProcesses(2, options=(*SAFE[2:], "--ha-min-replicas", "0")) as cluster:
        cluster[1].kill()
        cluster[1].start("--ha-async", "yes")
        cluster[1].wait_for("joining")
        cluster.promote(0)
        cluster[1].wait_for("catchup")
        sending = Sending(cluster, sync=True)
        sending.reach(20)
        cluster[1].stop()
        started = time.monotonic()
        sending.go_on(100)
        moments = [moment for moment in sending.moments if moment > started]
        assert max(later - moment for moment, later in pairwise(moments)) < 1, "less than a silent backup is waited for"
        cluster[1].resume()
        count = sending.finish()
        wait_until(lambda: cluster[1].index() == cluster[0].index(), cluster.logs)
        cluster[0].kill()
        with pytest.raises(AgentError, match="ha-async"):
            cluster.promote(1)
        cluster.promote(1, force=True)
        assert drained(cluster) == numbers(count)
