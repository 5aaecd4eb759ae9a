"""Who counts as a member where ha-brokers-url is one virtual address: those who joined, on record, until forgotten."""

from __future__ import annotations

from pathlib import Path

import pytest

from qpid_server.ha.epoch import Promises
from qpid_server.ha.membership import Membership
from qpid_server.ha.promotion import Refused, check_promises
from qpid_server.ha.records import ReplicationError
from tests.unit.ha.members import E1, E2, Member, Writer, follow


def member(name: str, **options: object) -> Member:
    """A member that dials the virtual address v."""
    made = Member(name, names="v", **{"ha_min_replicas": 1, **options})  # type: ignore[arg-type]
    made.membership.own_addresses.clear()
    return made


def allowed(candidate: Member, *promising: Member) -> bool:
    """Whether these promises, and its own, are enough for a candidate."""
    statuses = [one.member_status()._replace(lost_state=False) for one in (candidate, *promising)]
    known = candidate.membership.counted(id for status in statuses for id in status.knows)
    try:
        return check_promises(statuses, known, candidate.log.min_replicas, force=False)
    except Refused:
        return False


def test_every_member_that_joined_counts() -> None:
    a, b, c = member("a"), member("b"), member("c")
    a.reign_under(E1)
    assert a.membership.count == 1
    wire = follow(b, a)
    assert (a.membership.count, b.membership.count) == (2, 2)
    follow(c, a)
    wire.settle()
    assert [one.membership.count for one in (a, b, c)] == [3, 3, 3]
    wire.cut()
    assert (a.membership.count, b.membership.count) == (3, 3), "who is away is a member all the same"
    assert not allowed(b)
    assert allowed(b, c)


def test_who_comes_back_remembers_the_others(tmp_path: Path) -> None:
    """One that counted only itself would need no promise but its own, and knows nothing of what others hold."""
    promises = Promises(tmp_path, "a")
    membership = Membership(promises, "v", "", lambda: None)
    told = [{"id": id, "address": f"{id}:1", "status": "ready"} for id in "ab"]
    membership.take(told)
    membership.write_down(membership.peers)
    assert membership.count == 2
    promises.close()
    promises = Promises(tmp_path, "another")
    again = Membership(promises, "v", "", lambda: None)
    assert again.count == 2
    assert again.addresses_of_others(None) == ["v:5672", "b:1"]
    assert again.ids == ["a", "b"]
    promises.close()


def test_the_virtual_address_goes_from_one_member_to_the_next() -> None:
    """Who was behind it before is where it was, and counts as before: only an operator says that it is gone."""
    c = member("c")
    for broker in "ab":
        c.membership.know(broker, f"{broker}:5672", "ready")
    c.membership.write_down("ab")
    c.membership.know("a", "v:5672", "active")
    c.membership.know("b", "v:5672", "active")
    c.membership.write_down("abd")
    assert c.membership.ids == ["c", "a", "b"]
    assert c.membership.find("a:5672") == "a"


def test_those_who_promise_say_whom_they_know() -> None:
    a, b, c = member("a"), member("b"), member("c")
    a.reign_under(E1)
    follow(b, a).cut()
    follow(c, a)
    assert b.membership.count == 2, "c came while it was away"
    assert c.membership.count == 3
    assert allowed(b, c)
    d = member("d")
    assert allowed(d)
    for other in "bc":
        d.membership.know(other, f"{other}:5672", "ready")
    assert not allowed(d), "it has met two others"


def test_what_only_a_newcomer_holds_is_not_safe_before_the_others_know_of_it() -> None:
    """b is away and knows of two members, so that its own promise makes it the primary: c's copies do not count."""
    a, b, c = member("a"), member("b"), member("c")
    a.reign_under(E1)
    wire = follow(b, a)
    writer = Writer(a.broker)
    writer.declare()
    wire.settle()
    wire.cut()
    assert allowed(b)
    newcomer = follow(c, a)
    writer.send("1")
    newcomer.settle()
    assert c.status != "ready"
    assert "1" not in writer.confirmed
    wire = follow(b, a)
    newcomer.settle()
    wire.settle()
    assert (b.status, c.status) == ("ready", "ready")
    assert "1" in writer.confirmed
    assert not allowed(b)
    wire.cut()
    writer.send("2")
    newcomer.settle()
    assert "2" in writer.confirmed, "from now on it counts"


def test_with_a_list_of_brokers_a_newcomer_counts_at_once() -> None:
    a, b, c = (Member(name, ha_min_replicas=1) for name in "abc")
    a.reign_under(E1)
    follow(b, a).cut()
    follow(c, a)
    assert c.status == "ready"


def answers(primary: Member, name: str) -> list[Exception | None]:
    said: list[Exception | None] = []
    primary.forget(name, said.append)
    primary.broker.settle()
    return said


def test_an_operator_lets_a_member_go() -> None:
    a, b, c = member("a"), member("b"), member("c")
    a.reign_under(E1)
    wire = follow(b, a)
    other = follow(c, a)
    wire.settle()
    (refused,) = answers(a, "c:5672")
    assert "follows this primary" in str(refused)
    (refused,) = answers(b, "c:5672")
    assert "only the primary" in str(refused)
    (refused,) = answers(a, "x:5672")
    assert "x:5672 is no member" in str(refused)
    other.cut()
    said = answers(a, "c:5672")
    assert said == [], "the others have to know it first"
    wire.settle()
    assert said == [None]
    assert (a.membership.count, b.membership.count) == (2, 2)
    assert allowed(b)


def test_nobody_is_let_go_while_the_others_are_behind() -> None:
    """With two members left one promise is enough, also of the one that is away and lacks what c confirmed."""
    a, b, c = member("a"), member("b"), member("c")
    a.reign_under(E1)
    wire = follow(b, a)
    other = follow(c, a)
    wire.settle()
    wire.cut()
    other.cut()
    (refused,) = answers(a, "c:5672")
    assert "1 of the other members must be ready first" in str(refused)
    assert a.membership.count == 3


def test_the_last_other_one_may_be_let_go() -> None:
    """What was acknowledged is here, and with it gone nobody else can be promoted; a new one then counts at once."""
    a, b, c = member("a"), member("b"), member("c")
    a.reign_under(E1)
    follow(b, a).cut()
    said = answers(a, "b:5672")
    assert a.membership.count == 1
    follow(c, a)
    assert c.status == "ready"
    assert said == [None]


def test_who_cannot_write_it_down_takes_nobody_in(monkeypatch: pytest.MonkeyPatch) -> None:
    a, b = member("a"), member("b")
    a.reign_under(E2)

    def full(promises: Promises, members: dict[str, str]) -> None:
        raise OSError("no space left")

    monkeypatch.setattr(Promises, "know", full)
    wire = b.join(a)
    with pytest.raises(ReplicationError, match="no space left"):
        wire.settle()
    assert a.log.followers == {}
