"""Who may become primary, whom the others stand by, and who steps down."""

from __future__ import annotations

from typing import Any

import pytest

from qpid_server.ha.epoch import NO_EPOCH, START, Epoch, Position
from qpid_server.ha.promotion import (
    ACTIVE,
    CATCH_UP,
    JOINING,
    READY,
    RECOVERING,
    Candidacy,
    MemberStatus,
    Refused,
    check_candidate,
    check_promises,
    must_step_down,
    next_epoch,
)
from qpid_server.ha.replica import Refusal
from tests.unit.ha.members import E1, E2, E3, Member, Writer, follow

P = Position


def member(broker: str = "b", status: str = READY, at: Position = START, **changes: Any) -> MemberStatus:
    values: dict[str, Any] = {
        "epoch": at.epoch, "promised": at.epoch, "lost_state": False, "legitimate": True, "in_sync": 0,
    }  # fmt: skip
    return MemberStatus(broker=broker, address=f"{broker}:1", status=status, position=at, **{**values, **changes})


# -- the candidate -----------------------------------------------------------------------------------------------------

REFUSED = {
    "in catch-up": (member(status=CATCH_UP), [], "in catch-up"),
    "a ready one is ahead": (
        member(at=P(E1, 4)), [member("c", at=P(E1, 5)), member("d", at=P(E1, 6))], "promote d:1 instead",
    ),
    "a joining one is ahead": (member(at=P(E1, 4)), [member("c", JOINING, P(E1, 5))], "promote c:1 instead"),
    "a shorter log of a later epoch is ahead": (
        member(at=P(E1, 9)), [member("c", at=P(E2, 5))], "promote c:1 instead",
    ),
    "a primary that it does not follow is ahead": (
        member(at=P(E1, 4)), [member("a", ACTIVE, P(E2, 5))], "promote a:1 instead",
    ),
    "it follows asynchronously": (member(asynchronous=True), [], "ha-async"),
    "joining, an asynchronous one is ahead": (
        member(status=JOINING, at=P(E1, 4)), [member("c", CATCH_UP, P(E1, 5), asynchronous=True)], "c:1 instead, by",
    ),
    "joining, the primary answers": (member(status=JOINING), [member("a", ACTIVE)], "a:1 is active"),
    "joining, a recovering primary answers": (
        member(status=JOINING), [member("a", RECOVERING)], "a:1 is recovering",
    ),
    "joining, a ready one answers": (member(status=JOINING), [member("c", READY)], "c:1 is ready"),
    "joining and ahead, the primary answers": (
        member(status=JOINING, at=P(E1, 9)), [member("a", ACTIVE, P(E1, 8))], "a:1 is active",
    ),
}  # fmt: skip

ALLOWED = {
    "ready, alone": (member(), []),
    "ready, as far as the others": (member(at=P(E1, 4)), [member("c", at=P(E1, 4)), member("a", ACTIVE, P(E1, 4))]),
    "ready, ahead": (member(at=P(E1, 5)), [member("c", at=P(E1, 4))]),
    "ready, an asynchronous one is ahead": (
        member(at=P(E1, 4)), [member("c", CATCH_UP, P(E1, 5), asynchronous=True)],
    ),
    "ready, its primary hands over what it lacks": (member(at=P(E1, 4)), [member("a", ACTIVE, P(E1, 5))]),
    "joining, alone": (member(status=JOINING), []),
    "joining, all are new": (member(status=JOINING), [member("c", JOINING), member("d", CATCH_UP)]),
    # A primary that stepped down for one that never came is ahead of all: nobody else may be promoted.
    "stepped down, ahead of the ready ones": (member(status=JOINING, at=P(E1, 9)), [member("c", READY, P(E1, 8))]),
    "demoted, as far as the ready ones": (member(status=JOINING, at=P(E1, 9)), [member("c", READY, P(E1, 9))]),
    "a primary that takes a new epoch": (member(status=ACTIVE, at=P(E1, 9)), [member("c", READY, P(E1, 9))]),
}  # fmt: skip


