"""Transports that an application brings along, as `qpid.messaging` has them, in each shell."""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterator
from typing import Any, ClassVar

import pytest

import qpid_server
from qpid_messaging import ConnectError, Connection
from qpid_messaging.options import ConnectionOptions
from qpid_messaging.transports import TRANSPORTS, kind_for, tls
from tests.integration.shells import SHELLS, Shell

Register = Callable[[str, Any], None]


@pytest.fixture(scope="module")
def broker() -> Iterator[qpid_server.Running]:
    with qpid_server.running() as running:
        yield running


@pytest.fixture(params=SHELLS, ids=lambda shell: shell.name)
def shell(request: pytest.FixtureRequest) -> Shell:
    found: Shell = request.param
    return found


@pytest.fixture
def register(monkeypatch: pytest.MonkeyPatch) -> Register:
    return lambda name, kind: monkeypatch.setitem(TRANSPORTS, name, kind)


class Counting:
    """Passes on to a plain socket, and no more than the methods that `qpid.messaging` calls."""

    made: ClassVar[list[Counting]]

    def __init_subclass__(cls) -> None:
        cls.made = []

    def __init__(self, conn: Any, host: str, port: int) -> None:
        self.given = conn, host, port
        self.real = TRANSPORTS["tcp"](conn, host, port)
        self.sent = self.received = 0
        self.closed = False
        self.made.append(self)

    def fileno(self) -> int:
        return self.real.fileno()

    def reading(self, reading: bool) -> bool:
        return self.real.reading(reading)

    def writing(self, writing: bool) -> bool:
        return self.real.writing(writing)

    def send(self, data: bytes | memoryview) -> int:
        sent = self.real.send(data)
        self.sent += sent
        return sent

    def recv(self, size: int) -> bytes | None:
        data = self.real.recv(size)
        self.received += len(data or b"")
        return data

    def close(self) -> None:
        self.closed = True
        self.real.close()


async def send_and_receive(connection: Any, queue: str, contents: list[str]) -> list[str]:
    """Send, one by one, and receive again what came, in order; what comes again is left out."""
    await connection.open(timeout=20)
    try:
        session = connection.session()
        sender = await session.sender(f"{queue}; {{create: always, delete: always}}")
        for content in contents:
            await sender.send(content)
        receiver = await session.receiver(queue)
        received: dict[str, None] = {}
        while len(received) < len(contents):
            received[(await receiver.fetch(timeout=10)).content] = None
            await session.acknowledge()
    finally:
        await connection.close()
    return list(received)


def test_all_bytes_go_through_it(shell: Shell, broker: qpid_server.Running, register: Register) -> None:
    class Mine(Counting):
        pass

    register("mine", Mine)

    async def scenario() -> None:
        connection = shell.connection(f"127.0.0.1:{broker.port}", transport="mine")
        big = ["a", "b" * 1_000_000, "c"]
        assert await send_and_receive(connection, "mine", big) == big
        (transport,) = Mine.made
        conn, host, port = transport.given
        assert conn.tcp_nodelay is True
        assert (host, port) == ("127.0.0.1", broker.port)
        assert transport.sent > 1_000_000
        assert transport.received > 1_000_000
        assert transport.closed

    shell.run(scenario)


@pytest.mark.parametrize("refuses", ["send", "recv"])
def test_one_that_fails_is_a_lost_connection(
    shell: Shell, broker: qpid_server.Running, register: Register, refuses: str
) -> None:
    """Also where only writing fails, and nothing can be read from the socket below."""

    class Flaky(Counting):
        def send(self, data: bytes | memoryview) -> int:
            if refuses == "send" and self.sent > 2000:
                raise OSError("the link is down")
            return super().send(data)

        def recv(self, size: int) -> bytes | None:
            return b"" if refuses == "recv" and self.received > 2000 else super().recv(size)

    register("flaky", Flaky)

    async def scenario() -> None:
        connection = shell.connection(broker.url, transport="flaky", reconnect=True, reconnect_log=False)
        contents = [f"{number:0100}" for number in range(30)]
        assert await send_and_receive(connection, "flaky", contents) == contents
        assert len(Flaky.made) > 2
        assert all(transport.closed for transport in Flaky.made)

    shell.run(scenario)


def test_without_reconnect_the_reason_is_said(shell: Shell, broker: qpid_server.Running, register: Register) -> None:
    class Refusing(Counting):
        def __init__(self, conn: Any, host: str, port: int) -> None:
            raise OSError("not today")

    class Broken(Counting):
        def send(self, data: bytes | memoryview) -> int:
            raise OSError("the link is down")

    register("refusing", Refusing)
    register("broken", Broken)

    async def scenario() -> None:
        for name, why in (("refusing", "not today"), ("broken", "the link is down")):
            connection = shell.connection(broker.url, transport=name)
            with pytest.raises(Exception, match=f"{broker.port}: {why}"):
                await connection.open(timeout=20)
            await connection.close()

    shell.run(scenario)


def test_one_that_waits_writes_nothing(broker: qpid_server.Running, register: Register) -> None:
    """The original's tests do this: nothing is to be polled for writing, and the time given still passes."""

    class Hanging(Counting):
        def send(self, data: bytes | memoryview) -> int:
            return 0

        def writing(self, writing: bool) -> bool:
            return False

    register("hanging", Hanging)
    connection = Connection(broker.url, transport="hanging")
    with pytest.raises(Exception, match="timed out"):
        connection.open(timeout=0.2)
    connection.close(timeout=0.2)
    assert Hanging.made[0].closed


def test_a_name_that_is_none() -> None:
    with pytest.raises(ConnectError, match="no such transport: carrier-pigeon"):
        Connection("localhost", transport="carrier-pigeon")


def test_each_broker_is_reached_by_what_its_url_says(register: Register) -> None:
    options = ConnectionOptions.parse("amqp:tcp:a,tcp+tls:b,rdma:c", {})
    plain, encrypted, rdma = options.brokers()
    assert kind_for(options, plain) is TRANSPORTS["tcp"]
    assert kind_for(options, encrypted) is tls
    with pytest.raises(OSError, match="no such transport: rdma"):
        kind_for(options, rdma)
    register("mine", Counting)
    options = ConnectionOptions.parse("amqp:tcp:a,ssl:b", {"transport": "mine"})
    assert {kind_for(options, broker) for broker in options.brokers()} == {Counting}


def test_a_socket_of_ones_own_connects_at_once(broker: qpid_server.Running) -> None:
    transport = TRANSPORTS["tcp"](ConnectionOptions(tcp_nodelay=True), broker.host, broker.port)
    try:
        sock = transport.socket  # type: ignore[attr-defined]
        assert sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
        assert transport.recv(10) is None
        assert transport.send(b"AMQP\x01\x01\x00\x0a") == 8
    finally:
        transport.close()
