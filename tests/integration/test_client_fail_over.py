"""Fail-over over real sockets: connections that are cut while threads send, fetch and acknowledge."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from typing import Any
from uuid import uuid4

import pytest
from typing_extensions import Self

import qpid_server
from qpid_messaging import Connection, Empty, Message, Session, TransactionAborted, TransactionUnknown
from qpid_messaging.exceptions import MessagingError, Timeout
from tests.integration.cluster import wait_until
from tests.integration.relay import Relay


@pytest.fixture
def broker() -> Iterator[qpid_server.Running]:
    with qpid_server.running() as running:
        yield running


@pytest.fixture
def relay(broker: qpid_server.Running) -> Iterator[Relay]:
    with Relay(broker.port) as relay:
        yield relay


@pytest.fixture
def connection(relay: Relay) -> Iterator[Connection]:
    connection = Connection.establish(relay.url, reconnect=True, reconnect_log=False, heartbeat=5, timeout=10)
    yield connection
    connection.close(timeout=10)


@pytest.fixture
def queue() -> str:
    return f"queue-{uuid4()}; {{create: always}}"


class Cutting:
    """Cuts the connection again and again while a block runs."""

    def __init__(self, relay: Relay, pause: float) -> None:
        self._relay = relay
        self._pause = pause
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._run)

    def _run(self) -> None:
        while not self._done.wait(self._pause):
            self._relay.cut()

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._done.set()
        self._thread.join(10)


def drain(url: str, queue: str) -> list[Any]:
    connection = Connection.establish(url, timeout=10)
    session = connection.session()
    receiver = session.receiver(queue, capacity=1000)
    contents = []
    while True:
        try:
            contents.append(receiver.fetch(timeout=0.5).content)
        except Empty:
            break
    session.acknowledge()
    connection.close(timeout=10)
    return contents


def test_asynchronous_sends(broker: qpid_server.Running, relay: Relay, connection: Connection, queue: str) -> None:
    sender = connection.session().sender(queue, capacity=1000)
    with Cutting(relay, 0.1):
        for n in range(10_000):
            sender.send(f"{n}", sync=False)
        sender.sync(timeout=20)
    assert drain(broker.url, queue) == [f"{n}" for n in range(10_000)]
    assert connection.stats.fail_overs


def test_synchronous_sends(broker: qpid_server.Running, relay: Relay, connection: Connection, queue: str) -> None:
    sender = connection.session().sender(queue)
    with Cutting(relay, 0.05):
        for n in range(500):
            sender.send(f"{n}", timeout=20)
    assert drain(broker.url, queue) == [f"{n}" for n in range(500)]


@pytest.mark.parametrize("capacity", [0, 1, 100])
def test_receives(broker: qpid_server.Running, relay: Relay, connection: Connection, queue: str, capacity: int) -> None:
    filler = Connection.establish(broker.url, timeout=10)
    sender = filler.session().sender(queue)
    count = 1000
    for n in range(count):
        sender.send(f"{n}", sync=False)
    sender.sync(timeout=10)
    filler.close(timeout=10)
    session = connection.session()
    receiver = session.receiver(queue, capacity=capacity)
    handed: list[Any] = []
    with Cutting(relay, 0.05):
        while len(set(handed)) < count:
            handed.append(receiver.fetch(timeout=20).content)
            if len(handed) % 20 == 19:
                session.acknowledge(sync=len(handed) % 40 == 39)
    # A broker without a replicated log gives no ids to claim by: it is at least once, and each time in order.
    assert sorted(set(handed), key=int) == [f"{n}" for n in range(count)]


def test_opening_links(relay: Relay, connection: Connection, queue: str) -> None:
    session = connection.session()
    with Cutting(relay, 0.1):
        for _ in range(20):
            session.sender(queue).close(timeout=20)
            session.receiver(queue, capacity=10).close(timeout=20)
    session.close(timeout=20)


def test_transactions(relay: Relay, connection: Connection, broker: qpid_server.Running, queue: str) -> None:
    session = connection.session(transactional=True)
    session.sender(queue).send("lost")
    relay.cut()
    # Whether the commit was on its way when the loss was noticed is a matter of microseconds.
    with pytest.raises((TransactionAborted, TransactionUnknown)):
        session.commit(timeout=20)
    session.close(timeout=20)
    session = connection.session(transactional=True)
    session.sender(queue).send("kept")
    session.commit(timeout=20)
    assert drain(broker.url, queue) == ["kept"]


def test_eight_threads(relay: Relay, connection: Connection, broker: qpid_server.Running, queue: str) -> None:
    name = queue.partition(";")[0]
    errors: list[BaseException] = []

    def guarded(work: Callable[[Session, str], None], number: int) -> None:
        try:
            session = connection.session()
            work(session, f"{name}-{number}; {{create: always}}")
            session.close(timeout=20)
        except BaseException as error:  # noqa: BLE001 - reported below
            errors.append(error)

    def send(session: Session, address: str) -> None:
        sender = session.sender(address, capacity=50)
        for n in range(300):
            sender.send(Message(f"{n}"), sync=n % 20 == 0, timeout=20)

    def receive(session: Session, address: str) -> None:
        receiver = session.receiver(address, capacity=20)
        seen: set[Any] = set()
        while len(seen) < 300:
            seen.add(receiver.fetch(timeout=20).content)
            session.acknowledge(sync=False)

    threads = [threading.Thread(target=guarded, args=(work, n)) for n in range(4) for work in (send, receive)]
    with Cutting(relay, 0.2):
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(40)
    assert not any(thread.is_alive() for thread in threads)
    assert errors == []


def test_all_brokers_down_and_one_back(broker: qpid_server.Running, queue: str) -> None:
    relay = Relay(broker.port)
    connection = Connection.establish(relay.url, reconnect=True, reconnect_log=False, timeout=10)
    sender = connection.session().sender(queue)
    sender.send("before")
    port = relay.port
    relay.__exit__()
    done = threading.Event()

    def send() -> None:
        sender.send("after", timeout=20)
        done.set()

    thread = threading.Thread(target=send)
    thread.start()
    assert not done.wait(0.3)
    with Relay(broker.port, port=port):
        start = time.monotonic()
        assert done.wait(10)
        assert time.monotonic() - start < 2
        thread.join(10)
        assert connection.stats.seconds_without_broker > 0.2
        connection.close(timeout=10)
    assert drain(broker.url, queue) == ["before", "after"]


def test_whoever_waits_for_a_send_is_told_that_another_thread_closed(relay: Relay, queue: str) -> None:
    connection = Connection.establish(relay.url, reconnect=True, reconnect_log=False, timeout=10)
    sender = connection.session().sender(queue)
    told: list[Exception] = []

    def send() -> None:
        try:
            sender.send("x")
        except MessagingError as error:
            told.append(error)

    relay.stop()
    thread = threading.Thread(target=send, daemon=True)
    thread.start()
    wait_until(lambda: sender.unsettled() == 1, "not sent")
    with pytest.raises(Timeout):
        connection.close(timeout=0.2)
    thread.join(10)
    assert not thread.is_alive()
    assert told
