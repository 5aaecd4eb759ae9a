"""Distributed transactions: every command in every state, time-outs, limits, and any order of commands."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from qpid_messaging.amqp import commands as c
from qpid_messaging.amqp.commands import XaStatus
from qpid_server.dtx import KEPT_AFTER_TIMEOUT, BranchState, XidKey

from .driver import Link, Peer, advance, make_broker

X = c.Xid(format=1, global_id=b"transaction", branch_id=b"x")
Y = c.Xid(format=1, global_id=b"transaction", branch_id=b"y")
KEY = XidKey(1, b"transaction", b"x")

OK, ROLLBACK, TIMEOUT = XaStatus.XA_OK, XaStatus.XA_RBROLLBACK, XaStatus.XA_RBTIMEOUT
DONE = "completed"  # without a result


class Scene:
    """A worker that takes `taken` from q and puts `sent` on r under xid X, a second worker, and a manager."""

    def __init__(self, **options: Any) -> None:
        self.broker = make_broker(**options)
        self.worker, self.other, self.manager = (
            Link(self.broker).session(name) for name in (b"worker", b"other", b"manager")
        )
        for peer in (self.worker, self.other, self.manager):
            peer.do(c.DtxSelect())
        self.manager.declare("q")
        self.manager.declare("r")
        self.manager.send(b"taken", "q")

    def work(self) -> None:
        """Start, take one message and send one."""
        assert outcome(self.worker, c.DtxStart(xid=X)) is OK
        self.worker.subscribe("q")
        (delivery,) = self.worker.receive_all()
        self.worker.settle(c.MessageAccept, delivery)
        self.worker.do(c.MessageCancel(destination="d"))
        self.worker.send(b"sent", "r")

    def messages(self) -> tuple[list[bytes], list[bytes]]:
        """What can be had of q and r now; on q nothing else is left once `sent` is on r."""
        q, r = self.broker.queues["q"], self.broker.queues["r"]
        found = ([entry.message.body or b"" for entry in queue.available()] for queue in (q, r))
        assert q.depth == (0 if any(entry.message.body == b"sent" for entry in r.available()) else 1)
        return next(found), next(found)

    def state(self) -> BranchState | None:
        """What the broker knows of X."""
        branch = self.broker.dtx._branches.get(KEY)
        return None if branch is None else branch.state


HELD: tuple[list[bytes], list[bytes]] = ([], [])
UNDONE: tuple[list[bytes], list[bytes]] = ([b"taken"], [])
COMMITTED: tuple[list[bytes], list[bytes]] = ([], [b"sent"])


def outcome(peer: Peer, command: c.Command) -> Any:
    """The command's xa-status, or other result; its error code if it ended the session; DONE if it just completed."""
    command_id = peer.do(command)
    if peer.failure is not None:
        return peer.failure.error_code
    if command_id in peer.results:
        result = peer.results[command_id]
        return XaStatus(result.status) if isinstance(result, c.XaResult) and result.status is not None else result
    assert command_id in peer.completed
    return DONE


# -- every command in every state --------------------------------------------------------------------------------------


def unknown(scene: Scene) -> None:
    """Nobody has heard of X; `taken` is on its queue."""


def associated(scene: Scene) -> None:
    scene.work()


def suspended(scene: Scene) -> None:
    scene.work()
    assert outcome(scene.worker, c.DtxEnd(xid=X, suspend=True)) is OK


def ended(scene: Scene) -> None:
    scene.work()
    assert outcome(scene.worker, c.DtxEnd(xid=X)) is OK


def prepared(scene: Scene) -> None:
    ended(scene)
    assert outcome(scene.worker, c.DtxPrepare(xid=X)) is OK


def failed(scene: Scene) -> None:
    scene.work()
    assert outcome(scene.worker, c.DtxEnd(xid=X, fail=True)) is ROLLBACK


def failed_associated(scene: Scene) -> None:
    """A second association lives on."""
    scene.work()
    assert outcome(scene.other, c.DtxStart(xid=X, join=True)) is OK
    assert outcome(scene.worker, c.DtxEnd(xid=X, fail=True)) is ROLLBACK


def timed_out(scene: Scene) -> None:
    ended(scene)
    advance(scene.broker, 60)


