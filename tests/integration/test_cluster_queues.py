"""What becomes of each type of queue when the primary is killed, on real processes.

One cluster goes through one fail-over with all of the queues on it; each is a case of its own afterwards. The new
primary had the log in one run, and the difference in the other.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import pytest

from qpid_messaging import REJECTED, Connection, Disposition, Empty, Message, MessagingError, Receiver, Session
from qpid_messaging.management import AgentError, BrokerAgent
from tests.integration.cluster import ClusterOfProcesses, wait_until

pytestmark = pytest.mark.timeout(120)

OPTIONS = ("--ha-replicate", "all", "--link-heartbeat-interval", "1", "--link-maintenance-interval", "0.2")
PRIMARY, BY_LOG, BY_DIFFERENCE = 0, 1, 2


class Case(NamedTuple):
    """One queue.

    Attributes:
        before: what clients do with it at the first primary; it may leave connections open.
        after: what they find at the next one.
    """

    before: Callable[[Connection], None]
    after: Callable[[Connection], None]


CASES: dict[str, Case] = {}


def case(function: Callable[[], Case]) -> None:
    CASES[function.__name__] = function()


def address(name: str, *arguments: str, **declared: Any) -> str:
    """The address of a queue with these arguments of its declaration."""
    fields = [f"'{field.replace('_', '-')}': {value}" for field, value in declared.items()]
    fields.append(f"arguments: {{{', '.join(arguments)}}}")
    return f"{name}; {{create: always, node: {{x-declare: {{{', '.join(fields)}}}}}}}"


def send(connection: Connection, to: str, *messages: Message | str) -> None:
    session = connection.session()
    sender = session.sender(to)
    for message in messages:
        sender.send(message)
    session.close()


def fetch(receiver: Receiver, count: int) -> list[Message]:
    return [receiver.fetch(timeout=10) for _ in range(count)]


def drain(session: Session, name: str) -> list[Message]:
    """Everything on the queue, taken for good."""
    receiver = session.receiver(name, capacity=100)
    found: list[Message] = []
    try:
        while True:
            found.append(receiver.fetch(timeout=0.3))
    except Empty:
        session.acknowledge()
        return found


def texts(messages: list[Message]) -> list[Any]:
    return [message.content for message in messages]


def taken(connection: Connection, name: str) -> list[Any]:
    return texts(drain(connection.session(), name))


# -- the types ---------------------------------------------------------------------------------------------------------


@case
def first_in_first_out() -> Case:
    def before(connection: Connection) -> None:
        send(connection, "fifo; {create: always}", *map(str, range(10)))
        session = connection.session()
        receiver = session.receiver("fifo")
        messages = fetch(receiver, 5)
        # The second is accepted, the others are not; the fifth is given back.
        session.acknowledge(messages[1])

    def after(connection: Connection) -> None:
        messages = drain(connection.session(), "fifo")
        assert texts(messages) == ["0", *map(str, range(2, 10))]
        assert all(message.redelivered for message in messages[:4])

    return Case(before, after)


@case
def ring() -> Case:
    def before(connection: Connection) -> None:
        to = address("ring", "'qpid.policy_type': ring", "'qpid.max_count': 5")
        send(connection, to, *map(str, range(8)))

    def after(connection: Connection) -> None:
        send(connection, "ring", "8")
        assert taken(connection, "ring") == ["4", "5", "6", "7", "8"]

    return Case(before, after)


@case
def full() -> Case:
    def before(connection: Connection) -> None:
        send(connection, address("full", "'qpid.max_count': 3", "'qpid.flow_stop_count': 0"), *"abc")

    def after(connection: Connection) -> None:
        with pytest.raises(MessagingError, match="resource-limit-exceeded"):
            send(connection, "full", "d")
        assert taken(connection, "full") == ["a", "b", "c"]

    return Case(before, after)


@case
def last_value() -> Case:
    def keyed(key: str, text: str) -> Message:
        return Message(text, properties={"key": key})

    def before(connection: Connection) -> None:
        to = address("last", "'qpid.last_value_queue_key': key")
        send(connection, to, *(keyed(key, f"{key}{number}") for number in range(3) for key in "ab"), keyed("c", "c0"))

    def after(connection: Connection) -> None:
        send(connection, "last", keyed("a", "a3"))
        assert taken(connection, "last") == ["b2", "c0", "a3"]

    return Case(before, after)


@case
def priority() -> Case:
    def before(connection: Connection) -> None:
        to = address("priority", "'qpid.priorities': 10")
        send(connection, to, *(Message(f"{level}.{n}", priority=level) for n in (1, 2) for level in (3, 9, 0, 5)))

    def after(connection: Connection) -> None:
        send(connection, "priority", Message("7.1", priority=7))
        expected = ["9.1", "9.2", "7.1", "5.1", "5.2", "3.1", "3.2", "0.1", "0.2"]
        assert taken(connection, "priority") == expected

    return Case(before, after)


@case
def fairshare() -> Case:
    def before(connection: Connection) -> None:
        to = address("fair", "'qpid.priorities': 10", "'qpid.fairshare': 2")
        send(connection, to, *(Message(f"{level}.{n}", priority=level) for level in (2, 8) for n in range(4)))

    def after(connection: Connection) -> None:
        assert taken(connection, "fair") == ["8.0", "8.1", "2.0", "2.1", "8.2", "8.3", "2.2", "2.3"]

    return Case(before, after)


@case
def groups() -> Case:
    def before(connection: Connection) -> None:
        to = address("groups", "'qpid.group_header_key': g", "'qpid.shared_msg_group': 1")
        send(connection, to, *(Message(f"{g}{n}", properties={"g": g}) for n in range(3) for g in "ab"))
        # The first consumer has group a, and dies with it.
        assert connection.session().receiver("groups").fetch(timeout=10).content == "a0"

    def after(connection: Connection) -> None:
        sessions = [connection.session(), connection.session()]
        first, second = (session.receiver("groups") for session in sessions)
        assert texts(fetch(first, 1)) == ["a0"]
        # The other one gets nothing of that group before it is done with.
        assert texts(fetch(second, 3)) == ["b0", "b1", "b2"]
        with pytest.raises(Empty):
            second.fetch(timeout=0.1)
        sessions[0].acknowledge()
        assert texts(fetch(first, 2)) == ["a1", "a2"]

    return Case(before, after)


@case
def time_to_live() -> Case:
    def before(connection: Connection) -> None:
        send(connection, "ttl; {create: always}", Message("short", ttl=0.5), Message("long", ttl=1000), "for ever")

    def after(connection: Connection) -> None:
        time.sleep(0.5)  # what was sent before the fail-over is older than that by now
        messages = drain(connection.session(), "ttl")
        assert texts(messages) == ["long", "for ever"]
        assert 900 < messages[0].ttl < 1000

    return Case(before, after)


@case
def durable_messages_with_everything_in_them() -> Case:
    sent = Message(
        {"list": [1, 2.5, "x"], "map": {"deep": None}},
        subject="s",
        id="7b4a1c5e-0000-4000-8000-000000000000",
        user_id="anonymous",
        correlation_id="c",
        durable=True,
        priority=6,
        properties={"colour": "red", "n": 3},
        reply_to="answers",
    )

    def before(connection: Connection) -> None:
        send(connection, "whole; {create: always, node: {durable: true}}", sent)

    def after(connection: Connection) -> None:
        (got,) = drain(connection.session(), "whole")
        for name in ("content", "subject", "correlation_id", "durable", "priority", "reply_to", "user_id"):
            assert getattr(got, name) == getattr(sent, name), name
        assert {name: got.properties[name] for name in ("colour", "n")} == {"colour": "red", "n": 3}

    return Case(before, after)


# -- how long queues live ----------------------------------------------------------------------------------------------


def queues(connection: Connection) -> list[str]:
    return [queue.name for queue in BrokerAgent(connection).getAllQueues()]


@case
def exclusive_and_auto_delete() -> Case:
    def before(connection: Connection) -> None:
        session = connection.session()
        for name, timeout in (("gone", ""), ("lives", "'qpid.auto_delete_timeout': 2")):
            session.receiver(address(name, *filter(None, [timeout]), exclusive=True, auto_delete=True))
        session.receiver(address("owned", exclusive=True))

    def after(connection: Connection) -> None:
        # What would not outlive its session is not replicated; the time of the other one counts from the fail-over.
        assert "gone" not in queues(connection)
        assert "owned" in queues(connection)
        wait_until(lambda: "lives" not in queues(connection), "its time is over")

    return Case(before, after)


# -- exchanges, bindings, alternates -----------------------------------------------------------------------------------


@case
def alternate_exchanges() -> Case:
    def before(connection: Connection) -> None:
        agent = BrokerAgent(connection)
        agent.addExchange("fanout", "alternate")
        agent.addQueue("rejected")
        agent.bind("alternate", "rejected", "")
        agent.addQueue("main", {"alternate-exchange": "alternate"})
        agent.addExchange("direct", "strict", {"alternate-exchange": "alternate"})

    def after(connection: Connection) -> None:
        agent, session = BrokerAgent(connection), connection.session()
        send(connection, "strict", "unroutable")
        send(connection, "main", "bad", "left")
        bad = session.receiver("main").fetch(timeout=10)
        session.acknowledge(bad, Disposition(REJECTED))
        session.close()
        with pytest.raises(AgentError, match="in use as alternate exchange"):
            agent.delExchange("alternate")
        agent.delQueue("main", if_empty=False)
        assert taken(connection, "rejected") == ["unroutable", "bad", "left"]
        agent.delExchange("strict")
        agent.delExchange("alternate")

    return Case(before, after)


@case
def exchanges_and_bindings() -> Case:
    def before(connection: Connection) -> None:
        agent = BrokerAgent(connection)
        for kind in ("direct", "topic", "fanout", "headers"):
            agent.addExchange(kind, f"x.{kind}")
            agent.addQueue(f"at.{kind}")
        agent.bind("x.direct", "at.direct", "key")
        agent.bind("x.topic", "at.topic", "a.*.#")
        agent.bind("x.fanout", "at.fanout", "")
        agent.bind("x.headers", "at.headers", "h", {"x-match": "all", "colour": "red"})
        agent.addQueue("unbound")
        agent.bind("x.fanout", "unbound", "")
        agent.unbind("x.fanout", "unbound", "")
        agent.addQueue("kept.back")
        agent.bind("x.fanout", "kept.back", "", {"qpid.replicate": "none"})

    def after(connection: Connection) -> None:
        send(connection, "x.direct/key", "1")
        send(connection, "x.topic/a.b.c", "2")
        send(connection, "x.fanout", "3")
        send(connection, "x.headers", Message("4", properties={"colour": "red"}), Message("5"))
        for kind, expected in (("direct", "1"), ("topic", "2"), ("fanout", "3"), ("headers", "4")):
            assert taken(connection, f"at.{kind}") == [expected]
        assert taken(connection, "unbound") == taken(connection, "kept.back") == []

    return Case(before, after)


@case
def levels_of_replication() -> Case:
    def before(connection: Connection) -> None:
        for level in ("all", "configuration", "none"):
            send(connection, address(f"level.{level}", f"'qpid.replicate': {level}"), "m")
        with pytest.raises(MessagingError, match="replication"):
            connection.session().sender(address("level.wrong", "'qpid.replicate': some"))

    def after(connection: Connection) -> None:
        assert taken(connection, "level.all") == ["m"]
        assert taken(connection, "level.configuration") == []
        assert not {"level.none", "level.wrong"} & set(queues(connection))

    return Case(before, after)


# -- the fail-over -----------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module", params=[BY_LOG, BY_DIFFERENCE], ids=["by log", "by difference"])
def connection(request: pytest.FixtureRequest) -> Iterator[Connection]:
    """A client of the next primary."""
    with ClusterOfProcesses(options=OPTIONS) as cluster:
        cluster[BY_DIFFERENCE].kill()
        cluster.promote(PRIMARY)
        cluster[BY_LOG].wait_for("ready")
        client = cluster.connect(reconnect=False)
        for case in CASES.values():
            case.before(client)
        cluster[BY_DIFFERENCE].start()
        cluster[BY_DIFFERENCE].wait_for("ready")
        cluster[PRIMARY].kill()
        cluster.promote(request.param)
        client = Connection.establish(cluster[request.param].url)
        yield client
        client.close()


@pytest.mark.parametrize("name", list(CASES))
def test_after_the_fail_over(connection: Connection, name: str) -> None:
    CASES[name].after(connection)
