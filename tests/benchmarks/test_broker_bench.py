"""What a message costs the broker: 256 bytes in from one producer and out to one consumer, without sockets."""

from __future__ import annotations

import time
from typing import Any

import pytest

from qpid_messaging.amqp import commands as c
from qpid_messaging.amqp.codec import encode_header
from qpid_messaging.amqp.connection import ClientConnection
from qpid_messaging.amqp.events import Incoming
from qpid_messaging.amqp.sasl import choose
from qpid_messaging.amqp.session import Session
from qpid_server.broker import Broker
from qpid_server.connection import ConnectionHandler
from qpid_server.management import install
from qpid_server.options import Options
from qpid_server.security.authenticator import Authenticator

MESSAGES = 10_000
A_READ = 200
PREFETCH = 1000
MOST_US = 30.0


class Client:
    """A client's machine, wired to a connection handler."""

    def __init__(self, broker: Broker) -> None:
        self.machine = ClientConnection(choose)
        self.handler = ConnectionHandler(broker, "bench", Authenticator())
        self.pump()
        self.session = Session(b"bench-%d" % id(self))
        self.machine.attach(self.session)
        self.pump()

    def pump(self) -> list[Any]:
        """Carry bytes both ways until it is quiet."""
        events: list[Any] = []
        while True:
            out = self.machine.data_to_send()
            if out:
                self.handler.receive(out)
            back = self.handler.data_to_send()
            self.handler.sent()
            if not out and not back:
                return events
            events += self.machine.receive(back)


def managed_broker() -> Broker:
    """A broker with its management agent, as a process has it."""
    broker = Broker(Options(auth=False, no_data_dir=True))
    install(broker)
    return broker


def conversation() -> list[tuple[bool, bytes]]:
    """What producer (True) and consumer (False) write for MESSAGES messages, in order."""
    producer, consumer = pair(managed_broker())
    writes: list[tuple[bool, bytes]] = []
    header = encode_header(
        c.DeliveryProperties(routing_key="q"),
        c.MessageProperties(content_type="text/plain", application_headers={"qpid.subject": "s"}),
    )
    for _ in range(MESSAGES // A_READ):
        for _ in range(A_READ):
            producer.session.send(c.MessageTransfer(destination=""), header, b"x" * 256)
        data = producer.machine.data_to_send()
        writes.append((True, data))
        producer.handler.receive(data)
        producer.pump()
        received = [
            event.id
            for event in consumer.machine.receive(consumer.handler.data_to_send())
            if isinstance(event, Incoming)
        ]
        assert len(received) == A_READ
        consumer.session.complete_range(received[0], received[-1])
        consumer.session.send(c.MessageAccept(transfers=_range(received)))
        data = consumer.machine.data_to_send()
        writes.append((False, data))
        consumer.handler.receive(data)
        consumer.pump()
    return writes


def _range(ids: list[int]) -> Any:
    from qpid_messaging.amqp.ranges import RangeSet

    return RangeSet([(ids[0], ids[-1])])


def pair(broker: Broker) -> tuple[Client, Client]:
    """A producer, and a consumer with a window of PREFETCH messages on queue "q"."""
    producer, consumer = Client(broker), Client(broker)
    session = consumer.session
    session.send(c.QueueDeclare(queue="q"))
    session.send(c.MessageSubscribe(queue="q", destination="d"))
    session.send(c.MessageSetFlowMode(destination="d", flow_mode=c.FlowMode.WINDOW))
    session.send(c.MessageFlow(destination="d", unit=c.CreditUnit.BYTE, value=0xFFFFFFFF))
    session.send(c.MessageFlow(destination="d", unit=c.CreditUnit.MESSAGE, value=PREFETCH))
    consumer.pump()
    return producer, consumer


@pytest.fixture(scope="module")
def writes() -> list[tuple[bool, bytes]]:
    return conversation()


@pytest.mark.benchmark(timer=time.process_time)
def test_message_in_and_out(benchmark: Any, writes: list[tuple[bool, bytes]]) -> None:
    def fresh() -> tuple[tuple[Any, ...], dict[str, Any]]:
        broker = managed_broker()
        return (broker, *pair(broker)), {}

    def run(broker: Broker, producer: Client, consumer: Client) -> None:
        handlers = (consumer.handler, producer.handler)
        for from_producer, data in writes:
            handlers[from_producer].receive(data)
            for handler in handlers:
                handler.data_to_send()
                handler.sent()
        assert broker.queues["q"].depth == 0
        assert broker.queues["q"].dequeued == MESSAGES

    benchmark.pedantic(run, setup=fresh, rounds=5)
    benchmark.extra_info["us_per_message"] = benchmark.stats["min"] / MESSAGES * 1e6
    assert benchmark.extra_info["us_per_message"] <= MOST_US
