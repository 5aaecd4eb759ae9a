"""What happens to the cluster: storms, in which anything does, and calms, in which it has to recover.

Two managers are at work. The careless one promotes whomever it likes, also two at once, also while the primary lives or
is only cut off: with `ha-min-replicas=1` that must do no harm. The careful one promotes only a member that was in step
when the primary was lost, and never while the primary may serve clients beyond its sight: what k = 0 asks for.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Sequence
from functools import partial

from tests.chaos.clients import Client
from tests.chaos.members import Members

PATIENCE = 40.0
"""Seconds that a cluster has, once everybody runs and can be reached, until all is well: many times what it takes."""
_OFTEN, _SELDOM = 3, 1


class Stuck(AssertionError):
    """The cluster does not recover, or a client does not go on."""


class Misfortune:
    """Draws what happens, and does it.

    Args:
        members: the cluster.
        clients: those who have to go on in each calm.
        seed: of the dice.
        careful: which manager promotes.

    Attributes:
        storms: how many there were.
    """

    def __init__(self, members: Members, clients: Sequence[Client], seed: int, *, careful: bool) -> None:
        self.storms = 0
        self._members = members
        self._network = members.network
        self._clients = clients
        self._random = random.Random(seed)
        self._careful = careful
        self._untouched: set[int] = set()
        """Members that nothing happened to since the last calm."""
        self._heirs: set[int] = set()
        """Members that may be promoted by a careful manager, now that the primary is lost."""

    # -- storms

    def storm(self) -> None:
        """Some misfortunes, one after the other or close together."""
        self.storms += 1
        self._members.say(f"storm {self.storms}")
        for _ in range(self._random.randint(1, 4)):
            events = self._careful_events() if self._careful else self._careless_events()
            (event,) = self._random.choices([event for event, _ in events], [weight for _, weight in events])
            event()
            self._pause(1.0)

    def _careless_events(self) -> list[tuple[Callable[[], object], int]]:
        return [
            (self._fail_over, 2 * _OFTEN),
            (self._promote_anybody, _OFTEN),
            (self._promote_two, _OFTEN),
            (self._demote, _SELDOM),
            (self._lose_backup, _OFTEN),
            (self._part_two, _OFTEN),
            (self._trouble_clients, _SELDOM),
            (self._come_back, _OFTEN),
        ]

    def _careful_events(self) -> list[tuple[Callable[[], object], int]]:
        return [
            (self._fail_over, 2 * _OFTEN),
            (self._hand_over, _OFTEN),
            (self._demote, _SELDOM),
            (self._lose_backup, _OFTEN),
            (self._part_backup, _OFTEN),
            (self._trouble_clients, _SELDOM),
            (self._come_back, _OFTEN),
        ]

    def _pause(self, longest: float) -> None:
        time.sleep(self._random.choice([0.0, self._random.uniform(0, longest / 5), self._random.uniform(0, longest)]))

    def _choose(self, numbers: Sequence[int] | set[int], count: int = 1) -> list[int]:
        return self._random.sample(sorted(numbers), min(count, len(numbers)))

    def _lose(self, number: int) -> None:
        """A member is gone: for ever, for now, or only for the others."""
        self._untouched.discard(number)
        ways = [self._members.stop]
        if self._members.bereft is None:
            ways += [*3 * [self._members.kill], self._members.terminate]
        if not self._careful:
            ways.append(self._isolate)
        self._random.choice(ways)(number)

    def _isolate(self, number: int) -> None:
        self._members.say(f"isolate {self._members.names(number)}")
        for other in range(3):
            if other != number:
                self._network.part(number, other)

    def _fail_over(self) -> None:
        """The primary is lost, and somebody promoted in its place: at once, a moment later, or not now."""
        primary = self._members.primary()
        candidates = self._candidates(primary)
        if primary is None or not candidates:
            return
        if self._careful and len(self._members.running()) < 3:
            # A primary that is merely stopped goes on with a backup that could not promise, for all that k = 0 does.
            return
        self._lose(primary)
        self._pause(0.5)
        if self._careful or self._random.random() < 0.9:
            self._promote_one_of(candidates)

    def _candidates(self, primary: int | None) -> set[int]:
        """Who may be promoted in place of the primary."""
        others = {number for number in self._members.running() if number != primary}
        if not self._careful:
            return others
        if primary is not None:
            self._heirs = others & self._untouched & self._members.in_step(primary)
        return self._heirs & others

    def _promote_one_of(self, candidates: set[int]) -> None:
        """One of them, or the others where it is refused; sometimes the manager does not see to that."""
        for number in self._choose(candidates, len(candidates)):
            if self._members.promote(number) or (not self._careful and self._random.random() < 0.3):
                return

    def _hand_over(self) -> None:
        """The primary lives, and another one is promoted."""
        candidates = self._candidates(self._members.primary())
        if candidates:
            self._members.promote(*self._choose(candidates))

    def _demote(self) -> None:
        """The primary steps down in order, and somebody is promoted in its place, which may be itself."""
        primary = self._members.primary()
        if primary is not None:
            self._candidates(primary)
            self._heirs.add(primary)
            self._members.demote(primary)
            self._pause(0.3)
            self._promote_one_of(self._heirs if self._careful else set(self._members.running()))

    def _promote_anybody(self) -> None:
        running = self._members.running()
        if running:
            self._members.promote(*self._choose(running))

    def _promote_two(self) -> None:
        self._members.promote(*self._choose(self._members.running(), 2))

    def _lose_backup(self) -> None:
        primary = self._members.primary()
        if primary is None and self._careful:
            return
        running = {number for number in self._members.running() if number != primary}
        if running:
            self._lose(*self._choose(running))

    def _part_two(self) -> None:
        one, other = self._choose(range(3), 2)
        self._part(one, other)

    def _part_backup(self) -> None:
        """The primary is not parted from both: it would go on alone, and nobody may take it for dead and promote."""
        primary = self._members.primary()
        if primary is not None and self._untouched == {0, 1, 2}:
            (other,) = self._choose(self._untouched - {primary})
            # Who found the primary under the name that is closed meanwhile loses it, too.
            self._untouched.clear()
            self._part(primary, other)

    def _part(self, one: int, other: int) -> None:
        way = self._random.choice([self._network.part, self._network.silence])
        self._members.say(f"{way.__name__} {self._members.names(one, other)}")
        way(one, other)

    def _trouble_clients(self) -> None:
        number = self._random.randrange(3)
        way = self._random.choice([self._network.cut_clients, self._network.silence_clients])
        self._members.say(f"{way.__name__} of {self._members.names(number)}")
        way(number)

    def _come_back(self) -> None:
        """Somebody comes back, or the network does."""
        members = self._members
        ways: list[Callable[[], None]] = [self._network.heal]
        ways += [partial(members.start, number) for number in members.dead]
        ways += [partial(members.resume, number) for number in members.stopped]
        self._random.choice(ways)()

    # -- calms

    def calm(self) -> None:
        """Nothing happens any more: there is a primary soon, the others follow it, and all clients go on.

        Raises:
            Stuck: not within `PATIENCE`.
        """
        members = self._members
        members.heal()
        deadline = time.monotonic() + PATIENCE
        while sorted(statuses := members.statuses()) != ["active", "ready", "ready"]:
            if time.monotonic() > deadline:
                raise Stuck(f"all run and can be reached, and are {', '.join(statuses)}")
            if not {"active", "recovering"} & set(statuses):
                for number in self._choose(self._heirs if self._careful else range(3)):
                    members.promote_best(number)
            time.sleep(0.02)
        self._untouched = {0, 1, 2}
        before = {client: client.steps for client in self._clients}
        members.say("calm")
        while still := [client for client, steps in before.items() if client.steps == steps and not client.failure]:
            if time.monotonic() > deadline:
                raise Stuck(f"{', '.join(client.name for client in still)} cannot go on")
            time.sleep(0.02)
