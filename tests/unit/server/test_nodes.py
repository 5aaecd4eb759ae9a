"""Queues and exchanges as commands see them, with the error codes of the C++ broker."""

from __future__ import annotations

from typing import Any

import pytest

from qpid_messaging.amqp import commands as c
from qpid_server.broker import Broker

from .driver import Link, Peer, advance, make_broker


@pytest.fixture
def broker() -> Broker:
    return make_broker()


@pytest.fixture
def peer(broker: Broker) -> Peer:
    return Link(broker).session()


def another(broker: Broker, name: bytes = b"other") -> Peer:
    return Link(broker).session(name)


@pytest.mark.parametrize(
    ("command", "code"),
    [
        (c.QueueDeclare(queue="none", passive=True), 404),
        (c.QueueDeclare(queue="q", alternate_exchange="none"), 404),
        (c.QueueDeclare(queue="", passive=True), 531),
        (c.QueueDeclare(queue="new", arguments={"qpid.paging": True}), 540),
        (c.QueueDeclare(queue="new", arguments={"qpid.replicate": "some"}), 531),
        (c.QueueDeclare(queue="new", arguments={"qpid.auto_delete_timeout": "soon"}), 542),
        (c.QueueDelete(queue="none"), 404),
        (c.QueueDelete(), 531),
        (c.QueueDelete(queue="full", if_empty=True), 406),
        (c.QueueDelete(queue="used", if_unused=True), 406),
        (c.QueuePurge(queue="none"), 404),
        (c.QueuePurge(), 531),
        (c.QueueDelete(queue="owned"), 405),
        (c.QueueDeclare(queue="owned", exclusive=True), 405),
        (c.QueueDeclare(queue="used", exclusive=True), 405),
        (c.QueueDeclare(queue="full", exclusive=True, passive=True), 405),
        (c.ExchangeBind(queue="owned", exchange="amq.direct", binding_key="k"), 405),
        (c.ExchangeUnbind(queue="owned", exchange="amq.direct", binding_key="k"), 405),
        (c.MessageSubscribe(queue="owned", destination="d"), 405),
        (c.MessageSubscribe(queue="used", destination="d", exclusive=True), 405),
        (c.MessageSubscribe(queue="none", destination="d"), 404),
        (c.MessageSubscribe(destination="d"), 531),
        (c.MessageSubscribe(queue="full", destination="d", arguments={"x-apache-selector": "a = "}), 542),
        (c.MessageCancel(destination="none"), 404),
        (c.MessageFlow(destination="none", unit=0, value=1), 404),
        (c.MessageStop(destination="none"), 404),
        (c.MessageFlush(destination="none"), 404),
        (c.MessageSetFlowMode(destination="none", flow_mode=0), 404),
        (c.MessageTransfer(destination="none"), 404),
        (c.ExchangeDeclare(exchange="none", passive=True), 404),
        (c.ExchangeDeclare(exchange="new", type="nonsense"), 404),
        (c.ExchangeDeclare(exchange="amq.new", type="direct"), 530),
        (c.ExchangeDeclare(exchange="qpid.new", type="direct"), 530),
        (c.ExchangeDeclare(exchange="amq.direct", type="topic"), 530),
        (
            c.ExchangeDeclare(
                exchange="x",
                type="topic",
                arguments={"qpid.msg_sequence": 1, "qpid.exchange_sequence_counter": 2**63 - 1},
            ),
            542,
        ),
        (c.ExchangeDeclare(exchange="amq.direct", type="direct", alternate_exchange="amq.fanout"), 530),
        (c.ExchangeDelete(exchange=""), 542),
        (c.ExchangeDelete(exchange="none"), 404),
        (c.ExchangeDelete(exchange="amq.topic"), 530),
        (c.ExchangeDelete(exchange="alternate"), 530),
        (c.ExchangeDelete(exchange="bound", if_unused=True), 406),
        (c.ExchangeBind(queue="full", exchange=""), 542),
        (c.ExchangeBind(queue="full", exchange="none"), 404),
        (c.ExchangeBind(queue="none", exchange="amq.direct"), 404),
        (c.ExchangeBind(exchange="amq.direct"), 531),
        (c.ExchangeBind(queue="full", exchange="amq.topic", arguments={"qpid.fed.op": "B"}), 540),
        (c.ExchangeBind(queue="full", exchange="amq.match", arguments={"a": 1}), 541),
        (c.TxCommit(), 503),
        (c.TxRollback(), 503),
        (c.FileQos(), 540),
        (c.StreamQos(), 540),
        (c.MessageResume(), 540),
    ],
    ids=repr,
)
def test_errors(broker: Broker, command: c.Command, code: int) -> None:
    setup = another(broker)
    setup.declare("owned", exclusive=True)
    setup.declare("full")
    setup.send(b"x", "full")
    setup.declare("used")
    setup.subscribe("used")
    setup.do(c.ExchangeDeclare(exchange="alternate", type="fanout"))
    setup.do(c.ExchangeDeclare(exchange="bound", type="fanout", alternate_exchange="alternate"))
    setup.do(c.ExchangeBind(queue="full", exchange="bound"))
    peer = Link(broker).session()
    peer.declare("before")
    failed = peer.do(command)
    assert peer.failure is not None
    assert (peer.failure.error_code, peer.failure.command_id) == (code, failed)
    assert (peer.failure.class_code, peer.failure.command_code) == command.CODE
    assert peer.failure.description
    assert b"test" not in [name for _, name in broker.sessions]
    # The connection lives on, and so does the name.
    again = peer.link.session()
    again.declare("after")
    assert "after" in broker.queues


