"""Callers that wait alone read for themselves, and the I/O thread has its turn again when it must."""

from __future__ import annotations

import os
import select
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from pathlib import Path
from typing import Any, TypeVar
from uuid import uuid4

import pytest

import qpid_server
from qpid_messaging import Connection, ConnectionError, HeartbeatTimeout, InternalError, LinkClosed, MessagingError
from qpid_messaging.driver import Driver
from qpid_messaging.turns import OFTEN, Turn, Turns
from qpid_messaging.verbs.waiting import Verb
from tests.integration.cluster import wait_until
from tests.integration.relay import Relay

T = TypeVar("T")
PATIENCE = 20.0
PROGRAMS = Path(__file__).parent / "programs"


@pytest.fixture(scope="module")
def broker() -> Iterator[qpid_server.Running]:
    with qpid_server.running() as running:
        yield running


@pytest.fixture
def relay(broker: qpid_server.Running) -> Iterator[Relay]:
    with Relay(broker.port) as relay:
        yield relay


class Reading:
    """A caller that reads: in a thread of its own it fetches from an empty queue, after it was answered often.

    Args:
        url: the broker.
        verb: what it does instead.
        options: of the connection.

    Attributes:
        connection: its connection.
        session: its session.
        receiver: what it fetches from.
        queue: the queue.
        fetched: what comes of it.
    """

    def __init__(self, url: str, verb: Verb[Any] | None = None, **options: Any) -> None:
        self._verb = verb
        self.connection = Connection.establish(url, timeout=PATIENCE, **options)
        self.driver: Driver = self.connection._driver
        self.session = self.connection.session()
        self.queue = str(uuid4())
        self.receiver = self.session.receiver(f"{self.queue}; {{create: always}}", capacity=1)
        self.fetched = in_thread(self.answered_and_fetch)
        wait_until(lambda: self.driver._turns.resting or self.fetched.done(), "nobody reads")
        assert not self.fetched.done()

    def answered_and_fetch(self) -> Any:
        sender = self.session.sender("amq.fanout")
        for _ in range(OFTEN + 1):
            sender.send("x", timeout=PATIENCE)
        return self.fetch() if self._verb is None else self.driver.run(self._verb)

    def fetch(self) -> str:
        content: str = self.receiver.fetch(timeout=PATIENCE).content
        self.session.acknowledge()
        return content

    def send(self, url: str, content: str) -> None:
        """Let somebody else send what it waits for."""
        with Connection.establish(url, timeout=PATIENCE) as connection:
            connection.session().sender(self.queue).send(content, timeout=PATIENCE)


def in_thread(function: Callable[[], T]) -> Future[T]:
    """What a function returns or raises in a thread of its own."""
    future: Future[T] = Future()

    def run() -> None:
        try:
            future.set_result(function())
        except BaseException as error:  # noqa: BLE001 - for whoever waits
            future.set_exception(error)

    threading.Thread(target=run, daemon=True).start()
    return future


@pytest.fixture
def reading(broker: qpid_server.Running) -> Iterator[Reading]:
    reading = Reading(broker.url)
    yield reading
    reading.connection.close(timeout=PATIENCE)


def test_whoever_waits_alone_reads(broker: qpid_server.Running, reading: Reading) -> None:
    reading.send(broker.url, "for you")
    assert reading.fetched.result(PATIENCE) == "for you"


def test_what_comes_while_nobody_waits_is_read_too(broker: qpid_server.Running, reading: Reading) -> None:
    for content in "ab":
        reading.send(broker.url, content)
    assert reading.fetched.result(PATIENCE) == "a"
    wait_until(lambda: reading.receiver.available() == 1, "nobody read it")
    assert reading.driver._turns.callers is None
    assert reading.fetch() == "b"


def waiting_for(flag: list[bool], timeout: float) -> Verb[bool]:
    return (yield lambda: flag, timeout)


def test_a_time_limit_ends_it(broker: qpid_server.Running) -> None:
    reading = Reading(broker.url, waiting_for([], 0.2))
    assert reading.fetched.result(PATIENCE) is False
    reading.connection.close(timeout=PATIENCE)


def test_it_ends_when_another_thread_makes_true_what_it_waits_for(broker: qpid_server.Running) -> None:
    flag: list[bool] = []
    reading = Reading(broker.url, waiting_for(flag, 10 * PATIENCE))
    with reading.driver.lock:
        flag.append(True)
        reading.driver.notify()
    assert reading.fetched.result(PATIENCE) is True
    reading.connection.close(timeout=PATIENCE)


def test_others_are_answered_meanwhile(broker: qpid_server.Running, reading: Reading) -> None:
    sender = reading.connection.session().sender("amq.fanout")
    for _ in range(100):
        sender.send("x", timeout=PATIENCE)
    assert not reading.fetched.done()
    reading.send(broker.url, "for you")
    assert reading.fetched.result(PATIENCE) == "for you"


def test_it_ends_when_another_thread_ends_what_it_waits_for(reading: Reading) -> None:
    reading.receiver.close(timeout=PATIENCE)
    with pytest.raises(LinkClosed):
        reading.fetched.result(PATIENCE)


def test_the_connection_is_closed_by_another_thread(reading: Reading) -> None:
    reading.connection.close(timeout=PATIENCE)
    with pytest.raises(MessagingError):
        reading.fetched.result(PATIENCE)


def test_the_broker_is_lost(relay: Relay) -> None:
    reading = Reading(relay.url)
    relay.cut()
    with pytest.raises(ConnectionError, match=r"connection aborted|reset by peer"):
        reading.fetched.result(PATIENCE)
    reading.connection._abandon()


