"""What a broker that is in no cluster has as its HA object: it may copy queues of others all the same."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any
from uuid import UUID

if TYPE_CHECKING:
    from .agent import Agent

__all__ = ["StandAlone"]


class StandAlone:
    """What a broker that is in no cluster says of itself there.

    Args:
        agent: the broker's.
    """

    status = "standalone"
    brokers_url = public_url = epoch = ""
    replicate_rules: Sequence[str] = ()
    members: Sequence[Mapping[str, Any]] = ()
    backups: Sequence[Any] = ()
    min_replicas = epoch_counter = index = 0
    primary = True

    def __init__(self, agent: Agent) -> None:
        self._agent = agent

    @property
    def replicate_default(self) -> str:
        """What its options say; nothing comes of it."""
        return self._agent.broker.options.ha_replicate

    @property
    def system_id(self) -> UUID:
        """Tells it from others, until it is started again."""
        return self._agent.system_id

    def set_brokers_url(self, url: str) -> None:
        """There is no cluster. Raises ValueError."""
        raise ValueError("this broker stands alone")

    def set_public_url(self, url: str) -> None:
        """There is no cluster. Raises ValueError."""
        raise ValueError("this broker stands alone")

    def set_replicate_rules(self, rules: Sequence[str]) -> None:
        """There is no cluster. Raises ValueError."""
        raise ValueError("this broker stands alone")

    def promote(self, *, force: bool, done: Callable[[Exception | None], None]) -> None:
        """It serves clients already; the C++ broker says yes, too."""
        done(None)

    def demote(self, *, patience: float, done: Callable[[Exception | None], None]) -> None:
        """There is no other one to serve them."""
        done(ValueError("this broker stands alone"))

    def forget(self, member: str, done: Callable[[Exception | None], None]) -> None:
        """There is none."""
        done(ValueError("this broker stands alone"))