def test_not_implemented_names_the_feature(peer: Peer) -> None:
    arguments = {"qpid.paging": True, "qpid.max_pages_loaded": 4, "qpid.file_size": 0}
    peer.do(c.QueueDeclare(queue="q", arguments=arguments))
    assert peer.failure is not None
    assert (peer.failure.description or "").endswith("queue argument qpid.max_pages_loaded, qpid.paging")


def test_a_policy_that_nobody_knows_is_told_of(peer: Peer, broker: Broker, caplog: pytest.LogCaptureFixture) -> None:
    peer.declare("q", arguments={"qpid.max_count": 1, "qpid.policy_type": "ring_strict"})
    limits = broker.queues["q"].limits
    assert limits is not None
    assert limits.policy == "reject"
    assert "'ring_strict' is none of reject, ring, self-destruct" in caplog.text


def test_arguments_that_are_kept(broker: Broker, peer: Peer) -> None:
    arguments = {"my.own": "x", "qpid.replicate": "configuration", "qpid.priorities": 0}
    peer.declare("q", arguments=arguments)
    assert peer.ask(c.QueueQuery(queue="q")).arguments == arguments
    assert broker.queues["q"].replicate.value == "configuration"


def test_queue_query(broker: Broker, peer: Peer) -> None:
    assert peer.ask(c.QueueQuery(queue="none")) == c.QueueQueryResult()
    peer.declare("q", durable=True, auto_delete=True, exclusive=True, alternate_exchange="amq.fanout")
    peer.send(b"1")
    peer.send(b"2")
    peer.subscribe(credit=1)
    result = peer.ask(c.QueueQuery(queue="q"))
    assert result == c.QueueQueryResult(
        queue="q",
        alternate_exchange="amq.fanout",
        durable=True,
        auto_delete=True,
        exclusive=True,
        arguments={},
        message_count=1,
        subscriber_count=1,
    )


def test_exchange_query(peer: Peer) -> None:
    assert peer.ask(c.ExchangeQuery(name="none")).not_found
    assert peer.ask(c.ExchangeQuery(name="")).type == "direct"
    assert peer.ask(c.ExchangeQuery(name="amq.match")).type == "headers"
    peer.do(c.ExchangeDeclare(exchange="e", type="topic", durable=True, arguments={"mine": 1}))
    result = peer.ask(c.ExchangeQuery(name="e"))
    assert (result.type, result.durable, result.arguments) == ("topic", True, {"mine": 1})


@pytest.mark.parametrize(
    ("asked", "not_matched"),
    [
        ({"queue": "q"}, ()),
        ({"queue": "q", "binding_key": "k"}, ()),
        ({"binding_key": "k"}, ()),
        ({"queue": "unbound"}, ("queue_not_matched",)),
        ({"queue": "q", "binding_key": "x"}, ("key_not_matched",)),
        ({"queue": "unbound", "binding_key": "k"}, ("queue_not_matched",)),
        ({"queue": "unbound", "binding_key": "x"}, ("queue_not_matched", "key_not_matched")),
        ({"queue": "none"}, ("queue_not_found",)),
        ({"exchange": "none", "queue": "none"}, ("exchange_not_found", "queue_not_found")),
        ({"queue": "q", "arguments": {"x": 1}}, ("args_not_matched",)),
    ],
)
def test_exchange_bound(peer: Peer, asked: dict[str, Any], not_matched: tuple[str, ...]) -> None:
    peer.declare("q")
    peer.declare("unbound")
    peer.do(c.ExchangeBind(queue="q", exchange="amq.topic", binding_key="k"))
    result = peer.ask(c.ExchangeBound(**{"exchange": "amq.topic", **asked}))
    assert result == c.ExchangeBoundResult(**dict.fromkeys(not_matched, True))


