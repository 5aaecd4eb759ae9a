"""Fail-over in the core, without sockets: what is lost, doubled, reordered, claimed, and known."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from qpid_messaging.amqp.commands import MessageAccept, MessageFlush, MessageSubscribe, MessageTransfer
from qpid_messaging.core.session import SessionCore
from qpid_messaging.exceptions import ConnectError, NotFound, TransactionAborted, TransactionUnknown
from qpid_messaging.message import Message
from qpid_messaging.verbs.session import SessionVerbs
from tests.unit.client.cluster import Cluster, Peer
from tests.unit.client.harness import Harness

QUEUE = "q; {create: always}"


def opened(cluster: Cluster | None = None, **options: object) -> Harness:
    return Harness(cluster, reconnect=True, **options).open()


def test_what_was_not_completed_is_sent_again_once_and_in_order() -> None:
    h = opened()
    sender = h.sender(h.session(), QUEUE)
    h.send(sender, *(b"%d" % n for n in range(10)))
    assert h.peer is not None
    h.peer.receive(h.core.data_to_send()[:-100])  # the last does not arrive whole
    stored = len(h.cluster.bodies("q"))
    assert 0 < stored < 10
    h.kill()
    assert sender.unsettled() == 10
    assert not sender.linked
    h.run()
    assert h.cluster.bodies("q") == [b"%d" % n for n in range(10)]
    assert len(h.cluster.transfers) == 10, "what the record covers must not be sent again"
    assert sender.unsettled() == 0
    assert h.core.stats.resent == 10 - stored
    assert h.core.stats.fail_overs == 1


def test_a_broker_without_sessions_gets_everything_that_was_not_completed() -> None:
    h = opened(Cluster(surviving=False))
    sender = h.sender(h.session(), QUEUE)
    h.send(sender, b"1", b"2", b"3")
    h.kill(arrives=10_000)
    h.run()
    assert sender.unsettled() == 0
    assert h.cluster.bodies("q") == [b"1", b"2", b"3"] * 2
    h.send(sender, b"4")
    h.run()
    assert h.cluster.bodies("q")[-1] == b"4"


def test_a_lost_record_means_a_new_session() -> None:
    h = opened()
    sender = h.sender(h.session(), QUEUE)
    h.send(sender, b"1", b"2")
    h.run()
    h.send(sender, b"3", b"4")
    h.kill()
    h.cluster.records.clear()
    h.run()
    assert h.cluster.bodies("q") == [b"1", b"2", b"3", b"4"]
    assert sender.unsettled() == 0


def test_links_come_before_replay_and_new_messages_after_it() -> None:
    h = opened()
    session = h.session()
    sender = h.sender(session, QUEUE)
    h.send(sender, b"1", b"2")
    h.kill()
    h.send(sender, b"3")
    h.run()
    assert h.cluster.bodies("q") == [b"1", b"2", b"3"]
    names = [command.NAME for command in h.cluster.commands]
    assert names.index("message.transfer") > names.index("queue.declare")


def test_an_interrupted_replay_goes_on() -> None:
    h = opened()
    sender = h.sender(h.session(), QUEUE)
    h.send(sender, *(b"%d" % n for n in range(20)))
    for size in (400, 1, 700, 30, 900):
        h.kill(arrives=size)
        for _ in range(4):
            h.step()
    h.run()
    assert h.cluster.bodies("q") == [b"%d" % n for n in range(20)]
    assert sender.unsettled() == 0


def test_messages_of_several_senders_keep_their_order() -> None:
    h = opened()
    session = h.session()
    one, two = h.sender(session, QUEUE), h.sender(session, QUEUE)
    for n in range(5):
        h.send(one, b"one%d" % n)
        h.send(two, b"two%d" % n)
    h.kill()
    h.run()
    assert h.cluster.bodies("q") == [b"%s%d" % (name, n) for n in range(5) for name in (b"one", b"two")]


def test_a_sender_whose_node_is_gone_does_not_hold_up_the_others() -> None:
    h = opened()
    h.cluster.queues["gone"] = []
    session = h.session()
    lost, kept = h.sender(session, "gone"), h.sender(session, QUEUE)
    h.send(lost, b"x")
    h.send(kept, b"y")
    h.kill()
    del h.cluster.queues["gone"]
    h.run()
    assert isinstance(lost.error, NotFound)
    assert h.cluster.bodies("q") == [b"y"]
    assert kept.unsettled() == 0


def fill(cluster: Cluster, count: int) -> None:
    h = opened(cluster)
    h.send(h.sender(h.session(), QUEUE), *(b"%d" % n for n in range(count)))
    h.run()
    h.core.finish()


def test_a_held_message_is_not_handed_over_twice() -> None:
    cluster = Cluster()
    fill(cluster, 10)
    h = opened(cluster)
    session = h.session()
    receiver = h.receiver(session, QUEUE, capacity=4)
    taken = [h.take(receiver) for _ in range(2)]
    assert receiver.available() >= 2
    h.kill()
    assert receiver.take() is None, "while it is not known who has them"
    h.run()
    for delivery in taken:
        assert delivery is not None
        assert delivery.transfer_id is not None
    while (delivery := h.take(receiver)) is not None:
        taken.append(delivery)
    assert [delivery.message().content for delivery in taken if delivery] == [b"%d" % n for n in range(10)]
    assert session.acknowledge(list(session.unacked), None)
    h.run()
    assert not session.acking
    assert cluster.bodies("q") == []
    assert h.core.stats.claims_lost == 0


def test_the_claim_names_what_is_held_and_is_drained_before_anything_else() -> None:
    cluster = Cluster()
    fill(cluster, 10)
    h = opened(cluster)
    receiver = h.receiver(h.session(), QUEUE, capacity=4)
    h.take(receiver)
    cluster.commands.clear()
    h.kill()
    h.run()
    subscribe = next(command for command in cluster.commands if isinstance(command, MessageSubscribe))
    assert sorted((subscribe.arguments or {})["qpid.claim"]) == ["m1", "m2", "m3", "m4"]
    assert (subscribe.arguments or {})["qpid.resume-ids"] == 1
    assert any(isinstance(command, MessageFlush) for command in cluster.commands)


def test_an_acknowledgement_on_its_way_is_carried_out_once() -> None:
    cluster = Cluster()
    fill(cluster, 3)
    h = opened(cluster)
    session = h.session()
    receiver = h.receiver(session, QUEUE, capacity=3)
    first = h.take(receiver)
    assert first is not None
    pending = session.acknowledge([first], None)
    h.kill()  # the accept does not arrive
    assert pending == [first]
    assert first in session.acking, "it is not known yet"
    h.run()
    assert first not in session.acking
    assert cluster.bodies("q") == [b"1", b"2"]

    second = h.take(receiver)
    assert second is not None
    session.acknowledge([second], None)
    h.kill(arrives=10_000)  # it arrives, its confirmation does not
    assert second in session.acking
    h.run()
    assert second not in session.acking
    assert cluster.bodies("q") == [b"2"]
    assert h.core.stats.claims_lost == 0, "the acknowledgement itself took it away"


def test_acknowledged_while_there_is_no_broker() -> None:
    cluster = Cluster()
    fill(cluster, 2)
    h = opened(cluster)
    session = h.session()
    receiver = h.receiver(session, QUEUE, capacity=2)
    delivery = h.take(receiver)
    assert delivery is not None
    h.kill()
    assert session.acknowledge([delivery], None) == [delivery]
    h.run()
    assert not session.acking
    assert cluster.bodies("q") == [b"1"]


def test_what_somebody_else_took_is_gone() -> None:
    cluster = Cluster()
    fill(cluster, 4)
    h = opened(cluster)
    session = h.session()
    receiver = h.receiver(session, QUEUE, capacity=4)
    delivery = h.take(receiver)
    assert delivery is not None
    h.kill()
    cluster.queues["q"] = cluster.queues["q"][2:]
    h.run()
    assert receiver.available() == 2
    assert h.core.stats.claims_lost == 2
    assert session.acknowledge([delivery], None) == [], "nothing to wait for"
    assert [d.message().content for d in [h.take(receiver), h.take(receiver)] if d] == [b"2", b"3"]


def test_without_ids_prefetched_messages_come_again() -> None:
    cluster = Cluster(surviving=False)
    fill(cluster, 4)
    h = opened(cluster)
    session = h.session()
    receiver = h.receiver(session, QUEUE, capacity=4)
    delivery = h.take(receiver)
    assert delivery is not None
    pending = session.acknowledge([delivery], None)
    assert pending
    h.kill()
    assert not session.acking
    h.run()
    messages = []
    while (again := h.take(receiver)) is not None:
        messages.append(again.message())
    assert [message.content for message in messages] == [b"0", b"1", b"2", b"3"]
    assert all(message.redelivered for message in messages)


def test_a_browser_starts_again() -> None:
    cluster = Cluster()
    fill(cluster, 2)
    h = opened(cluster)
    receiver = h.receiver(h.session(), "q; {mode: browse}", capacity=2)
    assert h.take(receiver) is not None
    h.kill()
    h.run()
    assert receiver.available() == 2
    assert cluster.bodies("q") == [b"0", b"1"]


def test_a_waiting_fetch_goes_on_at_the_next_broker() -> None:
    h = opened()
    session = h.session()
    receiver = h.receiver(session, QUEUE)
    receiver.fetching += 1
    receiver.grant()
    h.run()
    h.kill()
    h.run()
    h.send(h.sender(session, QUEUE), b"late")
    h.run()
    delivery = receiver.take()
    assert delivery is not None
    assert delivery.message().content == b"late"


# -- transactions


def committed_bodies(h: Harness) -> list[bytes | None]:
    h.run()
    return h.cluster.bodies("q")


def test_a_silent_broker_is_lost_when_its_time_is_reached_to_the_last_digit() -> None:
    harness = Harness(heartbeat=1, reconnect=True)
    harness.now = 3.812  # plus 2 and minus itself: less than 2
    harness.open()
    for _ in range(10):
        due = harness.core.deadline()
        assert due is not None
        harness.core.tick(due)
        if not harness.core.has_transport:
            break
    assert due == 3.812 + 2
    assert not harness.core.has_transport


def test_a_transaction_without_commit_is_aborted() -> None:
    h = opened()
    session = h.session(transactional=True)
    h.send(h.sender(session, QUEUE), b"1")
    h.run()
    h.kill()
    assert isinstance(session.error, TransactionAborted)
    assert session.closed
    assert committed_bodies(h) == []


def test_a_transaction_begun_without_a_broker_waits_for_one() -> None:
    """Backups turn clients away; what has not been to a broker cannot be lost with one."""
    h = opened()
    h.kill()
    session = h.core.session("s", transactional=True, continues=False)
    for _ in range(3):
        h.now = max(h.now, h.core.deadline() or 0.0)
        assert h.step(), "it tries the next one"
        h.kill()
    h.run()
    h.send(h.sender(session, QUEUE), b"1")
    session.commit()
    assert committed_bodies(h) == [b"1"]
    assert session.error is None


@pytest.mark.parametrize("arrives", [True, False])
def test_a_commit_on_its_way_is_looked_up(arrives: bool) -> None:
    h = opened()
    session = h.session(transactional=True)
    sender = h.sender(session, QUEUE)
    h.cluster.records[session.wire.name] = 0  # an earlier commit, so that the session is known
    h.send(sender, b"1")
    h.run()
    session.commit()
    h.kill(arrives=10_000 if arrives else None)
    assert session.committing, "it is not known yet"
    h.run()
    if arrives:
        assert not session.committing
        assert session.error is None
        h.send(sender, b"2")
        h.run()
        session.commit()
        assert committed_bodies(h) == [b"1", b"2"]
    else:
        assert isinstance(session.error, TransactionAborted)
        assert committed_bodies(h) == []


def test_what_a_looked_up_commit_covers_is_settled() -> None:
    h = opened()
    session = h.session(transactional=True)
    sender = h.sender(session, QUEUE)
    h.send(sender, b"1", b"2")
    session.commit()
    h.kill(arrives=10_000)
    h.run()
    assert not session.committing
    assert sender.unsettled() == 0
    session.close()
    sender.close()
    h.run()
    assert session.closed
    assert session.error is None


def test_what_was_sent_after_a_looked_up_commit_is_aborted() -> None:
    h = opened()
    session = h.session(transactional=True)
    sender = h.sender(session, QUEUE)
    h.send(sender, b"1")
    session.commit()
    h.send(sender, b"2")
    h.kill(arrives=10_000)
    h.run()
    assert isinstance(session.error, TransactionAborted)
    assert committed_bodies(h) == [b"1"]


def hold(peer: Peer) -> None:
    peer.holding = []


@pytest.mark.parametrize("survives", [True, False])
def test_a_looked_up_commit_takes_effect_when_the_broker_says_so(survives: bool) -> None:
    """A broker that received it may be lost before the others have it."""
    h = opened()
    session = h.session(transactional=True)
    sender = h.sender(session, QUEUE)
    h.cluster.records[session.wire.name] = 0
    h.send(sender, b"1")
    session.commit()
    h.on_connect = hold
    h.kill(arrives=10_000)
    h.run()
    assert session.committing
    h.on_connect = None
    if not survives:
        h.cluster.records[session.wire.name] = 0
    h.kill()
    h.run()
    assert session.commits == int(survives)
    assert isinstance(session.error, TransactionAborted) is not survives


def verbs(h: Harness, core: SessionCore) -> SessionVerbs[Any, Any]:
    return SessionVerbs(SimpleNamespace(_core=h.core, _driver=None), core)  # type: ignore[arg-type]


def test_a_commit_that_completed_returns_though_the_connection_is_lost_right_behind_it() -> None:
    h = opened()
    core = h.session(transactional=True)
    session = verbs(h, core)
    h.send(h.sender(core, QUEUE), b"1")
    commit = session._commit(None)
    next(commit)
    predicate, _ = commit.send(True)
    assert not predicate()
    h.run()
    h.kill()  # before whoever waits for the commit gets a turn
    assert predicate()
    with pytest.raises(StopIteration):
        commit.send(True)
    assert committed_bodies(h) == [b"1"]
    with pytest.raises(TransactionAborted):
        session.check_error()


def test_a_commit_waits_until_it_can_be_looked_up() -> None:
    """A primary that was deposed and does not know it completes nothing, and the next one has no record of it."""
    h = opened()
    h.on_connect = hold
    h.kill()
    core = h.session(transactional=True)
    h.run()
    commit = verbs(h, core)._commit(None)
    can_be_sent, _ = next(commit)
    assert not can_be_sent(), "tx.select is not completed"
    h.on_connect = None
    h.kill()
    assert can_be_sent()
    with pytest.raises(TransactionAborted):
        commit.send(True)


def test_a_commit_without_another_broker_to_ask_is_unknown() -> None:
    h = opened()
    commit = verbs(h, h.session(transactional=True))._commit(None)
    next(commit)
    commit.send(True)
    h.kill(arrives=10_000)
    h.core.abort(ConnectError(text="given up"))
    with pytest.raises(TransactionUnknown):
        commit.send(True)


def test_a_commit_that_nobody_knows_of_is_unknown() -> None:
    h = opened()
    session = h.session(transactional=True)
    h.send(h.sender(session, QUEUE), b"1")
    h.run()
    session.commit()
    h.kill()
    h.run()
    assert isinstance(session.error, TransactionUnknown)

    h = opened(Cluster(surviving=False))
    session = h.session(transactional=True)
    h.sender(session, QUEUE)
    session.commit()
    h.kill(arrives=10_000)
    assert isinstance(session.error, TransactionUnknown)


# -- any time, any byte


@settings(max_examples=150)
@given(data=st.data(), surviving=st.booleans())
def test_nothing_lost_nothing_doubled_wherever_the_connection_breaks(data: st.DataObject, surviving: bool) -> None:
    cluster = Cluster(surviving=surviving)
    h = opened(cluster)
    session = h.session()
    sender = h.sender(session, QUEUE, capacity=data.draw(st.sampled_from([3, 100])))
    receiver = h.receiver(session, QUEUE, capacity=data.draw(st.sampled_from([0, 1, 5])))
    count = 15
    sent = 0
    handed: list[bytes] = []
    returned: set[bytes] = set()
    waiting: list[tuple[bytes, list[object]]] = []

    def acknowledge_all() -> None:
        for delivery in list(session.unacked):
            body = bodies[delivery]
            waiting.append((body, list(session.acknowledge([delivery], None))))

    def note_returned() -> None:
        for body, pending in list(waiting):
            if not any(delivery in session.acking for delivery in pending):  # type: ignore[operator]
                returned.add(body)
                waiting.remove((body, pending))

    bodies: dict[object, bytes] = {}
    for _ in range(data.draw(st.integers(5, 60))):
        action = data.draw(st.sampled_from(["send", "send", "take", "take", "ack", "step", "step", "run", "kill"]))
        if action == "send" and sent < count and sender.linked and sender.has_capacity():
            h.send(sender, b"%d" % sent)
            sent += 1
        elif action == "take" and (delivery := receiver.take()) is not None:
            body = delivery.body or b""
            assert body not in returned or not surviving, "seen again after its acknowledge returned"
            bodies[delivery] = body
            handed.append(body)
        elif action == "take" and receiver.linked:
            receiver.fetching = 1
            receiver.grant()
        elif action == "ack":
            acknowledge_all()
        elif action == "step":
            h.step(data.draw(st.sampled_from([None, 7, 50])))
        elif action == "run":
            h.run()
        elif action == "kill":
            h.kill(arrives=data.draw(st.integers(0, 800)), answers=data.draw(st.booleans()))
        note_returned()
    receiver.fetching = 0
    h.run()
    while sent < count:
        h.wait(lambda: sender.linked and sender.has_capacity())
        h.send(sender, b"%d" % sent)
        sent += 1
    h.run()
    while (delivery := h.take(receiver)) is not None:
        body = delivery.body or b""
        bodies[delivery] = body
        handed.append(body)
        acknowledge_all()
    acknowledge_all()
    h.run()
    assert sender.unsettled() == 0
    assert not session.acking
    expected = [b"%d" % n for n in range(count)]
    if surviving:
        assert handed == expected
    else:
        assert sorted(set(handed)) == sorted(expected), "at least once"
    assert cluster.bodies("q") == []


def test_the_peer_is_asked_for_the_completion_of_transfers_it_had() -> None:
    h = opened()
    sender = h.sender(h.session(), QUEUE)
    h.send(sender, b"1")
    assert h.peer is not None
    hold(h.peer)
    h.run()
    assert sender.unsettled() == 1
    h.kill()
    h.run()
    assert sender.unsettled() == 0
    assert h.cluster.bodies("q") == [b"1"]
    assert sum(isinstance(command, MessageTransfer) for command in h.cluster.commands) == 1


def test_an_unreliable_sender_sends_once() -> None:
    h = opened()
    sender = h.sender(h.session(), "q; {create: always, link: {reliability: unreliable}}")
    sender.send(Message(b"1"), sync=False)
    assert sender.unsettled() == 0
    h.kill()
    h.run()
    assert h.cluster.bodies("q") == []
    assert not any(isinstance(command, MessageAccept) for command in h.cluster.commands)


def test_a_close_that_is_not_agreed_yet_does_not_stand_in_the_way_of_the_next_attach() -> None:
    h = opened()
    sender = h.sender(h.session(), QUEUE)
    h.core.detach(h.now)
    h.core.attach(h.now)
    assert b"\x01\x0b" in h.core.data_to_send(), "connection.close is still said"
    h.run()
    assert h.core.opened
    assert sender.linked
    h.send(sender, b"1")
    h.run()
    assert sender.unsettled() == 0
    assert h.cluster.bodies("q") == [b"1"]
