"""Any well-formed commands: they are answered, or end their own session or connection, and nobody else's."""

from __future__ import annotations

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from qpid_messaging.amqp import commands as c
from qpid_messaging.amqp.codec import encode_header
from qpid_messaging.amqp.framing import encode
from qpid_messaging.amqp.ranges import RangeSet
from tests.unit.amqp.strategies import instances

from .driver import Link, make_broker

KINDS = sorted((kind for kind in c.COMMANDS.values() if not kind.NAME.startswith("connection.")), key=lambda k: k.NAME)
NAMES = st.sampled_from(["q", "r", "amq.direct", "amq.topic", "amq.match", "e", "", "d", "none"])
IDS = st.builds(lambda lower, more: RangeSet([(lower, lower + more)]), st.integers(0, 12), st.integers(0, 12))


@st.composite
def likely(draw: st.DrawFn) -> c.Command:
    """A command whose names and ids have a chance to mean something."""
    kind = draw(st.sampled_from(KINDS))
    command = draw(instances(kind))
    for name in ("queue", "exchange", "destination", "name", "alternate_exchange"):
        if isinstance(getattr(command, name, None), str) and draw(st.integers(0, 9)):
            setattr(command, name, draw(NAMES))
    transfers = getattr(command, "transfers", None)
    if isinstance(transfers, RangeSet) and draw(st.integers(0, 3)):
        transfers.clear()
        transfers.update(draw(IDS))
    if isinstance(command, c.ExchangeDeclare) and draw(st.integers(0, 3)):
        command.type = draw(st.sampled_from(["direct", "topic", "fanout", "headers"]))
    return command


@settings(max_examples=100, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
@given(st.lists(likely(), min_size=1, max_size=12), st.data())
def test_any_commands(commands: list[c.Command], data: st.DataObject) -> None:
    broker = make_broker()
    bystander = Link(broker).session(b"bystander")
    bystander.declare("bystander", exclusive=True)
    bystander.subscribe("bystander")
    peer = Link(broker).session()
    peer.declare("q", alternate_exchange="amq.fanout")
    peer.declare("r")
    peer.do(c.ExchangeDeclare(exchange="e", type="topic"))
    peer.do(c.ExchangeBind(queue="q", exchange="amq.fanout"))
    for _ in range(3):
        peer.send(b"x")
    peer.subscribe(credit=2)
    handler = peer.link.handler
    for command in commands:
        header = body = None
        if isinstance(command, c.MessageTransfer):
            structs = [data.draw(instances(kind)) for kind in (c.DeliveryProperties, c.MessageProperties)]
            header = encode_header(*structs)
            body = data.draw(st.binary(max_size=20))
        if not handler.finished:
            handler.receive(encode(0, command, header, body))
            handler.data_to_send()
            handler.sent()
    broker.clock.now += data.draw(st.sampled_from([0, 5, 100_000]))  # type: ignore[attr-defined]
    broker.timers.run(broker.clock())
    handler.lost()
    for queue in broker.queues.values():
        assert queue.acquired == 0
        assert queue.depth == queue.enqueued - queue.dequeued
        assert all(binding.destination is queue for binding in queue.bindings)
    assert {key for _, key in broker.sessions} == {b"bystander"}
    bystander.send(b"fine", "bystander")
    assert bystander.receive() == [b"fine"]
    users = sum(
        node.alternate_exchange is exchange
        for exchange in broker.exchanges.values()
        for node in (*broker.queues.values(), *broker.exchanges.values())
    )
    assert users == sum(exchange.alternate_users for exchange in broker.exchanges.values())
