"""A member of a cluster as management sees it: what `qpid_server.management.ha.HighAvailability` asks for."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING
from uuid import UUID

from ..management.ha import BackupStatus
from ..replication_rules import ReplicationRules
from .epoch import Epoch, system_id

if TYPE_CHECKING:
    from .cluster import Cluster


class ManagedMember:
    """What consoles are shown of a member, and what they may do with it.

    Args:
        cluster: the member.
    """

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster

    @property
    def status(self) -> str:
        """joining, catchup, ready, recovering or active."""
        return self._cluster.status

    @property
    def system_id(self) -> UUID:
        """Identity of this broker."""
        return system_id(self._cluster.promises.broker_id)

    @property
    def epoch(self) -> Epoch:
        """The reign that this member lives under."""
        return self._cluster.epoch

    @property
    def epoch_counter(self) -> int:
        """Its number."""
        return self._cluster.epoch.counter

    @property
    def index(self) -> int:
        """Index of the last entry of this broker's log."""
        return self._cluster.log.last.index

    @property
    def primary(self) -> bool:
        """This member serves clients."""
        return self._cluster.log.primary

    @property
    def min_replicas(self) -> int:
        """Backups that must hold an entry before it completes."""
        return self._cluster.log.min_replicas

    @property
    def backups(self) -> list[BackupStatus]:
        """Those who follow this primary."""
        log = self._cluster.log
        return [
            BackupStatus(
                str(system_id(follower.broker_id)),
                follower.address,
                log.last.index - max(0, follower.confirmed),
                follower.in_sync,
            )
            for follower in log.followers.values()
        ]

    @property
    def members(self) -> list[dict[str, str]]:
        """The members that are known, this one included."""
        return self._cluster.membership.shown(self.status)

    @property
    def brokers_url(self) -> str:
        """Where the brokers of the cluster are."""
        return self._cluster.membership.brokers_url

    def set_brokers_url(self, url: str) -> None:
        """Say where they are.

        Raises:
            ValueError: it is no URL.
        """
        self._cluster.membership.set_brokers_url(url)
        self._cluster.choose_network()

    @property
    def public_url(self) -> str:
        """Where clients find the cluster."""
        return self._cluster.membership.public_url

    def set_public_url(self, url: str) -> None:
        """Say where; where it is empty, they use the brokers' URL.

        Raises:
            ValueError: it is no URL.
        """
        self._cluster.membership.set_public_url(url)

    @property
    def replicate_default(self) -> str:
        """Replication of queues and exchanges that do not say."""
        return self._cluster.options.ha_replicate

    @property
    def replicate_rules(self) -> list[str]:
        """The same for those of a name: rules, before that default."""
        return self._cluster.broker.replication_rules.texts

    def set_replicate_rules(self, rules: Sequence[str]) -> None:
        """Choose anew what is replicated of queues and exchanges that are declared from now on.

        Raises:
            ValueError: one of them is no rule; nothing has changed then.
        """
        self._cluster.broker.replication_rules = ReplicationRules(rules, self.replicate_default)

    def promote(self, *, force: bool, done: Callable[[Exception | None], None]) -> None:
        """See `Cluster.promote`."""
        self._cluster.promote(force=force, done=done)

    def demote(self, *, patience: float, done: Callable[[Exception | None], None]) -> None:
        """See `Cluster.demote`."""
        self._cluster.demote(patience=patience, done=done)

    def forget(self, member: str, done: Callable[[Exception | None], None]) -> None:
        """See `Cluster.forget`."""
        self._cluster.forget(member, done)