def test_direct_topic_fanout(broker: Broker, peer: Peer) -> None:
    for name in ("direct", "topic", "fanout"):
        peer.declare(name)
        peer.subscribe(name, name)
    peer.do(c.ExchangeBind(queue="direct", exchange="amq.direct", binding_key="a.b"))
    peer.do(c.ExchangeBind(queue="topic", exchange="amq.topic", binding_key="a.*"))
    peer.do(c.ExchangeBind(queue="topic", exchange="amq.topic", binding_key="#.b"))
    peer.do(c.ExchangeBind(queue="fanout", exchange="amq.fanout", binding_key="whatever"))
    for exchange in ("amq.direct", "amq.topic", "amq.fanout"):
        for key in ("a.b", "c"):
            peer.send(f"{exchange} {key}".encode(), key, exchange)
    got = {(event.command.destination, event.body) for event in peer.receive_all()}  # type: ignore[attr-defined]
    assert got == {
        ("direct", b"amq.direct a.b"),
        ("topic", b"amq.topic a.b"),
        ("fanout", b"amq.fanout a.b"),
        ("fanout", b"amq.fanout c"),
    }
    exchange = broker.exchanges["amq.topic"]
    exchange.count()
    assert (exchange.receives, exchange.routed, exchange.drops) == (2, 1, 1)
    assert sorted(binding.matched for binding in exchange.bindings.values()) == [1, 1]


@pytest.mark.parametrize("asked", [True, 1, "true", False])
def test_an_exclusive_binding_takes_the_place_of_others(broker: Broker, peer: Peer, asked: object) -> None:
    """One queue at a time has a key; another key is not concerned, nor what is bound later and does not ask for it."""
    for name in ("one", "two", "three"):
        peer.declare(name)
        peer.subscribe(name, name)
    for name in ("one", "two"):
        for key in ("k", "other"):
            peer.do(c.ExchangeBind(queue=name, exchange="amq.direct", binding_key=key))
    peer.send(b"before", "k", "amq.direct")
    assert len(peer.receive()) == 2
    exclusive = {"qpid.exclusive-binding": asked}
    peer.do(c.ExchangeBind(queue="three", exchange="amq.direct", binding_key="k", arguments=exclusive))
    peer.send(b"x", "k", "amq.direct")
    peer.send(b"x", "other", "amq.direct")
    came = [event.command.destination for event in peer.receive_all() if isinstance(event.command, c.MessageTransfer)]
    assert sorted(came) == sorted((["three"] if asked else ["one", "two", "three"]) + ["one", "two"])
    # Bound already, it takes the place of those that came after it.
    peer.do(c.ExchangeBind(queue="one", exchange="amq.direct", binding_key="k"))
    peer.do(c.ExchangeBind(queue="three", exchange="amq.direct", binding_key="k", arguments=exclusive))
    assert len(broker.exchanges["amq.direct"].find(broker.queues["one"], "k")) == (0 if asked else 1)
    assert len(broker.exchanges["amq.direct"].find(broker.queues["three"], "k")) == 1


def test_routes_follow_bindings(peer: Peer) -> None:
    """What was routed before does not decide what is routed after a binding came or went."""
    peer.declare("q")
    peer.subscribe()
    for exchange in ("amq.direct", "amq.topic", "amq.fanout"):
        peer.send(b"before", "k", exchange)
        peer.do(c.ExchangeBind(queue="q", exchange=exchange, binding_key="k"))
        peer.send(b"while", "k", exchange)
        peer.do(c.ExchangeUnbind(queue="q", exchange=exchange, binding_key="k"))
        peer.send(b"after", "k", exchange)
        assert peer.receive() == [b"while"]


@pytest.mark.parametrize(
    ("arguments", "headers", "matches"),
    [
        ({"x-match": "all", "a": 1, "b": "x"}, {"a": 1, "b": "x", "c": 2}, True),
        ({"x-match": "all", "a": 1, "b": "x"}, {"a": 1}, False),
        ({"x-match": "any", "a": 1, "b": "x"}, {"a": 1, "b": "y"}, True),
        ({"x-match": "any", "a": 1}, {}, False),
        ({"x-match": "all", "a": None}, {"a": "anything"}, True),
        ({"x-match": "all", "a": None}, {}, False),
        ({"x-match": "all", "a": 1}, {"a": True}, False),
        ({"x-match": "all", "a": "1"}, {"a": 1}, False),
        ({"x-match": "all", "a": 1}, {"a": 1.0}, True),
        ({"x-match": "all", "a": "x"}, {"a": b"x"}, True),
        ({"x-match": "all"}, {}, True),
    ],
)
def test_headers(peer: Peer, arguments: dict[str, Any], headers: dict[str, Any], matches: bool) -> None:
    peer.declare("q")
    peer.subscribe()
    peer.do(c.ExchangeBind(queue="q", exchange="amq.match", binding_key="k", arguments=arguments))
    peer.send(b"x", "", "amq.match", headers=headers)
    assert peer.receive() == ([b"x"] if matches else [])
    peer.do(c.ExchangeUnbind(queue="q", exchange="amq.match", binding_key="k"))
    peer.send(b"x", "", "amq.match", headers=headers)
    assert peer.receive() == []