def timed_out_associated(scene: Scene) -> None:
    scene.work()
    advance(scene.broker, 60)


COMMANDS: dict[str, c.Command] = {
    "start": c.DtxStart(xid=X),
    "join": c.DtxStart(xid=X, join=True),
    "resume": c.DtxStart(xid=X, resume=True),
    "join and resume": c.DtxStart(xid=X, join=True, resume=True),
    "end": c.DtxEnd(xid=X),
    "fail": c.DtxEnd(xid=X, fail=True),
    "suspend": c.DtxEnd(xid=X, suspend=True),
    "fail and suspend": c.DtxEnd(xid=X, fail=True, suspend=True),
    "prepare": c.DtxPrepare(xid=X),
    "one-phase": c.DtxCommit(xid=X, one_phase=True),
    "two-phase": c.DtxCommit(xid=X),
    "rollback": c.DtxRollback(xid=X),
    "forget": c.DtxForget(xid=X),
    "get-timeout": c.DtxGetTimeout(xid=X),
    "set-timeout": c.DtxSetTimeout(xid=X, timeout=90),
    "recover": c.DtxRecover(),
}

ACTIVE, ROLLBACK_ONLY, TIMED_OUT, PREPARED = (
    BranchState.ACTIVE, BranchState.ROLLBACK_ONLY, BranchState.TIMED_OUT, BranchState.PREPARED,
)  # fmt: skip
GOT, SET = c.GetTimeoutResult(timeout=60), DONE
NONE, IN_DOUBT = c.RecoverResult(in_doubt=[]), c.RecoverResult(in_doubt=[X])

Row = tuple[Any, BranchState | None, tuple[list[bytes], list[bytes]]]

