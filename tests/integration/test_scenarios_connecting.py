"""Finding a broker, scenario by scenario: some of those listed are down, mute, stopped, backups, or something else.

All shells play each of them, see `tests.integration.stage`.
"""

from __future__ import annotations

import socket
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from typing_extensions import Self

import qpid_server
from qpid_messaging import ConnectionError, Message, Timeout, TransactionUnknown
from tests.integration.cluster import BrokerProcess, ClusterOfProcesses, free_ports
from tests.integration.relay import Relay
from tests.integration.stage import SOON, Player, Stage, everybody, everybody_waits, perform

OPTIONS = ("--ha-replicate", "all", "--ha-min-replicas", "1", "--link-heartbeat-interval", "1")

pytestmark = pytest.mark.timeout(100)


@pytest.fixture(scope="module")
def broker() -> Iterator[qpid_server.Running]:
    with qpid_server.running() as running:
        yield running


@contextmanager
def mute() -> Iterator[str]:
    """Something that accepts connections, as far as anybody can tell, and says nothing."""
    with socket.create_server(("127.0.0.1", 0), backlog=50) as listener:
        yield f"127.0.0.1:{listener.getsockname()[1]}"


@contextmanager
def answering(data: bytes) -> Iterator[str]:
    """Something that answers whatever it is told with this, and closes."""

    def serve() -> None:
        while True:
            try:
                client, _ = listener.accept()
            except OSError:
                return
            with client:
                client.recv(8)
                client.sendall(data)

    with socket.create_server(("127.0.0.1", 0), backlog=50) as listener:
        thread = threading.Thread(target=serve)
        thread.start()
        yield f"127.0.0.1:{listener.getsockname()[1]}"
        listener.shutdown(socket.SHUT_RDWR)
        thread.join(10)


def dead() -> str:
    return f"127.0.0.1:{free_ports(1)[0]}"


class Timed:
    """Says how many seconds a block took."""

    def __enter__(self) -> Self:
        self._began = time.monotonic()
        return self

    def __exit__(self, *_: object) -> None:
        self.seconds = time.monotonic() - self._began


def works(player: Player) -> Callable[[Any], Any]:
    async def works(connection: Any) -> None:
        session = connection.session()
        sender, receiver = await session.sender(player.address()), await session.receiver(player.address())
        await sender.send("x")
        message: Message = await receiver.fetch(timeout=5)
        assert message.content == "x"
        await session.acknowledge()

    return works


# -- lists -------------------------------------------------------------------------------------------------------------


def test_a_list_that_is_wrong_but_for_its_last_entry(broker: qpid_server.Running) -> None:
    async def scenario(player: Player) -> None:
        with Timed() as it:
            connection = await player.connect(heartbeat=1)
        assert it.seconds < 4, "a mute one costs two heartbeats"
        await works(player)(connection)
        assert connection.stats.attempts == 7
        await connection.close()

    with mute() as silent, answering(b"HTTP/1.1 400 Bad Request\r\n\r\n") as web, answering(b"AMQP\1\1\0\t") as old:
        perform(scenario, [dead(), web, silent, old, "no..name", dead(), broker.url])


def test_a_broker_that_accepts_and_says_nothing() -> None:
    async def scenario(player: Player) -> None:
        with Timed() as it, pytest.raises((Timeout, ConnectionError)):
            await player.connect(heartbeat=1, reconnect_timeout=0.5)
        assert it.seconds < 3
        with Timed() as it, pytest.raises(ConnectionError, match="heartbeat"):
            await player.connection(heartbeat=1, reconnect=False).open()
        assert 1.9 < it.seconds < 4

    with mute() as silent:
        perform(scenario, [silent])


