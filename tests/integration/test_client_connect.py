"""Finding a broker, and not finding one: what a listening socket can do to a client."""

from __future__ import annotations

import errno
import logging
import os
import random
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest

import qpid_server
from qpid_messaging import (
    AuthenticationFailure,
    ConnectError,
    Connection,
    ConnectionError,
    HeartbeatTimeout,
    Message,
    MessagingError,
    Timeout,
    VersionError,
)
from tests.integration.relay import Relay


@contextmanager
def listening(serve: Callable[[socket.socket], object]) -> Iterator[str]:
    """A socket that does the same to everybody who connects."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        stop = threading.Event()

        def run() -> None:
            while not stop.is_set():
                try:
                    accepted, _ = listener.accept()
                except OSError:
                    return
                with accepted:
                    try:
                        serve(accepted)
                    except OSError:
                        continue

        thread = threading.Thread(target=run)
        thread.start()
        try:
            yield f"127.0.0.1:{listener.getsockname()[1]}"
        finally:
            stop.set()
            listener.shutdown(socket.SHUT_RDWR)
            thread.join(10)


def says_nothing(sock: socket.socket) -> None:
    while sock.recv(4096):
        pass


@contextmanager
def nobody() -> Iterator[str]:
    """An address where nobody listens, and nobody else will as long as it is held."""
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        yield f"127.0.0.1:{held.getsockname()[1]}"


@pytest.fixture(scope="module")
def broker() -> Iterator[qpid_server.Running]:
    with qpid_server.running() as running:
        yield running


def test_refused() -> None:
    with nobody() as url, pytest.raises(ConnectError, match=rf"{url}: Connection refused"):
        Connection.establish(url)


def test_unknown_host() -> None:
    with pytest.raises(ConnectError, match=r"no\.such\.host\.invalid:5672"):
        Connection.establish("no.such.host.invalid")


@pytest.mark.parametrize("during", ["connect", "commands"])
def test_a_silent_broker(during: str, broker: qpid_server.Running) -> None:
    start = time.monotonic()
    if during == "connect":
        with listening(says_nothing) as url, pytest.raises(HeartbeatTimeout, match=url):
            Connection.establish(url, heartbeat=0.3)
        assert time.monotonic() - start < 5
        return
    with Relay(broker.port) as relay:
        connection = Connection.establish(relay.url, heartbeat=1, timeout=10)
        session = connection.session()
        relay.stop()
        with pytest.raises(HeartbeatTimeout):
            session.sender("amq.topic")
        assert 1.5 < time.monotonic() - start < 10
        with pytest.raises(HeartbeatTimeout):
            connection.close()


def test_a_silent_broker_and_a_limit_for_each(broker: qpid_server.Running) -> None:
    with listening(says_nothing) as url:
        with pytest.raises(ConnectError, match=rf"{url}: no answer within 0\.2 seconds"):
            Connection.establish(url, connect_timeout=0.2, timeout=10)
        tried = Connection(f"{url},{broker.url}", connect_timeout=0.2, connect_retries=1, heartbeat=60)
        tried.open(timeout=10)
        assert tried.stats.attempts == 3
        tried.close(timeout=10)


def test_heartbeats_keep_a_quiet_connection_alive(broker: qpid_server.Running) -> None:
    connection = Connection.establish(broker.url, heartbeat=1)
    time.sleep(2.6)
    connection.session().sender("amq.topic").send("still there")
    connection.close()


def test_open_with_a_timeout() -> None:
    with listening(says_nothing) as url:
        start = time.monotonic()
        with pytest.raises(Timeout, match=f"timed out: {url}: no answer"):
            Connection.establish(url, timeout=0.3)
        assert time.monotonic() - start < 2
        connection = Connection(url)
        with pytest.raises(Timeout):
            connection.open(timeout=0.1)
        connection.close(timeout=5)


def test_another_protocol() -> None:
    def serve(sock: socket.socket) -> None:
        sock.sendall(b"AMQP\0\0\x09\x01")
        says_nothing(sock)

    with listening(serve) as url, pytest.raises(VersionError, match=url):
        Connection.establish(url, timeout=10)
    with listening(lambda sock: sock.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")) as url:
        for reconnect in (False, True):
            with pytest.raises(VersionError):
                Connection.establish(url, timeout=10, reconnect=reconnect)


def test_closed_at_once() -> None:
    with listening(lambda sock: None) as url, pytest.raises(ConnectionError, match=url):
        Connection.establish(url, timeout=10)


def test_unknown_options() -> None:
    with pytest.raises(ConnectionError, match=r"Unknown connection option heartbeet .* did you mean heartbeat\?"):
        Connection("localhost", heartbeet=3)
    with pytest.raises(ConnectionError, match="no broker"):
        Connection()
    with pytest.raises(ConnectError, match="no such transport: rdma"):
        Connection("localhost", transport="rdma")
    with pytest.raises(ConnectionError, match="number of seconds"):
        Connection("localhost", heartbeat="often")
    with pytest.raises(ConnectError, match="invalid broker URL"):
        Connection("local host")
    with pytest.raises(ConnectionError, match="amqp0-10"):
        Connection("localhost", protocol="amqp1.0")


def test_a_list_of_which_only_the_last_is_right(broker: qpid_server.Running) -> None:
    with nobody() as one, nobody() as two:
        start = time.monotonic()
        connection = Connection.establish(one, reconnect=True, reconnect_urls=[two, broker.url], timeout=10)
        assert time.monotonic() - start < 1, "the first round makes no pauses"
        assert connection.stats.attempts == 3
        connection.close()
        # The addresses of one URL are tried once each without `reconnect` too.
        connection = Connection.establish(f"amqp:tcp:{one},tcp:{broker.url}", timeout=10)
        connection.close()


def test_a_silent_one_does_not_hold_up_the_list(broker: qpid_server.Running) -> None:
    with listening(says_nothing) as url:
        connection = Connection.establish(url, reconnect=True, reconnect_urls=[broker.url], heartbeat=0.2, timeout=10)
        assert connection.stats.attempts == 2
        connection.close()


def test_a_system_without_threads_or_descriptors_is_told_of(
    broker: qpid_server.Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    def no_thread(thread: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    def no_pipe() -> tuple[int, int]:
        raise OSError(errno.EMFILE, "Too many open files")

    connection = Connection(broker.url)
    for owner, name, refuse in ((threading.Thread, "start", no_thread), (os, "pipe", no_pipe)):
        with monkeypatch.context() as patch:
            patch.setattr(owner, name, refuse)
            before = len(os.listdir("/proc/self/fd"))
            with pytest.raises(ConnectError, match=f"{broker.port}: no means to connect: .*(thread|files)"):
                connection.attach(timeout=10)
            assert len(os.listdir("/proc/self/fd")) == before
            with pytest.raises(ConnectError, match="no means"):
                Connection.establish(broker.url, timeout=10)


def test_limit_and_timeout() -> None:
    with nobody() as url:
        connection = Connection(url, reconnect=True, reconnect_limit=3)
        with pytest.raises(ConnectError, match="refused"):
            connection.open(timeout=10)
        assert connection.stats.attempts == 4
        connection.detach()
        start = time.monotonic()
        with pytest.raises(Timeout, match=f"timed out: {url}: .*refused"):
            Connection.establish(url, reconnect=True, reconnect_timeout=0.3)
        assert 0.2 < time.monotonic() - start < 2
        start = time.monotonic()
        with pytest.raises(ConnectError):
            Connection.establish(url, reconnect=True, reconnect_interval=0.2, reconnect_limit=2, timeout=10)
        assert 0.35 < time.monotonic() - start < 2, "explicit intervals are obeyed"


def test_reconnect_timeout_ends_the_search_for_a_lost_broker(broker: qpid_server.Running) -> None:
    with Relay(broker.port) as relay:
        connection = Connection.establish(relay.url, reconnect=True, reconnect_timeout=0.3)
        session = connection.session()
    start = time.monotonic()
    with pytest.raises(MessagingError, match="refused"):
        session.sender("amq.topic")
    assert time.monotonic() - start < 3
    with pytest.raises(MessagingError):
        connection.close()


def test_close_while_there_is_no_broker(broker: qpid_server.Running) -> None:
    with Relay(broker.port) as relay:
        connection = Connection.establish(relay.url, reconnect=True, timeout=10)
        connection.session().sender("amq.topic").send("x")
    start = time.monotonic()
    connection.close(timeout=5)
    assert time.monotonic() - start < 1


def test_known_hosts_are_learnt(caplog: pytest.LogCaptureFixture) -> None:
    from tests.unit.client.cluster import Cluster
    from tests.unit.client.harness import Harness

    cluster = Cluster(known_hosts=["amqp:tcp:10.0.0.7:1234,tcp:10.0.0.8:1234", "", "not a url"])
    with caplog.at_level(logging.WARNING):
        h = Harness(cluster, reconnect=True).open()
    assert [str(broker) for broker in h.core.policy.brokers()] == [
        "tcp:a:1",
        "tcp:b:2",
        "tcp:10.0.0.7:1234",
        "tcp:10.0.0.8:1234",
    ]
    assert "not a url" in caplog.text


def test_mechanisms_and_credentials(broker: qpid_server.Running) -> None:
    with pytest.raises(AuthenticationFailure, match="GSSAPI"):
        Connection.establish(broker.url, sasl_mechanisms="GSSAPI", timeout=10)
    with pytest.raises(AuthenticationFailure):
        Connection.establish(broker.url, sasl_mechanisms="GSSAPI", timeout=10, reconnect=True)
    connection = Connection.establish(broker.url, sasl_mechanisms="ANONYMOUS PLAIN", timeout=10)
    connection.close()


@pytest.mark.parametrize("seed", range(8))
def test_garbage_from_the_broker(seed: int, broker: qpid_server.Running) -> None:
    """Bytes changed on their way from the broker: an exception, or none where it did no harm; never a hang."""
    chance = random.Random(seed)
    with Relay(broker.port, mutate=lambda data: _mutate(chance, data)) as relay:
        try:
            connection = Connection.establish(relay.url, timeout=2, heartbeat=1)
        except (MessagingError, Timeout):
            return
        # What still is AMQP, and says something else, can make a client wait for what never comes.
        watchdog = threading.Timer(3, connection._abandon)
        watchdog.start()
        try:
            session = connection.session()
            sender = session.sender("q-garbage; {create: always}")
            for n in range(5):
                sender.send(Message("x", properties={"n": n}), timeout=2)
            receiver = session.receiver("q-garbage", capacity=5)
            for _ in range(5):
                receiver.fetch(timeout=0.2)
                session.acknowledge(sync=False)
        except (MessagingError, Timeout):
            pass
        finally:
            connection._abandon()
            watchdog.cancel()
            watchdog.join()


def _mutate(chance: random.Random, data: bytes) -> bytes:
    changed = bytearray(data)
    for _ in range(chance.choice([0, 1, 1, 4])):
        at = chance.randrange(len(changed))
        changed[at : at + chance.randint(0, 2)] = os.urandom(chance.randint(0, 3))
    return bytes(changed)
