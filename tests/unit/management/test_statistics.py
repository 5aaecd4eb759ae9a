"""Statistics are what happened, and the methods that look inside or move messages do what they say."""

from __future__ import annotations

from typing import Any

import pytest

from qpid_messaging.amqp import commands as c
from qpid_messaging.amqp.codec import encode_header
from qpid_messaging.amqp.commands import DeliveryProperties, MessageProperties
from qpid_messaging.amqp.ranges import RangeSet
from qpid_messaging.management import qmf
from qpid_messaging.management.qmf import Status
from qpid_server import logs
from qpid_server.broker import Broker
from qpid_server.effects import Bound, ExchangeDeclared, QueueDeclared, QueueDeleted
from qpid_server.management import Agent, install
from qpid_server.options import Options
from tests.unit.management.console import Console, done
from tests.unit.server.driver import UNLIMITED, Link, Peer, advance, make_broker

QUEUE = "org.apache.qpid.broker:queue:"


class Watched:
    """A broker with its agent, and a client."""

    def __init__(self, **options: Any) -> None:
        self.broker: Broker = make_broker(**options)
        self.agent: Agent = install(self.broker)
        self.link = Link(self.broker)
        self.peer: Peer = self.link.session()

    def values(self, name: str) -> dict[str, Any]:
        found = self.agent.find(name)
        assert found is not None
        return self.agent.data(*found).values

    def queue(self, name: str = "q") -> dict[str, Any]:
        return self.values(QUEUE + name)

    @property
    def totals(self) -> dict[str, Any]:
        return self.values(qmf.BROKER_OBJECT)

    def send(self, body: bytes = b"x", key: str = "q", exchange: str = "", **properties: Any) -> None:
        header = encode_header(DeliveryProperties(routing_key=key, **properties), MessageProperties())
        self.peer.do(c.MessageTransfer(exchange), header, body)

    def subscribe(self, queue: str = "q") -> None:
        self.peer.do(c.MessageSubscribe(queue=queue, destination=queue))
        for unit in (0, 1):
            self.peer.do(c.MessageFlow(queue, unit, UNLIMITED))


@pytest.fixture
def watched() -> Watched:
    watched = Watched()
    watched.peer.do(c.QueueDeclare("q"))
    return watched


def test_messages_and_bytes(watched: Watched) -> None:
    watched.send(b"12345")
    watched.send(b"12345", delivery_mode=2)
    size = watched.broker.queue("q").byte_depth
    queue = watched.queue()
    assert (queue["msgTotalEnqueues"], queue["msgDepth"], queue["byteTotalEnqueues"]) == (2, 2, size)
    assert (queue["msgPersistEnqueues"], queue["msgPersistDequeues"]) == (1, 0)
    watched.subscribe()
    queue = watched.queue()
    assert [queue[f"unackedMessages{which}"] for which in ("", "High", "Low")] == [2, 2, 2]
    watched.peer.do(c.MessageAccept(RangeSet([(0, 1)])))
    queue = watched.queue()
    assert queue["unackedMessages"] == 0
    assert (queue["msgTotalDequeues"], queue["byteTotalDequeues"], queue["byteDepth"]) == (2, size, 0)
    assert (queue["msgPersistDequeues"], queue["acquires"], queue["releases"]) == (1, 2, 0)
    assert queue["bytePersistEnqueues"] == queue["bytePersistDequeues"] > 0
    assert queue["creator"] == "anonymous"


def test_the_exchanges_name_counts_as_part_of_a_message(watched: Watched) -> None:
    watched.peer.do(c.ExchangeBind(queue="q", exchange="amq.direct", binding_key="q"))
    watched.send()
    plain = watched.queue()["byteDepth"]
    watched.send(exchange="amq.direct")
    assert watched.queue()["byteDepth"] == 2 * plain + len("amq.direct")