# What a session without associations is told, the branch's state then, and what can be had of the queues.
BY_ANOTHER: dict[Callable[[Scene], None], dict[str, Row]] = {
    unknown: {
        "start": (OK, ACTIVE, UNDONE), "join": (404, None, UNDONE), "resume": (503, None, UNDONE),
        "prepare": (404, None, UNDONE), "one-phase": (404, None, UNDONE), "two-phase": (404, None, UNDONE),
        "rollback": (404, None, UNDONE), "forget": (404, None, UNDONE), "get-timeout": (404, None, UNDONE),
        "set-timeout": (404, None, UNDONE), "recover": (NONE, None, UNDONE),
    },
    associated: {
        "start": (530, ACTIVE, HELD), "join": (OK, ACTIVE, HELD), "resume": (503, ACTIVE, HELD),
        "prepare": (409, ACTIVE, HELD), "one-phase": (409, ACTIVE, HELD), "two-phase": (409, ACTIVE, HELD),
        "rollback": (409, ACTIVE, HELD), "forget": (409, ACTIVE, HELD), "get-timeout": (GOT, ACTIVE, HELD),
        "set-timeout": (SET, ACTIVE, HELD), "recover": (NONE, ACTIVE, HELD),
    },
    suspended: {
        "start": (530, ACTIVE, HELD), "join": (OK, ACTIVE, HELD), "resume": (503, ACTIVE, HELD),
        "prepare": (409, ACTIVE, HELD), "one-phase": (409, ACTIVE, HELD), "two-phase": (409, ACTIVE, HELD),
        "rollback": (409, ACTIVE, HELD), "forget": (409, ACTIVE, HELD), "get-timeout": (GOT, ACTIVE, HELD),
        "set-timeout": (SET, ACTIVE, HELD), "recover": (NONE, ACTIVE, HELD),
    },
    ended: {
        "start": (530, ACTIVE, HELD), "join": (OK, ACTIVE, HELD), "resume": (503, ACTIVE, HELD),
        "prepare": (OK, PREPARED, HELD), "one-phase": (OK, None, COMMITTED), "two-phase": (409, ACTIVE, HELD),
        "rollback": (OK, None, UNDONE), "forget": (409, ACTIVE, HELD), "get-timeout": (GOT, ACTIVE, HELD),
        "set-timeout": (SET, ACTIVE, HELD), "recover": (NONE, ACTIVE, HELD),
    },
    prepared: {
        "start": (530, PREPARED, HELD), "join": (503, PREPARED, HELD), "resume": (503, PREPARED, HELD),
        "prepare": (OK, PREPARED, HELD), "one-phase": (409, PREPARED, HELD), "two-phase": (OK, None, COMMITTED),
        "rollback": (OK, None, UNDONE), "forget": (409, PREPARED, HELD), "get-timeout": (GOT, PREPARED, HELD),
        "set-timeout": (SET, PREPARED, HELD), "recover": (IN_DOUBT, PREPARED, HELD),
    },
    failed: {
        "start": (530, ROLLBACK_ONLY, UNDONE), "join": (OK, ROLLBACK_ONLY, UNDONE),
        "resume": (503, ROLLBACK_ONLY, UNDONE), "prepare": (ROLLBACK, ROLLBACK_ONLY, UNDONE),
        "one-phase": (ROLLBACK, None, UNDONE), "two-phase": (ROLLBACK, None, UNDONE),
        "rollback": (OK, None, UNDONE), "forget": (DONE, None, UNDONE), "get-timeout": (GOT, ROLLBACK_ONLY, UNDONE),
        "set-timeout": (SET, ROLLBACK_ONLY, UNDONE), "recover": (NONE, ROLLBACK_ONLY, UNDONE),
    },
    failed_associated: {
        "start": (530, ROLLBACK_ONLY, UNDONE), "join": (OK, ROLLBACK_ONLY, UNDONE),
        "resume": (503, ROLLBACK_ONLY, UNDONE), "prepare": (409, ROLLBACK_ONLY, UNDONE),
        "one-phase": (409, ROLLBACK_ONLY, UNDONE), "two-phase": (409, ROLLBACK_ONLY, UNDONE),
        "rollback": (409, ROLLBACK_ONLY, UNDONE), "forget": (409, ROLLBACK_ONLY, UNDONE),
        "get-timeout": (GOT, ROLLBACK_ONLY, UNDONE), "set-timeout": (SET, ROLLBACK_ONLY, UNDONE),
        "recover": (NONE, ROLLBACK_ONLY, UNDONE),
    },
    timed_out: {
        "start": (530, TIMED_OUT, UNDONE), "join": (TIMEOUT, TIMED_OUT, UNDONE), "resume": (503, TIMED_OUT, UNDONE),
        "prepare": (TIMEOUT, None, UNDONE), "one-phase": (TIMEOUT, None, UNDONE), "two-phase": (TIMEOUT, None, UNDONE),
        "rollback": (TIMEOUT, None, UNDONE), "forget": (DONE, None, UNDONE), "get-timeout": (GOT, TIMED_OUT, UNDONE),
        "set-timeout": (SET, TIMED_OUT, UNDONE), "recover": (NONE, TIMED_OUT, UNDONE),
    },
    timed_out_associated: {
        "start": (530, TIMED_OUT, UNDONE), "join": (TIMEOUT, TIMED_OUT, UNDONE), "resume": (503, TIMED_OUT, UNDONE),
        "prepare": (TIMEOUT, None, UNDONE), "one-phase": (TIMEOUT, None, UNDONE), "two-phase": (TIMEOUT, None, UNDONE),
        "rollback": (TIMEOUT, None, UNDONE), "forget": (409, TIMED_OUT, UNDONE),
        "get-timeout": (GOT, TIMED_OUT, UNDONE), "set-timeout": (SET, TIMED_OUT, UNDONE),
        "recover": (NONE, TIMED_OUT, UNDONE),
    },
}  # fmt: skip

# A session without associations ends none, whatever the state; and some flags exclude each other.
NEVER = {"end": 409, "fail": 409, "suspend": 409, "fail and suspend": 503, "join and resume": 503}
for _rows in BY_ANOTHER.values():
    _, _state, _messages = _rows["recover"]
    for _name, _code in NEVER.items():
        _rows[_name] = (_code, _state, _messages)


@pytest.mark.parametrize("command", COMMANDS)
@pytest.mark.parametrize("reach", BY_ANOTHER, ids=lambda reach: reach.__name__)
def test_every_command_in_every_state(reach: Callable[[Scene], None], command: str) -> None:
    scene = Scene()
    reach(scene)
    told, state, messages = BY_ANOTHER[reach][command]
    assert outcome(scene.manager, COMMANDS[command]) == told
    assert (scene.state(), scene.messages()) == (state, messages)


