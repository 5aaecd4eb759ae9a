"""`qpid_messaging.aio` against a broker, on asyncio and on trio: the verbs, and what differs from the blocking ones."""

from __future__ import annotations

import inspect
import os
import subprocess
import sys
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import anyio
import pytest

import qpid_messaging
import qpid_server
from qpid_messaging import aio
from qpid_messaging.aio import (
    REJECTED,
    UNLIMITED,
    ConnectError,
    Connection,
    ConnectionClosed,
    ConnectionError,
    Detached,
    Disposition,
    Empty,
    InsufficientCapacity,
    InvalidOption,
    LinkClosed,
    Message,
    NontransactionalSession,
    NotFound,
    SessionClosed,
    Timeout,
)
from tests.integration.cluster import free_ports
from tests.integration.relay import Relay

#: The classes that there is one of for each way to wait.
SHELLS = ("Connection", "Session", "Sender", "Receiver")
Run = Callable[[Callable[[], Awaitable[None]]], None]


@pytest.fixture(scope="module")
def broker() -> Iterator[qpid_server.Running]:
    with qpid_server.running() as running:
        yield running


@pytest.fixture(params=["asyncio", "trio"])
def run(request: pytest.FixtureRequest) -> Run:
    def run(function: Callable[[], Awaitable[None]]) -> None:
        async def limited() -> None:
            with anyio.fail_after(30):
                await function()

        anyio.run(limited, backend=request.param)

    return run


@pytest.fixture
def queue() -> str:
    return f"queue-{uuid4()}; {{create: always}}"


def test_send_fetch_acknowledge(broker: qpid_server.Running, run: Run, queue: str) -> None:
    async def main() -> None:
        async with Connection.establish(broker.url) as connection:
            assert connection.opened()
            assert connection.attached()
            session = connection.session()
            sender = await session.sender(queue)
            receiver = await session.receiver(queue, capacity=10)
            assert session.senders == [sender]
            assert session.receivers == [receiver]
            for content in ("text", b"bytes", {"a": 1}, [1, "two"]):
                await sender.send(Message(content, subject="s"))
            assert sender.unsettled() == 0
            for content in ("text", b"bytes", {"a": 1}, [1, "two"]):
                assert await session.next_receiver(timeout=5) is receiver
                message = await receiver.fetch(timeout=5)
                assert (message.content, message.subject) == (content, "s")
            await session.acknowledge()
            with pytest.raises(Empty):
                await receiver.fetch(timeout=0)
            with pytest.raises(Empty):
                await session.next_receiver(timeout=0)
        assert not connection.opened()

    run(main)


def test_iterating_until_the_receiver_is_closed(broker: qpid_server.Running, run: Run, queue: str) -> None:
    async def main() -> None:
        async with Connection.establish(broker.url) as connection:
            session = connection.session()
            async with session.sender(queue, capacity=100) as sender:
                for n in range(500):
                    await sender.send(f"{n}", sync=False)
            assert sender.closed
            contents: list[Any] = []
            receiver = await session.receiver(queue, capacity=50)
            async with anyio.create_task_group() as tasks:

                async def consume() -> None:
                    async for message in receiver:
                        contents.append(message.content)
                        await session.acknowledge(message, sync=False)
                        if len(contents) == 500:
                            tasks.start_soon(receiver.close)

                tasks.start_soon(consume)
            assert contents == [f"{n}" for n in range(500)]
            assert receiver.closed

    run(main)


def test_a_busy_loop_lets_others_run(broker: qpid_server.Running, run: Run, queue: str) -> None:
    async def main() -> None:
        async with Connection.establish(broker.url) as connection, connection.session() as session:
            sender = await session.sender(queue, capacity=UNLIMITED)
            beats = 0

            async def beat() -> None:
                nonlocal beats
                while True:
                    await anyio.lowlevel.checkpoint()
                    beats += 1

            async with anyio.create_task_group() as tasks:
                tasks.start_soon(beat)
                for _ in range(5000):
                    await sender.send(b"x" * 100, sync=False)
                assert beats >= 50
                await sender.sync()
                tasks.cancel_scope.cancel()

    run(main)


def test_large_messages_wait_for_the_socket(broker: qpid_server.Running, run: Run, queue: str) -> None:
    async def main() -> None:
        async with Connection.establish(broker.url) as connection, connection.session() as session:
            sender = await session.sender(queue)
            for n in range(8):
                await sender.send(bytes([n]) * (3 << 20), sync=False)
            await sender.sync(timeout=20)
            receiver = await session.receiver(queue, capacity=2)
            for n in range(8):
                assert (await receiver.fetch(timeout=10)).content == bytes([n]) * (3 << 20)
            await session.acknowledge()

    run(main)