def test_what_is_dropped_and_why(watched: Watched) -> None:
    peer = watched.peer
    watched.send(ttl=1)
    advance(watched.broker, 1)
    watched.subscribe()
    assert watched.queue()["discardsTtl"] == 1
    watched.send()
    watched.send()
    peer.do(c.MessageReject(RangeSet([(0, 0)])))
    peer.do(c.MessageRelease(RangeSet([(1, 1)])))
    peer.do(c.MessageCancel("q"))
    peer.do(c.QueuePurge("q"))
    queue = watched.queue()
    assert (queue["discardsSubscriber"], queue["discardsPurge"]) == (1, 0)
    watched.send(key="nowhere")
    peer.do(c.QueueDeclare("ring", arguments={"qpid.max_count": 1, "qpid.policy_type": "ring"}))
    watched.send(key="ring")
    watched.send(key="ring")
    assert watched.queue("ring")["discardsRing"] == 1
    other = watched.link.session(b"other")
    other.do(c.QueueDeclare("full", arguments={"qpid.max_count": 1}))
    header = encode_header(DeliveryProperties(routing_key="full"))
    other.do(c.MessageTransfer(""), header, b"1")
    other.do(c.MessageTransfer(""), header, b"2")
    assert other.failure is not None
    assert watched.queue("full")["discardsOverflow"] == 1
    totals = watched.totals
    for name in ("discardsTtl", "discardsSubscriber", "discardsNoRoute", "discardsRing", "discardsOverflow"):
        assert totals[name] == 1, name


def test_what_is_left_in_deleted_queues(watched: Watched) -> None:
    broker = watched.broker
    broker.do(ExchangeDeclared("alt", "fanout"), QueueDeclared("with", alternate_exchange="alt"))
    watched.send(key="q")
    for _ in range(2):
        watched.send(key="with")
    watched.peer.do(c.QueueDelete("q"))
    watched.peer.do(c.QueueDelete("with"))
    totals = watched.totals
    assert (totals["abandoned"], totals["abandonedViaAlt"]) == (1, 2)
    assert (totals["msgDepth"], totals["msgTotalEnqueues"]) == (0, 3)


def test_transactions(watched: Watched) -> None:
    peer = watched.link.session(b"tx")
    peer.do(c.TxSelect())
    header = encode_header(DeliveryProperties(routing_key="q"))
    for _ in range(3):
        peer.do(c.MessageTransfer(""), header, b"x")
    assert watched.queue()["msgTxnEnqueues"] == 0
    peer.do(c.TxCommit())
    queue = watched.queue()
    assert (queue["msgTxnEnqueues"], queue["byteTxnEnqueues"]) == (3, queue["byteDepth"])
    peer.do(c.TxRollback())
    session = watched.values("org.apache.qpid.broker:session:anonymous.tx")
    assert [session[f"Txn{what}"] for what in ("Starts", "Commits", "Rejects", "Count")] == [3, 1, 1, 1]
    assert watched.totals["msgTxnEnqueues"] == 3


def test_connections(watched: Watched) -> None:
    watched.send()
    watched.send()
    watched.subscribe()
    handler = watched.link.handler
    told = watched.values(f"org.apache.qpid.broker:connection:{handler.peer}")
    assert (told["msgsFromClient"], told["msgsToClient"]) == (2, 2)
    assert (told["bytesFromClient"], told["bytesToClient"]) == (handler.bytes_in, handler.bytes_out)
    assert told["framesToClient"] >= 6
    assert told["framesFromClient"] >= 6
    assert told["closing"] is False


def test_watermarks(watched: Watched) -> None:
    peer = watched.peer

    def marks(name: str) -> tuple[int, int, int]:
        queue = watched.queue()
        return queue[name], queue[f"{name}High"], queue[f"{name}Low"]

    assert marks("bindingCount") == (1, 1, 0)
    peer.do(c.ExchangeBind(queue="q", exchange="amq.direct", binding_key="a"))
    peer.do(c.ExchangeUnbind(queue="q", exchange="amq.direct", binding_key="a"))
    assert marks("bindingCount") == (1, 2, 0)
    advance(watched.broker, 10)
    assert marks("bindingCount") == (1, 1, 1)
    watched.subscribe()
    assert marks("consumerCount") == (1, 1, 0)
    peer.do(c.MessageCancel("q"))
    assert marks("consumerCount") == (0, 1, 0)