# What the worker is told that has, or had, the association itself. Where its session ends, the branch fails.
BY_THE_WORKER: dict[Callable[[Scene], None], dict[str, Row]] = {
    associated: {
        "start": (409, ROLLBACK_ONLY, UNDONE), "join": (409, ROLLBACK_ONLY, UNDONE),
        "resume": (409, ROLLBACK_ONLY, UNDONE), "join and resume": (503, ROLLBACK_ONLY, UNDONE),
        "end": (OK, ACTIVE, HELD), "fail": (ROLLBACK, ROLLBACK_ONLY, UNDONE), "suspend": (OK, ACTIVE, HELD),
        "fail and suspend": (503, ROLLBACK_ONLY, UNDONE), "prepare": (409, ROLLBACK_ONLY, UNDONE),
        "one-phase": (409, ROLLBACK_ONLY, UNDONE), "two-phase": (409, ROLLBACK_ONLY, UNDONE),
        "rollback": (409, ROLLBACK_ONLY, UNDONE), "forget": (409, ROLLBACK_ONLY, UNDONE),
        "get-timeout": (GOT, ACTIVE, HELD), "set-timeout": (SET, ACTIVE, HELD), "recover": (NONE, ACTIVE, HELD),
    },
    suspended: {
        "start": (530, ROLLBACK_ONLY, UNDONE), "join": (409, ROLLBACK_ONLY, UNDONE), "resume": (OK, ACTIVE, HELD),
        "join and resume": (503, ROLLBACK_ONLY, UNDONE), "end": (OK, ACTIVE, HELD),
        "fail": (ROLLBACK, ROLLBACK_ONLY, UNDONE), "suspend": (409, ROLLBACK_ONLY, UNDONE),
        "fail and suspend": (503, ROLLBACK_ONLY, UNDONE), "prepare": (409, ROLLBACK_ONLY, UNDONE),
        "one-phase": (409, ROLLBACK_ONLY, UNDONE), "two-phase": (409, ROLLBACK_ONLY, UNDONE),
        "rollback": (409, ROLLBACK_ONLY, UNDONE), "forget": (409, ROLLBACK_ONLY, UNDONE),
        "get-timeout": (GOT, ACTIVE, HELD), "set-timeout": (SET, ACTIVE, HELD), "recover": (NONE, ACTIVE, HELD),
    },
    # Its part is done: it is a session like any other.
    ended: BY_ANOTHER[ended],
    prepared: BY_ANOTHER[prepared],
    failed: BY_ANOTHER[failed],
    timed_out: BY_ANOTHER[timed_out],
    timed_out_associated: {
        **BY_ANOTHER[timed_out_associated],
        "start": (409, TIMED_OUT, UNDONE), "join": (409, TIMED_OUT, UNDONE), "resume": (409, TIMED_OUT, UNDONE),
        "end": (TIMEOUT, TIMED_OUT, UNDONE), "fail": (TIMEOUT, TIMED_OUT, UNDONE),
        "suspend": (TIMEOUT, TIMED_OUT, UNDONE),
    },
}  # fmt: skip


@pytest.mark.parametrize("command", COMMANDS)
@pytest.mark.parametrize("reach", BY_THE_WORKER, ids=lambda reach: reach.__name__)
def test_every_command_by_the_worker(reach: Callable[[Scene], None], command: str) -> None:
    scene = Scene()
    reach(scene)
    told, state, messages = BY_THE_WORKER[reach][command]
    assert outcome(scene.worker, COMMANDS[command]) == told
    assert (scene.state(), scene.messages()) == (state, messages)


@pytest.mark.parametrize(
    ("command", "told"),
    [
        ("start", 503), ("join", 503), ("resume", 503), ("end", 409), ("suspend", 409), ("prepare", OK),
        ("one-phase", OK), ("rollback", OK), ("recover", NONE), ("get-timeout", GOT), ("set-timeout", SET),
    ],
)  # fmt: skip
def test_only_work_needs_dtx_select(command: str, told: Any) -> None:
    scene = Scene()
    ended(scene)
    peer = Link(scene.broker).session(b"not selected")
    assert outcome(peer, COMMANDS[command]) == told