def test_many_tasks_share_a_session(broker: qpid_server.Running, run: Run, queue: str) -> None:
    async def main() -> None:
        async with Connection.establish(broker.url) as connection:
            session = connection.session()
            sender = await session.sender(queue, capacity=10)
            receiver = await session.receiver(queue)
            seen: list[Any] = []

            async def send(number: int) -> None:
                for n in range(20):
                    await sender.send(f"{number}.{n}", sync=n % 2 == 0)

            async def fetch() -> None:
                for _ in range(20):
                    message = await receiver.fetch(timeout=20)
                    seen.append(message.content)
                    await session.acknowledge(message, sync=False)

            async with anyio.create_task_group() as tasks:
                for number in range(10):
                    tasks.start_soon(send, number)
                    tasks.start_soon(fetch)
            assert sorted(seen) == sorted(f"{number}.{n}" for number in range(10) for n in range(20))

    run(main)


def test_dispositions_and_acknowledge_capacity(broker: qpid_server.Running, run: Run, queue: str) -> None:
    async def main() -> None:
        async with Connection.establish(broker.url) as connection, connection.session() as session:
            sender, receiver = await session.sender(queue), await session.receiver(queue)
            await sender.send("refused")
            await session.acknowledge(await receiver.fetch(timeout=5), Disposition(REJECTED))
            session.ack_capacity = 1
            for n in range(10):
                await sender.send(f"{n}")
                await session.acknowledge(await receiver.fetch(timeout=5), sync=False)
            assert receiver.unsettled() <= 1
            session.ack_capacity = 0
            with pytest.raises(InsufficientCapacity):
                await session.acknowledge()

    run(main)


def test_transactions(broker: qpid_server.Running, run: Run, queue: str) -> None:
    async def main() -> None:
        async with Connection.establish(broker.url) as connection:
            session = connection.session(transactional=True)
            sender, receiver = await session.sender(queue), await session.receiver(queue)
            await sender.send("undone")
            await session.rollback()
            await sender.send("done")
            await session.commit()
            message = await receiver.fetch(timeout=5)
            assert message.content == "done"
            await session.acknowledge(message)
            await session.rollback()
            assert (await receiver.fetch(timeout=5)).redelivered
            await session.acknowledge()
            await session.commit()
            with pytest.raises(Empty):
                await receiver.fetch(timeout=0)
            with pytest.raises(NontransactionalSession):
                await connection.session().commit()

    run(main)


def test_errors_are_those_of_the_blocking_client(broker: qpid_server.Running, run: Run, queue: str) -> None:
    async def main() -> None:
        connection = await Connection.establish(broker.url)
        with pytest.raises(ConnectionError, match="already open"):
            await connection.open()
        session = connection.session()
        with pytest.raises(NotFound):
            await session.sender("nowhere")
        with pytest.raises(InvalidOption):
            await session.receiver(queue, capacty=1)
        sender = await session.sender(queue, capacity=0)
        with pytest.raises(InsufficientCapacity):
            await sender.send("x")
        receiver = await session.receiver(queue)
        await receiver.close()
        with pytest.raises(LinkClosed):
            await receiver.fetch()
        await session.close()
        with pytest.raises(Detached):
            await session.sender(queue)
        session = connection.session()
        sender = await session.sender(queue)
        await connection.detach()
        with pytest.raises(Detached):
            await sender.send("x")
        with pytest.raises(ConnectionClosed):
            connection.check_closed()
        await connection.attach()
        await sender.send("x")
        await connection.close()
        with pytest.raises(ConnectError, match="refused"):
            await Connection.establish(f"127.0.0.1:{free_ports(1)[0]}")

    run(main)


def test_everybody_waiting_hears_of_the_end(broker: qpid_server.Running, run: Run, queue: str) -> None:
    async def main() -> None:
        ended: list[type[BaseException]] = []
        async with anyio.create_task_group() as tasks:
            connection = await Connection.establish(broker.url)
            session = connection.session()
            receiver = await session.receiver(queue)

            async def wait(verb: Callable[[], Awaitable[Any]]) -> None:
                try:
                    await verb()
                except (LinkClosed, SessionClosed) as error:
                    ended.append(type(error))

            tasks.start_soon(wait, receiver.fetch)
            tasks.start_soon(wait, receiver.fetch)
            tasks.start_soon(wait, session.next_receiver)
            await anyio.wait_all_tasks_blocked()
            await connection.close()
        assert sorted(error.__name__ for error in ended) == ["LinkClosed", "LinkClosed", "SessionClosed"]

    run(main)


def test_handlers_are_called_in_the_event_loop(broker: qpid_server.Running, run: Run, queue: str) -> None:
    async def main() -> None:
        with Relay(broker.port) as relay:
            connection = await Connection.establish(relay.url)
            session = connection.session()
            arrived, failed = anyio.Event(), anyio.Event()
            session.set_message_received_notify_handler(lambda _: arrived.set())
            connection.set_async_exception_notify_handler(lambda *_: failed.set())
            receiver = await session.receiver(queue, capacity=1)
            await (await session.sender(queue)).send("x")
            await arrived.wait()
            assert receiver.available() == 1
            relay.cut()
            await failed.wait()
            with pytest.raises(ConnectionError):
                await connection.close()

    run(main)


