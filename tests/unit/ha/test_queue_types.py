"""Every type of queue on a cluster: what its policies do are effects, and backups hold the same in the same order."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from qpid_messaging.amqp import commands as c
from qpid_server import queue_operations
from tests.unit.ha.members import E1, E2, Member, Wire, follow, replicated_state
from tests.unit.server.driver import UNLIMITED, Link, Peer
from tests.unit.server.queue_models import MODELS, Fairshare, Full, Kept, Model

CONSUMER = 1

STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("publish"), st.integers(0, 9), st.sampled_from(["", "a", "b", "c"])),
        st.tuples(st.just("commit"), st.integers(0, 9), st.sampled_from(["a", "b"])),
        st.tuples(st.just("take"), st.integers(1, 3), st.sampled_from(["accept", "release", "keep"])),
        st.tuples(st.just("purge"), st.integers(0, 2), st.just("")),
        st.tuples(st.just("move"), st.integers(0, 2), st.just("")),
    ),
    max_size=25,
)


class Scene:
    """A primary with clients, and a backup that follows it."""

    def __init__(self, model: Model) -> None:
        self.model = model
        self.primary, self.backup = Member("a"), Member("b")
        self.primary.reign_under(E1)
        self.wire = follow(self.backup, self.primary)
        self.broker = self.primary.broker
        self.publisher = Link(self.broker).session(b"publisher")
        self.do(self.publisher, c.QueueDeclare(queue="moved", arguments={"qpid.replicate": "all"}))
        arguments = {**model.arguments, "qpid.replicate": "all"}
        self.do(self.publisher, c.QueueDeclare(queue="q", arguments=arguments))
        self.consumer = Link(self.broker).session(b"consumer")
        self.consumer.do(c.MessageSubscribe(queue="q", destination="d"))
        self.consumer.do(c.MessageSetFlowMode(destination="d", flow_mode=c.FlowMode.CREDIT))
        self.number = 0

    def do(self, peer: Peer, command: c.Command) -> None:
        peer.do(command)
        self.settle(peer)

    def settle(self, peer: Peer) -> None:
        self.wire.settle()
        peer.update()

    def publish(self, priority: int, key: str) -> None:
        self.number += 1
        body = b"%d" % self.number
        self.publisher.send(body, "q", priority=priority, headers={self.model.header: key} if key else {})
        self.settle(self.publisher)
        if not self.model.publish(Kept(body, priority, key, None)) and isinstance(self.model, Full):
            assert self.publisher.failure is not None
            self.publisher.link.lose()
            self.publisher = Link(self.broker).session(b"publisher")

    def commit(self, priority: int, key: str) -> None:
        """Two messages in one entry, the second of which may replace the first."""
        transaction = Link(self.broker).session(b"tx")
        self.do(transaction, c.TxSelect())
        coming = []
        for _ in range(2):
            self.number += 1
            coming.append(Kept(b"%d" % self.number, priority, key, None))
            transaction.send(coming[-1].body, "q", priority=priority, headers={self.model.header: key})
        self.do(transaction, c.TxCommit())
        transaction.link.lose()
        if not isinstance(self.model, Full) or len(self.model.kept) <= 2:
            for message in coming:
                self.model.publish(message)

    def take(self, count: int, what: str) -> None:
        expected = []
        for _ in range(count):
            message = self.model.pick(CONSUMER)
            if message is not None:
                message.holder = CONSUMER
                expected.append(message)
        self.consumer.do(c.MessageFlow(destination="d", unit=c.CreditUnit.BYTE, value=UNLIMITED))
        self.consumer.do(c.MessageFlow(destination="d", unit=c.CreditUnit.MESSAGE, value=count))
        self.consumer.do(c.MessageStop(destination="d"))
        got = self.consumer.receive_all()
        assert [event.body for event in got] == [message.body for message in expected]
        if what == "accept":
            self.consumer.settle(c.MessageAccept, *got)
            self.settle(self.consumer)
            self.model.remove(expected)
        elif what == "release":
            self.consumer.settle(c.MessageRelease, *got)
            for message in expected:
                message.holder = None

    def purge(self, count: int, _: str) -> None:
        done: list[int] = []
        queue_operations.purge(self.broker, self.broker.queues["q"], done.append, count=count)
        self._operated(count, done)

    def move(self, count: int, _: str) -> None:
        done: list[int] = []
        queues = self.broker.queues
        queue_operations.move(
            self.broker, queues["q"], queues["moved"], done.append, lambda error: done.append(-1), count=count
        )
        self._operated(count, done)

    def _operated(self, count: int, done: list[int]) -> None:
        gone = self.model.free()[: count or None]
        assert not (gone and done), "done before the backup has it"
        self.wire.settle()
        assert done == [len(gone)]
        self.model.remove(gone)


@pytest.mark.parametrize("model_class", MODELS, ids=lambda model: model.__name__)
def test_backups_hold_the_same(model_class: type[Model]) -> None:
    @settings(max_examples=20, deadline=None)
    @given(steps=STEPS)
    def check(steps: list[tuple[str, int, str]]) -> None:
        scene = Scene(model_class())
        for what, number, text in steps:
            getattr(scene, what)(number, text)
            assert replicated_state(scene.backup.broker) == replicated_state(scene.broker)
        late = Member("c")
        follow(late, scene.primary)
        assert replicated_state(late.broker) == replicated_state(scene.broker)
        scene.primary.step_down("test")
        for member in (scene.backup, late):
            _consume_all(scene, member)

    check()


def _consume_all(scene: Scene, member: Member) -> None:
    """A new primary gives what is left, what was acquired before included, in the order of the type."""
    model = scene.model
    for message in model.kept:
        message.holder = None
    if isinstance(model, Fairshare):
        # Whose turn it was is not replicated.
        model.level_now, model.in_a_row = 2, 0
    queue = member.broker.queues["q"]
    assert [entry.message.body for entry in queue.after(0)] == model.in_order()
    member.reign_under(E2)
    expected = []
    while (picked := model.pick(CONSUMER)) is not None:
        picked.holder = CONSUMER
        expected.append(picked.body)
    peer = Link(member.broker).session(b"after")
    peer.subscribe("q")
    got = peer.receive_all()
    assert [event.body for event in got] == expected
    peer.settle(c.MessageAccept, *got)
    assert queue.depth == 0
    assert not queue.by_id


def test_a_numbering_queue_is_replicated_with_its_numbers() -> None:
    primary, backup = Member("a"), Member("b")
    primary.reign_under(E1)
    wire: Wire = follow(backup, primary)
    peer = Link(primary.broker).session()
    ring = {"qpid.policy_type": "ring", "qpid.max_count": 2}
    arguments = {"qpid.replicate": "all", "qpid.queue_msg_sequence": "n", **ring}
    peer.do(c.QueueDeclare(queue="q", arguments=arguments))
    wire.settle()
    for number in range(3):
        peer.send(b"%d" % number, "q")
        wire.settle()
    late = Member("c")
    follow(late, primary)
    for member in (primary, backup, late):
        entries = list(member.broker.queues["q"].after(0))
        assert [(entry.message.application_headers["n"], entry.position) for entry in entries] == [(2, 2), (3, 3)]
        assert sorted(member.broker.queues["q"].by_id) == sorted(
            entry.message.replication_id for entry in entries if entry.message.replication_id
        )
    assert replicated_state(late.broker) == replicated_state(backup.broker) == replicated_state(primary.broker)
