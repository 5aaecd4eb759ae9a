"""What the agent tells without being asked: events, reports of changes, heartbeats."""

from __future__ import annotations

from typing import Any
from uuid import UUID

import pytest

from qpid_messaging.amqp import commands as c
from qpid_messaging.amqp.codec import decode_list, decode_map, encode_header
from qpid_messaging.amqp.commands import DeliveryProperties
from qpid_messaging.management import qmf
from qpid_messaging.management.qmf import TOPIC_EXCHANGE, Data, Opcode
from qpid_server.broker import Broker
from qpid_server.effects import (
    Bound,
    ExchangeDeclared,
    ExchangeDeleted,
    QueueDeclared,
    QueueDeleted,
    Unbound,
)
from qpid_server.management import install
from qpid_server.management.declarations import Kind
from qpid_server.management.event_classes import EVENTS
from qpid_server.management.v1_format import Reader
from qpid_server.message import Message
from tests.unit.management.cluster import StandIn
from tests.unit.server.driver import Link, advance, make_broker

V1_EXCHANGE = "qpid.management"
_V1_QUEUE = "listener.v1"
_V2_QUEUE = "listener.v2"


class Listener:
    """A console that only listens, on both protocols where it is told to."""

    def __init__(self, broker: Broker, key: str = "", v1_key: str = "") -> None:
        self.broker = broker
        for name, exchange, wanted in ((_V2_QUEUE, TOPIC_EXCHANGE, key), (_V1_QUEUE, V1_EXCHANGE, v1_key)):
            if name not in broker.queues:
                broker.do(QueueDeclared(name))
            if wanted:
                broker.do(Bound(broker.queue(name), broker.exchange(exchange), wanted))
        self.messages(_V1_QUEUE)
        self.messages(_V2_QUEUE)

    def messages(self, name: str) -> list[Message]:
        """Take what has come."""
        queue = self.broker.queue(name)
        entries = queue.available()
        for entry in entries:
            queue.remove(entry)
        return [entry.message for entry in entries]

    def events(self) -> list[tuple[str, dict[str, Any]]]:
        """Names and values of the events that came over QMF v2."""
        found = []
        for message in self.messages(_V2_QUEUE):
            headers = message.properties.application_headers or {}
            assert (headers["qmf.opcode"], headers["method"]) == (Opcode.DATA_INDICATION, "indication")
            assert headers["qmf.content"] == "_event"
            for event in qmf.as_text(decode_list(message.body or b"")):
                schema = EVENTS[event["_schema_id"]["_class_name"]]
                assert event["_schema_id"]["_hash"] == schema.hash
                assert event["_severity"] == schema.severity
                assert set(event["_values"]) == {argument.name for argument in schema.arguments}
                found.append((schema.name, event["_values"]))
        return found

    def data(self) -> list[Data]:
        """The objects that came over QMF v2."""
        found = []
        for message in self.messages(_V2_QUEUE):
            headers = message.properties.application_headers or {}
            assert (headers["qmf.opcode"], headers["qmf.content"]) == (Opcode.DATA_INDICATION, "_data")
            found += [Data.from_map(item) for item in decode_list(message.body or b"")]
        return found


def turns(broker: Broker) -> None:
    """Let what takes more than one turn of the broker take as many as it needs."""
    for _ in range(50):
        advance(broker, 0.002)


@pytest.fixture
def broker() -> Broker:
    broker = make_broker(mgmt_qmf1=True)
    install(broker)
    return broker


def only(events: list[tuple[str, dict[str, Any]]], name: str) -> dict[str, Any]:
    [values] = [values for event, values in events if event == name]
    return values


# -- events


def test_queues_exchanges_and_bindings(broker: Broker) -> None:
    listener = Listener(broker, "agent.ind.event.org_apache_qpid_broker.#")
    broker.do(QueueDeclared("q", durable=True, arguments={"a": 1}), ExchangeDeclared("ex", "topic"))
    queue, exchange = broker.queue("q"), broker.exchange("ex")
    broker.do(Bound(queue, exchange, "key"))
    broker.do(Unbound(queue, exchange, "key"))
    broker.do(Bound(queue, exchange, "again"))
    broker.do(QueueDeleted(queue))
    broker.do(ExchangeDeleted(exchange))
    assert [(name, values.get("qName", values.get("exName"))) for name, values in listener.events()] == [
        ("queueDeclare", "q"),
        ("exchangeDeclare", "ex"),
        ("bind", "q"),
        ("unbind", "q"),
        ("bind", "q"),
        ("queueDelete", "q"),
        ("exchangeDelete", "ex"),
    ]