def test_it_reconnects(broker: qpid_server.Running, run: Run, queue: str) -> None:
    async def main() -> None:
        with Relay(broker.port) as relay:
            options = {"reconnect": True, "reconnect_log": False, "heartbeat": 5}
            async with Connection.establish(relay.url, **options) as connection:
                session = connection.session()
                sender = await session.sender(queue, capacity=100)
                for n in range(1000):
                    await sender.send(f"{n}", sync=n % 10 == 0)
                    if n % 200 == 100:
                        relay.cut()
                await sender.sync(timeout=10)
                assert connection.stats.fail_overs
                receiver = await session.receiver(queue, capacity=100)
                contents = [(await receiver.fetch(timeout=5)).content for _ in range(1000)]
                assert contents == [f"{n}" for n in range(1000)]
                await session.acknowledge()

    run(main)


def test_timeouts(broker: qpid_server.Running, run: Run, queue: str) -> None:
    async def main() -> None:
        with Relay(broker.port) as relay:
            connection = await Connection.establish(relay.url)
            sender = await connection.session().sender(queue)
            relay.stop()
            with pytest.raises(Timeout):
                await sender.send("x", timeout=0.1)
            with pytest.raises(Timeout):
                await sender.sync(timeout=0.1)
            with pytest.raises(Timeout):
                await connection.close(timeout=0.1)
            with pytest.raises(Timeout):
                await Connection.establish(relay.url, timeout=0.1)

    run(main)


def test_nothing_is_left_of_many_connections(broker: qpid_server.Running, run: Run) -> None:
    async def main() -> None:
        await (await Connection.establish(broker.url)).close()
        before = sorted(os.listdir("/proc/self/fd"))
        for _ in range(100):
            async with Connection.establish(broker.url) as connection:
                connection.session()
        if run_backend() == "asyncio":
            import asyncio

            assert len(asyncio.all_tasks()) == 1
        assert len(os.listdir("/proc/self/fd")) <= len(before) + 1, "the broker may not have closed the last one yet"

    def run_backend() -> str:
        import asyncio

        return "asyncio" if anyio.get_cancelled_exc_class() is asyncio.CancelledError else "trio"

    run(main)


def test_a_connection_left_open_ends_with_its_loop(broker: qpid_server.Running, run: Run) -> None:
    connection = Connection(broker.url)

    async def main() -> None:
        await connection.open()

    run(main)
    with pytest.raises(ConnectionError, match="event loop"):
        connection.check_error()


def test_the_blocking_client_does_without_anyio() -> None:
    root = Path(__file__).resolve().parents[2]
    program = "import sys, qpid_messaging; sys.exit('anyio' in sys.modules or 'tenacity' in sys.modules)"
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(root), str(root / "address")])}
    subprocess.run([sys.executable, "-c", program], env=environment, check=True, timeout=30)


def test_it_has_the_same_names() -> None:
    assert sorted(aio.__all__) == sorted(qpid_messaging.__all__)
    for name in set(aio.__all__) - set(SHELLS):
        assert getattr(aio, name) is getattr(qpid_messaging, name)


@pytest.mark.parametrize("name", SHELLS)
def test_its_classes_have_the_same_attributes_and_their_verbs_the_same_arguments(name: str) -> None:
    ours, blocking = getattr(aio, name), getattr(qpid_messaging, name)
    assert public(ours) == public(blocking)
    for attribute in public(ours):
        verb, blocks = getattr(ours, attribute), getattr(blocking, attribute)
        if verb is blocks or not callable(verb):
            continue  # both have it from what they have in common
        assert arguments(verb) == arguments(blocks), attribute
        # What waits is to be awaited, and what only looks is the same in both.
        waits = inspect.iscoroutinefunction(verb) or inspect.signature(verb).return_annotation.startswith("Opening[")
        assert waits, attribute


def public(cls: type) -> list[str]:
    return sorted(name for name in dir(cls) if not name.startswith("_"))


def arguments(verb: Callable[..., Any]) -> list[tuple[str, object, object]]:
    return [(taken.name, taken.kind, taken.default) for taken in inspect.signature(verb).parameters.values()]


def test_both_are_context_managers_and_only_receivers_are_gone_over() -> None:
    for name in SHELLS:
        assert hasattr(getattr(qpid_messaging, name), "__enter__")
        assert hasattr(getattr(aio, name), "__aenter__")
        assert not hasattr(getattr(aio, name), "__enter__"), "it could not wait"
        assert hasattr(getattr(aio, name), "__aiter__") == (name == "Receiver")
