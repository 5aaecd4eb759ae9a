"""The console against an agent that answers what the test tells it to."""

from __future__ import annotations

from collections import deque
from typing import Any, cast

import pytest

import qpid_messaging
from qpid_messaging import Empty, Message
from qpid_messaging.management import AgentError, BrokerAgent, NoResponse, ObjectDeleted, Queue, qmf
from qpid_messaging.management.qmf import Data, Opcode, Status


class FakeAgent:
    """A connection, session, sender and receiver in one: answers each request with the next of `script`."""

    def __init__(self) -> None:
        self.script: deque[list[tuple[str, Any, dict[str, Any]]]] = deque()
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