def test_alternate_exchange(broker: Broker, peer: Peer) -> None:
    """What is not routed, rejected, or on a deleted queue, goes to the alternate exchange."""
    peer.do(c.ExchangeDeclare(exchange="dead", type="fanout"))
    peer.declare("letters")
    peer.do(c.ExchangeBind(queue="letters", exchange="dead"))
    peer.do(c.ExchangeDeclare(exchange="e", type="direct", alternate_exchange="dead"))
    peer.declare("q", alternate_exchange="dead")
    assert broker.exchanges["dead"].alternate_users == 2
    peer.send(b"unroutable", "none", "e")
    for body in (b"rejected", b"acquired", b"waiting"):
        peer.send(body)
    peer.subscribe(credit=2)
    first, _ = peer.receive_all()
    peer.settle(c.MessageReject, first)
    peer.do(c.MessageCancel(destination="d"))
    peer.do(c.QueueDelete(queue="q"))
    peer.do(c.ExchangeDelete(exchange="e"))
    peer.subscribe("letters", "l")
    assert peer.receive() == [b"unroutable", b"rejected", b"acquired", b"waiting"]
    peer.do(c.ExchangeDelete(exchange="dead"))
    assert peer.failure is None
    assert "dead" not in broker.exchanges


def test_auto_delete(broker: Broker, peer: Peer) -> None:
    peer.declare("shared", auto_delete=True)
    peer.subscribe("shared", "one")
    peer.subscribe("shared", "two")
    peer.do(c.MessageCancel(destination="one"))
    assert "shared" in broker.queues
    peer.do(c.MessageCancel(destination="two"))
    assert "shared" not in broker.queues
    peer.declare("mine", auto_delete=True, exclusive=True)
    peer.do(c.ExchangeDeclare(exchange="e", type="direct", auto_delete=True))
    peer.do(c.ExchangeBind(queue="mine", exchange="e", binding_key="k"))
    peer.link.lose()
    assert "mine" not in broker.queues
    assert "e" not in broker.exchanges, "an auto-delete exchange goes with its last binding"


def test_auto_delete_timeout(broker: Broker, peer: Peer) -> None:
    arguments = {"qpid.auto_delete_timeout": 10}
    peer.declare("q", auto_delete=True, exclusive=True, arguments=arguments)
    peer.link.lose()
    advance(broker, 9)
    assert "q" in broker.queues
    again = another(broker)
    again.declare("q", exclusive=True, auto_delete=True, arguments=arguments)
    advance(broker, 5)
    assert "q" in broker.queues, "it is in use again"
    again.link.lose()
    advance(broker, 10)
    assert "q" not in broker.queues


def test_deleting_a_queue_ends_sessions_that_wait_for_its_messages(broker: Broker, peer: Peer) -> None:
    consumer = another(broker)
    consumer.declare("q")
    consumer.subscribe()
    peer.do(c.QueueDelete(queue="q"))
    consumer.update()
    assert peer.failure is None
    assert consumer.failure is not None
    assert consumer.failure.error_code == 408


def test_ring_reject_and_self_destruct(broker: Broker) -> None:
    for policy in ("ring", "reject", "self-destruct"):
        peer = another(broker, policy.encode())
        peer.declare(policy, arguments={"qpid.max_count": 2, "qpid.policy_type": policy})
        for number in range(3):
            peer.send(b"%d" % number, policy)
        if policy == "ring":
            peer.subscribe("ring")
            assert peer.receive() == [b"1", b"2"]
        elif policy == "reject":
            assert peer.failure is not None
            assert peer.failure.error_code == 506
            assert broker.queues["reject"].depth == 2
        else:
            assert peer.failure is None
            assert policy not in broker.queues
    peer = another(broker)
    peer.declare("sized", arguments={"qpid.max_size": 100, "qpid.policy_type": "ring"})
    for _ in range(20):
        peer.send(b"x" * 30, "sized")
    assert 0 < broker.queues["sized"].byte_depth <= 100
    peer.send(b"x" * 200, "sized")
    assert peer.failure is not None
    assert peer.failure.error_code == 506
