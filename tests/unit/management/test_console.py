"""The console against an agent that answers what the test tells it to."""

from __future__ import annotations

from collections import deque
from typing import Any, cast

import pytest

import qpid_messaging
from qpid_messaging import Empty, Message
from qpid_messaging.management import (
    AgentError,
    BrokerAgent,
    EventHelper,
    EventReceiver,
    NoResponse,
    ObjectDeleted,
    Queue,
    qmf,
)
from qpid_messaging.management.qmf import Data, Opcode, Status
from qpid_server.management import CLASSES, v1_format
from qpid_server.management.declarations import Kind


class FakeAgent:
    """A connection, session, sender and receiver in one: answers each request with the next of `script`."""

    def __init__(self) -> None:
        self.script: deque[list[tuple[str, Any, dict[str, Any]]]] = deque()
        self.v1: deque[list[bytes]] = deque()  # the answers to requests of QMF v1
        self.requests: list[Message] = []
        self.inbox: deque[Message] = deque()
        self.addresses: list[str] = []
        self.acknowledged = 0
        self.capacity = 0
        self.closed = False
        self.waits: list[float | None] = []

    def session(self) -> FakeAgent:
        return self

    def receiver(self, address: str) -> FakeAgent:
        self.addresses.append(address)
        return self

    sender = receiver

    def close(self) -> None:
        self.closed = True

    def acknowledge(self, message: Message, sync: bool = True) -> None:
        self.acknowledged += 1

    def send(self, message: Message, sync: bool = True) -> None:
        self.requests.append(message)
        if isinstance(message.content, bytes):
            self.inbox += [Message(units) for units in self.v1.popleft()]
            return
        for opcode, content, headers in self.script.popleft():
            properties = {"qmf.opcode": opcode.encode(), **headers}
            correlation_id = properties.pop("correlation_id", message.correlation_id)
            self.inbox.append(Message(content, properties=properties, correlation_id=correlation_id))

    def fetch(self, timeout: float | None) -> Message:
        self.waits.append(timeout)
        if not self.inbox:
            raise Empty
        return self.inbox.popleft()


@pytest.fixture
def fake() -> FakeAgent:
    return FakeAgent()


@pytest.fixture
def agent(fake: FakeAgent) -> BrokerAgent:
    return BrokerAgent(cast("qpid_messaging.Connection", fake), timeout=3)


def queue(name: str, **values: Any) -> dict[str, Any]:
    vhost = qmf.reference("org.apache.qpid.broker:vhost:org.apache.qpid.broker:broker:amqp-broker,/")
    values = {"name": name, "vhostRef": vhost, **values}
    return Data(f"org.apache.qpid.broker:queue:{name}", qmf.BROKER_PACKAGE, "queue", values, created=5).to_map()


def test_a_query(fake: FakeAgent, agent: BrokerAgent) -> None:
    fake.script.append([(Opcode.QUERY_RESPONSE, [queue("a", msgDepth=3), queue("b")], {})])
    first, second = agent.getAllQueues()
    assert (first.name, first.msgDepth, second.msgDepth) == ("a", 3, None)
    assert first.vhostRef == "org.apache.qpid.broker:broker:amqp-broker,/"
    assert first.getObjectId() == "org.apache.qpid.broker:queue:a"
    assert first.getCreateTime() == 5
    assert isinstance(first, Queue)
    [request] = fake.requests
    assert request.content == {"_what": "OBJECT", "_schema_id": {"_class_name": "queue"}}
    assert request.subject == "broker"
    assert request.properties == {
        "method": "request",
        "qmf.opcode": "_query_request",
        "x-amqp-0-10.app-id": "qmf2",
    }
    assert fake.addresses[1] == "qmf.default.direct/broker"
    assert request.reply_to == fake.addresses[0]
    assert fake.acknowledged == 1


