"""Each verb of `qpid_messaging.aio` cancelled at each place where it waits, one by one; the connection goes on."""

from __future__ import annotations

import threading
from collections.abc import Awaitable, Callable, Generator, Iterator
from typing import Any
from uuid import uuid4

import anyio
import pytest

import qpid_server
from qpid_messaging.aio import Connection, Empty, Message, Session
from qpid_messaging.transports import TRANSPORTS, Transport, tcp
from tests.integration.relay import Relay

Verb = Callable[[], Awaitable[Any]]
pytestmark = pytest.mark.parametrize("backend", ["asyncio", "trio"])


@pytest.fixture(scope="module")
def broker() -> Iterator[qpid_server.Running]:
    with qpid_server.running() as running:
        yield running


class _CancelledAt:
    """Awaits something, and cancels the scope when it waits for the n-th time."""

    def __init__(self, verb: Verb, scope: anyio.CancelScope, number: int) -> None:
        self._verb = verb
        self._scope = scope
        self._number = number

    def __await__(self) -> Generator[Any, Any, Any]:
        inner = self._verb().__await__()
        waits = 0
        try:
            request = next(inner)
            while True:
                waits += 1
                if waits == self._number:
                    self._scope.cancel()
                try:
                    answer = yield request
                except BaseException as error:  # noqa: BLE001 - it is for the verb
                    request = inner.throw(error)
                else:
                    request = inner.send(answer)
        except StopIteration as end:
            return end.value


async def cancelled_everywhere(verb: Verb) -> Any:
    """Run a verb, cancelled at its first wait, then one cancelled at its second, and so on until one is finished.

    Returns:
        What that one returned.
    """
    for number in range(1, 100):
        with anyio.CancelScope() as scope:
            result = await _CancelledAt(verb, scope, number)
        if not scope.cancelled_caught:
            return result
    raise AssertionError("it waits for ever")


def run(backend: str, function: Callable[[], Awaitable[None]]) -> None:
    async def limited() -> None:
        with anyio.fail_after(30):
            await function()

    anyio.run(limited, backend=backend)


async def works(session: Session) -> None:
    """Send and receive something."""
    address = f"{uuid4()}; {{create: always, delete: always}}"
    async with session.sender(address) as sender, session.receiver(address) as receiver:
        await sender.send("still there")
        assert (await receiver.fetch(timeout=5)).content == "still there"
        await session.acknowledge()
    await session.sync()


async def contents(session: Session, address: str) -> list[Any]:
    found: list[Any] = []
    async with session.receiver(address, capacity=100) as receiver:
        try:
            while True:
                found.append((await receiver.fetch(timeout=0)).content)
        except Empty:
            await session.acknowledge()
    return found


def test_open_and_close(backend: str, broker: qpid_server.Running) -> None:
    async def main() -> None:
        connection = Connection(broker.url)
        with anyio.CancelScope() as scope:
            await _CancelledAt(connection.open, scope, 1)
        assert not connection.opened()
        assert not connection.attached()
        await cancelled_everywhere(connection.open)
        assert connection.opened()
        await works(connection.session())
        await cancelled_everywhere(connection.close)
        assert not connection.opened()
        assert not connection.attached()
        connection = await cancelled_everywhere(lambda: _awaited(Connection.establish(broker.url)))
        await works(connection.session())
        await connection.close()

    run(backend, main)


async def _awaited(opening: Awaitable[Any]) -> Any:
    return await opening


def test_attach_and_detach(backend: str, broker: qpid_server.Running) -> None:
    async def main() -> None:
        async with Connection.establish(broker.url) as connection:
            session = connection.session()
            sender = await session.sender(f"{uuid4()}; {{create: always}}")
            await cancelled_everywhere(connection.detach)
            assert not connection.attached()
            await cancelled_everywhere(connection.attach)
            await sender.send("x")
            await works(session)

    run(backend, main)


def test_links(backend: str, broker: qpid_server.Running) -> None:
    async def main() -> None:
        async with Connection.establish(broker.url) as connection:
            session = connection.session()
            address = f"{uuid4()}; {{create: always}}"
            sender = await cancelled_everywhere(lambda: _awaited(session.sender(address)))
            receiver = await cancelled_everywhere(lambda: _awaited(session.receiver(address, capacity=10)))
            await sender.send("x")
            assert (await receiver.fetch(timeout=5)).content == "x", "no receiver that nobody has got it"
            await session.sync()
            assert session.senders == [sender]
            assert session.receivers == [receiver]
            await cancelled_everywhere(receiver.close)
            await cancelled_everywhere(sender.close)
            await session.acknowledge()
            await works(session)
            assert session.senders == session.receivers == []

    run(backend, main)