@pytest.mark.parametrize(("own", "others", "why"), REFUSED.values(), ids=REFUSED)
def test_a_candidate_is_refused(own: MemberStatus, others: list[MemberStatus], why: str) -> None:
    with pytest.raises(Refused, match=why):
        check_candidate(own, others, force=False)
    check_candidate(own, others, force=True)


@pytest.mark.parametrize(("own", "others"), ALLOWED.values(), ids=ALLOWED)
def test_a_candidate_may_go_on(own: MemberStatus, others: list[MemberStatus]) -> None:
    check_candidate(own, others, force=False)


def test_a_primary_that_promised_has_handed_over_all() -> None:
    own, primary = member(at=P(E1, 4)), member("a", ACTIVE, P(E1, 5))
    check_candidate(own, [primary], force=False)
    with pytest.raises(Refused, match="promote a:1 instead"):
        check_candidate(own, [primary], force=False, promised=True)


def test_the_next_epoch_is_above_all_that_was_seen() -> None:
    own = member("b", epoch=E1)
    assert next_epoch(own, []) == Epoch(2, "b")
    assert next_epoch(own, [member("c", promised=Epoch(7, "x"))]) == Epoch(8, "b")
    assert next_epoch(own, [member("c", at=P(Epoch(5, "x"), 1))]) == Epoch(6, "b")
    assert next_epoch(member("b", promised=Epoch(9, "b")), []) == Epoch(10, "b")


# -- promises ----------------------------------------------------------------------------------------------------------

V, L = member("v"), member("l", lost_state=True)


@pytest.mark.parametrize(
    ("promised", "members", "k", "enough"),
    [
        ([V], 3, 0, True),
        ([L], 3, 0, True),
        ([V], 3, 1, False),
        ([V, V], 3, 1, True),
        ([V, L], 3, 1, False),  # it cannot vouch for what it held
        ([L, L], 3, 1, False),
        ([V, V, L], 3, 1, True),
        ([V, L, L], 3, 1, True),  # all are here: nobody else holds more
        ([L, L, L], 3, 1, True),
        ([V], 3, 2, True),  # every acknowledged entry is on all three
        ([L], 3, 2, False),
        ([V, V], 5, 2, False),
        ([V, V, V], 5, 2, True),
        ([V, V, V, L], 5, 1, False),
        ([V], 1, 1, True),
        ([V], 2, 1, True),
        ([L], 2, 1, False),
    ],
)
def test_promises_that_are_needed(promised: list[MemberStatus], members: int, k: int, enough: bool) -> None:
    if enough:
        assert check_promises(promised, members, k, force=False)
    else:
        with pytest.raises(Refused, match="acknowledged messages could be missing"):
            check_promises(promised, members, k, force=False)
        assert not check_promises(promised, members, k, force=True), "forced, and not legitimate"


def ask(epoch: Epoch, at: Position, *, force: bool = False) -> Candidacy:
    return Candidacy(epoch, at, "c:5672", force)


def test_a_promise_is_given_once() -> None:
    backup = Member("b")
    assert backup.answer_promise(ask(E2, START)) is None
    assert backup.promises.promised == E2
    for epoch in (E1, E2):
        assert "promised" in (backup.answer_promise(ask(epoch, START)) or "")
    assert backup.answer_promise(ask(E3, START)) is None


def test_who_is_ahead_does_not_promise() -> None:
    primary, backup = Member("a"), Member("b")
    primary.reign_under(E1)
    follow(backup, primary)
    assert "ahead" in (backup.answer_promise(ask(E2, START)) or "")
    assert backup.promises.promised == E1, "a refusal promises nothing"
    assert backup.answer_promise(ask(E2, START, force=True)) is None


def test_a_primary_with_backups_does_not_yield_to_force() -> None:
    primary, backup = Member("a"), Member("b")
    primary.reign_under(E1)
    follow(backup, primary)
    assert "in sync" in (primary.answer_promise(ask(E2, primary.log.last, force=True)) or "")
    assert primary.answer_promise(ask(E2, primary.log.last)) is None, "to one that holds all, in order"