@pytest.mark.parametrize("command", sorted(set(COMMANDS) - {"join and resume", "fail and suspend", "recover"}))
def test_a_command_without_an_xid(command: str) -> None:
    scene = Scene()
    nameless = type(COMMANDS[command])()
    assert outcome(scene.worker, nameless) == 531


def test_local_and_distributed_transactions_exclude_each_other() -> None:
    scene = Scene()
    assert outcome(scene.worker, c.TxSelect()) == 503
    assert outcome(scene.other, c.TxCommit()) == 503
    local = Link(scene.broker).session(b"local")
    assert outcome(local, c.TxSelect()) == DONE
    assert outcome(local, c.DtxSelect()) == 503


def test_tx_commands_do_not_touch_a_branch() -> None:
    scene = Scene()
    associated(scene)
    assert outcome(scene.worker, c.TxRollback()) == 503
    assert scene.state() is ROLLBACK_ONLY  # the session ended with its association


def test_select_twice() -> None:
    scene = Scene()
    associated(scene)
    assert outcome(scene.worker, c.DtxSelect()) == DONE
    assert outcome(scene.worker, c.DtxEnd(xid=X)) is OK


@pytest.mark.parametrize("command", ["end", "fail", "suspend"])
def test_ending_the_wrong_branch(command: str) -> None:
    scene = Scene()
    associated(scene)
    wrong = type(COMMANDS[command])(xid=Y, fail=command == "fail", suspend=command == "suspend")
    assert outcome(scene.worker, wrong) == 503


# -- sessions ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("reach", [associated, suspended], ids=lambda reach: reach.__name__)
@pytest.mark.parametrize("way", ["detach", "loss"])
def test_a_session_that_ends_fails_its_branch(reach: Callable[[Scene], None], way: str) -> None:
    scene = Scene()
    reach(scene)
    if way == "loss":
        scene.worker.link.lose()
    else:
        scene.worker.session.detach()
        scene.worker.update()
    assert (scene.state(), scene.messages()) == (ROLLBACK_ONLY, UNDONE)
    (entry,) = scene.broker.queues["q"].available()
    assert entry.redelivered
    assert outcome(scene.manager, c.DtxPrepare(xid=X)) is ROLLBACK
    assert outcome(scene.manager, c.DtxRollback(xid=X)) is OK


@pytest.mark.parametrize("reach", [ended, prepared], ids=lambda reach: reach.__name__)
def test_a_branch_outlives_the_session_whose_part_is_done(reach: Callable[[Scene], None]) -> None:
    scene = Scene()
    reach(scene)
    scene.worker.link.lose()
    assert scene.messages() == HELD
    assert outcome(scene.manager, c.DtxCommit(xid=X, one_phase=reach is ended)) is OK
    assert scene.messages() == COMMITTED


def test_work_outside_an_association_is_done_at_once() -> None:
    scene = Scene()
    suspended(scene)
    scene.worker.send(b"at once", "r")
    assert scene.messages() == ([], [b"at once"])
    assert outcome(scene.worker, c.DtxStart(xid=X, resume=True)) is OK
    scene.worker.send(b"later", "r")
    assert outcome(scene.worker, c.DtxEnd(xid=X)) is OK
    assert outcome(scene.worker, c.DtxCommit(xid=X, one_phase=True)) is OK
    assert scene.messages() == ([], [b"at once", b"sent", b"later"])


def test_two_branches_of_one_session() -> None:
    scene = Scene()
    suspended(scene)
    assert outcome(scene.worker, c.DtxStart(xid=Y)) is OK
    scene.worker.send(b"of y", "r")
    assert outcome(scene.worker, c.DtxEnd(xid=Y)) is OK
    assert outcome(scene.worker, c.DtxEnd(xid=X)) is OK
    assert outcome(scene.worker, c.DtxRollback(xid=X)) is OK
    assert outcome(scene.worker, c.DtxCommit(xid=Y, one_phase=True)) is OK
    assert scene.messages() == ([b"taken"], [b"of y"])


def test_a_branch_of_two_sessions_is_one() -> None:
    scene = Scene()
    associated(scene)
    assert outcome(scene.other, c.DtxStart(xid=X, join=True)) is OK
    scene.other.send(b"of the other", "r")
    assert outcome(scene.worker, c.DtxEnd(xid=X)) is OK
    assert outcome(scene.manager, c.DtxPrepare(xid=X)) == 409
    assert outcome(scene.other, c.DtxEnd(xid=X)) is OK
    assert outcome(scene.other, c.DtxCommit(xid=X, one_phase=True)) is OK
    assert scene.messages() == ([], [b"sent", b"of the other"])