def test_events_say_who_did_it(broker: Broker) -> None:
    listener = Listener(broker, "agent.ind.event.#")
    link = Link(broker, product="test")
    peer = link.session()
    peer.do(c.QueueDeclare("q", auto_delete=True, arguments={"qpid.mine": "x"}))
    peer.do(c.QueueDeclare("q", auto_delete=True))
    peer.do(c.QueueDeclare("q", passive=True))
    peer.do(c.MessageSubscribe(queue="q", destination="d", exclusive=True))
    peer.do(c.MessageCancel("d"))
    link.lose()
    events = listener.events()
    assert [name for name, _ in events] == [
        "clientConnect",
        "queueDeclare",
        "queueDeclare",
        "subscribe",
        "unsubscribe",
        "queueDelete",
        "clientDisconnect",
    ]
    assert {(values["rhost"], values["user"]) for _, values in events} == {("test:1", "anonymous")}
    assert events[0][1]["properties"]["product"] == "test"
    declared = events[1][1]
    assert (declared["disp"], declared["args"], declared["autoDel"]) == ("created", {"qpid.mine": "x"}, True)
    assert events[2][1]["disp"] == "existing"
    assert (events[3][1]["dest"], events[3][1]["excl"]) == ("d", True)


def test_a_client_that_is_turned_away(broker: Broker) -> None:
    listener = Listener(broker, "agent.ind.event.*.clientConnectFail.warn.#")
    broker.admission = lambda connection: (320, "not today")
    Link(broker)
    assert only(listener.events(), "clientConnectFail")["reason"] == "not today"


def test_thresholds_and_redirection(broker: Broker) -> None:
    broker.do(QueueDeclared("q"), QueueDeclared("other"))
    listener = Listener(broker, "agent.ind.event.#")
    listener.messages(_V2_QUEUE)
    queue, other = broker.queue("q"), broker.queue("other")
    for observer in broker.observers:
        observer.threshold_crossed(queue, upward=True)
        observer.threshold_crossed(queue, upward=False)
        observer.threshold_exceeded(queue)
    broker.redirect(queue, other)
    broker.redirect(queue, None)
    names = [name for name, _ in listener.events()]
    assert names == [
        "queueThresholdCrossedUpward",
        "queueThresholdCrossedDownward",
        "queueThresholdExceeded",
        "queueRedirect",
        "queueRedirectCancelled",
    ]


def test_members_of_the_cluster(broker: Broker) -> None:
    broker.ha = ha = StandIn()
    listener = Listener(broker, "agent.ind.event.org_apache_qpid_ha.membersUpdate.#")
    ha.members = [{"system-id": str(ha.system_id), "address": "[::1]:5672", "status": "active"}]
    for _ in range(2):
        for observer in broker.observers:
            observer.members_changed()
    member = {"system-id": UUID(str(ha.system_id)), "host-name": "::1", "port": 5672, "protocol": "tcp", "status": 4}
    assert only(listener.events(), "membersUpdate") == {"members": [member]}


def test_events_over_v1(broker: Broker) -> None:
    listener = Listener(broker, v1_key="console.event.#")
    broker.do(QueueDeclared("q", durable=True))
    [message] = listener.messages(_V1_QUEUE)
    assert message.routing_key == "console.event.1.0.org.apache.qpid.broker.queueDeclare"
    reader, schema = Reader(message.body or b""), EVENTS["queueDeclare"]
    assert reader.head() == ("e", 0)
    assert reader.class_key() == (schema.package, schema.name, schema.hash)
    assert reader.value(Kind.TIME) > 0
    assert reader.value(Kind.UINT8) == schema.severity
    values = {argument.name: reader.value(argument.kind) for argument in schema.arguments}
    assert (values["qName"], values["durable"], values["disp"]) == ("q", True, "created")
    assert not reader.more


def test_protocols_that_are_off_tell_nothing() -> None:
    broker = make_broker(mgmt_qmf2=False)
    install(broker)
    listener = Listener(broker, "agent.ind.#", "console.#")
    broker.do(QueueDeclared("q"))
    advance(broker, 11)
    turns(broker)
    assert (listener.messages(_V1_QUEUE), listener.messages(_V2_QUEUE)) == ([], [])


# -- heartbeats