def test_the_broker_is_lost_and_found(relay: Relay, broker: qpid_server.Running) -> None:
    reading = Reading(relay.url, reconnect=True, reconnect_log=False)
    relay.cut()
    reading.send(broker.url, "after all")
    assert reading.fetched.result(PATIENCE) == "after all"
    reading.connection.close(timeout=PATIENCE)


def test_a_silent_broker_is_noticed(relay: Relay) -> None:
    reading = Reading(relay.url, heartbeat=1)
    relay.hold()
    with pytest.raises(HeartbeatTimeout):
        reading.fetched.result(PATIENCE)
    reading.connection._abandon()


def test_what_has_arrived_is_read_before_the_broker_is_taken_for_dead(
    broker: qpid_server.Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    late, taken_back = threading.Event(), threading.Event()
    readable, take_back = Turn.readable, Turns.take_back

    def readable_late(self: Turn, timeout: float | None) -> bool:
        """As where the I/O thread is the first to go on after the whole program was stopped for a while."""
        ready = readable(self, timeout)
        if late.is_set():
            taken_back.wait(PATIENCE)
        return ready

    def take_back_and_tell(self: Turns) -> None:
        if self.reader is not None:
            taken_back.set()
        take_back(self)

    monkeypatch.setattr(Turn, "readable", readable_late)
    monkeypatch.setattr(Turns, "take_back", take_back_and_tell)
    reading = Reading(broker.url, heartbeat=PATIENCE)
    with reading.driver.lock:
        late.set()
        transport = reading.driver._transport
        assert transport is not None
        reading.send(broker.url, "in time")
        arrived = select.poll()
        arrived.register(transport.fileno(), select.POLLIN)
        assert arrived.poll(PATIENCE * 1000)
        reading.connection._core._last_in -= 10 * PATIENCE
        reading.driver.wake()
    assert reading.fetched.result(PATIENCE) == "in time"
    assert reading.connection.opened()
    reading.connection.close(timeout=PATIENCE)


def test_handlers_are_called_in_the_io_thread(broker: qpid_server.Running, reading: Reading) -> None:
    """Where one is set while a caller reads, and where it was set before."""
    threads: list[str] = []
    reading.session.set_message_received_notify_handler(lambda: threads.append(threading.current_thread().name))
    reading.send(broker.url, "x")
    assert reading.fetched.result(PATIENCE) == "x"
    again = in_thread(reading.answered_and_fetch)
    wait_until(lambda: reading.driver._waiters == 1 and reading.receiver._core.fetching, "nobody waits")
    reading.send(broker.url, "y")
    assert again.result(PATIENCE) == "y"
    assert len(threads) == 2
    assert all(name.startswith("qpid_messaging ") for name in threads)


@pytest.mark.parametrize(
    ("error", "raised"), [(AssertionError("half done"), InternalError), (SystemExit("half done"), SystemExit)]
)
def test_what_is_left_half_done_ends_the_connection(
    broker: qpid_server.Running, monkeypatch: pytest.MonkeyPatch, error: BaseException, raised: type[BaseException]
) -> None:
    reading = Reading(broker.url)

    def receive(data: bytes, now: float) -> None:
        raise error

    monkeypatch.setattr(reading.connection._core, "receive", receive)
    reading.send(broker.url, "x")
    with pytest.raises(raised, match="half done"):
        reading.fetched.result(PATIENCE)
    with pytest.raises(InternalError, match="half done"):
        reading.connection.session()
    reading.connection._abandon()


def test_a_child_has_nothing_of_it(broker: qpid_server.Running, reading: Reading) -> None:
    child = os.fork()
    if child == 0:
        try:
            with pytest.raises(InternalError, match="forked"):
                reading.session.sender("amq.fanout")
            os._exit(0)
        finally:
            os._exit(2)
    assert os.waitpid(child, 0)[1] == 0
    reading.send(broker.url, "for the parent")
    assert reading.fetched.result(PATIENCE) == "for the parent"


@pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="descriptors are counted in /proc")
def test_no_descriptor_is_left(broker: qpid_server.Running) -> None:
    def cycle() -> None:
        reading = Reading(broker.url)
        reading.send(broker.url, "x")
        assert reading.fetched.result(PATIENCE) == "x"
        reading.connection.close(timeout=PATIENCE)

    cycle()
    before = len(os.listdir("/proc/self/fd"))
    for _ in range(10):
        cycle()
    # The broker, in a thread of this process, closes its ends a moment later.
    wait_until(lambda: len(os.listdir("/proc/self/fd")) <= before, "descriptors are left")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGALRM])
def test_a_handler_that_raises_waits_until_what_came_is_dealt_with(
    broker: qpid_server.Running, number: signal.Signals
) -> None:
    done = subprocess.run(
        [sys.executable, str(PROGRAMS / "interrupted.py"), broker.url, str(int(number))],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "interrupted, nothing lost\n", "")


def test_a_handler_that_waits_itself_is_answered(broker: qpid_server.Running) -> None:
    command = [sys.executable, str(PROGRAMS / "handling.py"), broker.url]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            for number in (signal.SIGUSR1, signal.SIGUSR2):
                assert process.stdout.readline() == "reading\n"
                process.send_signal(number)
            rest, _ = process.communicate(timeout=PATIENCE)
        finally:
            process.kill()
    assert rest == "sent by a handler\nclosed by a handler\n"
    assert process.returncode == 0