def test_every_class_has_a_value_for_all_of_its_schema(watched: Watched) -> None:
    watched.subscribe()
    for managed in watched.agent.classes:
        for item in managed.all():
            values = watched.agent.data(managed, item).values
            schema = managed.schema
            known = {member.name for member in schema.members}
            assert known - schema.optional <= values.keys() <= known, managed.name
            managed.stamp(item)


# -- methods


@pytest.fixture
def console() -> Console:
    console = Console()
    console.broker.do(QueueDeclared("q"), QueueDeclared("other"))
    return console


def fill(console: Console, queue: str, *values: str) -> None:
    for value in values:
        properties = MessageProperties(application_headers={"colour": value})
        console.publish("", encode_header(DeliveryProperties(routing_key=queue), properties), value.encode())


def bodies(console: Console, queue: str) -> list[bytes | None]:
    return [entry.message.body for entry in console.broker.queue(queue).available()]


def test_move(console: Console) -> None:
    fill(console, "q", "red", "blue", "red", "blue", "red")
    arguments = {"srcQueue": "q", "destQueue": "other", "qty": 2}
    assert done(console.call("queueMoveMessages", arguments))
    assert (bodies(console, "q"), bodies(console, "other")) == ([b"red", b"blue", b"red"], [b"red", b"blue"])
    wanted = {"filter_type": "header_match_str", "filter_params": {"header_key": "colour", "header_value": "red"}}
    assert done(console.call("queueMoveMessages", {**arguments, "qty": 0, "filter": wanted}))
    assert bodies(console, "q") == [b"blue"]
    for missing in ("srcQueue", "destQueue"):
        refused = console.call("queueMoveMessages", {**arguments, missing: "none"})
        assert refused.error == (Status.INVALID_PARAMETER, "no such queue: none")


def test_purge_and_reroute_with_a_filter(console: Console) -> None:
    fill(console, "q", "red", "blue", "red")
    console.broker.do(Bound(console.broker.queue("other"), console.broker.exchange("amq.fanout"), ""))
    wanted = {"filter_type": "header_match_str", "filter_params": {"header_key": "colour", "header_value": "red"}}
    assert done(console.call("purge", {"request": 1, "filter": wanted}, QUEUE + "q"))
    assert bodies(console, "q") == [b"blue", b"red"]
    assert done(console.call("reroute", {"exchange": "amq.fanout", "filter": wanted}, QUEUE + "q"))
    assert (bodies(console, "q"), bodies(console, "other")) == ([b"blue"], [b"red"])
    assert console.call("reroute", {"exchange": "none"}, QUEUE + "q").error[0] is Status.INVALID_PARAMETER
    for bad in ({"filter_type": "x"}, {**wanted, "filter_params": {"header_key": 1}}):
        assert console.call("purge", {"filter": bad}, QUEUE + "q").error[0] is Status.INVALID_PARAMETER
    assert console.broker.queue("q").rerouted == 1


def test_a_rerouted_message_begins_a_new_way(console: Console) -> None:
    console.broker.do(Bound(console.broker.queue("other"), console.broker.exchange("amq.fanout"), ""))
    properties = MessageProperties(application_headers={"x-qpid.trace": "A,B", "kept": 1})
    console.publish("", encode_header(DeliveryProperties(routing_key="q"), properties), b"x")
    assert done(console.call("reroute", {"exchange": "amq.fanout"}, QUEUE + "q"))
    [entry] = console.broker.queue("other").available()
    assert entry.message.application_headers == {"x-qpid.trace": "", "kept": 1}


