"""What a primary tells clients only when it is sure that nobody else reigns by now."""

from __future__ import annotations

import pytest

from qpid_messaging.amqp.events import Expected
from qpid_messaging.amqp.session import Session
from tests.unit.ha.members import E1, E2, Clock, Member, follow
from tests.unit.server.driver import Link


def ask(member: Member, name: bytes, **properties: int) -> Link:
    """Attach a session that asks where it stands."""
    link = Link(member.broker, **properties)
    session = Session(name)
    link.client.attach(session)
    session.request_timeout(300)
    session.flush(expected=True)
    link.pump()
    return link


def answered(link: Link) -> bool:
    link.pump()
    return any(isinstance(event, Expected) for event in link.take())


@pytest.mark.parametrize("k", [0, 1])
def test_where_a_session_stands(k: int) -> None:
    """A client takes what is not there for what never took effect: a deposed primary must not tell it so."""
    clock = Clock()
    a, b, c = (Member(name, clock=clock, ha_min_replicas=k) for name in "abc")
    a.reign_under(E1)
    wires = [follow(b, a), follow(c, a)]
    link = ask(a, b"s")
    assert not answered(link), "its backups have not heard of it yet"
    for wire in wires:
        wire.settle()
    assert answered(link)
    for backup in (b, c):  # somebody else is promoted, and this one does not hear of it
        assert backup.promises.promise(E2)
    link = ask(a, b"t")
    for wire in wires:
        wire.settle()
    assert not answered(link)


def test_sessions_do_not_wait_for_backups_that_are_merely_expected() -> None:
    clock = Clock()
    a, b, c = (Member(name, clock=clock, ha_min_replicas=1) for name in "abc")
    a.reign_under(E1, expected={"b", "c"})
    wire = follow(b, a)
    assert a.status == "recovering"
    link = ask(a, b"s")
    wire.settle()
    assert answered(link)
    follow(c, a)
    assert a.status == "active"


def test_a_backup_answers_from_what_it_holds() -> None:
    a, b = (Member(name, ha_min_replicas=1) for name in "ab")
    a.reign_under(E1)
    follow(b, a)
    assert answered(ask(b, b"s", **{"qpid.ha-admin": 1}))