def test_what_fails_takes_the_others_work_along() -> None:
    scene = Scene()
    associated(scene)
    assert outcome(scene.other, c.DtxStart(xid=X, join=True)) is OK
    assert outcome(scene.other, c.DtxEnd(xid=X, fail=True)) is ROLLBACK
    scene.worker.send(b"in vain", "r")
    assert outcome(scene.worker, c.DtxEnd(xid=X)) is OK
    assert outcome(scene.worker, c.DtxCommit(xid=X, one_phase=True)) is ROLLBACK
    assert scene.messages() == UNDONE


def test_a_message_released_under_a_branch_is_not_taken() -> None:
    scene = Scene()
    assert outcome(scene.worker, c.DtxStart(xid=X)) is OK
    scene.worker.subscribe("q", credit=1)
    (delivery,) = scene.worker.receive_all()
    scene.worker.settle(c.MessageAccept, delivery)
    scene.worker.settle(c.MessageRelease, delivery)
    assert scene.messages() == UNDONE
    assert outcome(scene.worker, c.DtxEnd(xid=X)) is OK
    assert outcome(scene.worker, c.DtxCommit(xid=X, one_phase=True)) is OK
    assert scene.messages() == UNDONE


@pytest.mark.parametrize("select", [c.DtxSelect(), c.TxSelect()], ids=lambda command: command.NAME)
def test_to_accept_what_was_only_browsed_takes_nothing(select: c.Command) -> None:
    scene = Scene()
    peer = Link(scene.broker).session(b"browser")
    peer.do(select)
    distributed = isinstance(select, c.DtxSelect)
    if distributed:
        peer.do(c.DtxStart(xid=X))
    peer.subscribe("q", acquire_mode=c.AcquireMode.NOT_ACQUIRED)
    (delivery,) = peer.receive_all()
    peer.settle(c.MessageAccept, delivery)
    if distributed:
        peer.do(c.DtxEnd(xid=X))
        assert outcome(peer, c.DtxCommit(xid=X, one_phase=True)) is OK
    else:
        assert outcome(peer, c.TxCommit()) == DONE
    assert scene.messages() == UNDONE


# -- queues ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("phases", [1, 2])
def test_a_queue_that_is_gone_gets_nothing(phases: int) -> None:
    scene = Scene()
    (ended if phases == 1 else prepared)(scene)
    scene.manager.do(c.QueueDelete(queue="r"))
    scene.manager.do(c.QueueDelete(queue="q"))
    assert outcome(scene.manager, c.DtxCommit(xid=X, one_phase=phases == 1)) is OK
    assert "r" not in scene.broker.queues


def test_a_prepared_branch_is_rolled_back_after_its_queue_is_gone() -> None:
    scene = Scene()
    prepared(scene)
    scene.manager.do(c.QueueDelete(queue="q"))
    assert outcome(scene.manager, c.DtxRollback(xid=X)) is OK


def limited(scene: Scene, policy: str) -> None:
    """Work for X that sends one message to a queue for one message."""
    scene.manager.declare("l", arguments={"qpid.max_count": 1, "qpid.policy_type": policy})
    scene.work()
    scene.worker.send(b"limited", "l")
    assert outcome(scene.worker, c.DtxEnd(xid=X)) is OK


def on_limited(scene: Scene) -> list[bytes]:
    return [entry.message.body or b"" for entry in scene.broker.queues["l"].available()]


@pytest.mark.parametrize("command", [c.DtxPrepare(xid=X), c.DtxCommit(xid=X, one_phase=True)], ids=lambda k: k.NAME)
def test_a_full_queue_refuses_the_whole_branch(command: c.Command) -> None:
    scene = Scene()
    limited(scene, "reject")
    scene.manager.send(b"before", "l")
    assert outcome(scene.manager, command) is ROLLBACK
    assert (scene.messages(), on_limited(scene)) == (UNDONE, [b"before"])


