"""Applications: the real async client, on the simulated network, doing what applications do and writing it down."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from random import Random
from typing import Any

import trio

from qpid_messaging import aio
from qpid_messaging.aio.driver import Driver
from qpid_messaging.aio.session import Session
from qpid_messaging.exceptions import Empty, TransactionError, TransactionUnknown
from qpid_messaging.message import Message
from tests.simulation.checker import (
    Acknowledged,
    Acknowledging,
    Confirmed,
    Decided,
    Event,
    Outcome,
    Received,
    Sent,
)
from tests.simulation.network import ClientSockets, Host

Write = Callable[[Event], None]


class Connection(aio.Connection):
    """A client's connection, from a host of the simulated network."""

    def __init__(self, host: Host, url: str | None = None, **options: Any) -> None:
        self._host = host
        super().__init__(url, **options)

    def _make_driver(self) -> Driver:
        return Driver(self._core, ClientSockets(self._host))


async def connect(host: Host, brokers: list[str]) -> Connection:
    """Connect to whichever of the brokers is the primary."""
    connection = Connection(
        host, brokers[0], reconnect=True, reconnect_urls=brokers[1:], heartbeat=1, reconnect_log=False
    )
    await connection.open()
    return connection


class Client:
    """An application that goes on until it is told to stop.

    Args:
        host: where it runs; it has the host's name.
        brokers: the members.
        random: decides what it does when.
        write: takes down what it does and sees.

    Attributes:
        stopping: it ends what it does and closes.
    """

    def __init__(self, host: Host, brokers: list[str], random: Random, write: Write) -> None:
        self.host = host
        self.name = host.name
        self.brokers = brokers
        self.random = random
        self.write = write
        self.stopping = False
        self._count = 0

    async def run(self) -> None:
        """Do what it is for."""
        raise NotImplementedError

    async def connect(self) -> Connection:
        return await connect(self.host, self.brokers)

    def next_name(self) -> str:
        """A name for the next message."""
        self._count += 1
        return f"{self.name}.{self._count}"

    async def pause(self, seconds: float) -> None:
        """Do something else, for about so long."""
        await trio.sleep(self.random.expovariate(1 / seconds))


class Producer(Client):
    """Sends one message after the other.

    Args:
        address: where to.
        routes: for each subject that it uses, the queues that a message with it comes to.
        outstanding: how many may be without confirmation; with 1 it waits for each.
    """

    def __init__(
        self, *client: Any, address: str, routes: dict[str, tuple[str, ...]], outstanding: int, interval: float
    ) -> None:
        super().__init__(*client)
        self._address = address
        self._routes = routes
        self._outstanding = outstanding
        self._interval = interval

    async def run(self) -> None:
        connection = await self.connect()
        sender = await connection.session().sender(self._address, capacity=self._outstanding)
        unconfirmed: list[str] = []

        def confirmed() -> None:
            while len(unconfirmed) > sender.unsettled():
                self.write(Confirmed(unconfirmed.pop(0)))

        while not self.stopping:
            subject = self.random.choice(list(self._routes))
            name = self.next_name()
            self.write(Sent(self.name, name, self._routes[subject]))
            unconfirmed.append(name)
            await sender.send(Message(name, subject=subject), sync=self._outstanding == 1)
            confirmed()
            await self.pause(self._interval)
            confirmed()
        await sender.sync()
        confirmed()
        await connection.close()


class Consumer(Client):
    """Receives, works for a while, and acknowledges; now and then it dies in the middle of it, and another takes over.

    Args:
        queue: where from.
        capacity: how many messages come ahead.
        batch: how many are acknowledged at a time, at most.
    """

    def __init__(self, *client: Any, queue: str, capacity: int, batch: int, interval: float) -> None:
        super().__init__(*client)
        self._queue = queue
        self._capacity = capacity
        self._batch = batch
        self._interval = interval
        self._connections = 0

    async def run(self) -> None:
        while not self.stopping:
            connection = await self.connect()
            dies = self.random.random() < 0.3
            await self._work(connection, self.random.uniform(1, 6) if dies else 1e9)
            if self.stopping:
                await connection.close()
            else:
                await connection._abandon()
            self._connections += connection.stats.fail_overs + 1

    async def _work(self, connection: Connection, seconds: float) -> None:
        ends = trio.current_time() + seconds
        session = connection.session()
        receiver = await session.receiver(self._queue, capacity=self._capacity)
        held: list[Message] = []
        while not (self.stopping or trio.current_time() >= ends):
            try:
                held.append(await receiver.fetch(timeout=2))
            except Empty:
                pass
            else:
                self.write(receipt(self, self._queue, held[-1], connection, self._connections))
            if held and self.random.random() < 1 / self._batch:
                await self._acknowledge(connection, session, held)
            await self.pause(self._interval)
        if self.stopping:
            await self._acknowledge(connection, session, held)

    async def _acknowledge(self, connection: Connection, session: Session, held: list[Message]) -> None:
        messages = [*held]
        held.clear()
        for message in messages:
            self.write(Acknowledging(self.name, self._queue, message.content))
        if self.random.random() < 0.5:
            for message in messages:
                await session.acknowledge(message, sync=False)
            await session.sync()
        else:
            for message in messages:
                await session.acknowledge(message)
        now = self._connections + connection.stats.fail_overs
        for message in messages:
            self.write(Acknowledged(self.name, self._queue, message.content, now))


