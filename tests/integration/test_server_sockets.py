"""The broker on real sockets, with clients that misbehave."""

from __future__ import annotations

import socket
import struct
import threading
import time
from contextlib import suppress
from pathlib import Path

import pytest
from typing_extensions import Self

import qpid_server
from qpid_messaging.amqp import commands as c
from qpid_messaging.amqp.codec import encode_header
from qpid_messaging.amqp.connection import ClientConnection
from qpid_messaging.amqp.events import Attached, Broken, Completed, Event, Incoming, Opened
from qpid_messaging.amqp.framing import PROTOCOL_HEADER, Decoder, encode
from qpid_messaging.amqp.sasl import choose
from qpid_messaging.amqp.session import Session
from qpid_server.security.users import UsersFile

TIMEOUT = 5.0


class Client:
    """A client on a blocking socket."""

    def __init__(self, port: int, username: str | None = None, password: str | None = None) -> None:
        self.socket = socket.create_connection(("127.0.0.1", port), TIMEOUT)
        self.machine = ClientConnection(lambda offered: choose(offered, username, password))
        self.events: list[Event] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *details: object) -> None:
        self.socket.close()

    def flush(self) -> None:
        self.socket.sendall(self.machine.data_to_send())

    def wait(self, kind: type) -> Event:
        """The next event of a kind."""
        while True:
            for number, event in enumerate(self.events):
                if isinstance(event, kind):
                    return self.events.pop(number)
            self.flush()
            data = self.socket.recv(65536)
            assert data, "the broker has closed the connection"
            self.events += self.machine.receive(data)

    def opened(self) -> Client:
        self.wait(Opened)
        return self

    def session(self, name: bytes = b"s") -> Session:
        session = Session(name)
        self.machine.attach(session)
        return session


def read_to_end(sock: socket.socket) -> bytes:
    data = b""
    while True:
        part = sock.recv(65536)
        if not part:
            return data
        data += part


def consumer(client: Client) -> Session:
    """A session that gets, without limit, whatever comes to a new queue "q"."""
    session = client.session()
    session.send(c.QueueDeclare(queue="q"))
    session.send(c.MessageSubscribe(queue="q", destination="d"))
    for unit in (0, 1):
        session.send(c.MessageFlow(destination="d", unit=unit, value=0xFFFFFFFF))
    return session


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
def test_hello(backend: str) -> None:
    with qpid_server.running(backend=backend) as broker, Client(broker.port).opened() as client:
        session = consumer(client)
        session.send(c.MessageTransfer(destination=""), _header("q"), b"hello")
        event = client.wait(Incoming)
        assert isinstance(event, Incoming)
        assert event.body == b"hello"
        assert broker.call(lambda: broker.broker.queues["q"].depth) == 1


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
def test_an_answer_that_the_socket_does_not_take_at_once(backend: str) -> None:
    """Whoever sends and does not read gets all of it, in order, when he does."""
    count, size = 200, 100_000
    with qpid_server.running(backend=backend) as broker, Client(broker.port).opened() as client:
        session = consumer(client)
        client.wait(Attached)
        for number in range(count):
            session.send(c.MessageTransfer(destination=""), _header("q"), b"%d" % number + b"x" * size)
        writer = threading.Thread(target=client.socket.sendall, args=(client.machine.data_to_send(),))
        writer.start()
        while writer.is_alive() and not broker.call(
            lambda: any(connection.congested for connection in broker.broker.connections)
        ):
            pass
        numbers: list[int] = []
        while len(numbers) < count:
            for event in client.machine.receive(client.socket.recv(65536)):
                assert not isinstance(event, Broken), event
                if isinstance(event, Incoming) and event.body:
                    numbers.append(int(event.body.rstrip(b"x")))
        writer.join()
    assert numbers == list(range(count))


def _header(key: str) -> bytes:
    return encode_header(c.DeliveryProperties(routing_key=key))


def test_several_brokers_at_once() -> None:
    with qpid_server.running() as one, qpid_server.running() as two:
        assert one.port != two.port
        for broker in (one, two):
            with Client(broker.port).opened():
                pass


def test_the_port_is_free_again_and_threads_are_gone() -> None:
    before = threading.active_count()
    with qpid_server.running() as broker:
        port = broker.port
    with qpid_server.running(port=port) as broker:
        assert broker.port == port
    assert threading.active_count() <= before + 1
    with qpid_server.running() as broker, pytest.raises(OSError, match=r".+"), qpid_server.running(port=broker.port):
        pass


@pytest.mark.parametrize("header", [b"AMQP\x00\x00\x09\x01", b"GET / HTTP/1.1\r\n\r\n"])
def test_wrong_protocol_header(header: bytes) -> None:
    with qpid_server.running() as broker, socket.create_connection((broker.host, broker.port), TIMEOUT) as sock:
        sock.sendall(header)
        assert read_to_end(sock) == PROTOCOL_HEADER


def test_a_client_that_says_nothing() -> None:
    with qpid_server.running(max_negotiate_time=200) as broker:
        with socket.create_connection((broker.host, broker.port), TIMEOUT) as sock:
            start = time.monotonic()
            assert read_to_end(sock) == b""
            assert 0.15 < time.monotonic() - start < 2
        with Client(broker.port).opened():
            pass


