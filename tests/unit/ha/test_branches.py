"""Prepared branches of distributed transactions are state that all members hold."""

from __future__ import annotations

import pytest

from qpid_messaging.amqp import commands as c
from qpid_messaging.amqp.commands import XaStatus
from qpid_server.dtx import XidKey
from qpid_server.effects import Enqueue
from qpid_server.ha.epoch import Epoch
from qpid_server.ha.log import Log
from qpid_server.ha.messages import Wall
from qpid_server.ha.records import ReplicationError
from qpid_server.queue import Replicate
from tests.unit.ha.members import E1, E2, Member, Writer, follow, new_broker, offered, text_message, texts
from tests.unit.server.driver import Link

XID = XidKey(1, b"transaction", b"x")
X = c.Xid(*XID)


def branches(member: Member) -> list[tuple[XidKey, list[tuple[str, bytes | None]], list[tuple[str, int]]]]:
    """The prepared branches that a member holds: what they will put where, and take from where."""
    return [
        (
            held.xid,
            [(enqueue.queue.name, enqueue.message.body) for enqueue in held.enqueues],
            [(entry.queue.name, entry.position) for entry in held.entries],
        )
        for held in member.broker.dtx.prepared()
    ]


class Told(list[XaStatus]):
    """Outcomes, as they come."""

    def __call__(self, status: XaStatus) -> None:
        self.append(status)


def prepare(primary: Member) -> Told:
    """A client takes `one` from q and puts `sent` on q and r, under XID."""
    session = Link(primary.broker).session(b"worker")
    session.do(c.DtxSelect())
    session.do(c.DtxStart(xid=X))
    session.subscribe("q", credit=1)
    session.settle(c.MessageAccept, *session.receive_all())
    session.send(b"sent", "", "amq.fanout")
    session.do(c.DtxEnd(xid=X))
    session.link.lose()
    told = Told()
    primary.broker.dtx.prepare(XID, told)
    primary.broker.settle()
    return told


def pair() -> tuple[Member, Member, Writer]:
    """A primary and its backup, with messages on q, and q and r bound to amq.fanout."""
    a, b = Member("a"), Member("b")
    a.reign_under(E1)
    follow(b, a)
    writer = Writer(a.broker)
    for queue in ("q", "r"):
        writer.declare(queue)
        writer.bind(queue, "amq.fanout", queue)
    writer.send("one")
    writer.send("two")
    settle(b)
    return a, b, writer


def settle(backup: Member) -> None:
    assert backup.wire is not None
    backup.wire.settle()
    assert backup.wire is not None, "the link broke"


EXPECTED = [(XID, [("q", b"sent"), ("r", b"sent")], [("q", 1)])]


def test_prepare_waits_for_the_backups() -> None:
    a, b, _ = pair()
    told = prepare(a)
    assert (told, branches(a), branches(b)) == ([], EXPECTED, [])
    settle(b)
    assert (told, branches(b)) == ([XaStatus.XA_OK], EXPECTED)
    assert offered(a.broker) == offered(b.broker) == ["two"]


@pytest.mark.parametrize("commit", [True, False])
def test_backups_hear_what_became_of_a_branch(commit: bool) -> None:
    a, b, _ = pair()
    prepare(a)
    settle(b)
    told = Told()
    if commit:
        a.broker.dtx.commit(XID, False, told)
    else:
        a.broker.dtx.rollback(XID, told)
    a.broker.settle()
    assert told == []
    assert offered(a.broker) == ["two"], "nobody sees what could still vanish"
    settle(b)
    assert told == [XaStatus.XA_OK]
    for member in (a, b):
        assert branches(member) == []
        assert offered(member.broker) == (["two", "sent"] if commit else ["one", "two"])
        assert texts(member.broker, "r") == (["sent"] if commit else [])
    # The two places of one message have one id.
    ids = [list(member.broker.queues["r"].by_id) for member in (a, b)]
    assert ids[0] == ids[1]
    assert all(id in a.broker.queues["q"].by_id for id in ids[0])


@pytest.mark.parametrize("commit", [True, False])
def test_a_prepared_branch_survives_a_fail_over(commit: bool) -> None:
    a, b, _ = pair()
    prepare(a)
    settle(b)
    assert b.wire is not None
    b.wire.cut()
    b.reign_under(E2)
    client = Link(b.broker).session(b"manager")
    assert client.ask(c.DtxRecover()) == c.RecoverResult(in_doubt=[X])
    assert offered(b.broker) == ["two"]
    result = client.ask(c.DtxCommit(xid=X) if commit else c.DtxRollback(xid=X))
    assert result == c.XaResult(status=XaStatus.XA_OK)
    assert offered(b.broker) == (["two", "sent"] if commit else ["one", "two"])
    assert texts(b.broker, "r") == (["sent"] if commit else [])


