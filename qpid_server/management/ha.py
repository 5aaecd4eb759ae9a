"""A broker's part in a highly available cluster, as management sees it (package org.apache.qpid.ha)."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol
from uuid import UUID

from qpid_messaging.management.qmf import Status

from .classes import HA_BROKER
from .schema import ManagedClass, MethodCall, MethodError
from .stand_alone import StandAlone

if TYPE_CHECKING:
    from .agent import Agent

__all__ = ["BackupStatus", "HaBrokerClass", "HighAvailability", "member_maps"]

#: Numbers of a member's statuses, as consoles know them from the C++ broker.
_STATUSES = {"joining": 0, "catchup": 1, "ready": 2, "recovering": 3, "active": 4, "stand-alone": 5}

#: Milliseconds that a primary that is demoted waits for its backups, where the caller does not say.
DEMOTION_PATIENCE = 2000


class BackupStatus(NamedTuple):
    """A backup as its primary sees it.

    Attributes:
        system_id: which broker it is.
        address: where it listens, host:port.
        lag: entries of the log that it has not confirmed yet.
        in_sync: the primary waits for it.
    """

    system_id: str
    address: str
    lag: int
    in_sync: bool


class HighAvailability(Protocol):
    """What a member of a cluster has at `Broker.ha`; a stand-alone broker has None there, and no object of this class.

    Attributes:
        status: joining, catchup, ready, recovering or active.
        brokers_url: where the members of the cluster are.
        public_url: what clients are told of where the cluster is.
        replicate_default: what is replicated of a queue that does not say: none, configuration or all.
        replicate_rules: the same for names: rules, as text.
        min_replicas: backups that must hold an entry before it completes.
        members: a map for each broker that is known to have been in the cluster: `system-id`, `address` (host and
            port) and `status`.
        system_id: tells the broker from the others, also after a restart.
        epoch: the epoch that the broker is in, as text.
        epoch_counter: the number in that.
        index: the last entry of the log that it holds.
        primary: it serves clients.
        backups: the members that follow it, where it is the primary.
    """

    @property
    def status(self) -> str: ...
    @property
    def brokers_url(self) -> str: ...
    @property
    def public_url(self) -> str: ...
    @property
    def replicate_default(self) -> str: ...
    @property
    def replicate_rules(self) -> Sequence[str]: ...
    @property
    def min_replicas(self) -> int: ...
    @property
    def members(self) -> Sequence[Mapping[str, Any]]: ...
    @property
    def system_id(self) -> UUID: ...
    @property
    def epoch(self) -> object: ...
    @property
    def epoch_counter(self) -> int: ...
    @property
    def index(self) -> int: ...
    @property
    def primary(self) -> bool: ...
    @property
    def backups(self) -> Sequence[BackupStatus]: ...

    def set_brokers_url(self, url: str) -> None:
        """Follow another list of members. Raises ValueError where it is no URL."""

    def set_public_url(self, url: str) -> None:
        """Tell clients another URL. Raises ValueError where it is none."""

    def set_replicate_rules(self, rules: Sequence[str]) -> None:
        """Choose anew what is replicated of queues and exchanges to come. Raises ValueError where one is no rule."""

    def promote(self, *, force: bool, done: Callable[[Exception | None], None]) -> None:
        """Become the primary.

        Args:
            force: also where acknowledged messages may be lost by it.
            done: called once it is so, or with the reason why not; possibly before this returns.
        """

    def demote(self, *, patience: float, done: Callable[[Exception | None], None]) -> None:
        """Be the primary no more.

        Args:
            patience: seconds to wait until backups hold everything.
            done: called once it is so, or with the reason why not; possibly before this returns.
        """

    def forget(self, member: str, done: Callable[[Exception | None], None]) -> None:
        """Count a member no more, since it will not come back.

        Args:
            member: its address or system id.
            done: called once the others know, or with the reason why not; possibly before this returns.
        """


class HaBrokerClass(ManagedClass[HighAvailability]):
    """org.apache.qpid.ha:habroker, with the epoch and log index that brokers of the C++ kind do not have."""

    schema = HA_BROKER

    def __init__(self, agent: Agent) -> None:
        super().__init__(agent)
        self._alone = StandAlone(agent)

    def all(self) -> Iterable[HighAvailability]:
        """One in a cluster, one in a broker that copies queues of others, none in any other."""
        ha: HighAvailability | None = self.broker.ha
        if ha is not None:
            return (ha,)
        return () if self.broker.queue_replication is None else (self._alone,)

    def key(self, item: HighAvailability) -> str:
        """The name that the C++ broker has there."""
        return "ha-broker"

    def values(self, item: HighAvailability) -> dict[str, Any]:
        """Role, members and position in the log."""
        return {
            "name": "ha-broker",
            "status": item.status,
            "brokersUrl": item.brokers_url,
            "publicUrl": item.public_url,
            "replicateDefault": item.replicate_default,
            "members": member_maps(item.members),
            "systemId": item.system_id,
            "epoch": str(item.epoch),
            "index": item.index,
            "replicateRules": list(item.replicate_rules),
            "minReplicas": item.min_replicas,
            "replicas": self.replicas(),
        }

    def stamp(self, item: HighAvailability) -> object:
        """Status, position, configuration and members."""
        configuration = item.brokers_url, item.public_url, tuple(item.replicate_rules)
        return item.status, item.index, configuration, repr(item.members), repr(self.replicas())

    def replicas(self) -> list[dict[str, str]]:
        """The queues that follow queues of other brokers."""
        replication = self.broker.queue_replication
        return [] if replication is None else [replica._asdict() for replica in replication.replicas]

    def _replicate(self, item: HighAvailability, call: MethodCall) -> None:
        replication = self.broker.queue_replication
        if replication is None:
            raise MethodError(Status.NOT_IMPLEMENTED, "replicate: ha-queue-replication is not enabled")
        try:
            replication.replicate(call.text("broker"), call.text("queue"), _answer(call))
        except ValueError as error:
            raise MethodError(Status.INVALID_PARAMETER, f"replicate: {error}") from error

    def _stop_replicating(self, item: HighAvailability, call: MethodCall) -> None:
        if self.broker.queue_replication is not None:
            self.broker.queue_replication.stop(call.text("queue"))
        call.done()

    @property
    def methods(self) -> Mapping[str, Callable[[HighAvailability, MethodCall], None]]:
        """replicate, stopReplicating, promote, demote, forget, setBrokersUrl, setPublicUrl, setReplicateRules."""
        return {
            "replicate": self._replicate,
            "stopReplicating": self._stop_replicating,
            "promote": _promote,
            "demote": _demote,
            "forget": _forget,
            "setBrokersUrl": _set_brokers_url,
            "setPublicUrl": _set_public_url,
            "setReplicateRules": _set_replicate_rules,
        }


def member_maps(members: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Members as consoles are told of them; those that cannot be reached are left out, as the C++ broker does."""
    return [_member_map(member) for member in members if member.get("status") in _STATUSES]


