"""A cluster whose primary dies in the middle of a scenario, which all shells play at once, each in its own thread.

def test_...(stage):
    async def scenario(player):
        connection = await player.connect()
        ...
        player.begin()               # the primary is killed once everybody has begun and waits in a verb
        await sender.send("x")
    stage.play(scenario)

Each shell plays twice: once as it is, so that its sessions survive, and once as with brokers that keep none: the broker
is asked for no session.timeout then, and what holds is at least once.
"""

from __future__ import annotations

import threading
import time
import traceback
from collections.abc import Awaitable, Callable, Sequence
from typing import Any
from uuid import uuid4

from qpid_messaging import Empty
from qpid_messaging.core.connection import ConnectionCore
from qpid_messaging.driver import Driver
from tests.integration.cluster import BrokerProcess, ClusterOfProcesses, wait_until
from tests.integration.shells import SHELLS, BlockingShell, Scenario, Shell

#: Seconds within which a client goes on after the primary was killed and a backup promoted. It takes a fraction of one.
SOON = 5.0


class _WithoutSessions(ConnectionCore):
    """Takes each broker for one that keeps no sessions, like the C++ broker."""

    resumes = property(lambda self: False, lambda self, value: None)  # type: ignore[assignment]


class Player:
    """One client in a scenario.

    Args:
        shell: how it waits.
        surviving: whether its sessions survive; otherwise it is at least once.
        urls: the brokers.

    Attributes:
        recovered: set when there is a primary again.
        killed: when the primary was killed.
        notes: whatever the scenario wants to be known afterwards.
    """

    def __init__(self, shell: Shell, surviving: bool, urls: Sequence[str]) -> None:
        self.shell = shell
        self.surviving = surviving
        self.urls = list(urls)
        self.name = f"{shell.name} {'surviving' if surviving else 'at least once'}"
        self.recovered = threading.Event()
        self.killed: float | None = None
        self.notes: dict[str, Any] = {}
        self.held = threading.Event()
        self.released = threading.Event()
        self.begun = threading.Event()
        self.failure: str | None = None
        self._unique = uuid4()
        self._connections: list[Any] = []

    def address(self, name: str = "q") -> str:
        """The address of a replicated queue of this player's own."""
        return f"{self.queue(name)}; {{create: always}}"

    def queue(self, name: str = "q") -> str:
        """The name of that queue."""
        return f"{name} {self.name} {self._unique}"

    def connection(self, *urls: str, **options: Any) -> Any:
        """A connection to the cluster or to these brokers, not open."""
        brokers = list(urls) or self.urls
        options = {"reconnect": True, "reconnect_log": False, "reconnect_urls": brokers[1:], "heartbeat": 5, **options}
        connection = self.shell.connection(brokers[0], **options)
        real = connection._endpoint if isinstance(self.shell, BlockingShell) else connection
        if not self.surviving:
            real._core.__class__ = _WithoutSessions
        self._connections.append(real)
        return connection

    async def connect(self, *urls: str, **options: Any) -> Any:
        """The same, open."""
        connection = self.connection(*urls, **options)
        await connection.open(timeout=20)
        return connection

    async def hold(self) -> None:
        """Wait until the primary is stopped, or whatever the test does when everybody has come here."""
        self.held.set()
        await self.shell.wait(self.released)

    def begin(self) -> None:
        """From now on the primary may be killed: as soon as this player waits in a verb."""
        self.begun.set()

    async def recovery(self) -> None:
        """Wait until there is a primary again."""
        await self.shell.wait(self.recovered)

    def was_soon(self) -> None:
        """To be called where a verb returned that waited for the new primary."""
        assert self.killed is not None, "it did not wait"
        waited = time.monotonic() - self.killed
        assert waited < SOON, f"{waited:.1f} s after the primary was killed"

    async def together(self, *functions: Callable[[], Awaitable[Any]]) -> None:
        """Run functions at once, in threads or tasks."""
        await self.shell.together(*functions)

    # -- for the stage

    @property
    def waits(self) -> bool:
        """Whether it is in a verb, and that waits."""
        drivers = [connection._driver for connection in self._connections]
        return any(driver._waiters or (isinstance(driver, Driver) and driver._turns.reader) for driver in drivers)

    def play(self, scenario: Scenario) -> None:
        """Play it, to the end or to the first mistake."""
        try:
            self.shell.run(scenario, self)
        except BaseException:  # noqa: BLE001 - told by the stage
            self.failure = traceback.format_exc()
        finally:
            self.abandon()

    def abandon(self) -> None:
        """End what the blocking client would leave open, and whoever waits there. An event loop ends it all anyway."""
        if isinstance(self.shell, BlockingShell):
            for connection in self._connections:
                connection._abandon()


