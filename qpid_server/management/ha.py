"""A broker's part in a highly available cluster, as management sees it (package org.apache.qpid.ha)."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Protocol
from uuid import UUID

from qpid_messaging.management.qmf import HA_PACKAGE, Status, as_binary

from .schema import ManagedClass, MethodCall, MethodError

__all__ = ["HaBrokerClass", "HighAvailability"]


class HighAvailability(Protocol):
    """What a member of a cluster has at `Broker.ha`; a stand-alone broker has None there, and no object of this class.

    Attributes:
        status: joining, catchup, ready, recovering or active.
        brokers_url: where the members of the cluster are.
        public_url: what clients are told of where the cluster is.
        replicate_default: what is replicated of a queue that does not say: none, configuration or all.
        members: a map for each broker that is known to be in the cluster.
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

    package = HA_PACKAGE
    name = "habroker"

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
            "members": as_binary(item.members),
            "systemId": item.system_id,
            "epoch": str(item.epoch),
            "index": item.index,
        }

    @property
    def methods(self) -> Mapping[str, Callable[[HighAvailability, MethodCall], None]]:
        """promote, setBrokersUrl, setPublicUrl; replicate is refused by name."""
        return {
            "promote": _promote,
            "setBrokersUrl": _set_brokers_url,
            "setPublicUrl": _set_public_url,
            "replicate": _replicate,
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


def _replicate(ha: HighAvailability, call: MethodCall) -> None:
    raise MethodError(Status.NOT_IMPLEMENTED, "method replicate is not implemented")