def test_what_is_prepared_is_not_refused_any_more() -> None:
    scene = Scene()
    limited(scene, "reject")
    assert outcome(scene.manager, c.DtxPrepare(xid=X)) is OK
    scene.manager.send(b"meanwhile", "l")
    assert outcome(scene.manager, c.DtxCommit(xid=X)) is OK
    assert (scene.messages(), on_limited(scene)) == (COMMITTED, [b"meanwhile", b"limited"])


def test_a_ring_makes_room_when_the_branch_is_committed() -> None:
    scene = Scene()
    limited(scene, "ring")
    scene.manager.send(b"before", "l")
    assert outcome(scene.manager, c.DtxPrepare(xid=X)) is OK
    assert on_limited(scene) == [b"before"]
    assert outcome(scene.manager, c.DtxCommit(xid=X)) is OK
    assert on_limited(scene) == [b"limited"]


def test_purge_leaves_what_a_branch_holds() -> None:
    scene = Scene()
    prepared(scene)
    scene.manager.send(b"free", "q")
    scene.manager.do(c.QueuePurge(queue="q"))
    assert scene.messages() == HELD
    assert outcome(scene.manager, c.DtxRollback(xid=X)) is OK
    assert scene.messages() == UNDONE


# -- time-outs ---------------------------------------------------------------------------------------------------------


def test_a_branch_times_out_no_earlier_than_it_should() -> None:
    scene = Scene(dtx_default_timeout=7)
    associated(scene)
    advance(scene.broker, 6.9)
    assert (scene.state(), scene.messages()) == (ACTIVE, HELD)
    advance(scene.broker, 0.2)
    assert (scene.state(), scene.messages()) == (TIMED_OUT, UNDONE)


def test_a_waiting_consumer_gets_what_a_time_out_gives_back() -> None:
    scene = Scene()
    ended(scene)
    scene.other.subscribe("q")
    assert scene.other.receive() == []
    advance(scene.broker, 61)
    assert scene.other.receive() == [b"taken"]


def test_a_new_timeout_counts_from_when_it_was_set() -> None:
    scene = Scene()
    associated(scene)
    advance(scene.broker, 50)
    assert outcome(scene.worker, c.DtxSetTimeout(xid=X, timeout=20)) == SET
    assert outcome(scene.worker, c.DtxGetTimeout(xid=X)) == c.GetTimeoutResult(timeout=20)
    advance(scene.broker, 19)
    assert scene.state() is ACTIVE
    advance(scene.broker, 1)
    assert scene.state() is TIMED_OUT


def test_the_same_timeout_goes_on_counting() -> None:
    scene = Scene()
    associated(scene)
    advance(scene.broker, 50)
    outcome(scene.worker, c.DtxSetTimeout(xid=X, timeout=60))
    advance(scene.broker, 10)
    assert scene.state() is TIMED_OUT


def test_zero_is_the_usual_timeout() -> None:
    scene = Scene()
    associated(scene)
    outcome(scene.worker, c.DtxSetTimeout(xid=X, timeout=5))
    outcome(scene.worker, c.DtxSetTimeout(xid=X, timeout=0))
    assert outcome(scene.worker, c.DtxGetTimeout(xid=X)) == GOT
    advance(scene.broker, 59)
    assert scene.state() is ACTIVE


@pytest.mark.parametrize(("longest", "asked", "told"), [(3600, 3600, SET), (3600, 3601, 542), (0, 10**9, SET)])
def test_the_longest_timeout(longest: int, asked: int, told: Any) -> None:
    scene = Scene(dtx_max_timeout=longest)
    associated(scene)
    assert outcome(scene.worker, c.DtxSetTimeout(xid=X, timeout=asked)) == told


def test_a_broker_without_a_usual_timeout_waits() -> None:
    scene = Scene(dtx_default_timeout=0)
    associated(scene)
    advance(scene.broker, 1e6)
    assert outcome(scene.worker, c.DtxEnd(xid=X)) is OK
    assert outcome(scene.worker, c.DtxCommit(xid=X, one_phase=True)) is OK


def test_what_is_prepared_does_not_time_out() -> None:
    scene = Scene()
    prepared(scene)
    outcome(scene.manager, c.DtxSetTimeout(xid=X, timeout=1))
    advance(scene.broker, 1e6)
    assert outcome(scene.manager, c.DtxRecover()) == IN_DOUBT
    assert outcome(scene.manager, c.DtxCommit(xid=X)) is OK
    assert scene.messages() == COMMITTED


