"""A primary that stops being one, and what those leave behind who were connected."""

from __future__ import annotations

import anyio
import pytest

from qpid_messaging.amqp import commands as c
from qpid_server.broker import Broker
from qpid_server.ha.cluster import Cluster
from qpid_server.ha.demotion import demote, hand_over
from qpid_server.ha.epoch import Epoch
from qpid_server.ha.follower import Follower
from qpid_server.ha.promotion import Candidacy
from qpid_server.options import Options
from tests.unit.ha.members import E1, E2, Member, Writer, follow, offered, texts
from tests.unit.server.driver import Link


def reigning() -> tuple[Member, Member]:
    a, b = (Member(name, ha_min_replicas=1) for name in "ab")
    a.reign_under(E1)
    wire = follow(b, a)
    writer = Writer(a.broker)
    writer.declare()
    writer.send("1")
    a.broker.settle()
    wire.settle()
    return a, b


@pytest.mark.parametrize("command", [c.MessageAccept, c.MessageReject])
def test_an_administrator_who_may_not_settle_a_message_gives_it_back(command: type[c.Command]) -> None:
    """Otherwise nobody could have it once this broker reigns again."""
    a, b = reigning()
    peer = Link(a.broker, **{"qpid.ha-admin": 1}).session()
    peer.subscribe()
    (transfer,) = peer.receive_all()
    a.step_down("for a test")
    peer.settle(command, transfer)
    assert peer.failure is not None
    a.reign_under(E2)
    follow(b, a)
    assert offered(a.broker) == ["1"]


def test_an_administrator_is_not_left_waiting_for_what_nobody_confirms() -> None:
    """The others, as who asked for the demotion, stay: this broker is still there to be managed."""
    a, _ = reigning()
    waiting, idle = (Link(a.broker, **{"qpid.ha-admin": 1}) for _ in range(2))
    idle.session(b"idle").do(c.QueueDeclare(queue="here", arguments={"qpid.replicate": "none"}))
    peer = waiting.session()
    declaring = peer.do(c.QueueDeclare(queue="there", arguments={"qpid.replicate": "all"}))
    a.step_down("for a test")
    assert declaring not in peer.completed
    assert waiting.handler.finished
    assert not idle.handler.finished


@pytest.mark.parametrize("granted", [True, False])
def test_a_primary_hands_over_what_its_successor_lacks(granted: bool) -> None:
    """Clients are held meanwhile, so that this comes to an end; they go on where the promise is not given."""

    async def scenario() -> None:
        a, b = reigning()
        peer = Link(a.broker).session()
        peer.send(b"2")
        candidacy = Candidacy(Epoch(3 if granted else 0, "b"), b.log.last, "b:5672", force=False)
        answers: list[str | None] = []
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(hand_over, a, lambda: answers.append(a.answer_promise(candidacy)))
            await anyio.wait_all_tasks_blocked()
            peer.send(b"3")
            assert answers == [], "the successor lacks the second"
            assert texts(a.broker) == ["1", "2"], "the third is held"
            a.wires[0].settle()
        assert texts(b.broker) == ["1", "2"]
        assert [answer is None for answer in answers] == [granted]
        if granted:
            assert a.promises.promised == candidacy.epoch
        assert texts(a.broker) == ["1", "2", "3"], "nobody stepped down here, so that all go on"

    anyio.run(scenario)


def test_a_demotion_that_waits_is_overtaken_by_one_that_does_not() -> None:
    """As where a manager loses its lease: no later than the second may say, nobody waits for the first any more."""

    async def scenario() -> None:
        a, _ = reigning()
        link = Link(a.broker)
        link.session().send(b"2")
        with anyio.fail_after(30):
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(demote, a, 3600.0)
                await anyio.wait_all_tasks_blocked()
                assert link.handler.held
                await demote(a, 0.0)
                assert not a.log.primary
        assert not a.handing_over

    anyio.run(scenario)


def test_clients_are_held_until_the_last_of_several_lets_them_go_on() -> None:
    async def scenario() -> None:
        a, _ = reigning()
        link = Link(a.broker)
        link.session().send(b"2")
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(demote, a, 3600.0)
            await hand_over(a, lambda: None)  # it is refused
            assert a.log.primary
            assert link.handler.held
            a.wires[0].settle()
        assert not a.log.primary

    anyio.run(scenario)


def test_a_backup_that_is_given_up_when_this_broker_has_ended() -> None:
    """As where it hangs while its primary is stopped: there is nobody any more to go on alone."""

    async def scenario() -> None:
        options = Options(auth=False, no_data_dir=True, ha_cluster=True, ha_brokers_url="localhost:1")
        cluster = Cluster(Broker(options, clock=anyio.current_time))
        promoted = anyio.Event()
        follower = Follower("b", "b:5672", lambda batch: None)
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(cluster.run, 5672)
            await anyio.wait_all_tasks_blocked()
            cluster.promote(force=False, done=lambda failure: promoted.set())
            with anyio.fail_after(60):
                await promoted.wait()
            cluster.log.followers[follower.broker_id] = follower
            cluster.log.confirm_follower(follower, cluster.log.last.index)
            assert follower.in_sync
            tasks.cancel_scope.cancel()
        cluster.follower_lost(follower)
        assert not cluster.log.followers

    anyio.run(scenario)