def test_redirect(console: Console) -> None:
    def redirect(source: str, target: str) -> Any:
        return console.call("queueRedirect", {"sourceQueue": source, "targetQueue": target})

    broker = console.broker
    assert done(redirect("q", "other"))
    fill(console, "q", "1")
    assert (bodies(console, "q"), bodies(console, "other")) == ([], [b"1"])
    [source], [target] = console.query(qmf.query_object(QUEUE + "q")), console.query(qmf.query_object(QUEUE + "other"))
    assert (source["_values"]["redirectPeer"], source["_values"]["redirectSource"]) == (b"other", True)
    assert (target["_values"]["redirectPeer"], target["_values"]["redirectSource"]) == (b"q", False)
    assert redirect("q", "replies").error[0] is Status.INVALID_PARAMETER
    assert redirect("replies", "other").error[0] is Status.INVALID_PARAMETER
    assert redirect("replies", "replies").error[0] is Status.INVALID_PARAMETER
    assert redirect("replies", "none").error[0] is Status.INVALID_PARAMETER
    assert redirect("replies", "").error[0] is Status.INVALID_PARAMETER
    assert done(redirect("q", ""))
    fill(console, "q", "2")
    assert bodies(console, "q") == [b"2"]
    assert done(redirect("q", "other"))
    broker.do(QueueDeleted(broker.queue("other")))
    fill(console, "q", "3")
    assert bodies(console, "q") == [b"2", b"3"]


def test_query_of_a_queue(console: Console) -> None:
    assert console.call("query", {"type": "queue", "name": "q"}).content == {"_arguments": {"results": {}}}
    console.broker.do(QueueDeclared("grouped", arguments={"qpid.group_header_key": "g", "qpid.shared_msg_group": 1}))
    results = console.call("query", {"type": "queue", "name": "grouped"}).content["_arguments"]["results"]
    assert "qpid.message_group_queue" in results
    assert console.call("query", {"type": "exchange", "name": "q"}).error[0] is Status.INVALID_PARAMETER
    assert console.call("query", {"type": "queue", "name": "none"}).error[0] is Status.INVALID_PARAMETER


def test_timestamps() -> None:
    watched = Watched(enable_timestamp=True)
    watched.peer.do(c.QueueDeclare("q"))
    watched.broker.wall_clock = lambda: 1234.5
    watched.send(delivery_mode=2)
    watched.broker.timestamps = False
    watched.send()
    first, second = watched.broker.queue("q").available()
    properties = first.message.delivery_properties
    assert (properties.timestamp, properties.delivery_mode, properties.routing_key) == (1234, 2, "q")
    assert second.message.delivery_properties.timestamp is None


def test_timestamps_are_switched(console: Console) -> None:
    for on in (True, False):
        assert done(console.call("setTimestampConfig", {"receive": on}))
        assert console.call("getTimestampConfig", {}).content == {"_arguments": {"receive": on}}


@pytest.mark.usefixtures("own_log")
def test_log_level(console: Console, capsys: pytest.CaptureFixture[str]) -> None:
    logs.configure_logging(Options())
    assert console.call("getLogLevel", {}).content == {"_arguments": {"level": "notice+"}}
    assert done(console.call("setLogLevel", {"level": "error+, debug:broker"}))
    assert console.call("getLogLevel", {}).content["_arguments"]["level"] == "error+,debug:broker"
    status, text = console.call("setLogLevel", {"level": "loud+"}).error
    assert (status, "loud" in text) == (Status.INVALID_PARAMETER, True)
    assert done(console.call("setLogHiresTimestamp", {"logHires": True}))
    assert console.call("getLogHiresTimestamp", {}).content == {"_arguments": {"logHires": True}}


def test_a_log_that_is_not_the_brokers_own(console: Console) -> None:
    assert "belongs to the program" in console.call("getLogLevel", {}).error[1]


def test_shutdown(console: Console) -> None:
    assert console.call("shutdown", {}).error[0] is Status.NOT_IMPLEMENTED
    ended: list[bool] = []
    console.broker.shut_down = lambda: ended.append(True)
    assert done(console.call("shutdown", {}))
    assert ended == [True]


def test_a_session_is_detached(watched: Watched) -> None:
    managed, item = watched.agent.find("org.apache.qpid.broker:session:anonymous.test") or (None, None)
    assert managed is not None
    assert item is not None
    watched.link.handler.detach(item)
    watched.peer.update()
    assert watched.peer.detached is not None
    assert watched.agent.find("org.apache.qpid.broker:session:anonymous.test") is None
