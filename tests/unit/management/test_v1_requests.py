"""QMF v1 requests on a broker without sockets."""

from __future__ import annotations

from typing import Any
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qpid_messaging.amqp.codec import encode_header
from qpid_messaging.amqp.commands import DeliveryProperties, MessageProperties, ReplyTo
from qpid_messaging.management import qmf
from qpid_messaging.management.qmf import Status
from qpid_server.effects import QueueDeclared
from qpid_server.management.classes import BROKER, HA_BROKER, QUEUE
from qpid_server.management.declarations import ClassSchema, Kind
from qpid_server.management.event_classes import EVENTS
from qpid_server.management.v1_format import Reader, class_key, object_number, unit, write
from tests.unit.management.cluster import StandIn
from tests.unit.management.console import Console

V1_EXCHANGE = "qpid.management"


class V1Console(Console):
    """Sends QMF v1 messages to the agent of a broker and reads its answers."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self.broker.bind(self.broker.queue("replies"), self.broker.exchange("amq.direct"), "v1", {})

    def ask(
        self, opcode: bytes, content: bytes = b"", *, exchange: str = V1_EXCHANGE, key: str = "broker"
    ) -> list[tuple[str, Reader]]:
        """The units of the answers, with what is in them."""
        return self.raw(unit(opcode, 5, content), exchange=exchange, key=key)

    def raw(self, body: bytes, *, exchange: str = V1_EXCHANGE, key: str = "broker") -> list[tuple[str, Reader]]:
        properties = MessageProperties(reply_to=ReplyTo("amq.direct", "v1"))
        self.publish(exchange, encode_header(DeliveryProperties(routing_key=key), properties), body)
        self.settle()
        return self.units()

    def units(self) -> list[tuple[str, Reader]]:
        queue = self.broker.queue("replies")
        found = []
        for entry in queue.available():
            reader = Reader(entry.message.body or b"")
            opcode, sequence = reader.head()
            assert sequence in (0, 5)
            found.append((opcode, reader))
            queue.remove(entry)
        return found

    def call_v1(self, schema: ClassSchema, name: str, method: str, arguments: bytes) -> tuple[int, str, Reader]:
        """Status, text and what is behind them in the answer to a method request."""
        first, second = object_number({"_object_name": name})
        head = write(Kind.UINT64, first) + write(Kind.UINT64, second) + class_key(schema)
        [(opcode, reader)] = self.ask(b"M", head + write(Kind.SHORT_TEXT, method) + arguments, key="agent.1.0")
        assert opcode == "m"
        return reader.value(Kind.UINT32), reader.value(Kind.LONG_TEXT), reader


@pytest.fixture
def console() -> V1Console:
    return V1Console()


def completion(reader: Reader) -> tuple[int, str]:
    return reader.value(Kind.UINT32), reader.value(Kind.SHORT_TEXT)


def objects(units: list[tuple[str, Reader]], schema: ClassSchema) -> list[dict[str, Any]]:
    """What a query's answer tells of objects."""
    *data, (opcode, end) = units
    assert (opcode, completion(end)) == ("z", (0, "OK"))
    found = []
    for opcode, reader in data:
        while True:
            assert opcode == "g"
            assert reader.class_key() == (schema.package, schema.name, schema.hash)
            values: dict[str, Any] = {"_times": [reader.value(Kind.UINT64) for _ in range(3)]}
            values["_id"] = reader.value(Kind.UINT64), reader.value(Kind.UINT64)
            optional = [member for member in schema.properties if member.optional]
            masks = [reader.value(Kind.UINT8) for _ in range((len(optional) + 7) // 8)]
            absent = {m.name for number, m in enumerate(optional) if not masks[number // 8] >> number % 8 & 1}
            for member in schema.members:
                values[member.name] = None if member.name in absent else reader.value(member.kind)
            found.append(values)
            if not reader.more:
                break
            opcode, _ = reader.head()
    return found


def query(**wanted: str) -> bytes:
    return write(Kind.MAP, wanted)


def test_broker(console: V1Console) -> None:
    [(opcode, reader)] = console.ask(b"B")
    assert (opcode, reader.value(Kind.UUID)) == ("b", console.agent.system_id)


def test_packages(console: V1Console) -> None:
    *told, (opcode, end) = console.ask(b"P")
    assert [(op, reader.value(Kind.SHORT_TEXT)) for op, reader in told] == [
        ("p", qmf.BROKER_PACKAGE),
        ("p", qmf.HA_PACKAGE),
    ]
    assert (opcode, completion(end)) == ("z", (0, "OK"))


def test_classes(console: V1Console) -> None:
    *told, (opcode, _) = console.ask(b"Q", write(Kind.SHORT_TEXT, qmf.HA_PACKAGE))
    assert opcode == "z"
    classes = [(op, reader.value(Kind.UINT8), *reader.class_key()) for op, reader in told]
    event = EVENTS["membersUpdate"]
    assert classes == [
        ("q", 1, HA_BROKER.package, HA_BROKER.name, HA_BROKER.hash),
        ("q", 2, event.package, event.name, event.hash),
    ]
    [(opcode, end)] = console.ask(b"Q", write(Kind.SHORT_TEXT, "org.nowhere"))
    assert (opcode, completion(end)) == ("z", (0, "OK"))


@pytest.mark.parametrize("exchange", [V1_EXCHANGE, qmf.DIRECT_EXCHANGE])
def test_schemas(console: V1Console, exchange: str) -> None:
    for schema in console.agent.schemas():
        [(opcode, reader)] = console.ask(b"S", class_key(schema), exchange=exchange)
        assert opcode == "s"
        reader.value(Kind.UINT8)
        assert reader.class_key() == (schema.package, schema.name, schema.hash)
    [(opcode, end)] = console.ask(b"S", write(Kind.SHORT_TEXT, "a") + write(Kind.SHORT_TEXT, "b") + UUID(int=1).bytes)
    assert (opcode, completion(end)) == ("z", (1, "no class a:b of that form"))


def test_query_by_class(console: V1Console) -> None:
    console.broker.do(*(QueueDeclared(f"q{number:03}") for number in range(120)))
    found = objects(console.ask(b"G", query(_class="queue", _package=qmf.BROKER_PACKAGE)), QUEUE)
    assert [values["name"] for values in found] == sorted(console.broker.queues)
    q7 = found[7]
    assert (q7["altExchange"], q7["durable"], q7["bindingCount"], q7["msgDepth"]) == (None, False, 1, 0)
    assert q7["_id"] == object_number({"_object_name": f"org.apache.qpid.broker:queue:{q7['name']}", "_agent_epoch": 1})
    updated, created, deleted = q7["_times"]
    assert updated >= created > deleted == 0
    assert objects(console.ask(b"G", query(_class="queue", _package="org.nowhere")), QUEUE) == []


def test_query_by_id(console: V1Console) -> None:
    [broker] = objects(console.ask(b"G", query(_class="broker")), BROKER)
    first, second = broker["_id"]
    wanted = query(_objectid=f"0-0-1-0-{second}")
    assert first == 1 << 28
    [again] = objects(console.ask(b"G", wanted, key="agent.1.0"), BROKER)
    assert again["_id"] == broker["_id"]
    assert objects(console.ask(b"G", query(_objectid="0-0-1-0-17")), BROKER) == []
    assert objects(console.ask(b"G", query(_objectid="seventeen")), BROKER) == []
    [(_, end)] = console.ask(b"G", query())
    assert completion(end)[0] == Status.INVALID_PARAMETER


def test_every_class_can_be_asked_for(console: V1Console) -> None:
    console.broker.ha = StandIn()
    for managed in console.agent.classes:
        found = objects(console.ask(b"G", query(_class=managed.name, _package=managed.package)), managed.schema)
        assert len(found) == len(list(managed.all()))


def test_methods(console: V1Console) -> None:
    arguments = write(Kind.UINT32, 3) + write(Kind.LONG_TEXT, "said")
    status, text, reader = console.call_v1(BROKER, qmf.BROKER_OBJECT, "echo", arguments)
    assert (status, text, reader.value(Kind.UINT32), reader.value(Kind.LONG_TEXT)) == (0, "OK", 3, "said")
    created = b"".join(
        (write(Kind.SHORT_TEXT, "queue"), write(Kind.SHORT_TEXT, "new"), write(Kind.MAP, {}), write(Kind.BOOLEAN, True))
    )
    assert console.call_v1(BROKER, qmf.BROKER_OBJECT, "create", created)[:2] == (0, "OK")
    assert "new" in console.broker.queues
    purge = write(Kind.UINT32, 0) + write(Kind.MAP, {})
    assert console.call_v1(QUEUE, "org.apache.qpid.broker:queue:new", "purge", purge)[:2] == (0, "OK")


def test_methods_that_cannot_be(console: V1Console) -> None:
    status, text, _ = console.call_v1(BROKER, qmf.BROKER_OBJECT, "dance", b"")
    assert (status, "'dance'" in text) == (Status.UNKNOWN_METHOD, True)
    status, text, _ = console.call_v1(QUEUE, "org.apache.qpid.broker:queue:none", "purge", b"")
    assert (status, "queue" in text) == (Status.UNKNOWN_OBJECT, True)
    again = b"".join((write(Kind.SHORT_TEXT, "queue"), write(Kind.SHORT_TEXT, "replies"), write(Kind.MAP, {}), b"\1"))
    assert "already exists" in console.call_v1(BROKER, qmf.BROKER_OBJECT, "create", again)[1]
    gone = write(Kind.SHORT_TEXT, "queue") + write(Kind.SHORT_TEXT, "none") + write(Kind.MAP, {})
    assert "not-found" in console.call_v1(BROKER, qmf.BROKER_OBJECT, "delete", gone)[1]


def test_several_requests_in_one_message(console: V1Console) -> None:
    assert [opcode for opcode, _ in console.raw(unit(b"B", 5) + unit(b"P", 5))] == ["b", "p", "p", "z"]


def test_without_reply_to_there_is_no_answer(console: V1Console) -> None:
    console.publish(V1_EXCHANGE, encode_header(DeliveryProperties(routing_key="broker")), unit(b"B", 5))
    assert console.units() == []


@pytest.mark.parametrize(
    "body", [unit(b"A", 5), unit(b"?", 5), unit(b"Q", 5), unit(b"M", 5, b"\0" * 20), b"AM2", b"AM"]
)
def test_what_makes_no_sense_is_ignored(console: V1Console, body: bytes) -> None:
    assert console.raw(body) == []


@given(st.sampled_from(b"BPQSGMA?".decode()), st.binary(max_size=80))
def test_nonsense_does_no_harm(opcode: str, content: bytes) -> None:
    console = V1Console()
    console.raw(unit(opcode.encode(), 5, content))
    assert [opcode for opcode, _ in console.ask(b"B")] == ["b"]
