"""How brokers stand, as managers compare them: decisions without I/O.

A broker that is asked to become the primary judges for itself, and refuses where another one that answers is better.
What stands here only spares most of the refusals: managers ask the best one first.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

__all__ = ["Standing", "best"]

PRIMARY = ("recovering", "active")


@dataclass(frozen=True)
class Standing:
    """What a broker says of itself.

    Attributes:
        broker: its id.
        status: joining, catchup, ready, recovering or active; anything else where it does not answer.
        epoch: number of the reign that it lives under.
        index: the last entry of the log that it holds.
        willing: it may be asked; False where it refused a short while ago.
    """

    broker: str
    status: str
    epoch: int
    index: int
    willing: bool = True

    @property
    def primary(self) -> bool:
        """It serves clients."""
        return self.status in PRIMARY

    @property
    def eligible(self) -> bool:
        """It may be promoted, as far as can be said from here: one in catch-up holds no whole copy of anything."""
        return self.willing and self.status in ("joining", "ready", *PRIMARY)

    def to_json(self) -> str:
        """As managers tell each other."""
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, text: str) -> Standing:
        """What another manager told.

        Raises:
            ValueError: it is nothing of that kind.
        """
        try:
            values: dict[str, Any] = json.loads(text)
            return cls(
                broker=str(values["broker"]),
                status=str(values["status"]),
                epoch=int(values["epoch"]),
                index=int(values["index"]),
                willing=bool(values["willing"]),
            )
        except (KeyError, TypeError) as error:
            raise ValueError(f"no standing of a broker: {text!r}") from error


def best(standings: Mapping[str, Standing]) -> str | None:
    """The broker to promote.

    That which is the primary already, or holds most: also before others that are ready, for a primary that was demoted
    holds what they do or more. Among equals those that are ready.

    Args:
        standings: brokers that answer, under any name.

    Returns:
        The name; None where there is none to be promoted.
    """

    def rank(name: str) -> tuple[bool, int, int, bool, str]:
        standing = standings[name]
        return standing.primary, standing.epoch, standing.index, standing.status == "ready", name

    eligible = [name for name, standing in standings.items() if standing.eligible]
    return max(eligible, key=rank, default=None)