def test_an_answer_in_parts(fake: FakeAgent, agent: BrokerAgent) -> None:
    parts = [(Opcode.QUERY_RESPONSE, [queue(name)], {"partial": None}) for name in "ab"]
    fake.script.append([*parts, (Opcode.QUERY_RESPONSE, [queue("c")], {})])
    assert [found.name for found in agent.find_all("QUEUE")] == ["a", "b", "c"]
    assert fake.acknowledged == 3


def test_what_is_not_there(fake: FakeAgent, agent: BrokerAgent) -> None:
    for _ in range(4):
        fake.script.append([(Opcode.QUERY_RESPONSE, [], {})])
    assert agent.getQueue("none") is None
    assert agent.getHaBroker() is None
    assert agent.get("none") is None
    assert agent.list("queue") == []


def test_an_object_that_is_gone(fake: FakeAgent, agent: BrokerAgent) -> None:
    fake.script.append([(Opcode.QUERY_RESPONSE, [queue("a", msgDepth=1)], {})])
    fake.script.append([(Opcode.QUERY_RESPONSE, [queue("a", msgDepth=2)], {})])
    fake.script.append([(Opcode.QUERY_RESPONSE, [], {})])
    found = agent.getQueue("a")
    assert found is not None
    found.update()
    assert found.msgDepth == 2
    with pytest.raises(ObjectDeleted, match="queue:a"):
        found.update()


def test_a_call(fake: FakeAgent, agent: BrokerAgent) -> None:
    fake.script.append([(Opcode.METHOD_RESPONSE, {"_arguments": {"body": b"said"}}, {})])
    assert agent.echo(1, "said") == {"body": "said"}
    assert fake.requests[0].content == {
        "_object_id": {"_object_name": "org.apache.qpid.broker:broker:amqp-broker"},
        "_method_name": "echo",
        "_arguments": {"sequence": 1, "body": "said"},
    }


def test_the_agent_refuses(fake: FakeAgent, agent: BrokerAgent) -> None:
    fake.script.append([(Opcode.EXCEPTION, qmf.error_content(Status.FORBIDDEN, "not you"), {})])
    with pytest.raises(AgentError) as caught:
        agent.delQueue("a")
    assert (caught.value.status, caught.value.text) == (Status.FORBIDDEN, "not you")


def test_no_answer(fake: FakeAgent, agent: BrokerAgent) -> None:
    fake.script.append([])
    with pytest.raises(NoResponse, match="within 3 s"):
        agent.getAllQueues()
    fake.script.append([])
    with pytest.raises(NoResponse, match=r"within 0\.5 s"):
        agent.call("x", "y", timeout=0.5)
    assert all(wait is not None and wait <= 3 for wait in fake.waits)


def test_without_a_timeout_it_waits(fake: FakeAgent) -> None:
    agent = BrokerAgent(cast("qpid_messaging.Connection", fake), timeout=None)
    fake.script.append([(Opcode.QUERY_RESPONSE, [], {})])
    agent.getAllQueues()
    assert fake.waits == [None]


def test_a_late_answer_is_not_taken_for_that_to_the_next_request(fake: FakeAgent, agent: BrokerAgent) -> None:
    fake.script.append([])
    with pytest.raises(NoResponse):
        agent.getQueue("slow")
    late = (Opcode.QUERY_RESPONSE, [queue("slow")], {"correlation_id": "1"})
    fake.script.append([late, (Opcode.QUERY_RESPONSE, [queue("fast")], {})])
    found = agent.getQueue("fast")
    assert found is not None
    assert found.name == "fast"
    assert fake.acknowledged == 2


@pytest.mark.parametrize(
    ("opcode", "content"),
    [(Opcode.METHOD_RESPONSE, []), ("?", []), (Opcode.QUERY_RESPONSE, [1]), (Opcode.QUERY_RESPONSE, None)],
)
def test_answers_that_make_no_sense(fake: FakeAgent, agent: BrokerAgent, opcode: str, content: Any) -> None:
    fake.script.append([(opcode, content, {})])
    with pytest.raises(AgentError):
        agent.getAllQueues()