def _member_map(member: Mapping[str, Any]) -> dict[str, Any]:
    host, _, port = str(member.get("address", "")).rpartition(":")
    return {
        "host-name": host.strip("[]").encode(),
        "port": int(port) if port.isascii() and port.isdigit() else 0,
        "protocol": b"tcp" if host else b"",
        "status": _STATUSES[member["status"]],
        "system-id": UUID(str(member["system-id"])),
    }


def _promote(ha: HighAvailability, call: MethodCall) -> None:
    ha.promote(force=call.flag("force"), done=_answer(call))


def _demote(ha: HighAvailability, call: MethodCall) -> None:
    ha.demote(patience=call.number("wait", DEMOTION_PATIENCE) / 1000, done=_answer(call))


def _forget(ha: HighAvailability, call: MethodCall) -> None:
    ha.forget(call.text("member"), _answer(call))


def _answer(call: MethodCall) -> Callable[[Exception | None], None]:
    def done(error: Exception | None) -> None:
        if error is None:
            call.done()
        else:
            call.failed(str(error))

    return done


def _set_brokers_url(ha: HighAvailability, call: MethodCall) -> None:
    _set(call, lambda: ha.set_brokers_url(call.text("url")))


def _set_public_url(ha: HighAvailability, call: MethodCall) -> None:
    _set(call, lambda: ha.set_public_url(call.text("url")))


def _set_replicate_rules(ha: HighAvailability, call: MethodCall) -> None:
    _set(call, lambda: ha.set_replicate_rules(call.texts("rules")))


def _set(call: MethodCall, setter: Callable[[], None]) -> None:
    try:
        setter()
    except ValueError as error:
        raise MethodError(Status.INVALID_PARAMETER, f"{call.method}: {error}") from error
    call.done()