def test_closing_sessions(backend: str, broker: qpid_server.Running) -> None:
    async def main() -> None:
        async with Connection.establish(broker.url) as connection:

            async def close_one() -> None:
                with anyio.CancelScope(shield=True):
                    session = connection.session()
                    await session.receiver(address)
                    sender = await session.sender(address)
                    await sender.send("x", sync=False)
                await session.close()

            address = f"{uuid4()}; {{create: always}}"
            await cancelled_everywhere(close_one)
            assert not connection.sessions
            session = connection.session()
            await works(session)
            assert list(connection._core.sessions) == [session.name], "those given up are detached by now"

    run(backend, main)


@pytest.mark.parametrize("sync", [True, False])
def test_send(backend: str, broker: qpid_server.Running, sync: bool) -> None:
    async def main() -> None:
        async with Connection.establish(broker.url) as connection:
            session = connection.session()
            address = f"{uuid4()}; {{create: always}}"
            sender = await session.sender(address, capacity=2)
            sent = 0

            async def send() -> None:
                nonlocal sent
                before = sender._core.queued
                try:
                    await sender.send(f"{sent}", sync=sync)
                finally:
                    sent += sender._core.queued - before

            for _ in range(3):
                await cancelled_everywhere(send)
            await sender.sync(timeout=5)
            assert sender.unsettled() == 0
            assert await contents(session, address) == [f"{n}" for n in range(sent)]

    run(backend, main)


@pytest.mark.parametrize("capacity", [0, 1, 10])
def test_fetch(backend: str, broker: qpid_server.Running, capacity: int) -> None:
    async def main() -> None:
        async with Connection.establish(broker.url) as connection:
            session = connection.session()
            address = f"{uuid4()}; {{create: always}}"
            sender, receiver = await session.sender(address), await session.receiver(address, capacity=capacity)
            for n in range(20):
                await sender.send(f"{n}")
            fetched = [(await cancelled_everywhere(lambda: receiver.fetch(timeout=5))).content for n in range(20)]
            assert fetched == [f"{n}" for n in range(20)], "a fetch that was cancelled has taken none"
            with pytest.raises(Empty):
                await cancelled_everywhere(lambda: receiver.fetch(timeout=0.01))
            await session.acknowledge()

    run(backend, main)


def test_a_cancelled_fetch_wants_nothing_any_more(backend: str, broker: qpid_server.Running) -> None:
    async def main() -> None:
        async with Connection.establish(broker.url) as connection:
            session = connection.session()
            address = f"{uuid4()}; {{create: always}}"
            sender, receiver = await session.sender(address), await session.receiver(address)
            with anyio.move_on_after(0.05):
                await receiver.fetch()
            await session.sync()
            await sender.send("for somebody else")
            assert receiver.available() == 0
            other = connection.session()
            assert await contents(other, address) == ["for somebody else"]

    run(backend, main)


def test_acknowledge(backend: str, broker: qpid_server.Running) -> None:
    async def main() -> None:
        async with Connection.establish(broker.url) as connection:
            session = connection.session()
            address = f"{uuid4()}; {{create: always}}"
            sender, receiver = await session.sender(address), await session.receiver(address, capacity=10)
            for n in range(10):
                await sender.send(f"{n}")
            for _ in range(10):
                message: Message = await receiver.fetch(timeout=5)
                with anyio.CancelScope() as scope:
                    await _CancelledAt(lambda message=message: session.acknowledge(message), scope, 1)
            await session.sync(timeout=5)
            assert receiver.unsettled() == 0
            await receiver.close()
            assert await contents(session, address) == []

    run(backend, main)


def test_acknowledge_without_room_for_it(backend: str, broker: qpid_server.Running) -> None:
    async def main() -> None:
        async with Connection.establish(broker.url) as connection:
            session = connection.session()
            session.ack_capacity = 1
            address = f"{uuid4()}; {{create: always}}"
            sender, receiver = await session.sender(address), await session.receiver(address, capacity=10)
            for n in range(10):
                await sender.send(f"{n}")
            for _ in range(10):
                message: Message = await receiver.fetch(timeout=5)
                # Until one is finished: those before it waited for room, or have been settled by it.
                await cancelled_everywhere(lambda message=message: _acknowledged(session, message))
            await session.sync(timeout=5)
            assert receiver.unsettled() == 0
            await receiver.close()
            assert await contents(session, address) == []

    run(backend, main)