@pytest.mark.parametrize("confirmed", [True, False])
def test_a_branch_is_part_of_the_difference(confirmed: bool) -> None:
    a, b, _ = pair()
    prepare(a)
    if confirmed:
        settle(b)
    new = Member("c")
    follow(new, a)
    assert branches(new) == EXPECTED
    assert texts(new.broker) == ["one", "two"]
    assert offered(new.broker) == ["two"]
    told = Told()
    a.broker.dtx.rollback(XID, told)
    a.broker.settle()
    settle(new)
    settle(b)
    settle(new)
    assert told == [XaStatus.XA_OK]
    assert offered(new.broker) == offered(b.broker) == ["one", "two"]


def test_a_branch_that_nobody_else_had_is_lost_with_the_tail() -> None:
    a, b, _ = pair()
    assert b.wire is not None
    b.wire.cut()
    Writer(a.broker).declare("local", Replicate.NONE)
    prepare(a)
    assert branches(a) == EXPECTED
    b.reign_under(E2)
    a.step_down("there is another")
    follow(a, b)
    assert branches(a) == []
    assert offered(a.broker) == ["one", "two"]


def test_a_branch_on_queues_that_are_not_replicated_is_this_brokers_own() -> None:
    a, b, writer = pair()
    writer.declare("local", Replicate.NONE)
    session = Link(a.broker).session(b"worker")
    for command in (c.DtxSelect(), c.DtxStart(xid=X)):
        session.do(command)
    session.send(b"sent", "local")
    session.do(c.DtxEnd(xid=X))
    assert session.ask(c.DtxPrepare(xid=X)) == c.XaResult(status=XaStatus.XA_OK)
    settle(b)
    assert [held.xid for held in a.broker.dtx.prepared()] == [XID]
    assert branches(b) == []
    assert session.ask(c.DtxCommit(xid=X)) == c.XaResult(status=XaStatus.XA_OK)
    assert texts(a.broker, "local") == ["sent"]


def test_only_the_replicated_part_of_a_branch_goes_to_the_backups() -> None:
    a, b, writer = pair()
    writer.declare("local", Replicate.NONE)
    writer.bind("local", "amq.fanout", "local")
    prepare(a)
    settle(b)
    assert branches(b) == EXPECTED
    a.broker.dtx.commit(XID, False, Told())
    a.broker.settle()
    settle(b)
    assert texts(a.broker, "local") == ["sent"]
    assert offered(b.broker) == ["two", "sent"]


def test_a_queue_is_deleted_under_a_prepared_branch() -> None:
    a, b, writer = pair()
    prepare(a)
    settle(b)
    writer.do("delete q", *a.broker.delete_queue_effects(a.broker.queues["q"]))
    settle(b)
    new = Member("c")
    follow(new, a)
    assert branches(new) == [(XID, [("r", b"sent")], [])]
    told = Told()
    a.broker.dtx.commit(XID, False, told)
    a.broker.settle()
    for _ in range(2):
        settle(b)
        settle(new)
    assert told == [XaStatus.XA_OK]
    assert [texts(member.broker, "r") for member in (a, b, new)] == [["sent"]] * 3


def test_the_outcome_of_an_unknown_branch_does_not_fit() -> None:
    a, b, _ = pair()
    prepare(a)
    settle(b)
    b.broker.dtx.forget_replicated()
    a.broker.dtx.rollback(XID, Told())
    a.broker.settle()
    wire = b.wire
    assert wire is not None
    wire.settle()
    assert isinstance(wire.failure, ReplicationError)


def test_a_message_that_expires_keeps_its_time() -> None:
    a, b, _ = pair()
    message = text_message("mortal")
    message.expires = a.broker.clock() + 5
    session = Link(a.broker).session(b"worker")
    session.do(c.DtxSelect())
    session.do(c.DtxStart(xid=X))
    session.do(c.DtxEnd(xid=X))
    a.broker.dtx.find(XID).associations[0].effects.append(Enqueue(a.broker.queues["q"], message))
    a.broker.dtx.prepare(XID, Told())
    a.broker.settle()
    settle(b)
    (held,) = b.broker.dtx.prepared()
    assert held.enqueues[0].message.expires == pytest.approx(b.broker.clock() + 5, abs=0.01)


def test_prepare_is_no_change_of_configuration() -> None:
    log = Log(new_broker(), wall=Wall(lambda: 1e9))
    log.broker.journal = log
    log.promote(Epoch(1, "a"), inherited=False)
    writer = Writer(log.broker)
    writer.declare()
    log.hold("recovering", configuration=False)
    association = log.broker.dtx.start(XID)
    association.effects.append(Enqueue(log.broker.queues["q"], text_message("sent")))
    association.end()
    told = Told()
    log.broker.dtx.prepare(XID, told)
    assert told == []
    log.release("recovering")
    assert told == [XaStatus.XA_OK]