def test_heartbeats(broker: Broker) -> None:
    listener = Listener(broker, "agent.ind.heartbeat.#", "console.heartbeat.#")
    advance(broker, 9.9)
    assert listener.messages(_V2_QUEUE) == []
    advance(broker, 0.2)
    [message] = listener.messages(_V2_QUEUE)
    instance = broker.federation_tag
    assert message.routing_key == f"agent.ind.heartbeat.apache_org.qpidd.{instance}"
    assert (message.properties.application_headers or {})["qmf.opcode"] == Opcode.HEARTBEAT_INDICATION
    values = qmf.as_text(decode_map(message.body or b"")["_values"])
    assert (values["_vendor"], values["_product"], values["_instance"]) == ("apache.org", "qpidd", instance)
    assert (values["_heartbeat_interval"], values["_epoch"]) == (10, 1)
    [old] = listener.messages(_V1_QUEUE)
    assert old.routing_key == "console.heartbeat.1.0"
    assert Reader(old.body or b"").head() == ("h", 0)
    advance(broker, 10)
    assert len(listener.messages(_V2_QUEUE)) == 1


# -- reports


def names(data: list[Data]) -> set[str]:
    return {item.values["name"] for item in data if item.class_name == "queue" and not item.deleted}


def report(broker: Broker, listener: Listener) -> list[Data]:
    advance(broker, 10)
    turns(broker)
    return listener.data()


def test_reports_tell_what_changed(broker: Broker) -> None:
    broker.do(*(QueueDeclared(f"q{number:03}") for number in range(120)))
    listener = Listener(broker, "agent.ind.data.org_apache_qpid_broker.queue.#")
    first = report(broker, listener)
    assert names(first) == set(broker.queues)
    # The listener's own queue has got the report.
    assert names(report(broker, listener)) == {_V2_QUEUE}
    message = Message("", encode_header(DeliveryProperties(routing_key="q007")), b"x")
    broker.do(*broker.route(message, broker.default_exchange), QueueDeclared("new"), QueueDeleted(broker.queue("q100")))
    changed = report(broker, listener)
    assert names(changed) == {_V2_QUEUE, "q007", "new"}
    [gone] = [item for item in changed if item.deleted]
    assert (gone.values["name"], gone.deleted > gone.created) == ("q100", True)
    [q7] = [item for item in changed if item.values["name"] == "q007"]
    assert q7.values["msgDepth"] == 1


def test_whoever_begins_to_listen_is_told_everything(broker: Broker) -> None:
    broker.do(QueueDeclared("q"))
    listener = Listener(broker, "agent.ind.data.org_apache_qpid_broker.queue.#")
    report(broker, listener)
    broker.do(QueueDeclared("second"))
    broker.do(Bound(broker.queue("second"), broker.exchange(TOPIC_EXCHANGE), "agent.ind.data.#"))
    assert names(report(broker, listener)) == set(broker.queues)


def test_all_classes_are_reported(broker: Broker) -> None:
    broker.ha = StandIn()
    link = Link(broker)
    peer = link.session()
    peer.do(c.QueueDeclare("q"))
    peer.do(c.MessageSubscribe(queue="q", destination="d"))
    listener = Listener(broker, "agent.ind.data.#")
    told = {item.class_name for item in report(broker, listener)}
    assert told == {
        *("system", "memory", "broker", "vhost", "queue", "exchange", "binding"),
        *("subscription", "connection", "session", "habroker"),
    }


def test_reports_over_v1(broker: Broker) -> None:
    listener = Listener(broker, v1_key="console.obj.1.0.org.apache.qpid.broker.broker")
    advance(broker, 10)
    turns(broker)
    [message] = listener.messages(_V1_QUEUE)
    assert message.routing_key == "console.obj.1.0.org.apache.qpid.broker.broker"
    assert [unit[:1] for unit in (message.body or b"").split(b"AM2")[1:]] == [b"c", b"i"]


def test_where_nobody_listens_nothing_is_looked_at(broker: Broker, monkeypatch: pytest.MonkeyPatch) -> None:
    def looked_at(*_: object) -> None:
        raise AssertionError("looked at")

    for managed in install(make_broker()).classes:
        monkeypatch.setattr(type(managed), "values", looked_at)
        monkeypatch.setattr(type(managed), "all", looked_at)
    Listener(broker)
    advance(broker, 30)
    turns(broker)


def test_reports_can_be_turned_off() -> None:
    broker = make_broker(mgmt_publish=False)
    install(broker)
    listener = Listener(broker, "agent.ind.#")
    advance(broker, 11)
    turns(broker)
    [heartbeat] = listener.messages(_V2_QUEUE)
    assert heartbeat.routing_key.startswith("agent.ind.heartbeat.")
