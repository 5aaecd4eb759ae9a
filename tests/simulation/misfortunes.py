"""What befalls the members, one thing after the other, as the seed has it.

Stops, cuts, slow links, lost connections and mistaken promotions come freely. Of kills, which cost a member its state,
there are never more at a time than the cluster can bear: with `ha-min-replicas=1`, one, until it holds it all again.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from random import Random
from typing import TYPE_CHECKING

import trio

from tests.simulation.manager import NAME
from tests.simulation.members import Member

if TYPE_CHECKING:
    from tests.simulation.world import World

Happening = Callable[[], Awaitable[None]]


class Misfortunes:
    """Lets things happen to a world.

    Args:
        world: to which.
        random: decides what and when.
    """

    def __init__(self, world: World, random: Random) -> None:
        self._world = world
        self._random = random
        self._members = world.members
        self._names = list(world.members)
        self._happenings: dict[Happening, float] = {
            self.kill: 4,
            self.stop: 1.5,
            self.cut_two: 1,
            self.isolate: 3,
            self.slow_down: 1.5,
            self.lose_connections: 4,
            self.promote_somebody: 3,
            self.promote_two: 1,
        }
        self.counts: dict[str, int] = {}

    async def run(self, seconds: float) -> None:
        """Let things happen for so long; some go on behind that until `World.heal`."""
        with trio.move_on_after(seconds):
            async with trio.open_nursery() as nursery:
                while True:
                    await trio.sleep(self._random.expovariate(1 / 0.6))
                    (happening,) = self._random.choices([*self._happenings], [*self._happenings.values()])
                    self.counts[happening.__name__] = self.counts.get(happening.__name__, 0) + 1
                    nursery.start_soon(happening)

    # -- whom

    def _anybody(self) -> Member:
        return self._members[self._random.choice(self._names)]

    def _somebody(self) -> Member:
        """Rather the primary, where things are most likely to go wrong."""
        primaries = [member for member in self._members.values() if member.primary]
        return self._random.choice(primaries) if primaries and self._random.random() < 0.6 else self._anybody()

    async def _for_a_while(self, longest: float, shortest: float = 0) -> None:
        await trio.sleep(shortest + self._random.uniform(0, 1) ** 2 * (longest - shortest))

    # -- what

    async def kill(self) -> None:
        """SIGKILL, and a new start, with nothing."""
        member = self._somebody()
        others = [other for other in self._members.values() if other is not member]
        if member.cluster is None or not all(other.holds_state for other in others):
            return
        self._world.trace(f"kill {member.name} ({member.status})")
        member.kill()
        await self._for_a_while(2)
        await self._world.restart(member)

    async def stop(self) -> None:
        """SIGSTOP, and SIGCONT."""
        member = self._somebody()
        if member.running:
            self._world.trace(f"stop {member.name} ({member.status})")
            member.stop()
            await self._for_a_while(5)
            self._world.trace(f"resume {member.name}")
            member.resume()

    async def cut_two(self) -> None:
        """Two members do not reach each other; sometimes only one the other."""
        one, other = self._random.sample(self._names, 2)
        routes = self._world.network.between(one, other)
        if self._random.random() < 0.3:
            routes.pop()
        self._world.trace(f"cut {one} {'-' if len(routes) == 2 else '>'} {other}")
        for route in routes:
            route.cut()
        await self._for_a_while(5)
        self._world.trace(f"mend {one} - {other}")
        for route in routes:
            route.mend()

    async def isolate(self) -> None:
        """A member is cut off from the others, and perhaps from all the world."""
        member = self._somebody()
        others = [name for name in self._names if name != member.name]
        others += self._random.choice([[], [NAME], [NAME], self._world.other_hosts])
        self._world.trace(f"isolate {member.name} ({member.status}) from {', '.join(others)}")
        for other in others:
            for route in self._world.network.between(member.name, other):
                route.cut()
        await self._for_a_while(4, shortest=1.5)
        self._world.trace(f"mend {member.name}")
        for other in others:
            for route in self._world.network.between(member.name, other):
                route.mend()

    async def slow_down(self) -> None:
        """Some of the ways to and from a host become slow."""
        host = self._random.choice([*self._names, *self._world.other_hosts])
        others = [name for name in self._names if name != host]
        others = self._random.sample(others, self._random.randint(1, len(others)))
        delay = self._random.choice([(0.01, 0.06), (0.05, 0.3), (0.3, 1.2)])
        self._world.trace(f"slow {host} - {', '.join(others)}: {delay[0]} to {delay[1]} s")
        routes = [route for other in others for route in self._world.network.between(host, other)]
        before = [route.delay for route in routes]
        for route in routes:
            route.delay = delay
        await self._for_a_while(6)
        for route, was in zip(routes, before, strict=True):
            route.delay = was

    async def lose_connections(self) -> None:
        """Connections between a member and somebody else, or everybody, break."""
        name = self._somebody().name
        others = [host for host in [*self._names, *self._world.other_hosts] if host != name]
        if self._random.random() < 0.7:
            others = [self._random.choice(others)]
        self._world.trace(f"lose connections of {name} with {', '.join(others)}")
        for end in [end for other in others for end in self._world.network.connections(name, other)]:
            end.lose()
            assert end.peer is not None
            end.peer.lose()

    async def promote_somebody(self) -> None:
        """The resource manager errs."""
        await self._world.manager.promote(self._anybody())

    async def promote_two(self) -> None:
        """It errs twice."""
        one, other = self._random.sample(self._names, 2)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._world.manager.promote, self._members[one])
            await trio.sleep(self._random.choice([0, 0.002, 0.05]))
            nursery.start_soon(self._world.manager.promote, self._members[other])
