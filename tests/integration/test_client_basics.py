"""The blocking client and our broker, over real sockets: what an application does on a quiet day."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Iterator
from typing import Any
from uuid import uuid4

import pytest

import qpid_server
from qpid_messaging import (
    REJECTED,
    RELEASED,
    UNLIMITED,
    Connection,
    ConnectionClosed,
    ConnectionError,
    Detached,
    Disposition,
    Empty,
    EncodeError,
    InsufficientCapacity,
    InternalError,
    InvalidOption,
    LinkClosed,
    MalformedAddress,
    Message,
    MessagingError,
    NontransactionalSession,
    NotFound,
    Session,
    SessionClosed,
    SessionError,
)


@pytest.fixture(scope="module")
def broker() -> Iterator[qpid_server.Running]:
    with qpid_server.running() as running:
        yield running


@pytest.fixture
def connection(broker: qpid_server.Running) -> Iterator[Connection]:
    connection = Connection.establish(broker.url, timeout=10)
    yield connection
    connection.close(timeout=10)


@pytest.fixture
def session(connection: Connection) -> Session:
    return connection.session()


@pytest.fixture
def queue() -> str:
    return f"queue-{uuid4()}; {{create: always, delete: receiver}}"


@pytest.mark.parametrize(
    ("content", "content_type"),
    [
        ("text ünd mehr", "text/plain"),
        (b"bytes \0\xff", None),
        ({"k": 1, "nested": {"l": [1, 2.5, None, True, "s"]}}, "amqp/map"),
        (["a", 1, {"b": b"c"}], "amqp/list"),
        ({}, "amqp/map"),
        (b"x" * 200_000, None),
        (None, None),
    ],
)
def test_content(session: Session, queue: str, content: Any, content_type: str | None) -> None:
    session.sender(queue).send(content, timeout=10)
    message = session.receiver(queue).fetch(timeout=10)
    session.acknowledge()
    assert message.content == content
    assert message.content_type == content_type


def test_every_field(session: Session, queue: str) -> None:
    sent = Message(
        "c",
        id=uuid4(),
        subject="s",
        reply_to="answers/here; {node: {type: topic}}",
        correlation_id="17",
        durable=True,
        priority=7,
        ttl=60,
        properties={"one": 1, "x-amqp-0-10.app-id": "app", "x-amqp-0-10.content-encoding": "enc"},
    )
    session.sender(queue).send(sent)
    got = session.receiver(queue).fetch(timeout=10)
    for name in ("id", "subject", "reply_to", "correlation_id", "durable", "priority", "content"):
        assert getattr(got, name) == getattr(sent, name), name
    assert 0 < (got.ttl or 0) <= 60
    assert not got.redelivered
    assert got.properties["one"] == 1
    assert got.properties["x-amqp-0-10.app-id"] == "app"
    assert got.properties["x-amqp-0-10.content-encoding"] == "enc"
    session.acknowledge(got)


def test_user_content_type_and_bytes(session: Session, queue: str) -> None:
    session.sender(queue).send(Message("<a/>", content_type="text/xml"))
    message = session.receiver(queue).fetch(timeout=10)
    assert message.content_type == "text/xml"
    assert message.content == b"<a/>"


def test_what_cannot_be_encoded_is_said_at_once_and_forgotten(session: Session, queue: str) -> None:
    sender = session.sender(queue)
    with pytest.raises(EncodeError, match="object"):
        sender.send(Message({"k": object()}))
    with pytest.raises(EncodeError):
        sender.send(object())
    sender.send("fine")
    assert session.receiver(queue).fetch(timeout=10).content == "fine"


def test_asynchronous_sends_and_prefetched_receives(session: Session, queue: str) -> None:
    sender = session.sender(queue, capacity=50)
    for n in range(500):
        sender.send(str(n), sync=False)
        assert sender.unsettled() <= 50
    sender.sync(timeout=10)
    assert sender.unsettled() == 0
    assert sender.available() == 50
    receiver = session.receiver(queue, capacity=20)
    for n in range(500):
        assert receiver.fetch(timeout=10).content == str(n)
        if n % 50 == 49:
            session.acknowledge(sync=False)
    session.sync(timeout=10)
    with pytest.raises(Empty):
        receiver.fetch(timeout=0)
    assert receiver.unsettled() == 0


def test_unlimited_receiver(session: Session, queue: str) -> None:
    receiver = session.receiver(queue, capacity=UNLIMITED)
    sender = session.sender(queue)
    for n in range(100):
        sender.send(str(n), sync=False)
    assert [receiver.fetch(timeout=10).content for _ in range(100)] == [str(n) for n in range(100)]
    session.acknowledge()
    receiver.capacity = 0
    with pytest.raises(Empty):
        receiver.fetch(timeout=0)


def test_a_fetch_with_a_timeout_takes_that_long(session: Session, queue: str) -> None:
    receiver = session.receiver(queue)
    start = time.monotonic()
    with pytest.raises(Empty):
        receiver.fetch(timeout=0.2)
    assert 0.15 < time.monotonic() - start < 2
    session.sender(queue).send("x")
    assert receiver.fetch(timeout=0).content == "x"
    session.acknowledge()


def test_a_waiting_fetch_is_woken(session: Session, connection: Connection, queue: str) -> None:
    receiver = session.receiver(queue)
    got: list[Any] = []
    thread = threading.Thread(target=lambda: got.append(receiver.fetch(timeout=10).content))
    thread.start()
    connection.session().sender(queue).send("for you")
    thread.join(10)
    assert got == ["for you"]
    session.acknowledge()


def test_browsing_leaves_messages(session: Session, queue: str) -> None:
    session.sender(queue).send("x")
    name = queue.partition(";")[0]
    browser = session.receiver(f"{name}; {{mode: browse}}", capacity=10)
    assert browser.fetch(timeout=10).content == "x"
    session.acknowledge()
    browser.close()
    assert session.receiver(queue).fetch(timeout=10).content == "x"
    session.acknowledge()


def test_dispositions(session: Session, queue: str) -> None:
    session.sender(queue).send("x")
    receiver = session.receiver(queue)
    session.acknowledge(receiver.fetch(timeout=10), Disposition(RELEASED, set_redelivered=True))
    again = receiver.fetch(timeout=10)
    assert again.redelivered
    session.acknowledge(again, Disposition(REJECTED, text="no"))
    with pytest.raises(Empty):
        receiver.fetch(timeout=0)


def test_acknowledging_twice_is_an_error(session: Session, queue: str) -> None:
    session.sender(queue).send("x")
    message = session.receiver(queue).fetch(timeout=10)
    session.acknowledge(message)
    with pytest.raises(SessionError, match="acknowledg"):
        session.acknowledge(message)
    with pytest.raises(SessionError):
        session.acknowledge(Message("never received"))


def test_a_closed_receiver_gives_back_what_was_not_fetched(session: Session, queue: str) -> None:
    name = queue.partition(";")[0]
    sender = session.sender(f"{name}; {{create: always}}")
    for n in range(10):
        sender.send(str(n))
    receiver = session.receiver(name, capacity=10)
    first = receiver.fetch(timeout=10)
    receiver.close()
    with pytest.raises(LinkClosed):
        receiver.fetch()
    session.acknowledge(first)
    other = session.receiver(queue)
    assert [other.fetch(timeout=10).content for _ in range(9)] == [str(n) for n in range(1, 10)]
    session.acknowledge()


def test_next_receiver(session: Session, queue: str) -> None:
    one, two = session.receiver(queue, capacity=1), session.receiver("#; {}", capacity=1)
    with pytest.raises(Empty):
        session.next_receiver(timeout=0)
    session.sender(queue).send("x")
    assert session.next_receiver(timeout=10) is one
    assert one.fetch().content == "x"
    session.acknowledge()
    assert two.available() == 0


def test_topics(session: Session) -> None:
    everything = session.receiver("amq.topic", capacity=10)
    news = session.receiver("amq.topic/news.#", capacity=10)
    sender = session.sender("amq.topic/sport.ball")
    sender.send("default subject")
    sender.send(Message("own subject", subject="news.today"))
    got = everything.fetch(timeout=10)
    assert (got.content, got.subject) == ("default subject", "sport.ball")
    assert everything.fetch(timeout=10).content == "own subject"
    assert news.fetch(timeout=10).content == "own subject"
    with pytest.raises(Empty):
        news.fetch(timeout=0)
    session.acknowledge()


def test_request_and_answer(session: Session, connection: Connection, queue: str) -> None:
    answers = session.receiver("#")
    session.sender(queue).send(Message("question", reply_to=answers._core.name, correlation_id="1"))
    server = connection.session()
    question = server.receiver(queue).fetch(timeout=10)
    assert question.reply_to is not None
    server.sender(question.reply_to).send(Message("answer", correlation_id=question.correlation_id))
    server.acknowledge()
    answer = answers.fetch(timeout=10)
    assert (answer.content, answer.correlation_id) == ("answer", "1")
    session.acknowledge()


def test_node_policies(session: Session) -> None:
    name = f"node-{uuid4()}"
    with pytest.raises(NotFound, match=name):
        session.sender(name)
    sender = session.sender(f"{name}; {{create: sender, delete: sender}}")
    with pytest.raises(NotFound, match=f"no such topic: {name}"):
        session.receiver(f"{name}; {{assert: always, node: {{type: topic}}}}")
    session.receiver(f"{name}; {{assert: always, node: {{type: queue}}}}").close()
    sender.close()
    with pytest.raises(NotFound):
        session.receiver(name)
    topic = f"{name}-x; {{create: always, delete: always, node: {{type: topic, x-declare: {{type: fanout}}}}}}"
    receiver = session.receiver(topic, capacity=1)
    session.sender(topic).send("x")
    assert receiver.fetch(timeout=10).content == "x"


def test_a_name_that_a_queue_and_an_exchange_share(session: Session) -> None:
    name = f"shared-{uuid4()}"
    exchange = f"{name}/key; {{create: always, delete: always, node: {{type: topic, x-declare: {{type: direct}}}}}}"
    session.sender(exchange)
    session.receiver(
        f"{name}; {{create: always, node: {{type: queue, x-bindings: [{{exchange: {name!r}, key: key}}]}}}}"
    )
    session.sender(exchange).send("over the exchange")
    session.sender(name).send("straight")
    receiver = session.receiver(f"{name}; {{delete: always}}")
    assert [receiver.fetch(timeout=5).content for _ in range(2)] == ["over the exchange", "straight"]
    session.acknowledge()


def test_bindings(session: Session) -> None:
    name = f"bound-{uuid4()}"
    receiver = session.receiver(
        f"{name}; {{create: always, delete: always, node: {{x-bindings: [{{exchange: 'amq.direct', key: k}}]}}}}"
    )
    session.sender("amq.direct/k").send("x")
    assert receiver.fetch(timeout=10).content == "x"
    session.acknowledge()


@pytest.mark.parametrize(
    ("address", "error", "match"),
    [
        ("q; {create: sometimes}", InvalidOption, "create"),
        ("q; {craete: always}", InvalidOption, "craete: illegal key"),
        ("q; {node: {x-declare: {no-such: 1}}, create: always}", InvalidOption, "no-such"),
        ("q; {create: always, node: {x-declare: {alternate-exchange: [1]}}}", InvalidOption, "alternate"),
        ("q; {", MalformedAddress, "line:1,4"),
        ("", MalformedAddress, "line:1,0"),
    ],
)
def test_bad_addresses(session: Session, address: str, error: type[Exception], match: str) -> None:
    with pytest.raises(error, match=match):
        session.sender(address)
    with pytest.raises(error, match=match):
        session.receiver(address)
    with pytest.raises(MalformedAddress):
        session.sender(None)  # type: ignore[arg-type]
    session.sender("amq.topic").send("the session is none the worse")


def test_unknown_link_options(session: Session) -> None:
    with pytest.raises(InvalidOption, match="capacity"):
        session.sender("amq.topic", capcity=1)
    with pytest.raises(InvalidOption):
        session.receiver("amq.topic", durable=True)
    with pytest.raises(SessionError, match="capacity"):
        session.receiver("amq.topic", capacity="many")


def test_capacity(session: Session, queue: str) -> None:
    with pytest.raises(InsufficientCapacity):
        session.sender(queue, capacity=0).send("x")


def test_transactions(connection: Connection, queue: str) -> None:
    session = connection.session(transactional=True)
    other = connection.session()
    outside = other.receiver(queue)
    sender = session.sender(queue)
    sender.send("rolled back")
    session.rollback(timeout=10)
    sender.send("committed")
    with pytest.raises(Empty):
        outside.fetch(timeout=0)
    session.commit(timeout=10)
    inside = session.receiver(queue, capacity=5)
    for _ in range(2):
        message = inside.fetch(timeout=10)
        assert message.content == "committed"
        session.acknowledge()
        session.rollback(timeout=10)
    message = inside.fetch(timeout=10)
    assert message.redelivered
    session.acknowledge()
    session.commit(timeout=10)
    with pytest.raises(Empty):
        outside.fetch(timeout=0)
    with pytest.raises(NontransactionalSession):
        other.commit()


def test_sessions_by_name(connection: Connection) -> None:
    session = connection.session("mine")
    assert connection.session("mine") is session
    assert session.name == f"{connection.id}:mine"
    session.close()
    assert connection.session("mine") is not session
    with pytest.raises(Detached):
        session.sender("amq.topic")
    with pytest.raises(SessionClosed):
        session.check_closed()


def test_a_session_that_fails_leaves_the_others_alone(connection: Connection, queue: str) -> None:
    failing, other = connection.session(), connection.session()
    seen: list[Exception] = []
    failing.set_async_exception_notify_handler(lambda _, error: seen.append(error))
    sender = failing.sender(queue)
    with pytest.raises(MessagingError, match=r"no\.such"):
        failing.receiver(f"{queue.partition(';')[0]}; {{link: {{x-bindings: [{{exchange: 'no.such'}}]}}}}")
    assert seen
    with pytest.raises(MessagingError, match=r"no\.such"):
        sender.send("x")
    other.sender(queue).send("x")
    failing.close()


def test_message_received_handler(session: Session, queue: str) -> None:
    called = threading.Event()
    session.set_message_received_notify_handler(lambda s: called.set() if s is session else None)
    session.receiver(queue, capacity=2)
    session.sender(queue).send("x")
    assert called.wait(10)
    called.clear()
    session.set_message_received_handler(called.set)  # without an argument, as it was called first
    session.sender(queue).send("y")
    assert called.wait(10)


def test_detach_and_attach(broker: qpid_server.Running, queue: str) -> None:
    connection = Connection(broker.url)
    session = connection.session()
    sender = session.sender(f"{queue.partition(';')[0]}; {{create: always}}")
    assert not sender.linked
    with pytest.raises(Detached):
        sender.send("x")
    connection.open(timeout=10)
    assert connection.opened()
    assert sender.linked
    with pytest.raises(ConnectionError, match="already open"):
        connection.open()
    sender.send("1")
    connection.detach(timeout=10)
    assert not connection.attached()
    with pytest.raises(Detached):
        sender.send("x")
    connection.attach(timeout=10)
    sender.send("2")
    receiver = session.receiver(queue)
    assert [receiver.fetch(timeout=10).content for _ in range(2)] == ["1", "2"]
    session.acknowledge()
    connection.close(timeout=10)
    assert not connection.opened()
    with pytest.raises((ConnectionClosed, SessionClosed, LinkClosed, Detached)):
        receiver.fetch()


def test_nothing_is_left_after_close(broker: qpid_server.Running) -> None:
    def count() -> tuple[int, int]:
        return threading.active_count(), len(os.listdir("/proc/self/fd"))

    Connection.establish(broker.url).close()
    # The broker in this process has sockets too, and closes them when it has read what we sent last.
    before = count()
    for _ in range(50):
        connection = Connection.establish(broker.url, timeout=10)
        connection.session().sender("amq.topic").send("x", sync=False)
        connection.close(timeout=10)
        assert threading.active_count() == before[0]
    deadline = time.monotonic() + 5
    while count()[1] > before[1] and time.monotonic() < deadline:
        time.sleep(0.01)
    assert count()[1] <= before[1]


def test_close_leaves_no_session_at_the_broker(broker: qpid_server.Running, queue: str) -> None:
    connection = Connection.establish(broker.url, reconnect=True, failover_updates=True)
    sessions = [connection.session(), connection.session("named"), connection.session(transactional=True)]
    for session in sessions:
        session.sender(queue).send("x", sync=False)
        session.receiver(queue, capacity=10)
    sessions[2].commit()
    connection.close()
    assert all(session.closed for session in sessions)

    def kept() -> list[object]:
        names = [name for _, name in (*broker.broker.sessions, *broker.broker.session_records.timeouts)]
        return [name for name in names if name.decode().startswith(connection.id)]

    # Its answer to our close is the last that the broker said, and behind that it had nothing to do.
    assert broker.call(kept) == []


def test_close_ends_what_other_threads_wait_for(broker: qpid_server.Running, queue: str) -> None:
    connection = Connection.establish(broker.url, timeout=10)
    receiver = connection.session().receiver(queue)
    errors: list[Exception] = []

    def fetch() -> None:
        try:
            receiver.fetch()
        except MessagingError as error:
            errors.append(error)

    thread = threading.Thread(target=fetch)
    thread.start()
    time.sleep(0.05)
    connection.close(timeout=10)
    thread.join(10)
    assert [type(error) for error in errors] == [LinkClosed]


def test_ten_threads_use_one_connection(connection: Connection, queue: str) -> None:
    name = queue.partition(";")[0]
    errors: list[Exception] = []

    def work(number: int) -> None:
        try:
            session = connection.session()
            sender = session.sender(f"{name}-{number}; {{create: always}}", capacity=10)
            receiver = session.receiver(f"{name}-{number}; {{delete: always}}", capacity=5)
            for n in range(100):
                sender.send(f"{n}", sync=n % 10 == 0)
                assert receiver.fetch(timeout=20).content == f"{n}"
                session.acknowledge(sync=n % 7 == 0)
            session.close(timeout=20)
        except Exception as error:  # noqa: BLE001 - reported below
            errors.append(error)

    threads = [threading.Thread(target=work, args=(n,)) for n in range(10)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(50)
    assert errors == []


def test_fork_and_exit(broker: qpid_server.Running, queue: str) -> None:
    connection = Connection.establish(broker.url, timeout=10)
    session = connection.session()
    sender = session.sender(queue)
    child = os.fork()
    if child == 0:
        try:
            for use in (connection.session, lambda: sender.send("from the child", timeout=5)):
                with pytest.raises(InternalError, match="forked"):
                    use()
            os._exit(0)
        finally:
            os._exit(2)
    assert os.waitpid(child, 0)[1] == 0
    sender.send("from the parent", timeout=10)
    assert session.receiver(queue).fetch(timeout=10).content == "from the parent"
    session.acknowledge()
    connection.close(timeout=10)