def test_promote(fake: FakeAgent, agent: BrokerAgent) -> None:
    ha = Data(qmf.HA_OBJECT, qmf.HA_PACKAGE, "habroker", {"status": "ready"}).to_map()
    fake.script.append([(Opcode.QUERY_RESPONSE, [ha], {})])
    for _ in range(2):
        fake.script.append([(Opcode.METHOD_RESPONSE, {"_arguments": {}}, {})])
    broker = agent.getHaBroker()
    assert broker is not None
    assert broker.status == "ready"
    broker.promote()
    broker.promote(force=True)
    assert [request.content["_arguments"] for request in fake.requests[1:]] == [{}, {"force": True}]
    assert fake.requests[1].content["_object_id"] == {"_object_name": qmf.HA_OBJECT}


def test_close(fake: FakeAgent, agent: BrokerAgent) -> None:
    agent.close()
    assert fake.closed


BROKER, ACL, QUEUE = qmf.BROKER_OBJECT, qmf.ACL_OBJECT, f"{qmf.BROKER_PACKAGE}:queue:a"


@pytest.mark.parametrize(
    ("call", "name", "method", "arguments"),
    [
        (lambda a: a.queueMoveMessages("a", "b", 3), BROKER, "queueMoveMessages", ["a", "b", 3]),
        (lambda a: a.queueRedirect("a", "b"), BROKER, "queueRedirect", ["a", "b"]),
        (lambda a: a.Redirect("a", ""), BROKER, "queueRedirect", ["a", ""]),
        (lambda a: a.setLogLevel("debug+"), BROKER, "setLogLevel", ["debug+"]),
        (lambda a: a.getLogLevel(), BROKER, "getLogLevel", []),
        (lambda a: a.setTimestampConfig(True), BROKER, "setTimestampConfig", [True]),
        (lambda a: a.getTimestampConfig(), BROKER, "getTimestampConfig", []),
        (lambda a: a.setLogHiresTimestamp(True), BROKER, "setLogHiresTimestamp", [True]),
        (lambda a: a.getLogHiresTimestamp(), BROKER, "getLogHiresTimestamp", []),
        (lambda a: a.addExchange("topic", "x", durable=True), BROKER, "create", None),
        (lambda a: a.addQueue("q", {"durable": True}, **{"qpid.max_count": 1}), BROKER, "create", None),
        (lambda a: a.bind("x", "q", "k"), BROKER, "create", None),
        (lambda a: a.unbind("x", "q", "k"), BROKER, "delete", ["binding", "x/q/k", {}]),
        (lambda a: a.delExchange("x"), BROKER, "delete", ["exchange", "x", {}]),
        (lambda a: a.query("queue", "q"), BROKER, "query", ["queue", "q"]),
        (lambda a: a.connect("h", 1, False, "m", "u", "p", "tcp"), BROKER, "connect", None),
        (lambda a: a.shutdown(), BROKER, "shutdown", []),
        (lambda a: a._method("promote", {}, qmf.HA_OBJECT), qmf.HA_OBJECT, "promote", []),
        (lambda a: a.reloadAclFile(), ACL, "reloadACLFile", []),
        (lambda a: a.acl_lookup("u", "create", "queue", "q", {}), ACL, "Lookup", None),
        (lambda a: a.acl_lookupPublish("u", "x", "k"), ACL, "LookupPublish", ["u", "x", "k"]),
    ],
)
def test_methods(
    fake: FakeAgent, agent: BrokerAgent, call: Any, name: str, method: str, arguments: list[Any] | None
) -> None:
    fake.script.append([(Opcode.METHOD_RESPONSE, {"_arguments": {}}, {})])
    call(agent)
    content = fake.requests[0].content
    assert (content["_object_id"], content["_method_name"]) == ({"_object_name": name}, method)
    if arguments is not None:
        assert list(content["_arguments"].values()) == arguments