async def _acknowledged(session: Session, message: Message) -> None:
    if message._delivery in session._core.unacked:
        await session.acknowledge(message, sync=False)


def test_waiting_for_any_receiver_and_for_everything(backend: str, broker: qpid_server.Running) -> None:
    async def main() -> None:
        async with Connection.establish(broker.url) as connection:
            session = connection.session()
            address = f"{uuid4()}; {{create: always}}"
            sender, receiver = await session.sender(address), await session.receiver(address, capacity=1)
            for n in range(5):
                await sender.send(f"{n}", sync=False)
                await cancelled_everywhere(sender.sync)
                assert await cancelled_everywhere(lambda: session.next_receiver(timeout=5)) is receiver
                message = await receiver.fetch(timeout=0)
                assert message.content == f"{n}"
                await session.acknowledge(message, sync=False)
                await cancelled_everywhere(session.sync)
            with pytest.raises(Empty):
                await cancelled_everywhere(lambda: session.next_receiver(timeout=0.01))
            await works(session)

    run(backend, main)


def test_a_block_that_is_cancelled(backend: str, broker: qpid_server.Running) -> None:
    async def main() -> None:
        async with Connection.establish(broker.url) as connection:
            address = f"{uuid4()}; {{create: always}}"

            async def block() -> None:
                async with (
                    connection.session() as session,
                    session.sender(address) as sender,
                    session.receiver(address) as receiver,
                ):
                    await sender.send("x")
                    async for message in receiver:
                        await session.acknowledge(message)
                        return

            await cancelled_everywhere(block)
            assert not connection.sessions
            await works(connection.session())

    run(backend, main)


def test_commit_and_rollback(backend: str, broker: qpid_server.Running) -> None:
    async def main() -> None:
        async with Connection.establish(broker.url) as connection:
            session = connection.session(transactional=True)
            address = f"{uuid4()}; {{create: always}}"
            sender = await session.sender(address)
            for n in range(5):
                await sender.send(f"kept {n}")
                await cancelled_everywhere(session.commit)
                await sender.send(f"dropped {n}")
                await cancelled_everywhere(session.rollback)
            assert await contents(connection.session(), address) == [f"kept {n}" for n in range(5)]

    run(backend, main)


def test_during_a_fail_over(backend: str, broker: qpid_server.Running) -> None:
    async def main() -> None:
        with Relay(broker.port) as relay:
            options = {"reconnect": True, "reconnect_log": False}
            async with Connection.establish(relay.url, **options) as connection:
                session = connection.session()
                address = f"{uuid4()}; {{create: always}}"
                sender = await session.sender(address)
                receiver = await session.receiver(address, capacity=2)
                sent: list[str] = []

                async def send() -> None:
                    relay.cut()
                    before = sender._core.queued
                    try:
                        await sender.send(f"{len(sent)}", timeout=5)
                    finally:
                        if sender._core.queued > before:
                            sent.append(f"{len(sent)}")

                for _ in range(3):
                    await cancelled_everywhere(send)
                    relay.cut()
                    await cancelled_everywhere(lambda: receiver.fetch(timeout=5))
                    await session.acknowledge()
                await sender.sync(timeout=5)
                await works(session)
                assert sender.unsettled() == 0
                assert connection.stats.fail_overs > 3

    run(backend, main)


def test_a_transport_that_takes_its_time(
    backend: str, broker: qpid_server.Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun, go_on, closed = threading.Event(), threading.Event(), threading.Event()
    made: list[Transport] = []

    class Slow(tcp):
        def __init__(self, conn: Any, host: str, port: int) -> None:
            begun.set()
            go_on.wait(20)
            super().__init__(conn, host, port)
            made.append(self)

        def close(self) -> None:
            super().close()
            closed.set()

    monkeypatch.setitem(TRANSPORTS, "slow", Slow)

    async def main() -> None:
        connection = Connection(broker.url, transport="slow")
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(connection.open)
            await anyio.to_thread.run_sync(begun.wait)
            tasks.cancel_scope.cancel()
        await connection.close()
        assert not made, "nobody waited for it"
        go_on.set()
        await anyio.to_thread.run_sync(closed.wait)
        await connection.open()
        await works(connection.session())
        await connection.close()

    run(backend, main)
