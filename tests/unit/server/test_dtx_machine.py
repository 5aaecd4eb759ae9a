"""Branches against a plain model: whatever the order of commands, no message is lost, and none is there twice."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from qpid_messaging.amqp import commands as c
from qpid_messaging.amqp.commands import XaStatus
from qpid_messaging.amqp.events import Incoming
from qpid_server.dtx import KEPT_AFTER_TIMEOUT, XidKey

from .driver import UNLIMITED, Link, Peer, advance, make_broker

OK, ROLLBACK, TIMEOUT = XaStatus.XA_OK, XaStatus.XA_RBROLLBACK, XaStatus.XA_RBTIMEOUT
DEFAULT_TIMEOUT = 60
WORKERS = (0, 1, 2)
NAMES = ("x", "y")

workers = st.sampled_from(WORKERS)
names = st.sampled_from(NAMES)
STEPS = (
    *("swap",) * 8, *("work",) * 8, *("complete",) * 6, *("publish",) * 4, *("fetch", "settle") * 2,
    "work_at_random", "complete_at_random", "set_timeout", "wait", "leave",
)  # fmt: skip


class Refused(Exception):
    """The model says that the command ends its session, with this code."""


@dataclass(eq=False)
class Part:
    """One association, as the model has it."""

    branch: Branch
    taken: set[bytes] = field(default_factory=set)
    sent: list[bytes] = field(default_factory=list)
    ended: bool = False


@dataclass(eq=False)
class Branch:
    """One branch, as the model has it: active, failed, expired or prepared."""

    name: str
    deadline: float
    timeout: int = DEFAULT_TIMEOUT
    state: str = "active"
    parts: list[Part] = field(default_factory=list)


def xid(name: str) -> c.Xid:
    return c.Xid(format=0, global_id=name.encode(), branch_id=b"")


class DtxMachine(RuleBasedStateMachine):
    """Three workers on one queue, two xids, and a manager that completes branches."""

    def __init__(self) -> None:
        super().__init__()
        self.broker = make_broker(dtx_default_timeout=DEFAULT_TIMEOUT)
        self.manager = self._attach(b"manager")
        self.manager.declare("q")
        self.queue = self.broker.queues["q"]
        self.peers: dict[int, Peer] = {}
        self.held: dict[int, dict[bytes, Incoming]] = {}
        self.current: dict[int, Part | None] = {}
        self.suspended: dict[int, dict[str, Part]] = {}
        for n in WORKERS:
            self._connect(n)
        self.free: set[bytes] = set()
        self.branches: dict[str, Branch] = {}
        self.number = 0

    def _attach(self, name: bytes) -> Peer:
        peer = Link(self.broker).session(name)
        peer.do(c.DtxSelect())
        return peer

    def _connect(self, n: int) -> None:
        peer = self.peers[n] = self._attach(b"worker-%d" % n)
        peer.do(c.MessageSubscribe(queue="q", destination="d"))
        peer.do(c.MessageSetFlowMode(destination="d", flow_mode=c.FlowMode.CREDIT))
        self.held[n], self.current[n], self.suspended[n] = {}, None, {}

    # -- the model's transitions

    def _undo(self, part: Part) -> None:
        self.free |= part.taken
        part.taken, part.sent = set(), []

    def _fail(self, branch: Branch, state: str) -> None:
        branch.state = state
        for part in branch.parts:
            self._undo(part)

    def _end(self, part: Part, *, fail: bool) -> XaStatus:
        part.ended = True
        if part.branch.state != "active":
            self._undo(part)
        elif fail:
            self._fail(part.branch, "failed")
        if part.branch.state == "expired":
            return TIMEOUT
        return ROLLBACK if fail else OK

    def _session_over(self, n: int) -> None:
        self.free |= set(self.held[n])
        part = self.current[n]
        for ending in [*([] if part is None else [part]), *self.suspended[n].values()]:
            self._end(ending, fail=True)

    def _find(self, name: str) -> Branch:
        if name not in self.branches:
            raise Refused(404)
        return self.branches[name]

    def _completable(self, name: str) -> Branch:
        branch = self._find(name)
        if branch.state != "expired" and not all(part.ended for part in branch.parts):
            raise Refused(409)
        return branch

    def _start(self, n: int, name: str, join: bool) -> XaStatus:
        if self.current[n] is not None:
            raise Refused(409)
        mine = self.suspended[n].get(name)
        if mine is not None and self.branches.get(name) is not mine.branch:
            del self.suspended[n][name]
            mine = None
        if join:
            if mine is not None:
                raise Refused(409)
            branch = self._find(name)
            if branch.state == "expired":
                return TIMEOUT
            if branch.state == "prepared":
                raise Refused(503)
        elif name in self.branches:
            raise Refused(530)
        else:
            branch = self.branches[name] = Branch(name, self.broker.clock() + DEFAULT_TIMEOUT)
        part = Part(branch)
        branch.parts.append(part)
        self.current[n] = part
        return OK

    def _resume(self, n: int, name: str) -> XaStatus:
        if self.current[n] is not None:
            raise Refused(409)
        part = self.suspended[n].pop(name, None)
        if part is None:
            raise Refused(503)
        if part.branch.state == "expired":
            return self._end(part, fail=False)
        self.current[n] = part
        return OK

    def _associated(self, n: int, name: str) -> Part:
        part = self.current[n]
        if part is None:
            raise Refused(409)
        if part.branch.name != name:
            raise Refused(503)
        self.current[n] = None
        return part

    def _finish(self, n: int, name: str, fail: bool) -> XaStatus:
        part = self.suspended[n].pop(name, None) or self._associated(n, name)
        return self._end(part, fail=fail)

    def _suspend(self, n: int, name: str) -> XaStatus:
        part = self._associated(n, name)
        if part.branch.state == "expired":
            return self._end(part, fail=False)
        self.suspended[n][name] = part
        return OK

    def _prepare(self, name: str) -> XaStatus:
        branch = self._completable(name)
        if branch.state == "expired":
            del self.branches[name]
            return TIMEOUT
        if branch.state == "failed":
            return ROLLBACK
        branch.state = "prepared"
        return OK

    def _commit(self, name: str, one_phase: bool) -> XaStatus:
        branch = self._completable(name)
        if branch.state in ("active", "prepared") and one_phase != (branch.state == "active"):
            raise Refused(409)
        del self.branches[name]
        if branch.state in ("expired", "failed"):
            return TIMEOUT if branch.state == "expired" else ROLLBACK
        for part in branch.parts:
            self.free |= set(part.sent)
            part.taken, part.sent = set(), []
        return OK

    def _rollback(self, name: str) -> XaStatus:
        branch = self._completable(name)
        del self.branches[name]
        if branch.state == "expired":
            return TIMEOUT
        self._fail(branch, "failed")
        return OK

    def _forget(self, name: str) -> None:
        branch = self._find(name)
        if not all(part.ended for part in branch.parts) or branch.state in ("active", "prepared"):
            raise Refused(409)
        del self.branches[name]

    # -- what happens

    @rule(data=st.data())
    def step(self, data: st.DataObject) -> None:
        """One of `STEPS`; their weights bring enough branches to a commit, which nothing may have failed before."""
        getattr(self, data.draw(st.sampled_from(STEPS)))(data)

    def publish(self, data: st.DataObject) -> None:
        n = data.draw(workers)
        for _ in range(data.draw(st.integers(1, 3))):
            self._publish(n)

    def _publish(self, n: int) -> None:
        self.number += 1
        body = b"%d" % self.number
        self.peers[n].send(body, "q")
        part = self.current[n]
        if part is None:
            self.free.add(body)
        else:
            part.sent.append(body)

    def swap(self, data: st.DataObject) -> None:
        """What branches are for: take a message and send another."""
        working = [n for n in WORKERS if self.current[n] is not None]
        if working:
            n = data.draw(st.sampled_from(working))
            for body in self._fetch(n):
                self._accept(n, body)
            self._publish(n)

    def fetch(self, data: st.DataObject) -> None:
        self._fetch(data.draw(workers))

    def _fetch(self, n: int) -> list[bytes]:
        peer = self.peers[n]
        peer.do(c.MessageFlow(destination="d", unit=c.CreditUnit.BYTE, value=UNLIMITED))
        peer.do(c.MessageFlow(destination="d", unit=c.CreditUnit.MESSAGE, value=1))
        peer.do(c.MessageFlush(destination="d"))
        got = {delivery.body or b"": delivery for delivery in peer.receive_all()}
        assert len(got) == min(1, len(self.free))
        assert set(got) <= self.free, "nobody else has it"
        self.free -= set(got)
        self.held[n].update(got)
        return list(got)

    def settle(self, data: st.DataObject) -> None:
        holding = [(n, body) for n in WORKERS for body in self.held[n]]
        if holding:
            n, body = data.draw(st.sampled_from(holding))
            if data.draw(st.booleans()):
                self._accept(n, body)
            else:
                self.peers[n].settle(c.MessageRelease, self.held[n].pop(body))
                self.free.add(body)

    def _accept(self, n: int, body: bytes) -> None:
        self.peers[n].settle(c.MessageAccept, self.held[n].pop(body))
        part = self.current[n]
        if part is not None:
            part.taken.add(body)

    def work(self, data: st.DataObject) -> None:
        """A worker does what it may."""
        n = data.draw(workers)
        part = self.current[n]
        if part is not None:
            moves = [(kind, part.branch.name) for kind in ("end",) * 8 + ("suspend",) * 3 + ("fail",)]
        else:
            joinable = {name for name, branch in self.branches.items() if branch.state != "prepared"}
            moves = [
                *(("start", name) for name in NAMES if name not in self.branches),
                *(("join", name) for name in sorted(joinable - set(self.suspended[n]))),
                *((kind, name) for name in self.suspended[n] for kind in ("resume", "resume", "end")),
            ]
        if moves:
            kind, name = data.draw(st.sampled_from(moves))
            self._work(n, name, kind)

    def work_at_random(self, data: st.DataObject) -> None:
        """A worker does what may end its session."""
        kind = data.draw(st.sampled_from(["start", "join", "resume", "suspend", "end", "fail"]))
        self._work(data.draw(workers), data.draw(names), kind)

    def _work(self, n: int, name: str, kind: str) -> None:
        told: Any
        try:
            if kind in ("start", "join"):
                told = self._start(n, name, kind == "join")
            elif kind == "resume":
                told = self._resume(n, name)
            elif kind == "suspend":
                told = self._suspend(n, name)
            else:
                told = self._finish(n, name, kind == "fail")
        except Refused as refused:
            told = refused
            self._session_over(n)
        if kind in ("start", "join", "resume"):
            command: c.Command = c.DtxStart(xid=xid(name), join=kind == "join", resume=kind == "resume")
        else:
            command = c.DtxEnd(xid=xid(name), fail=kind == "fail", suspend=kind == "suspend")
        self._do(self.peers[n], command, told)
        if isinstance(told, Refused):
            self._connect(n)

    def complete(self, data: st.DataObject) -> None:
        """The manager does what it may."""
        kinds = {
            "active": ("prepare", "prepare", "one-phase", "rollback"),
            "prepared": ("prepare", "two-phase", "two-phase", "rollback"),
            "failed": ("prepare", "one-phase", "rollback", "forget"),
            "expired": ("prepare", "two-phase", "rollback", "forget"),
        }
        moves = [
            (kind, name)
            for name, branch in self.branches.items()
            if all(part.ended for part in branch.parts)
            for kind in kinds[branch.state]
        ]
        if moves:
            kind, name = data.draw(st.sampled_from(moves))
            self._complete(name, kind)

    def complete_at_random(self, data: st.DataObject) -> None:
        kind = data.draw(st.sampled_from(["prepare", "one-phase", "two-phase", "rollback", "forget"]))
        self._complete(data.draw(names), kind)

    def _complete(self, name: str, kind: str) -> None:
        told: Any
        command: c.Command
        try:
            if kind == "prepare":
                command = c.DtxPrepare(xid=xid(name))
                told = self._prepare(name)
            elif kind == "rollback":
                command = c.DtxRollback(xid=xid(name))
                told = self._rollback(name)
            elif kind == "forget":
                command = c.DtxForget(xid=xid(name))
                told = self._forget(name)
            else:
                command = c.DtxCommit(xid=xid(name), one_phase=kind == "one-phase")
                told = self._commit(name, kind == "one-phase")
        except Refused as refused:
            told = refused
        self._ask_manager(command, told)

    def set_timeout(self, data: st.DataObject) -> None:
        told: Any = None
        name, timeout = data.draw(names), data.draw(st.sampled_from([0, 5, 300]))
        try:
            branch = self._find(name)
            timeout_now = timeout or DEFAULT_TIMEOUT
            if timeout_now != branch.timeout:
                branch.timeout = timeout_now
                if branch.state in ("active", "failed"):
                    branch.deadline = self.broker.clock() + timeout_now
        except Refused as refused:
            told = refused
        self._ask_manager(c.DtxSetTimeout(xid=xid(name), timeout=timeout), told)

    def _ask_manager(self, command: c.Command, told: Any) -> None:
        self._do(self.manager, command, told)
        if isinstance(told, Refused):
            self.manager = self._attach(b"manager")

    def _do(self, peer: Peer, command: c.Command, told: Any) -> None:
        """The broker says the same as the model."""
        command_id = peer.do(command)
        if isinstance(told, Refused):
            assert peer.failure is not None, command
            assert peer.failure.error_code == told.args[0], command
            peer.link.lose()
            return
        assert peer.failure is None, command
        if told is None:
            assert command_id in peer.completed
        else:
            assert peer.results[command_id] == c.XaResult(status=told), command

    def wait(self, data: st.DataObject) -> None:
        advance(self.broker, data.draw(st.sampled_from([1, 1, 4, 4, 30, 61, 301, KEPT_AFTER_TIMEOUT])))
        now = self.broker.clock()
        for branch in list(self.branches.values()):
            if branch.state in ("active", "failed") and branch.deadline <= now:
                self._fail(branch, "expired")
                branch.deadline = now + KEPT_AFTER_TIMEOUT
            elif branch.state == "expired" and branch.deadline <= now:
                del self.branches[branch.name]

    def leave(self, data: st.DataObject) -> None:
        """A session ends in the middle of something."""
        n = data.draw(workers)
        peer = self.peers[n]
        if data.draw(st.booleans()):
            peer.session.detach()
            peer.update()
        peer.link.lose()
        self._session_over(n)
        self._connect(n)

    # -- what holds at any time

    @invariant()
    def no_message_is_lost_or_doubled(self) -> None:
        available = [entry.message.body or b"" for entry in self.queue.available()]
        assert len(available) == len(set(available))
        assert set(available) == self.free
        there = [entry.message.body or b"" for entry in self.queue.entries.values()]
        parts = [part for branch in self.branches.values() for part in branch.parts]
        parts += [part for part in self.current.values() if part is not None and part not in parts]
        parts += [part for some in self.suspended.values() for part in some.values() if part not in parts]
        taken = {body for part in parts for body in part.taken}
        held = {body for some in self.held.values() for body in some}
        assert sorted(there) == sorted(self.free | taken | held)
        assert self.queue.acquired == len(taken) + len(held)

    @invariant()
    def the_broker_knows_the_branches_of_the_model(self) -> None:
        states = {"active": "ACTIVE", "failed": "ROLLBACK_ONLY", "expired": "TIMED_OUT", "prepared": "PREPARED"}
        known = {name: states[branch.state] for name, branch in self.branches.items()}
        found = {
            name: self.broker.dtx.find(XidKey(0, name.encode(), b"")).state.name
            for name in NAMES
            if XidKey(0, name.encode(), b"") in self.broker.dtx._branches
        }
        assert found == known
        in_doubt = {name for name, state in known.items() if state == "PREPARED"}
        assert {xid.global_id.decode() for xid in self.broker.dtx.in_doubt()} == in_doubt

    def teardown(self) -> None:
        """Once everybody has gone and time has passed, only prepared branches hold anything."""
        for n in WORKERS:
            self.peers[n].link.lose()
            self._session_over(n)
        advance(self.broker, 301)
        advance(self.broker, KEPT_AFTER_TIMEOUT)
        prepared = {name: branch for name, branch in self.branches.items() if branch.state == "prepared"}
        assert {xid.global_id.decode() for xid in self.broker.dtx._branches} == set(prepared)
        kept = {body for branch in prepared.values() for part in branch.parts for body in part.taken}
        assert self.queue.acquired == len(kept)


DtxMachine.TestCase.settings = settings(max_examples=60, stateful_step_count=60, deadline=None)
test_branches = DtxMachine.TestCase