class Transactor(Client):
    """Moves messages from one queue to others, or puts new ones there, a transaction at a time.

    Args:
        source: where it takes messages from; None for one that only sends.
        targets: where it sends to.
        size: how many messages it takes at a time, or sends to each target, at most.
    """

    def __init__(self, *client: Any, source: str | None, targets: tuple[str, ...], size: int, interval: float) -> None:
        super().__init__(*client)
        self._source = source
        self._targets = targets
        self._size = size
        self._interval = interval
        self._transactions = 0

    async def run(self) -> None:
        connection = await self.connect()
        while not self.stopping:
            with suppress(TransactionError):  # it was decided, and the session is of no use any more
                await self._session(connection)
        await connection.close()

    async def _session(self, connection: Connection) -> None:
        session = connection.session(transactional=True)
        try:
            senders = [await session.sender(target) for target in self._targets]
            receiver = await session.receiver(self._source, capacity=2 * self._size) if self._source else None
            while not self.stopping:
                self._transactions += 1
                transaction = f"{self.name}/{self._transactions}"
                outcome = Outcome.ABORTED
                try:
                    if await self._transaction(transaction, connection, session, senders, receiver):
                        outcome = Outcome.COMMITTED
                except TransactionUnknown:
                    outcome = Outcome.UNKNOWN
                    raise
                finally:
                    self.write(Decided(transaction, outcome, self.name, connection.stats.fail_overs))
                await self.pause(self._interval)
        finally:
            await session.close()

    async def _transaction(
        self, transaction: str, connection: Connection, session: Session, senders: list[Any], receiver: Any
    ) -> bool:
        """Do the work of one. Returns whether it was committed, rather than rolled back."""
        count = self.random.randint(1, self._size)
        if receiver is not None and self._source is not None:
            taken: list[Message] = []
            while len(taken) < count:
                try:
                    taken.append(await receiver.fetch(timeout=0.2 if taken else 1))
                except Empty:
                    break
                self.write(receipt(self, self._source, taken[-1], connection, 0))
            for message in taken:
                self.write(Acknowledging(self.name, self._source, message.content, transaction))
                await session.acknowledge(message, sync=False)
            count = len(taken)
        for sender, target in zip(senders, self._targets, strict=True):
            for _ in range(count):
                name = self.next_name()
                self.write(Sent(self.name, name, (target,), transaction))
                await sender.send(name, sync=False)
        if self.random.random() < 0.15:
            await session.rollback()
            return False
        await session.commit()
        return True


class Drainer(Client):
    """Takes and acknowledges all that is left on some queues.

    Args:
        queues: which.
        left: whether there is something left on one; a primary that waits for its backups gives nothing away meanwhile.
    """

    def __init__(self, *client: Any, queues: list[str], left: Callable[[str], bool]) -> None:
        super().__init__(*client)
        self._queues = queues
        self._left = left

    async def run(self) -> None:
        connection = await self.connect()
        session = connection.session()
        for queue in self._queues:
            receiver = await session.receiver(queue, capacity=50)
            while self._left(queue):
                try:
                    message = await receiver.fetch(timeout=1)
                except Empty:
                    continue
                self.write(receipt(self, queue, message, connection, 0))
                self.write(Acknowledging(self.name, queue, message.content))
                await session.acknowledge(message)
                self.write(Acknowledged(self.name, queue, message.content, connection.stats.fail_overs))
        await connection.close()


def receipt(client: Client, queue: str, message: Message, connection: Connection, before: int) -> Received:
    """What a consumer writes down of a message.

    Args:
        before: connections that it had before this one.
    """
    assert message._delivery is not None
    stored_as = message._delivery.resume_id() or ""
    return Received(client.name, queue, message.content, before + connection.stats.fail_overs, stored_as)
