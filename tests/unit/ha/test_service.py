"""Who may speak to the service that members of a cluster have for one another."""

from __future__ import annotations

from dataclasses import replace

import pytest

from qpid_messaging.amqp import commands as c
from qpid_server.ha.link import PEER_PROPERTY, SERVICE
from qpid_server.ha.records import Record, pack_record
from tests.unit.ha.members import E1, Member
from tests.unit.server.driver import Link

STATUS = pack_record(Record.STATUS)


def primary(*, auth: bool, user: str) -> Member:
    member = Member("a", ha_username=user)
    member.reign_under(E1)
    member.options = replace(member.options, auth=auth)
    return member


@pytest.mark.parametrize(
    ("auth", "user", "properties", "why"),
    [
        (False, "", {}, "for the brokers of the cluster"),
        (True, "ha", {"qpid.ha-admin": 1}, "for the brokers of the cluster"),
        (True, "ha", {PEER_PROPERTY: 1}, "for user 'ha'"),
    ],
)
def test_who_is_refused(auth: bool, user: str, properties: dict[str, int], why: str) -> None:
    peer = Link(primary(auth=auth, user=user).broker, **properties).session()
    peer.subscribe(SERVICE, "d")
    assert peer.failure is not None
    assert peer.failure.error_code == 403
    assert why in (peer.failure.description or "")


@pytest.mark.parametrize(("auth", "user"), [(True, "anonymous"), (True, ""), (False, "ha")])
def test_who_is_answered(auth: bool, user: str) -> None:
    peer = Link(primary(auth=auth, user=user).broker, **{PEER_PROPERTY: 1}).session()
    peer.subscribe(SERVICE, "d")
    peer.do(c.MessageTransfer(destination=SERVICE), None, STATUS)
    assert peer.failure is None
    assert len(peer.receive()) == 1


def test_a_transfer_before_the_subscription() -> None:
    peer = Link(primary(auth=False, user="").broker, **{PEER_PROPERTY: 1}).session()
    peer.do(c.MessageTransfer(destination=SERVICE), None, STATUS)
    assert peer.failure is not None
    assert "after a subscription" in (peer.failure.description or "")