def test_what_is_completed_does_not_time_out() -> None:
    scene = Scene()
    ended(scene)
    assert outcome(scene.manager, c.DtxRollback(xid=X)) is OK
    assert outcome(scene.worker, c.DtxStart(xid=X)) is OK
    advance(scene.broker, 59)
    scene.worker.send(b"in time", "r")
    assert outcome(scene.worker, c.DtxEnd(xid=X)) is OK
    assert outcome(scene.manager, c.DtxCommit(xid=X, one_phase=True)) is OK


def test_work_after_the_time_out_comes_to_nothing() -> None:
    scene = Scene()
    timed_out_associated(scene)
    scene.worker.subscribe("q", credit=1)
    (delivery,) = scene.worker.receive_all()
    scene.worker.settle(c.MessageAccept, delivery)
    scene.worker.send(b"too late", "r")
    assert outcome(scene.worker, c.DtxEnd(xid=X)) is TIMEOUT
    assert scene.messages() == UNDONE


def test_what_was_given_back_may_be_had_again_before_the_end() -> None:
    scene = Scene()
    assert outcome(scene.worker, c.DtxStart(xid=X)) is OK
    scene.worker.subscribe("q")
    scene.worker.settle(c.MessageAccept, *scene.worker.receive_all())
    advance(scene.broker, 61)
    (again,) = scene.worker.receive_all()
    assert outcome(scene.worker, c.DtxEnd(xid=X)) is TIMEOUT
    assert scene.messages() == HELD, "the worker has it"
    scene.worker.settle(c.MessageRelease, again)
    assert len(scene.worker.receive_all()) == 1


def test_a_suspended_association_learns_of_the_time_out() -> None:
    scene = Scene()
    suspended(scene)
    advance(scene.broker, 61)
    assert outcome(scene.worker, c.DtxStart(xid=X, resume=True)) is TIMEOUT
    assert outcome(scene.worker, c.DtxStart(xid=Y)) is OK


def test_an_xid_is_free_again_after_its_time_out_was_told() -> None:
    scene = Scene()
    suspended(scene)
    advance(scene.broker, 61)
    assert outcome(scene.manager, c.DtxRollback(xid=X)) is TIMEOUT
    assert outcome(scene.worker, c.DtxStart(xid=X)) is OK
    assert outcome(scene.worker, c.DtxEnd(xid=X, suspend=True)) is OK
    assert outcome(scene.worker, c.DtxStart(xid=X, resume=True)) is OK
    assert outcome(scene.worker, c.DtxEnd(xid=X)) is OK


def test_what_was_suspended_for_an_older_branch_cannot_be_resumed() -> None:
    scene = Scene()
    suspended(scene)
    advance(scene.broker, 61)
    assert outcome(scene.manager, c.DtxRollback(xid=X)) is TIMEOUT
    assert outcome(scene.worker, c.DtxStart(xid=X)) is OK
    assert outcome(scene.worker, c.DtxEnd(xid=X)) is OK
    assert outcome(scene.worker, c.DtxStart(xid=X, resume=True)) == 503


def test_a_timed_out_branch_is_not_remembered_for_ever() -> None:
    scene = Scene()
    timed_out(scene)
    advance(scene.broker, KEPT_AFTER_TIMEOUT - 1)
    assert scene.state() is TIMED_OUT
    advance(scene.broker, 1)
    assert scene.state() is None


def test_xids_differ_in_every_part() -> None:
    scene = Scene()
    for xid in (X, Y, c.Xid(format=2, global_id=X.global_id, branch_id=b"x"), c.Xid(format=1, branch_id=b"x")):
        assert outcome(scene.worker, c.DtxStart(xid=xid)) is OK
        assert outcome(scene.worker, c.DtxEnd(xid=xid)) is OK
        assert outcome(scene.worker, c.DtxPrepare(xid=xid)) is OK
    result = outcome(scene.manager, c.DtxRecover())
    assert [xid.branch_id for xid in result.in_doubt] == [b"x", b"y", b"x", b"x"]
    assert [xid.format for xid in result.in_doubt] == [1, 1, 2, 1]