def perform(
    scenario: Scenario, urls: Sequence[str] = (), *, conduct: Callable[[list[Player]], None] | None = None
) -> list[Player]:
    """Play a scenario with all shells, both ways, all at once.

    Args:
        scenario: called with a Player.
        urls: the brokers.
        conduct: called meanwhile.

    Returns:
        Everybody who played.

    Raises:
        AssertionError: somebody failed; the text says how.
    """
    players = [Player(shell, surviving, urls) for shell in SHELLS for surviving in (True, False)]
    threads = [threading.Thread(target=player.play, args=(scenario,), daemon=True) for player in players]
    for thread in threads:
        thread.start()
    trouble: list[str] = []
    try:
        if conduct is not None:
            conduct(players)
    except AssertionError:
        trouble.append(traceback.format_exc())
    for player in players:
        player.released.set()
    for player, thread in zip(players, threads, strict=True):
        thread.join(0 if trouble else 70)
        if thread.is_alive():
            trouble.append(f"--- {player.name} is stuck")
            player.abandon()
            thread.join(10)
        if player.failure:
            trouble.append(f"--- {player.name}\n{player.failure}")
    assert not trouble, "\n".join(trouble)
    return players


class Stage:
    """The cluster and what is done to it.

    Args:
        cluster: three members, of which the first is the primary and the others follow.
        kept_running: where to put the ids of the processes that are started in place of those killed.
    """

    def __init__(self, cluster: ClusterOfProcesses, kept_running: set[int]) -> None:
        self.cluster = cluster
        self._stopped: BrokerProcess | None = None
        self._kept_running = kept_running
        self.primary = 0

    def play(
        self,
        scenario: Scenario,
        *,
        urls: Sequence[str] | None = None,
        holding: Callable[[], None] | None = None,
        waiting: Callable[[list[Player]], None] | None = None,
        change: Callable[[], None] | None = None,
    ) -> list[Player]:
        """Play a scenario with all shells. The primary is killed when everybody has begun, and a backup promoted.

        Args:
            scenario: called with a Player.
            urls: the brokers, where they are not those of the cluster.
            holding: called when everybody is in `hold`, before they go on. `stop` stops the primary.
            waiting: called when everybody has begun and waits, right before the primary is killed.
            change: what to do instead of killing the primary and promoting a backup.

        Returns:
            Everybody who played.
        """

        def conduct(players: list[Player]) -> None:
            if holding is not None:
                everybody(players, lambda player: player.held.is_set(), "holding")
                holding()
                for player in players:
                    player.released.set()
            everybody_waits(players)
            if waiting is not None:
                waiting(players)
            for player in players:
                player.killed = time.monotonic()
            (change or self.fail_over)()
            for player in players:
                player.recovered.set()

        self.cluster.wait_for_backups()
        try:
            players = perform(scenario, self.cluster.urls if urls is None else urls, conduct=conduct)
        finally:
            stopped, self._stopped = self._stopped, None
            if stopped is not None and stopped.process.poll() is None:
                stopped.resume()
        self.cluster.wait_for_backups()
        return players

    def stop(self) -> None:
        """SIGSTOP for the primary: what is sent to it now is not executed any more."""
        self._stopped = self.cluster[self.primary]
        self._stopped.stop()

    def replace_stopped(self) -> None:
        """Promote a backup while the primary is stopped."""
        self.stop()
        self.primary = self.cluster.promote_best((self.primary + 1) % len(self.cluster.members))

    def fail_over(self) -> None:
        """Kill the primary, promote a backup, start the dead one again."""
        dead = self.cluster[self.primary]
        dead.kill()
        self.primary = self.cluster.promote_best((self.primary + 1) % len(self.cluster.members))
        dead.start()
        self._kept_running.add(dead.process.pid)

    def drained(self, queue: str) -> list[Any]:
        """What is on a queue; it is empty then."""
        connection = self.cluster.connect(reconnect_log=False)
        session = connection.session()
        receiver = session.receiver(queue, capacity=1000)
        found: list[Any] = []
        try:
            while True:
                found.append(receiver.fetch(timeout=0).content)
        except Empty:
            session.acknowledge()
        connection.close(10)
        return found


def everybody_waits(players: list[Player]) -> None:
    """Wait until each player has begun and waits in a verb."""
    everybody(players, lambda player: player.begun.is_set() and player.waits, "waiting")


def everybody(players: list[Player], ready: Callable[[Player], bool], what: str) -> None:
    """Wait until each player has come so far."""
    wait_until(
        lambda: all(ready(player) or player.failure for player in players),
        lambda: f"not {what}: " + ", ".join(player.name for player in players if not ready(player)),
    )
    assert not any(player.failure for player in players)