def test_who_caught_up_since_it_asked_is_not_behind() -> None:
    primary, backup = Member("a"), Member("b")
    primary.reign_under(E1)
    follow(backup, primary)
    candidacy = ask(Epoch(2, "b"), backup.log.last)
    writer = Writer(primary.broker)
    writer.declare()
    primary.broker.settle()
    assert "ahead" in (primary.answer_promise(candidacy) or "")
    primary.wires[0].settle()
    assert primary.answer_promise(candidacy) is None


def test_in_the_middle_of_a_difference_nobody_vouches() -> None:
    """While it is applied, a member holds neither what it held, also if it was ready, nor what it will."""
    primary, backup = Member("a"), Member("b")
    primary.reign_under(E1)
    follow(backup, primary)
    assert not backup.member_status().lost_state
    Writer(primary.broker).declare()
    primary.log._retained.clear()
    wire = backup.join(primary)
    wire.deliver_to_primary()
    while wire.to_backup:
        wire.replica.take(wire.to_backup.popleft())
        primary.broker.timers.run(primary.broker.clock())
        primary.broker.settle()
    assert wire.replica.catch_up()
    status = backup.member_status()
    assert (status.status, status.position, status.lost_state) == (CATCH_UP, START, True)
    wire.cut()
    backup.left_by_primary()
    assert backup.member_status() == status
    with pytest.raises(Refused, match="catch-up"):
        check_candidate(backup.member_status(), [], force=False)
    follow(backup, primary)
    status = backup.member_status()
    assert (status.status, status.position, status.lost_state) == (READY, primary.log.last, False)


def test_a_difference_that_never_came_leaves_a_member_what_it_was() -> None:
    """The primary dies while it sends it: with it goes one copy, and not the one that it was about to replace."""
    primary, backup = Member("a"), Member("b")
    primary.reign_under(E1)
    follow(backup, primary)
    held = backup.member_status().position
    Writer(primary.broker).declare()
    primary.log._retained.clear()
    wire = backup.join(primary)
    wire.deliver_to_primary()
    wire.deliver_to_backup()  # that it is taken in
    assert backup.status == CATCH_UP
    wire.cut()
    backup.left_by_primary()
    status = backup.member_status()
    assert (status.status, status.position, status.lost_state) == (JOINING, held, False)
    check_candidate(status, [], force=False)


def test_who_came_back_with_nothing_vouches_again_once_it_is_ready() -> None:
    primary, backup = Member("a"), Member("b")
    backup.lost_state = True
    assert backup.member_status().lost_state
    primary.reign_under(E1)
    wire = backup.join(primary)
    wire.deliver_to_primary()
    wire.deliver_to_backup()
    assert backup.member_status().lost_state
    wire.settle()
    assert not backup.member_status().lost_state


# -- what a promise means to a link that is open -----------------------------------------------------------------------


def test_nothing_of_an_older_epoch_is_confirmed_after_a_promise() -> None:
    primary, backup = Member("a"), Member("b")
    primary.reign_under(E1)
    wire = follow(backup, primary)
    writer = Writer(primary.broker)
    writer.declare()
    primary.broker.settle()
    assert backup.answer_promise(ask(E2, Position(E1, 99))) is None
    before = backup.log.last
    wire.deliver_to_backup()
    assert not wire.to_primary
    assert not wire.alive
    assert backup.log.last == before, "what a candidate was told stays true"
    assert wire.replica.confirmation() is None


def test_a_backup_joins_no_epoch_below_its_promise() -> None:
    primary, backup = Member("a"), Member("b")
    primary.reign_under(E1)
    backup.promises.promise(E2)
    wire = backup.join(primary)
    assert primary.refuse_join(wire._request or {}) is not None
    # Also where the promise came only when the primary had taken it in.
    backup = Member("b")
    wire = backup.join(primary)
    wire.deliver_to_primary()
    backup.promises.promise(E2)
    wire.deliver_to_backup()
    assert "older than" in str(wire.failure)


