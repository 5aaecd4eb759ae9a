"""Exchanges that number their messages, and exchanges that keep the last one for those who come later."""

from __future__ import annotations

from typing import Any

import pytest

from qpid_messaging.amqp import commands as c
from qpid_server.broker import Broker
from tests.unit.ha.members import E1, E2, Member, follow
from tests.unit.server.driver import Link, Peer, make_broker


@pytest.fixture
def broker() -> Broker:
    return make_broker()


@pytest.fixture
def peer(broker: Broker) -> Peer:
    return Link(broker).session()


def exchange(peer: Peer, type: str = "direct", name: str = "x", **arguments: Any) -> None:
    declared = {"qpid.replicate": "all", **{f"qpid.{name}": value for name, value in arguments.items()}}
    peer.do(c.ExchangeDeclare(exchange=name, type=type, arguments=declared))


def bind(peer: Peer, queue: str, key: str = "k", **arguments: Any) -> None:
    if queue not in peer.link.handler.broker.queues:
        peer.declare(queue, arguments={"qpid.replicate": "all"})
    peer.do(c.ExchangeBind(queue=queue, exchange="x", binding_key=key, arguments=arguments or None))


def numbers(broker: Broker, queue: str) -> list[Any]:
    return [entry.message.application_headers.get("qpid.msg_sequence") for entry in broker.queues[queue].after(0)]


def bodies(broker: Broker, queue: str) -> list[bytes | None]:
    return [entry.message.body for entry in broker.queues[queue].after(0)]


def test_messages_are_numbered_whether_or_not_a_queue_gets_them(broker: Broker, peer: Peer) -> None:
    exchange(peer, msg_sequence=1)
    bind(peer, "q")
    for key in ("k", "other", "k"):
        peer.send(b"", key, "x", headers={"mine": 1})
    assert numbers(broker, "q") == [1, 3]
    assert broker.queues["q"].entries.popitem()[1].message.application_headers["mine"] == 1


def test_the_numbers_start_behind_the_counter_given(broker: Broker, peer: Peer) -> None:
    exchange(peer, msg_sequence=1, exchange_sequence_counter=41)
    bind(peer, "q")
    peer.send(b"", "k", "x")
    assert numbers(broker, "q") == [42]


@pytest.mark.parametrize(
    ("type", "key", "arguments", "other", "other_arguments"),
    [
        ("direct", "k", {}, "l", {}),
        ("topic", "#", {}, "l.*", {}),
        ("headers", "1", {"x-match": "all", "h": 1}, "2", {"x-match": "all", "h": 2}),
    ],
)
def test_a_new_binding_gets_the_last_message_that_it_matches(
    broker: Broker,
    peer: Peer,
    type: str,
    key: str,
    arguments: dict[str, Any],
    other: str,
    other_arguments: dict[str, Any],
) -> None:
    exchange(peer, type, ive=1)
    for body in (b"1", b"2"):
        peer.send(body, "k", "x", headers={"h": 1})
    bind(peer, "q", key, **arguments)
    bind(peer, "q", key, **arguments)
    assert bodies(broker, "q") == [b"2"], "once"
    bind(peer, "r", other, **other_arguments)
    assert bodies(broker, "r") == []
    bind(peer, "s", key, **arguments)
    assert bodies(broker, "q") == [b"2"], "who had it does not get it again"
    assert bodies(broker, "s") == [b"2"]


def test_every_new_queue_of_a_fanout_exchange_gets_it(broker: Broker, peer: Peer) -> None:
    exchange(peer, "fanout", ive=1)
    bind(peer, "before")
    assert bodies(broker, "before") == []
    peer.send(b"1", "any", "x")
    bind(peer, "q")
    assert bodies(broker, "q") == bodies(broker, "before") == [b"1"]


def test_what_is_rolled_back_is_nobodys_initial_value(broker: Broker, peer: Peer) -> None:
    exchange(peer, ive=1)
    peer.do(c.TxSelect())
    peer.send(b"no", "k", "x")
    peer.do(c.TxRollback())
    bind(peer, "q")
    assert bodies(broker, "q") == []
    peer.send(b"yes", "k", "x")
    peer.do(c.TxCommit())
    bind(peer, "r")
    assert bodies(broker, "r") == [b"yes"]


def test_a_value_that_makes_no_sense_is_refused(peer: Peer) -> None:
    exchange(peer, ive="perhaps")
    assert peer.failure is not None
    assert "qpid.ive" in (peer.failure.description or "")


@pytest.mark.parametrize("joins", ["before", "after"])
def test_a_backup_goes_on_where_its_primary_was(joins: str) -> None:
    primary, backup = Member("a"), Member("b")
    primary.reign_under(E1)
    wire = follow(backup, primary)
    if joins == "after":
        wire.cut()
        primary.log.release("alone")
    peer = Link(primary.broker).session()

    def settle() -> None:
        if wire.alive:
            wire.settle()
            peer.update()

    for step in (
        lambda: exchange(peer, msg_sequence=1, ive=1),
        lambda: peer.send(b"1", "k", "x"),
        lambda: peer.send(b"2", "k", "x"),
    ):
        step()
        settle()
    if joins == "after":
        backup.log._retained.clear()
        wire = backup.join(primary)
        wire.settle()
    wire.cut()
    backup.reign_under(E2)
    later = Link(backup.broker).session()
    bind(later, "q")
    later.send(b"3", "k", "x")
    assert bodies(backup.broker, "q") == [b"2", b"3"]
    assert numbers(backup.broker, "q") == [2, 3]
