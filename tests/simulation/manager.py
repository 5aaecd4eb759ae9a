"""The resource manager: it sees from outside that there is no primary, and promotes somebody; it may be wrong."""

from __future__ import annotations

import re
from collections.abc import Callable
from random import Random

import trio

from qpid_server.ha.promotion import ACTIVE, RECOVERING
from tests.simulation.members import Member, NoAnswer
from tests.simulation.network import Network

NAME = "manager"


class Manager:
    """Watches over the members from a host of its own.

    Args:
        members: by name.
        network: what it reaches them by.
        random: decides when it looks and whom it chooses.
        trace: takes a line of text.
    """

    def __init__(
        self, members: dict[str, Member], network: Network, random: Random, trace: Callable[[str], None]
    ) -> None:
        self._members = members
        self._network = network
        self._random = random
        self._trace = trace
        self.promotions = 0
        """How many succeeded."""

    def sees(self, member: Member) -> bool:
        """Whether a member answers."""
        return member.running and all(route.open for route in self._network.between(NAME, member.name))

    async def run(self) -> None:
        """See to it that there is a primary, until cancelled."""
        while True:
            await trio.sleep(self._random.uniform(0.05, 0.3))
            if not self._primary():
                await trio.sleep(self._random.choice([0, 0.1, 0.5]))
                if not self._primary():
                    await self.promote_somebody()

    def _primary(self) -> bool:
        return any(member.status in (RECOVERING, ACTIVE) for member in self._members.values() if self.sees(member))

    async def promote_somebody(self) -> None:
        """Promote a member that answers, or whoever that one names."""
        candidates = [member for member in self._members.values() if self.sees(member)]
        self._random.shuffle(candidates)
        tried: set[str] = set()
        while candidates:
            member = candidates.pop()
            tried.add(member.name)
            better = await self.promote(member)
            if better is None:
                return
            if better in self._members and better not in tried and self.sees(self._members[better]):
                candidates.append(self._members[better])

    async def promote(self, member: Member) -> str | None:
        """Promote a member. Returns None where that went well, or whom it names instead; empty: nobody."""
        self._trace(f"promote {member.name}")
        try:
            await member.promote(patience=3)
        except NoAnswer as error:
            self._trace(str(error))
            return ""
        except Exception as refusal:  # noqa: BLE001 - whatever kept it from being promoted
            self._trace(f"{member.name} is not promoted: {refusal}")
            better = re.search(r"promote (\w+):", str(refusal))
            return better.group(1) if better else ""
        self._trace(f"{member.name} is promoted")
        self.promotions += 1
        return None