def test_a_refusal_ends_the_attempt() -> None:
    wire = Member("b").join(Member("a"))
    refusal = wire.primary.refuse_join(wire._request or {})
    assert refusal == "not the primary but joining"
    assert issubclass(Refusal, Exception)


# -- stepping down -----------------------------------------------------------------------------------------------------

OWN = member("b", ACTIVE, epoch=E2)
STEPPING_DOWN = [
    ("nobody else reigns", OWN, [member("c", READY, epoch=E3)], None),
    ("a later epoch", OWN, [member("c", ACTIVE, epoch=E3)], "c"),
    ("a later epoch, still recovering", OWN, [member("c", RECOVERING, epoch=E3)], "c"),
    ("an older epoch", OWN, [member("a", ACTIVE, epoch=E1, in_sync=2)], None),
    ("a backup of a later epoch", OWN, [member("c", READY, Position(E3, 1))], "c"),
    ("a backup of a later epoch, to one with backups", OWN._replace(in_sync=1), [member("c", READY, Position(E3, 1))],
     None),
    ("itself, through another address", OWN, [member("b", ACTIVE, epoch=E3)], None),
    ("forced above one without backups", OWN, [member("c", ACTIVE, epoch=E3, legitimate=False)], "c"),
    ("forced above one with backups", OWN._replace(in_sync=1), [member("c", ACTIVE, epoch=E3, legitimate=False)], None),
    ("rightful above one with backups", OWN._replace(in_sync=1), [member("c", ACTIVE, epoch=E3)], "c"),
    ("the forced one meets one with backups", OWN._replace(legitimate=False),
     [member("a", ACTIVE, epoch=E1, in_sync=1)], "a"),
    ("the forced one meets one without", OWN._replace(legitimate=False), [member("a", ACTIVE, epoch=E1)], None),
]  # fmt: skip


@pytest.mark.parametrize(("own", "others", "deposer"), [row[1:] for row in STEPPING_DOWN], ids=lambda row: None)
def test_who_steps_down(own: MemberStatus, others: list[MemberStatus], deposer: str | None) -> None:
    found = must_step_down(own, others)
    assert (found and found.broker) == deposer


@pytest.mark.parametrize("in_sync", [(0, 0), (0, 1), (1, 0), (1, 1)])
@pytest.mark.parametrize("legitimate", [(True, True), (True, False), (False, True), (False, False)])
def test_of_two_primaries_exactly_one_yields(in_sync: tuple[int, int], legitimate: tuple[bool, bool]) -> None:
    older = member("b", ACTIVE, epoch=E2, in_sync=in_sync[0], legitimate=legitimate[0])
    newer = member("c", ACTIVE, epoch=E3, in_sync=in_sync[1], legitimate=legitimate[1])
    yielding = [must_step_down(older, [newer]), must_step_down(newer, [older])]
    assert yielding.count(None) == 1


def test_a_status_survives_its_way() -> None:
    status = member("c", RECOVERING, P(E2, 77), promised=E3, lost_state=True, legitimate=False, in_sync=2)
    assert MemberStatus.from_map(status.to_map(), "c:1") == status
    assert NO_EPOCH < E1


@pytest.mark.parametrize(
    ("name", "nonsense"), [("epoch", 7), ("epoch", ["x", "b"]), ("position", [1, "a", "x"]), ("promised", [1])]
)
def test_a_status_that_is_none(name: str, nonsense: Any) -> None:
    values = MemberStatus("c", "c:1", READY, E2, Position(E1, 7), E2, False, True, 1).to_map()
    with pytest.raises((TypeError, ValueError)):
        MemberStatus.from_map({**values, name: nonsense}, "c:1")


def test_a_backup_that_cannot_write_down_its_promise_does_not_follow(monkeypatch: pytest.MonkeyPatch) -> None:
    a, b = Member("a"), Member("b")
    a.reign_under(E1)

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(b.promises, "_save", full)
    wire = b.join(a)
    wire.settle()
    assert "No space left" in str(wire.failure)
    assert (b.status, b.log.last.index) == (JOINING, 0)
    monkeypatch.undo()
    follow(b, a)
    assert b.status == READY
