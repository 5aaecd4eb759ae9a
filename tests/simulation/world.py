"""A cluster, its clients and its misfortunes, from the first promotion to the verdict, in one process on one clock."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from random import Random
from typing import Any

import trio

from qpid_server.ha.promotion import ACTIVE, READY
from tests.simulation.checker import Event, Findings, check
from tests.simulation.clients import Client, Consumer, Drainer, Producer, Transactor, connect
from tests.simulation.clock import Clock
from tests.simulation.manager import NAME, Manager
from tests.simulation.members import Member
from tests.simulation.misfortunes import Misfortunes
from tests.simulation.network import PORT, Network
from tests.simulation.stopping import PROCESS, Turns
from tests.unit.ha.members import replicated_state

MEMBERS = "abc"
SECONDS = 8.0
"""How long things go wrong."""
DELAYS = [(0.001, 0.01), (0.005, 0.04), (0.02, 0.1)]
"""Seconds that bytes take, in one world or another: the longer, the more is on its way when something breaks."""
PATIENCE = 90.0
"""Seconds that everything gets to be in order again, when nothing goes wrong any more."""

QUEUES = ["orders", "work", "done", "news.all", "news.eu"]
SOLE = ["orders", "done", "news.eu"]
"""Those with one consumer at a time."""
NEWS = (
    "news; {create: always, node: {type: topic, x-declare: {type: topic}, x-bindings: ["
    "{queue: 'news.all', key: '#'}, {queue: 'news.eu', key: 'eu.#'}]}}"
)


class World:
    """One life of a cluster.

    Args:
        seed: decides all that happens.
        folder: an empty one, for what members keep on disk.
        clock: that of the loop that it lives in.

    Attributes:
        members: the brokers, by name.
        history: what the clients did and saw.
        log: everything that happened, as text.
        violations: what was not as promised.
        findings: what the clients' history shows, in the end.
    """

    def __init__(self, seed: int, folder: Path, clock: Clock) -> None:
        self.seed = seed
        self.members: dict[str, Member] = {}
        self.history: list[Event] = []
        self.log: list[str] = []
        self.violations: list[str] = []
        self.findings: Findings | None = None
        self._folder = folder
        self._clock = clock

    def _random(self, name: str) -> Random:
        """A source of its own for everybody: what one draws does not change what another one gets."""
        return Random(f"{self.seed} {name}")

    def trace(self, text: str) -> None:
        """Take down what happens."""
        self.log.append(f"{self._clock.now:8.4f} {text}")

    def _write(self, event: Event) -> None:
        self.history.append(event)
        self.trace(f"{type(event).__name__} {' '.join(map(str, event))}")

    # -- a life ------------------------------------------------------------------------------------------------

    async def live(self) -> None:
        """Live it, to the verdict."""
        turns = Turns.install()
        delay = self._random("delay").choice(DELAYS)
        self.network = Network(self._clock, self._random("network"), delay)
        for name in MEMBERS:
            self.members[name] = Member(name, MEMBERS, self.network, turns, self._folder)
        self.manager = Manager(self.members, self.network, self._random("manager"), self.trace)
        clients = self._clients()
        self.other_hosts = [NAME, *(client.name for client in clients)]
        with self._logs():
            async with trio.open_nursery() as self._nursery:
                for member in self.members.values():
                    await member.start(self._nursery)
                self._nursery.start_soon(self.manager.run)
                await self._in_order("the cluster does not start")
                await self._declare()
                await self._live(clients)
                for member in self.members.values():
                    member.kill()
                self._nursery.cancel_scope.cancel()

    async def _live(self, clients: list[Client]) -> None:
        async with trio.open_nursery() as nursery:
            for client in clients:
                nursery.start_soon(self._run, client)
            self.misfortunes = Misfortunes(self, self._random("misfortunes"))
            await self.misfortunes.run(SECONDS)
            await self._heal()
            await self._in_order("the cluster does not recover")
            await trio.sleep(0.5)
            with trio.move_on_after(PATIENCE):
                for kind in (Producer, Transactor, Consumer):
                    await self._end([client for client in clients if isinstance(client, kind)])
                await self._run(self._drainer())
                await self._settled()
            waiting = ", ".join(self._running)
            if waiting:
                self._violate(f"stuck: {waiting}")
            nursery.cancel_scope.cancel()
        self.findings = check(self.history, sole=SOLE, drained=not waiting)
        self.violations += map(str, self.findings.violations)

    def _violate(self, text: str) -> None:
        self.trace(text)
        self.violations.append(text)

    # -- clients -----------------------------------------------------------------------------------------------

    @staticmethod
    def _brokers() -> list[str]:
        return [f"{name}:{PORT}" for name in MEMBERS]

    def _clients(self) -> list[Client]:
        def common(name: str) -> tuple[Any, ...]:
            random = self._random(name)
            brokers = self._brokers()
            random.shuffle(brokers)
            return self.network.host(name), brokers, random, self._write

        everywhere = ("news.all", "news.eu")
        routes = {"eu.fr": everywhere, "us.ny": everywhere[:1]}
        self._running: dict[str, trio.Event] = {}
        return [
            Producer(*common("sync"), address="orders", routes={"": ("orders",)}, outstanding=1, interval=0.12),
            Producer(*common("async"), address="orders", routes={"": ("orders",)}, outstanding=20, interval=0.08),
            Producer(*common("topic"), address="news", routes=routes, outstanding=10, interval=0.1),
            Transactor(*common("sales"), source=None, targets=("work",), size=4, interval=0.2),
            Transactor(*common("mover"), source="work", targets=("done",), size=4, interval=0.1),
            Consumer(*common("clerk"), queue="orders", capacity=10, batch=2, interval=0.01),
            Consumer(*common("reader"), queue="news.all", capacity=5, batch=3, interval=0.02),
            Consumer(*common("other"), queue="news.all", capacity=0, batch=2, interval=0.02),
            Consumer(*common("keeper"), queue="done", capacity=20, batch=5, interval=0.02),
        ]

    def _drainer(self) -> Drainer:
        host, random = self.network.host("drainer"), self._random("drainer")
        return Drainer(host, self._brokers(), random, self._write, queues=QUEUES, left=self._left)

    def _left(self, queue: str) -> bool:
        """Whether the primary, if there is one, has something on a queue."""
        clusters = [member.cluster for member in self.members.values() if member.cluster is not None]
        primaries = [cluster for cluster in clusters if cluster.log.primary]
        return not primaries or any(cluster.broker.queues[queue].depth for cluster in primaries)

    async def _run(self, client: Client) -> None:
        ended = self._running[client.name] = trio.Event()
        try:
            await client.run()
        except Exception as error:  # noqa: BLE001 - no application is to see any
            self._violate(f"{client.name} failed: {error!r}")
        del self._running[client.name]
        ended.set()

    async def _end(self, clients: list[Client]) -> None:
        running = [self._running[client.name] for client in clients if client.name in self._running]
        for client in clients:
            client.stopping = True
        for ended in running:
            await ended.wait()

    async def _declare(self) -> None:
        """The nodes that clients expect to be there."""
        connection = await connect(self.network.host("setup"), self._brokers())
        session = connection.session()
        for queue in QUEUES:
            await session.sender(f"{queue}; {{create: always}}")
        await session.sender(NEWS)
        await connection.close()

    # -- members -----------------------------------------------------------------------------------------------

    async def restart(self, member: Member) -> None:
        """Start a member that was killed."""
        self.trace(f"restart {member.name}")
        await member.start(self._nursery)

    async def _heal(self) -> None:
        """Nothing is broken any more."""
        self.trace("heal")
        self.network.mend()
        for member in self.members.values():
            member.resume()
            if member.cluster is None:
                await self.restart(member)

    async def _in_order(self, otherwise: str) -> None:
        """Wait until one member is the primary and all others follow it."""
        in_order = sorted([ACTIVE, READY, READY])
        with trio.move_on_after(PATIENCE) as patience:
            await self._until(lambda: sorted(member.status for member in self.members.values()) == in_order)
        if patience.cancelled_caught:
            self._violate(f"{otherwise}: {' '.join(member.status for member in self.members.values())}")

    async def _settled(self) -> None:
        """In the end all members hold the same, and no messages."""
        brokers = {name: member.cluster.broker for name, member in self.members.items() if member.cluster is not None}
        await self._until(lambda: len({broker.journal.last for broker in brokers.values()}) == 1)
        states = {name: replicated_state(broker) for name, broker in brokers.items()}
        first = states[MEMBERS[0]]
        for name, state in states.items():
            for part, held in state.items():
                if held != first[part]:
                    self._violate(f"{name} has other {part} than {MEMBERS[0]}: {held} and {first[part]}")
        for queue in QUEUES:
            if left := brokers[MEMBERS[0]].queues[queue].depth:
                self._violate(f"{left} messages are left on {queue}")

    @staticmethod
    async def _until(predicate: Callable[[], bool]) -> None:
        """Wait for something that tells nobody when it is true."""
        while True:
            if predicate():
                return
            await trio.sleep(0.1)

    # -- logs --------------------------------------------------------------------------------------------------

    @contextmanager
    def _logs(self) -> Iterator[None]:
        """What brokers and clients log is told with the rest; what they did not expect is a violation."""
        world = self

        class Handler(logging.Handler):
            def emit(self, record: logging.LogRecord) -> None:
                world.trace(f"{PROCESS.get() or 'client'}: {record.getMessage()}")
                if record.levelno >= logging.ERROR:
                    text = record.getMessage()
                    if record.exc_info is not None:
                        text += "\n" + logging.Formatter().formatException(record.exc_info)
                    world._violate(f"{PROCESS.get()} logs: {text}")

        handler = Handler()
        loggers = [logging.getLogger("qpid_server"), logging.getLogger("qpid_messaging")]
        before = [(logger.level, logger.propagate) for logger in loggers]
        for logger in loggers:
            logger.addHandler(handler)
            logger.setLevel(logging.INFO)
            logger.propagate = False
        try:
            yield
        finally:
            for logger, (level, propagate) in zip(loggers, before, strict=True):
                logger.removeHandler(handler)
                logger.setLevel(level)
                logger.propagate = propagate