# -- giving up ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "least", "most"),
    [
        ({"reconnect_timeout": 0.5}, 0.4, 2.5),
        ({"reconnect_limit": 3, "reconnect_interval": 0.1}, 0.2, 2.5),
        ({"reconnect": False}, 0, 1.5),
    ],
    ids=["reconnect_timeout", "reconnect_limit", "no reconnect"],
)
def test_giving_up(broker: qpid_server.Running, options: dict[str, Any], least: float, most: float) -> None:
    relay = Relay(broker.port)

    def close(players: list[Player]) -> None:
        everybody_waits(players)
        for player in players:
            player.killed = time.monotonic()
        relay.__exit__()

    async def scenario(player: Player) -> None:
        connection = await player.connect(**options)
        session = connection.session()
        sender, receiver = await session.sender(player.address()), await session.receiver(player.address())

        async def wait() -> None:
            player.begin()
            with pytest.raises(ConnectionError):
                await receiver.fetch()
            assert player.killed is not None
            assert least <= time.monotonic() - player.killed <= most

        await player.together(wait)
        with Timed() as it:
            with pytest.raises(ConnectionError):
                await sender.send("x")
            with pytest.raises(ConnectionError):
                await session.sync()
            with pytest.raises(ConnectionError):
                await connection.close()
        assert it.seconds < 1, "it has been given up"

    try:
        perform(scenario, [relay.url, dead()], conduct=close)
    finally:
        relay.cut()


# -- all down ----------------------------------------------------------------------------------------------------------


def test_all_brokers_down_then_one_back() -> None:
    port = free_ports(1)[0]

    async def scenario(player: Player) -> None:
        connection = await player.connect()
        sender = await connection.session().sender(player.address())
        session = connection.session(transactional=True)
        transacting = await session.sender(player.address("t"))
        await transacting.send("0")
        await player.hold()
        for n in range(100):
            await sender.send(f"{n}", sync=False)

        async def send() -> None:
            player.begin()
            await sender.send("100")
            player.was_soon()

        async def commit() -> None:
            with pytest.raises(TransactionUnknown):
                await session.commit()

        await player.together(send, commit)
        receiver = await connection.session().receiver(player.address(), capacity=10)
        assert [(await receiver.fetch(timeout=5)).content for _ in range(101)] == [f"{n}" for n in range(101)]
        assert connection.stats.fail_overs == 1
        assert connection.stats.seconds_without_broker >= 0.5
        await session.close()
        await connection.close()

    with tempfile.TemporaryDirectory() as folder:
        broker = BrokerProcess("S", port, Path(folder), ())
        try:

            def conduct(players: list[Player]) -> None:
                everybody(players, lambda player: player.held.is_set(), "holding")
                broker.stop()
                for player in players:
                    player.released.set()
                everybody_waits(players)
                broker.kill()
                time.sleep(0.5)
                for player in players:
                    player.killed = time.monotonic()
                broker.start()

            perform(scenario, [dead(), broker.url, dead()], conduct=conduct)
        finally:
            broker.end()


# -- a cluster ---------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def stage(kept_running: set[int]) -> Iterator[Stage]:
    with ClusterOfProcesses(options=OPTIONS) as cluster:
        cluster.ready()
        yield Stage(cluster, kept_running)


def test_a_backup_that_turns_us_away(stage: Stage) -> None:
    urls = stage.cluster.urls
    primary = urls.pop(stage.primary)

    async def scenario(player: Player) -> None:
        with Timed() as it:
            connection = await player.connect()
        assert it.seconds < 2
        await works(player)(connection)
        assert connection.stats.attempts == 3
        await connection.close()
        with Timed() as it, pytest.raises((Timeout, ConnectionError)):
            await player.connect(*urls, reconnect_timeout=0.5)
        assert it.seconds < 2.5

    perform(scenario, [*urls, primary])


def test_a_primary_that_stops_dead(stage: Stage) -> None:
    """SIGSTOP: only heartbeats tell. When it goes on, it finds that it is no primary any more."""

    async def scenario(player: Player) -> None:
        connection = await player.connect(heartbeat=1)
        session = connection.session()
        sender, receiver = await session.sender(player.address()), await session.receiver(player.address(), capacity=5)
        count = 0
        while not player.recovered.is_set() or count < 30:
            await sender.send(f"{count}")
            count += 1
            if count == 10:
                player.begin()
        player.was_soon()
        seen = [(await receiver.fetch(timeout=5)).content for _ in range(count)]
        if player.surviving:
            assert seen == [f"{n}" for n in range(count)]
            await session.acknowledge()
        else:
            assert len(set(seen)) >= count - 1
        await connection.close()

    assert SOON > 2, "that many heartbeats it takes"
    stage.play(scenario, change=stage.replace_stopped)