def test_wrong_password(tmp_path: Path) -> None:
    path = tmp_path / "users"
    UsersFile(path).add("bob", "right")
    with qpid_server.running(auth=True, users_file=str(path)) as broker:
        with Client(broker.port, "bob", "right").opened():
            pass
        with Client(broker.port, "bob", "wrong") as client:
            client.flush()
            decoder = Decoder()
            units = []
            while not any(isinstance(unit[1], c.ConnectionClose) for unit in units):
                data = client.socket.recv(65536)
                assert data
                client.machine.receive(data)
                client.flush()
                units += decoder.feed(data.removeprefix(PROTOCOL_HEADER))
            assert units[-1][1].reply_code == 320  # type: ignore[attr-defined]
            assert client.socket.recv(65536) == b""


def test_lying_frames_disturb_nobody_else() -> None:
    with qpid_server.running() as broker, Client(broker.port).opened() as good:
        session = good.session()
        session.send(c.QueueDeclare(queue="q"))
        for frame in (
            struct.pack(">BBHBBHI", 0x0F, 0, 3, 0, 0, 0, 0),
            struct.pack(">BBHBBHI", 0x0F, 1, 16, 0, 1, 0, 0) + b"\xff\xff\xff\xff",
            b"\xff" * 1000,
        ):
            with Client(broker.port).opened() as bad:
                bad.socket.sendall(frame)
                (unit,) = Decoder().feed(read_to_end(bad.socket))
                assert isinstance(unit[1], c.ConnectionClose)
                assert unit[1].reply_code in (501, 503)
        session.send(c.MessageTransfer(destination=""), _header("q"), b"still here")
        session.send(c.MessageSubscribe(queue="q", destination="d"))
        for unit_ in (0, 1):
            session.send(c.MessageFlow(destination="d", unit=unit_, value=0xFFFFFFFF))
        event = good.wait(Incoming)
        assert isinstance(event, Incoming)
        assert event.body == b"still here"


def test_too_many_connections() -> None:
    with qpid_server.running(max_connections=2) as broker:
        address = (broker.host, broker.port)
        with (
            Client(broker.port).opened(),
            Client(broker.port).opened(),
            socket.create_connection(address, TIMEOUT) as third,
            suppress(ConnectionResetError),
        ):
            third.sendall(PROTOCOL_HEADER)
            assert third.recv(100) == b""
        deadline = time.monotonic() + TIMEOUT
        while broker.call(lambda: len(broker.broker.connections)) and time.monotonic() < deadline:
            time.sleep(0.01)
        with Client(broker.port).opened():
            pass


def test_a_client_that_never_reads() -> None:
    """It is given a bounded part of the queue; what it does not take, and the broker's memory, stay where they are."""
    with qpid_server.running() as broker, Client(broker.port).opened() as lazy, Client(broker.port).opened() as good:
        session = lazy.session(b"lazy")
        session.send(c.QueueDeclare(queue="q"))
        session.send(c.MessageSubscribe(queue="q", destination="d"))
        for unit in (0, 1):
            session.send(c.MessageFlow(destination="d", unit=unit, value=0xFFFFFFFF))
        lazy.flush()
        sender = good.session(b"good")
        for _ in range(400):
            sender.send(c.MessageTransfer(destination=""), _header("q"), bytes(60_000))
        sender.send(c.ExecutionSync(sync=True), token="done")
        done = good.wait(Completed)
        while "done" not in done.tokens:  # type: ignore[attr-defined]
            done = good.wait(Completed)
        queue = broker.broker.queues["q"]
        assert broker.call(lambda: queue.depth) == 400
        assert broker.call(lambda: queue.acquired) < 300
        lazy.socket.close()
        deadline = time.monotonic() + TIMEOUT
        while broker.call(lambda: queue.acquired) and time.monotonic() < deadline:
            time.sleep(0.01)
        assert broker.call(lambda: queue.acquired) == 0


def test_a_dead_client_that_never_reads_is_dropped_for_its_silence() -> None:
    """What cannot be written to it does not keep the connection alive."""
    with qpid_server.running() as broker, Client(broker.port).opened() as good:
        dead = Client(broker.port)
        dead.machine = ClientConnection(choose, heartbeat=1)
        session = dead.opened().session(b"dead")
        session.send(c.QueueDeclare(queue="q"))
        session.send(c.MessageSubscribe(queue="q", destination="d"))
        for unit in (0, 1):
            session.send(c.MessageFlow(destination="d", unit=unit, value=0xFFFFFFFF))
        dead.flush()
        sender = good.session(b"good")
        for _ in range(400):
            sender.send(c.MessageTransfer(destination=""), _header("q"), bytes(60_000))
        good.flush()
        deadline = time.monotonic() + 3 * TIMEOUT
        while broker.call(lambda: len(broker.broker.connections)) > 1 and time.monotonic() < deadline:
            time.sleep(0.05)
        assert broker.call(lambda: len(broker.broker.connections)) == 1
        assert broker.call(lambda: broker.broker.queues["q"].acquired) == 0
        dead.socket.close()


def test_stopping_tells_the_clients() -> None:
    with qpid_server.running() as broker:
        client = Client(broker.port).opened()
        ended: list[list[object]] = []

        def read() -> None:
            data = client.socket.recv(65536)
            ended.append([unit[1] for unit in Decoder().feed(data)])
            client.socket.sendall(encode(0, c.ConnectionCloseOk()))

        reader = threading.Thread(target=read)
        reader.start()
    reader.join(TIMEOUT)
    client.socket.close()
    ((close,),) = ended
    assert isinstance(close, c.ConnectionClose)
    assert close.reply_code == 320
