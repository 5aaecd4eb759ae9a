"""The agent on a broker without sockets: what it answers, and that nothing a console sends can hurt the broker."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qpid_messaging.amqp.codec import encode_header
from qpid_messaging.amqp.commands import DeliveryProperties, ReplyTo
from qpid_messaging.amqp.errors import ProtocolError
from qpid_messaging.management import qmf
from qpid_messaging.management.qmf import Opcode, Status
from qpid_server.effects import Bound, ExchangeDeclared, QueueDeclared
from qpid_server.errors import SessionError
from qpid_server.journal import Entry, Journal
from qpid_server.management import LOCATE_KEY
from qpid_server.management.classes import HA_BROKER
from qpid_server.management.event_classes import EVENTS
from qpid_server.management.v2_requests import OBJECTS_PER_MESSAGE
from tests.unit.management.cluster import StandIn
from tests.unit.management.console import AGENT, Console, done


@pytest.fixture
def console() -> Console:
    return Console()


# -- locate and query


@pytest.mark.parametrize(
    ("exchange", "key"), [(qmf.TOPIC_EXCHANGE, LOCATE_KEY), (qmf.DIRECT_EXCHANGE, AGENT), (qmf.DIRECT_EXCHANGE, None)]
)
def test_locate(console: Console, exchange: str, key: str | None) -> None:
    name = console.agent.name
    [answer] = console.send(Opcode.LOCATE_REQUEST, [], exchange=exchange, key=key or name)
    assert answer.headers == {"method": "indication", "qmf.agent": name, "qmf.opcode": Opcode.LOCATE_RESPONSE}
    values = qmf.as_text(answer.content["_values"])
    assert (values["_vendor"], values["_product"]) == ("apache.org", "qpidd")
    assert values["_name"] == name == f"apache.org:qpidd:{values['_instance']}"


def test_a_console_that_knows_the_agents_name_is_answered_under_it(console: Console) -> None:
    [answer] = console.send(Opcode.QUERY_REQUEST, qmf.query_class("broker"), key=console.agent.name)
    assert answer.headers["qmf.agent"] == console.agent.name


def test_a_large_answer_comes_in_parts(console: Console) -> None:
    console.broker.do(*(QueueDeclared(f"q{number:03}") for number in range(2 * OBJECTS_PER_MESSAGE)))
    found = [qmf.Data.from_map(item) for item in console.query(qmf.query_class("queue"))]
    assert [data.values["name"] for data in found] == sorted(console.broker.queues)


def test_no_part_is_empty_when_the_answer_just_fits(console: Console) -> None:
    console.broker.do(*(QueueDeclared(f"q{number:03}") for number in range(OBJECTS_PER_MESSAGE - 1)))
    [answer] = console.send(Opcode.QUERY_REQUEST, qmf.query_class("queue"))
    assert len(answer.content) == OBJECTS_PER_MESSAGE


@pytest.mark.parametrize(
    "query",
    [
        qmf.query_class("nonesuch"),
        qmf.query_class("queue", "org.apache.qpid.nonesuch"),
        qmf.query_class("habroker"),
        qmf.query_object("org.apache.qpid.broker:queue:nonesuch"),
        qmf.query_object("org.apache.qpid.nonesuch:queue:replies"),
        qmf.query_object("nonesuch"),
        qmf.query_object(""),
        qmf.query_object(qmf.HA_OBJECT),
    ],
)
def test_what_is_not_there_is_an_empty_answer(console: Console, query: dict[str, Any]) -> None:
    assert console.query(query) == []


def test_names_with_colons_are_found(console: Console) -> None:
    console.broker.do(QueueDeclared("a:b:c"))
    [item] = console.query(qmf.query_object("org.apache.qpid.broker:queue:a:b:c"))
    assert qmf.Data.from_map(item).values["name"] == "a:b:c"


def test_every_object_is_found_under_its_id(console: Console) -> None:
    console.broker.ha = StandIn()
    names = []
    for managed in console.agent.classes:
        for item in console.query(qmf.query_class(managed.name, managed.package)):
            name = qmf.Data.from_map(item).name
            names.append(name)
            [again] = console.query(qmf.query_object(name))
            assert again["_object_id"] == item["_object_id"]
            assert again["_values"].keys() == item["_values"].keys()
    assert {name.split(":")[1] for name in names} >= {
        *("broker", "system", "vhost", "memory", "queue", "exchange", "binding", "habroker"),
    }


def test_schema_ids(console: Console) -> None:
    [answer] = console.send(Opcode.QUERY_REQUEST, {"_what": "SCHEMA_ID"})
    assert answer.headers["qmf.content"] == "_schema_id"
    told = {(item["_package_name"], item["_class_name"], item["_type"]): item["_hash"] for item in answer.content}
    assert told[b"org.apache.qpid.ha", b"habroker", b"_data"] == HA_BROKER.hash
    assert told[b"org.apache.qpid.broker", b"brokerLinkDown", b"_event"] == EVENTS["brokerLinkDown"].hash


def test_totals_do_not_go_back_when_a_queue_goes(console: Console) -> None:
    def total() -> int:
        [item] = console.query(qmf.query_class("broker"))
        return int(item["_values"]["msgTotalEnqueues"])

    console.broker.do(QueueDeclared("short-lived"))
    console.publish("", encode_header(DeliveryProperties(routing_key="short-lived")), b"x")
    before = total()
    assert done(console.delete("queue", "short-lived"))
    # The answers to the first query and to the deletion came to it.
    assert total() == before + 2


def test_creation_times(console: Console) -> None:
    console.agent.creation._now = lambda: 42
    console.broker.do(QueueDeclared("new"))
    binding = "org.apache.qpid.broker:binding:org.apache.qpid.broker:exchange:,org.apache.qpid.broker:queue:new,new"
    for name in ("org.apache.qpid.broker:queue:new", binding):
        [item] = console.query(qmf.query_object(name))
        assert item["_create_ts"] == 42
    [item] = console.query(qmf.query_object("org.apache.qpid.broker:exchange:amq.topic"))
    assert item["_create_ts"] == console.agent.creation.started


# -- methods of the broker


def test_echo(console: Console) -> None:
    answer = console.call("echo", {"sequence": 5, "body": "said"})
    assert answer.content == {"_arguments": {"sequence": 5, "body": "said"}}


def test_create_and_delete(console: Console) -> None:
    broker = console.broker
    assert done(console.create("exchange", "ex", {"exchange-type": "direct", "durable": True}))
    assert done(console.create("queue", "q/1", {"auto-delete": 1, "alternate-exchange": "ex", "qpid.mine": "x"}))
    assert done(console.create("binding", "ex/q/1/key/2", {"x-match": "all"}))
    queue, exchange = broker.queue("q/1"), broker.exchange("ex")
    assert (exchange.type, exchange.durable) == ("direct", True)
    assert (queue.auto_delete, queue.alternate_exchange, queue.arguments) == (True, exchange, {"qpid.mine": "x"})
    assert exchange.has_binding(queue, "key/2", {"x-match": "all"})
    assert done(console.create("binding", "ex/q/1/key/2", {"x-match": "all"}))
    assert done(console.delete("binding", "ex/q/1/key/2"))
    assert not exchange.bindings
    status, text = console.delete("exchange", "ex").error
    assert (status, "in use" in text) == (Status.EXCEPTION, True)
    assert done(console.delete("queue", "q/1", {"if_empty": True, "if_unused": True}))
    assert done(console.delete("exchange", "ex"))


def test_what_kombu_says_of_every_queue_is_passed_over(console: Console) -> None:
    properties = {"passive": False, "exclusive": False, "arguments": None, "auto-delete": True, "durable": False}
    assert done(console.create("queue", "celery", properties))
    assert console.broker.queue("celery").arguments == {}


@pytest.mark.parametrize(
    ("kind", "name", "properties", "status", "said"),
    [
        ("queue", "replies", {}, Status.EXCEPTION, "object already exists: replies"),
        ("queue", "", {}, Status.INVALID_PARAMETER, "1 to 255 bytes"),
        ("queue", "ü" * 128, {}, Status.INVALID_PARAMETER, "1 to 255 bytes"),
        ("queue", "q", {"durable": "yes"}, Status.INVALID_PARAMETER, "'durable'"),
        ("queue", "q", {"exclusive": True}, Status.INVALID_PARAMETER, "exclusive"),
        ("queue", "q", {"colour": 1}, Status.INVALID_PARAMETER, "Unrecognised properties: colour"),
        ("queue", "q", {"alternate-exchange": "none"}, Status.EXCEPTION, "not-found"),
        ("queue", "q", {"alternate-exchange": 4}, Status.INVALID_PARAMETER, "'alternate-exchange'"),
        ("queue", "q", {"qpid.replicate": "some"}, Status.EXCEPTION, "replication level"),
        ("exchange", "amq.topic", {}, Status.EXCEPTION, "amq."),
        ("exchange", "e", {"exchange-type": "square"}, Status.EXCEPTION, "square"),
        ("exchange", "qmf.default.topic", {}, Status.EXCEPTION, "already exists"),
        ("binding", "amq.topic", {}, Status.INVALID_PARAMETER, "exchange/queue/key"),
        ("binding", "amq.topic/none/key", {}, Status.EXCEPTION, "Queue not found: none"),
        ("binding", "none/replies/key", {}, Status.EXCEPTION, "Exchange not found: none"),
        ("binding", "/replies/key", {}, Status.EXCEPTION, "default exchange"),
        ("binding", "amq.match/replies/key", {}, Status.EXCEPTION, "x-match"),
        ("topic", "t", {}, Status.INVALID_PARAMETER, "Unknown object type: topic"),
    ],
)
def test_create_refuses(
    console: Console, kind: str, name: str, properties: dict[str, Any], status: Status, said: str
) -> None:
    before = set(console.broker.queues), set(console.broker.exchanges)
    got, text = console.create(kind, name, properties).error
    assert (got, said in text) == (status, True), text
    assert (set(console.broker.queues), set(console.broker.exchanges)) == before


@pytest.mark.parametrize(
    ("kind", "name", "options", "said"),
    [
        ("queue", "none", {}, "Queue not found: none"),
        ("queue", "full", {"if_empty": True}, "not empty"),
        ("exchange", "amq.topic", {}, "own"),
        ("exchange", "", {}, "own"),
        ("exchange", qmf.DIRECT_EXCHANGE, {}, "own"),
        ("binding", "amq.topic/full/key", {}, "No such binding"),
        ("binding", "/full/full", {}, "default exchange"),
    ],
)
def test_delete_refuses(console: Console, kind: str, name: str, options: dict[str, Any], said: str) -> None:
    console.broker.do(QueueDeclared("full"))
    console.publish("", encode_header(DeliveryProperties(routing_key="full")), b"x")
    status, text = console.delete(kind, name, options).error
    assert (status, said in text) == (Status.EXCEPTION, True), text
    assert console.broker.queue("full").depth == 1


def test_an_exclusive_queue_is_its_owners(console: Console) -> None:
    console.broker.queue("replies").owner = object()
    assert "exclusive" in console.delete("queue", "replies").error[1]


def test_methods_that_are_not_there_are_refused_by_name(console: Console) -> None:
    status, text = console.call("connect", {}).error
    assert (status, text.startswith("connect: ")) == (Status.NOT_IMPLEMENTED, True)
    console.broker.ha = StandIn()
    refused = console.call("replicate", {}, qmf.HA_OBJECT)
    assert refused.error == (Status.NOT_IMPLEMENTED, "replicate: ha-queue-replication is not enabled")
    status, text = console.call("dance", {}).error
    assert (status, "'dance'" in text) == (Status.UNKNOWN_METHOD, True)
    status, text = console.call("purge", {}, "org.apache.qpid.broker:queue:none").error
    assert (status, "queue:none" in text) == (Status.UNKNOWN_OBJECT, True)


def test_a_backup_changes_nothing_that_is_replicated(console: Console, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(console.broker.journal, "admits", lambda effects: not any(e.replicated for e in effects))
    assert "primary" in console.create("queue", "q", {"qpid.replicate": "all"}).error[1]
    assert "q" not in console.broker.queues
    assert done(console.create("queue", "local"))


def test_a_method_is_answered_when_its_entry_is_confirmed(console: Console, monkeypatch: pytest.MonkeyPatch) -> None:
    """On a primary that is when the backups have it."""
    journal, waiting = console.broker.journal, []

    def commit(entry: Entry, on_confirmed: Callable[[Entry], None] | None = None) -> None:
        if any(isinstance(effect, QueueDeclared) for effect in entry.effects):
            waiting.append((entry, on_confirmed))
        else:
            Journal.commit(journal, entry, on_confirmed)

    monkeypatch.setattr(journal, "commit", commit)
    request = {"type": "queue", "name": "q", "properties": {}, "strict": True}
    assert console.send(Opcode.METHOD_REQUEST, qmf.method_request(qmf.BROKER_OBJECT, "create", request)) == []
    [(entry, confirmed)] = waiting
    assert confirmed is not None
    confirmed(entry)
    [answer] = console.answers()
    assert done(answer)


# -- methods of a queue


def test_purge_and_reroute(console: Console) -> None:
    broker = console.broker
    broker.do(QueueDeclared("q"), QueueDeclared("other"), ExchangeDeclared("ex", "fanout"))
    broker.do(Bound(broker.queue("other"), broker.exchange("ex"), ""))
    for body in b"12345":
        console.publish("", encode_header(DeliveryProperties(routing_key="q")), bytes((body,)))
    name = "org.apache.qpid.broker:queue:q"
    assert done(console.call("purge", {"request": 2}, name))
    assert done(console.call("reroute", {"request": 1, "useAltExchange": False, "exchange": "ex"}, name))
    assert [entry.message.body for entry in broker.queue("q").available()] == [b"4", b"5"]
    assert [entry.message.body for entry in broker.queue("other").available()] == [b"3"]
    assert broker.queue("q").purged == 2
    assert "alternate" in console.call("reroute", {"useAltExchange": True}, name).error[1]
    assert console.call("purge", {"request": -1}, name).error[0] is Status.INVALID_PARAMETER
    assert console.call("purge", {"filter": {"x": 1}}, name).error[0] is Status.INVALID_PARAMETER
    assert done(console.call("purge", {"request": 0}, name))
    assert broker.queue("q").depth == 0


# -- the cluster


def test_values_of_the_ha_broker(console: Console) -> None:
    console.broker.ha = StandIn()
    [item] = console.query(qmf.query_object(qmf.HA_OBJECT))
    assert item["_values"]["status"] == b"joining"
    assert (item["_values"]["epoch"], item["_values"]["index"]) == (b"2:03cd654c", 17)
    [system] = console.query(qmf.query_class("system"))
    assert system["_values"]["systemId"] == item["_values"]["systemId"]


def test_promotion_is_answered_when_it_is_done(console: Console) -> None:
    console.broker.ha = cluster = StandIn()
    request = qmf.method_request(qmf.HA_OBJECT, "promote", {"force": True})
    assert console.send(Opcode.METHOD_REQUEST, request) == []
    [(force, finish)] = cluster.promotions
    assert force
    finish(None)
    [answer] = console.answers()
    assert done(answer)
    console.send(Opcode.METHOD_REQUEST, request)
    cluster.promotions[1][1](RuntimeError("broker b is ahead: promote that"))
    [answer] = console.answers()
    assert answer.error == (Status.EXCEPTION, "broker b is ahead: promote that")
    assert console.call("promote", {"force": "maybe"}, qmf.HA_OBJECT).error[0] is Status.INVALID_PARAMETER


def test_how_long_a_demotion_may_take(console: Console) -> None:
    console.broker.ha = cluster = StandIn()
    for arguments, patience in (({"wait": 500}, 0.5), ({"wait": 0}, 0.0), ({}, 2.0)):
        assert console.send(Opcode.METHOD_REQUEST, qmf.method_request(qmf.HA_OBJECT, "demote", arguments)) == []
        asked, finish = cluster.demotions.pop()
        assert asked == patience
        finish(None)
        assert [done(answer) for answer in console.answers()] == [True]
    assert console.call("demote", {"wait": -1}, qmf.HA_OBJECT).error[0] is Status.INVALID_PARAMETER
    assert cluster.demotions == []


def test_a_member_is_forgotten_once_the_others_know(console: Console) -> None:
    console.broker.ha = cluster = StandIn()
    request = qmf.method_request(qmf.HA_OBJECT, "forget", {"member": "c:5672"})
    assert console.send(Opcode.METHOD_REQUEST, request) == []
    [(member, finish)] = cluster.forgotten
    assert member == "c:5672"
    finish(None)
    assert [done(answer) for answer in console.answers()] == [True]
    assert console.call("forget", {"member": 7}, qmf.HA_OBJECT).error[0] is Status.INVALID_PARAMETER


def test_an_answer_to_a_console_that_has_gone_is_dropped(console: Console) -> None:
    console.broker.ha = cluster = StandIn()
    request = qmf.method_request(qmf.HA_OBJECT, "promote")
    console.send(Opcode.METHOD_REQUEST, request, reply_to=ReplyTo("gone", "me"))
    cluster.promotions[0][1](None)
    assert console.answers() == []


def test_setting_urls(console: Console) -> None:
    console.broker.ha = cluster = StandIn()
    assert done(console.call("setPublicUrl", {"url": b"amqp:vip"}, qmf.HA_OBJECT))
    assert done(console.call("setBrokersUrl", {"url": "amqp:a,b"}, qmf.HA_OBJECT))
    assert (cluster.public_url, cluster.brokers_url) == ("amqp:vip", "amqp:a,b")
    for url in ("", 7, None):
        assert console.call("setBrokersUrl", {"url": url}, qmf.HA_OBJECT).error[0] is Status.INVALID_PARAMETER
    assert "replicate" in console.call("replicate", {"broker": "b", "queue": "q"}, qmf.HA_OBJECT).error[1]


# -- bad input


@pytest.mark.parametrize(
    ("opcode", "content"),
    [
        (None, {}),
        ("_dance", {}),
        (Opcode.QUERY_REQUEST, []),
        (Opcode.QUERY_REQUEST, {}),
        (Opcode.QUERY_REQUEST, {"_what": "EVERYTHING"}),
        (Opcode.QUERY_REQUEST, {"_what": "OBJECT"}),
        (Opcode.QUERY_REQUEST, {"_what": "OBJECT", "_schema_id": "queue"}),
        (Opcode.QUERY_REQUEST, {"_what": "OBJECT", "_schema_id": {}}),
        (Opcode.QUERY_REQUEST, {"_what": "OBJECT", "_object_id": {"_object_name": 1}}),
        (Opcode.METHOD_REQUEST, {}),
        (Opcode.METHOD_REQUEST, {"_method_name": "echo"}),
        (Opcode.METHOD_REQUEST, {"_method_name": "echo", "_arguments": [], "_object_id": {}}),
        (Opcode.METHOD_REQUEST, {"_method_name": 4, "_object_id": {"_object_name": qmf.BROKER_OBJECT}}),
        (Opcode.METHOD_REQUEST, {"_method_name": "create", "_object_id": {"_object_name": qmf.BROKER_OBJECT}}),
    ],
)
def test_senseless_requests_get_an_exception(console: Console, opcode: str | None, content: Any) -> None:
    [answer] = console.send(opcode, content)
    status, text = answer.error
    assert status in (Status.INVALID_PARAMETER, Status.NOT_IMPLEMENTED)
    assert text


def test_without_reply_to_there_is_no_answer(console: Console) -> None:
    assert console.send(Opcode.QUERY_REQUEST, qmf.query_class("queue"), reply_to=None) == []
    assert console.send(Opcode.QUERY_REQUEST, qmf.query_class("queue"), reply_to=ReplyTo("none", "x")) == []


def test_what_is_not_qmf_is_ignored(console: Console) -> None:
    assert console.send(Opcode.QUERY_REQUEST, qmf.query_class("queue"), app_id=None) == []


def test_the_agent_does_not_talk_to_itself(console: Console) -> None:
    """Its own answers, sent to its own address, end there."""
    for opcode in (Opcode.QUERY_REQUEST, "_dance"):
        reply_to = ReplyTo(qmf.DIRECT_EXCHANGE, AGENT)
        assert console.send(opcode, qmf.query_class("queue"), reply_to=reply_to) == []


def test_a_fault_of_ours_is_an_exception_to_the_console(
    console: Console, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(type(console.agent.classes[0]), "values", lambda self, item: item.gone)
    [answer] = console.send(Opcode.QUERY_REQUEST, qmf.query_class("broker"))
    assert "internal-error" in answer.error[1]
    assert "management request _query_request failed" in caplog.text


values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**63) | st.text(max_size=9) | st.binary(max_size=9),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=9), inner, max_size=3),
    max_leaves=8,
)
keys = st.sampled_from(
    [
        *("_what", "_schema_id", "_object_id", "_class_name", "_package_name", "_object_name"),
        *("_method_name", "_arguments", "type", "name", "properties", "options", "strict", "request", "force", "url"),
    ]
)
words = st.sampled_from(
    [
        *("OBJECT", "SCHEMA_ID", "queue", "exchange", "binding", "habroker", qmf.BROKER_OBJECT, qmf.HA_OBJECT),
        *("echo", "create", "delete", "purge", "promote", "replies", "amq.topic/replies/k", "a/b/c", "", b"queue"),
        "org.apache.qpid.broker:queue:replies",
    ]
)
requests = st.recursive(
    st.dictionaries(keys, words | values, max_size=5),
    lambda inner: st.dictionaries(keys, words | inner | values, max_size=5),
    max_leaves=6,
)
opcodes = st.sampled_from([Opcode.QUERY_REQUEST, Opcode.METHOD_REQUEST, Opcode.LOCATE_REQUEST])


@given(opcode=opcodes, content=requests)
def test_any_request_is_answered_and_leaves_the_broker_whole(opcode: str, content: dict[str, Any]) -> None:
    console = Console()
    console.broker.ha = cluster = StandIn()
    answers = console.send(opcode, content)
    assert answers or cluster.promotions or "replies" not in console.broker.queues
    for answer in answers:
        assert answer.correlation_id == b"7"
    if "replies" in console.broker.queues:
        assert console.call("echo", {"sequence": 1}).content == {"_arguments": {"sequence": 1}}


@given(
    body=st.binary(max_size=60),
    content_type=st.sampled_from(["amqp/map", "amqp/list", "text/plain", "", None]),
    opcode=opcodes | values,
    headers=st.dictionaries(st.text(max_size=9), values, max_size=3),
)
def test_any_body_is_answered(body: bytes, content_type: str | None, opcode: Any, headers: dict[str, Any]) -> None:
    console = Console()
    answers = console.send(None, {}, body=body, content_type=content_type, headers={**headers, "qmf.opcode": opcode})
    assert len(answers) == 1


@given(header=st.binary(max_size=60), body=st.binary(max_size=20))
def test_no_header_hurts(header: bytes, body: bytes) -> None:
    """A message that a session would take reaches the agent; nothing that it cannot read comes back."""
    console = Console()
    properties = len(header).to_bytes(4, "big") + header
    whole = encode_header(DeliveryProperties(routing_key=AGENT)) + properties
    try:
        console.publish(qmf.DIRECT_EXCHANGE, whole, body)
    except SessionError:
        pytest.fail("a session would have ended")
    except ProtocolError:
        return  # the broker itself refuses the header, whoever the message is for
    assert console.answers() == []
