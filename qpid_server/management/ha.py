"""A broker's part in a highly available cluster, as management sees it (package org.apache.qpid.ha)."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Protocol
from uuid import UUID

from qpid_messaging.management.qmf import Status

from .classes import HA_BROKER
from .schema import ManagedClass, MethodCall, MethodError

__all__ = ["HaBrokerClass", "HighAvailability", "member_maps"]

#: Numbers of a member's statuses, as consoles know them from the C++ broker.
_STATUSES = {"joining": 0, "catchup": 1, "ready": 2, "recovering": 3, "active": 4, "stand-alone": 5}


class HighAvailability(Protocol):
    """What a member of a cluster has at `Broker.ha`; a stand-alone broker has None there, and no object of this class.

    Attributes:
        status: joining, catchup, ready, recovering or active.
        brokers_url: where the members of the cluster are.
        public_url: what clients are told of where the cluster is.
        replicate_default: what is replicated of a queue that does not say: none, configuration or all.
        members: a map for each broker that is known to have been in the cluster: `system-id`, `address` (host and
            port) and `status`.
        system_id: tells the broker from the others, also after a restart.
        epoch: the epoch that the broker is in, as text.
        index: the last entry of the log that it holds.
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
    def members(self) -> Sequence[Mapping[str, Any]]: ...
    @property
    def system_id(self) -> UUID: ...
    @property
    def epoch(self) -> object: ...
    @property
    def index(self) -> int: ...

    def set_brokers_url(self, url: str) -> None:
        """Follow another list of members. Raises ValueError where it is no URL."""

    def set_public_url(self, url: str) -> None:
        """Tell clients another URL. Raises ValueError where it is none."""

    def promote(self, *, force: bool, done: Callable[[Exception | None], None]) -> None:
        """Become the primary.

        Args:
            force: also where acknowledged messages may be lost by it.
            done: called once it is so, or with the reason why not; possibly before this returns.
        """


class HaBrokerClass(ManagedClass[HighAvailability]):
    """org.apache.qpid.ha:habroker, with the epoch and log index that brokers of the C++ kind do not have."""

    schema = HA_BROKER

    def all(self) -> Iterable[HighAvailability]:
        """One in a cluster, none in a stand-alone broker."""
        ha: HighAvailability | None = self.broker.ha
        return () if ha is None else (ha,)

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
        }

    def stamp(self, item: HighAvailability) -> object:
        """Status, position and members."""
        return item.status, item.index, item.brokers_url, item.public_url, repr(item.members)

    @property
    def methods(self) -> Mapping[str, Callable[[HighAvailability, MethodCall], None]]:
        """promote, setBrokersUrl, setPublicUrl."""
        return {
            "promote": _promote,
            "setBrokersUrl": _set_brokers_url,
            "setPublicUrl": _set_public_url,
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
    def done(error: Exception | None) -> None:
        if error is None:
            call.done()
        else:
            call.failed(str(error))

    ha.promote(force=call.flag("force"), done=done)


def _set_brokers_url(ha: HighAvailability, call: MethodCall) -> None:
    _set_url(ha.set_brokers_url, call)


def _set_public_url(ha: HighAvailability, call: MethodCall) -> None:
    _set_url(ha.set_public_url, call)


def _set_url(setter: Callable[[str], None], call: MethodCall) -> None:
    try:
        setter(call.text("url"))
    except ValueError as error:
        raise MethodError(Status.INVALID_PARAMETER, f"{call.method}: {error}") from error
    call.done()
