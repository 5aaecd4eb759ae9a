"""A member of the cluster as a process: the whole broker, on a host of the simulated network."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from uuid import UUID

import trio

from qpid_server.broker import Broker
from qpid_server.ha.cluster import Cluster
from qpid_server.options import Options
from qpid_server.server import Server
from tests.simulation.network import PORT, Network, PeerNetwork
from tests.simulation.stopping import PROCESS, Turns

_1970 = 1_700_000_000.0


class NoAnswer(Exception):
    """The member is not there, or did not answer in time."""


class Member:
    """A broker that can be started, killed, stopped and promoted.

    Args:
        name: its name and its host's; a letter.
        names: those of all members.
        network: where its host is.
        turns: what stops it.
        folder: of all members; what survives a restart is below.

    Attributes:
        cluster: the broker's membership, while it runs.
    """

    def __init__(self, name: str, names: str, network: Network, turns: Turns, folder: Path) -> None:
        self.name = name
        self.host = network.host(name)
        self.cluster: Cluster | None = None
        self._turns = turns
        self._scope = trio.CancelScope()
        self._ended = trio.Event()
        self._ended.set()
        self._requests: list[Callable[[], None]] = []
        self._asked = trio.Event()
        self._options = Options(
            auth=False,
            data_dir=str(folder / name),
            mgmt_enable=False,
            ha_cluster=True,
            ha_brokers_url=",".join(f"{other}:{PORT}" for other in names),
            ha_replicate="all",
            ha_min_replicas=1,
            ha_backup_timeout=4,
            link_heartbeat_interval=1,
            link_maintenance_interval=2,
        )
        # An id that is the same in each run: epochs are compared by it.
        (folder / name).mkdir()
        ident = UUID(int=ord(name)).hex
        (folder / name / "ha.json").write_text(json.dumps({"broker_id": ident, "promised": [0, ""]}), "utf-8")

    # -- the process

    async def start(self, nursery: trio.Nursery) -> None:
        """Run it, with what its last life left behind: its promises, and nothing else."""
        await self._ended.wait()
        self._ended, self._scope = trio.Event(), trio.CancelScope()
        self._requests.clear()
        broker = Broker(self._options, clock=trio.current_time)
        self.cluster = cluster = Cluster(
            broker, network=PeerNetwork(self.host), wall=lambda: _1970 + trio.current_time()
        )
        server = Server(self._options, broker, cluster=cluster, listeners=[self.host.listen()])
        nursery.start_soon(self._live, server)

    async def _live(self, server: Server) -> None:
        PROCESS.set(self.name)
        try:
            with self._scope:
                async with trio.open_nursery() as nursery:
                    nursery.start_soon(server.run)
                    while True:
                        await self._asked.wait()
                        self._asked = trio.Event()
                        while self._requests:
                            self._requests.pop(0)()
        finally:
            self._ended.set()

    def kill(self) -> None:
        """SIGKILL: it is gone with all that it held."""
        self.cluster = None
        self.host.crash()
        self._turns.resume(self.name)
        self._scope.cancel()

    def stop(self) -> None:
        """SIGSTOP."""
        self._turns.stop(self.name)

    def resume(self) -> None:
        """SIGCONT."""
        self._turns.resume(self.name)

    # -- what others see

    @property
    def stopped(self) -> bool:
        """Whether it is stopped."""
        return self._turns.stopped(self.name)

    @property
    def running(self) -> bool:
        """Whether it is there and does something."""
        return self.cluster is not None and not self.stopped

    @property
    def status(self) -> str:
        """joining, catchup, ready, recovering or active; "gone" where it does not run."""
        return self.cluster.status if self.cluster is not None else "gone"

    @property
    def primary(self) -> bool:
        """Whether it takes itself for the primary."""
        return self.cluster is not None and self.cluster.log.primary

    @property
    def holds_state(self) -> bool:
        """Whether it holds what was acknowledged while it was in step."""
        return self.cluster is not None and not self.cluster.member_status().lost_state

    async def promote(self, patience: float) -> None:
        """Ask it to become the primary, as an operator would.

        Raises:
            NoAnswer: it said nothing in time.
            Exception: it is refused; the text says why.
        """
        answer: list[Exception | None] = []
        answered = trio.Event()

        def done(failure: Exception | None) -> None:
            answer.append(failure)
            answered.set()

        def ask() -> None:
            # In a turn of the process itself: what is started here belongs to it.
            if self.cluster is not None:
                self.cluster.promote(force=False, done=done)

        self._requests.append(ask)
        self._asked.set()
        with trio.move_on_after(patience):
            await answered.wait()
        if not answer:
            raise NoAnswer(f"{self.name} does not answer")
        if answer[0] is not None:
            raise answer[0]
