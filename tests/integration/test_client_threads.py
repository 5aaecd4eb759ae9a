"""Threads on one connection whose broker goes and comes, and what is left when connections are closed.

`make soak` takes a minute for it; `make test` a few seconds.
"""

from __future__ import annotations

import os
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

import qpid_server
from qpid_messaging import Connection, Empty, Message, Receiver, Sender
from tests.integration.cluster import BrokerProcess, free_ports

SECONDS = float(os.environ.get("SOAK_SECONDS", "8"))
BOUNCES = 8 if SECONDS < 60 else int(SECONDS / 5)
PAIRS = 4
PATIENCE = 30.0
"""Seconds for any call, a restart of the broker on a busy machine included."""
CYCLES = 1000


@pytest.fixture
def broker() -> Iterator[BrokerProcess]:
    with TemporaryDirectory() as folder:
        process = BrokerProcess("A", free_ports(1)[0], Path(folder), ["--no-data-dir"])
        try:
            yield process
        finally:
            process.end()


class Crowd:
    """Threads that repeat a step until they are told to end; each counts how often it got through."""

    def __init__(self) -> None:
        self.steps: Counter[str] = Counter()
        self.errors: list[BaseException] = []
        self._ended = threading.Event()
        self._threads: list[threading.Thread] = []

    def start(self, name: str, step: Callable[[], None]) -> None:
        """Begin a thread."""

        def run() -> None:
            try:
                while not self._ended.is_set():
                    step()
                    self.steps[name] += 1
            except BaseException as error:  # noqa: BLE001 - raised by `end`
                self.errors.append(error)

        thread = threading.Thread(target=run, name=name, daemon=True)
        self._threads.append(thread)
        thread.start()

    def everybody_moves(self) -> None:
        """Wait until each thread got through once more, at least: nobody sleeps for ever."""
        before = self.steps.copy()
        deadline = time.monotonic() + PATIENCE
        while idle := [thread.name for thread in self._threads if self.steps[thread.name] == before[thread.name]]:
            assert time.monotonic() < deadline, f"stuck: {idle}, errors: {self.errors}"
            time.sleep(0.01)

    def end(self) -> None:
        """End all threads, within the time of one step."""
        self._ended.set()
        for thread in self._threads:
            thread.join(PATIENCE)
        assert [thread.name for thread in self._threads if thread.is_alive()] == []
        assert self.errors == []


@pytest.mark.timeout(SECONDS + 240)
def test_eight_threads_on_a_connection_whose_broker_is_bounced(broker: BrokerProcess) -> None:
    connection = Connection.establish(broker.url, reconnect=True, reconnect_log=False, heartbeat=2, timeout=PATIENCE)
    crowd = Crowd()

    def sending(sender: Sender, synchronous: bool) -> Callable[[], None]:
        def step() -> None:
            for number in range(20):
                sender.send(Message(f"{number}"), sync=synchronous and number % 5 == 4, timeout=PATIENCE)
            sender.sync(timeout=PATIENCE)

        return step

    def receiving(receiver: Receiver) -> Callable[[], None]:
        def step() -> None:
            try:
                receiver.fetch(timeout=0.1)
            except Empty:
                return
            receiver.session.acknowledge(sync=receiver.capacity == 0)

        return step

    for at in range(PAIRS):
        session = connection.session()
        address = f"queue-{at % 2}; {{create: always, node: {{x-declare: {{arguments: {{'qpid.max_count': 500, "
        address += "'qpid.policy_type': ring}}}}"
        crowd.start(f"sender {at}", sending(session.sender(address, capacity=50), at % 2 == 0))
        receiver = connection.session().receiver(address, capacity=0 if at == 0 else 20)
        crowd.start(f"receiver {at}", receiving(receiver))
    try:
        for _ in range(BOUNCES):
            until = time.monotonic() + SECONDS / BOUNCES
            crowd.everybody_moves()
            time.sleep(max(0.0, until - time.monotonic()))  # the load between two restarts, nothing that is waited for
            broker.kill()
            broker.start()
        crowd.everybody_moves()
        assert connection.stats.fail_overs >= BOUNCES
    finally:
        crowd.end()
        connection.close(timeout=PATIENCE)


def descriptors() -> int:
    return len(os.listdir("/proc/self/fd"))


@pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="descriptors are counted in /proc")
@pytest.mark.timeout(240)
def test_nothing_is_left_of_a_thousand_connections() -> None:
    with qpid_server.running() as broker:

        def cycle() -> None:
            connection = Connection.establish(broker.url, timeout=PATIENCE)
            connection.session().sender("q; {create: always}").send("x")
            connection.close(timeout=PATIENCE)

        cycle()
        threads, before = threading.active_count(), descriptors()
        for _ in range(CYCLES):
            cycle()
        deadline = time.monotonic() + PATIENCE
        # The broker, in a thread of this process, closes its ends a moment later; that of the first cycle was perhaps
        # counted as well.
        while descriptors() > before or threading.active_count() > threads:
            assert time.monotonic() < deadline, (descriptors(), before, threading.enumerate())
            time.sleep(0.01)