def test_what_the_methods_of_a_queue_send(fake: FakeAgent, agent: BrokerAgent) -> None:
    fake.script.append([(Opcode.QUERY_RESPONSE, [queue("a")], {})])
    found = agent.getQueue("a")
    assert found is not None
    for _ in range(2):
        fake.script.append([(Opcode.METHOD_RESPONSE, {"_arguments": {}}, {})])
    found.purge(2)
    found.reroute(0, False, "x")
    assert [request.content["_arguments"] for request in fake.requests[1:]] == [
        {"request": 2},
        {"request": 0, "useAltExchange": False, "exchange": "x", "filter": {}},
    ]
    assert {request.content["_object_id"]["_object_name"] for request in fake.requests[1:]} == {QUEUE}


# -- the schema, which is asked for in QMF v1


def test_classes_and_their_schema(fake: FakeAgent, agent: BrokerAgent) -> None:
    schemas = [managed.schema for managed in CLASSES]
    packages = [v1_format.unit(b"p", 1, v1_format.write(Kind.SHORT_TEXT, qmf.BROKER_PACKAGE))]
    classes = [v1_format.unit(b"q", 2, v1_format.class_kind(s) + v1_format.class_key(s)) for s in schemas[:2]]
    done = v1_format.write(Kind.UINT32, 0) + v1_format.write(Kind.SHORT_TEXT, "OK")
    # The first is the answer to a request that was given up.
    late = [v1_format.unit(b"p", 9, v1_format.write(Kind.SHORT_TEXT, "late"))]
    fake.v1 = deque([[*late, *packages, v1_format.unit(b"z", 1, done)], [*classes, v1_format.unit(b"z", 2, done)]])
    first, second = agent.classes()
    assert [(c.package, c.name, c.event) for c in (first, second)] == [
        (qmf.BROKER_PACKAGE, "broker", False),
        (qmf.BROKER_PACKAGE, "system", False),
    ]
    fake.v1 = deque([[v1_format.schema_unit(schemas[0], 3)]])
    assert agent.schema(first).id == first
    fake.v1 = deque([[v1_format.unit(b"z", 4, done)]])
    with pytest.raises(AgentError, match="no such class"):
        agent.schema(first)
    fake.v1 = deque([[b"AM2s\0\0\0\5"]])
    with pytest.raises(AgentError, match="malformed"):
        agent.schema(first)


# -- events


def event(name: str, **values: Any) -> dict[str, Any]:
    named = qmf.schema_id(qmf.BROKER_PACKAGE, name, "_event")
    return {"_schema_id": named, "_severity": 6, "_timestamp": 0, "_values": qmf.as_binary(values)}


def test_events(fake: FakeAgent) -> None:
    receiver = EventReceiver(cast("qpid_messaging.Connection", fake), event="queueDelete", severity="info")
    assert fake.addresses == ["qmf.default.topic/agent.ind.event.*.queueDelete.info.#"]
    fake.inbox.append(Message([event("queueDelete", qName="a"), event("queueDelete", qName="b")]))
    first, second = receiver.fetch(1), receiver.fetch(1)
    assert repr(first) == "Thu Jan  1 00:00:00 1970 org.apache.qpid.broker:queueDelete qName=a"
    assert (second.qName, second.rhost, second.getAttributes()) == ("b", None, {"qName": "b"})
    assert fake.acknowledged == 1
    with pytest.raises(Empty):
        receiver.fetch(0)
    receiver.close()
    assert fake.closed


def test_events_as_qpidtoollibs_has_them() -> None:
    helper = EventHelper()
    assert helper.eventAddress() == "qmf.default.topic/agent.ind.event.*.*.*.#"
    assert helper.eventAddress("a.b", "c", "d") == "qmf.default.topic/agent.ind.event.a_b.c.d.#"
    assert helper.event(Message([event("bind", key="k")])).key == "k"
    for content in ([], {}, [1], "text"):
        with pytest.raises(AgentError, match="no event"):
            helper.event(Message(content))
