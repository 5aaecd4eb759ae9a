"""Who may become primary: decisions without I/O, from what the members answer.

k is the number of backups that must confirm an entry (`--ha-min-replicas`), N the number of members. With k >= 1 a
candidate needs the promises of N - k members that still hold what they held: then every acknowledged entry is on at
least one of them, and the one that is furthest ahead has them all. With k = 0 nothing can be proven; the candidate goes
on with those that answered in time, and is still refused while one that answers is ahead of it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from .epoch import START, Epoch, Position

JOINING, CATCH_UP, READY, RECOVERING, ACTIVE = "joining", "catchup", "ready", "recovering", "active"
"""States of a member, as management shows them."""


class Refused(Exception):
    """A promotion is refused; the text says why, and what to promote instead."""


class MemberStatus(NamedTuple):
    """What a member says of itself.

    Attributes:
        broker: its id.
        address: host:port where it was asked.
        status: its state.
        epoch: the reign that it lives under, as a primary or as a backup.
        position: the last entry of its log.
        promised: the highest epoch that it promised.
        lost_state: it was in a cluster before it was started, and came back with nothing.
        legitimate: as a primary: it has all the promises that it needed.
        in_sync: as a primary: how many backups its completions wait for.
        asynchronous: no primary waits for it, and only force promotes it.
        knows: ids of the members that it knows to have joined.
    """

    broker: str
    address: str
    status: str
    epoch: Epoch
    position: Position
    promised: Epoch
    lost_state: bool
    legitimate: bool
    in_sync: int
    asynchronous: bool = False
    knows: tuple[str, ...] = ()

    @property
    def primary(self) -> bool:
        return self.status in (RECOVERING, ACTIVE)

    def to_map(self) -> dict[str, Any]:
        """As a record's payload."""
        return {
            "broker": self.broker,
            "status": self.status,
            "epoch": list(self.epoch),
            "position": self.position.to_list(),
            "promised": list(self.promised),
            "lost_state": self.lost_state,
            "legitimate": self.legitimate,
            "in_sync": self.in_sync,
            "async": self.asynchronous,
            "knows": list(self.knows),
        }

    @classmethod
    def from_map(cls, values: dict[str, Any], address: str) -> MemberStatus:
        """From a record's payload.

        Raises:
            ValueError, KeyError, TypeError: it is not one.
        """
        return cls(
            broker=str(values["broker"]),
            address=address,
            status=str(values["status"]),
            epoch=Epoch.of(values["epoch"]),
            position=Position.of(values["position"]),
            promised=Epoch.of(values["promised"]),
            lost_state=bool(values["lost_state"]),
            legitimate=bool(values["legitimate"]),
            in_sync=int(values["in_sync"]),
            asynchronous=bool(values.get("async")),
            knows=tuple(map(str, values.get("knows", ()))),
        )


class Candidacy(NamedTuple):
    """What a candidate asks the others to promise.

    Attributes:
        epoch: that they follow nobody of an older one; it names the candidate.
        position: the last entry of its log.
        address: where it listens, host:port.
        force: whether it goes on regardless.
    """

    epoch: Epoch
    position: Position
    address: str
    force: bool

    def to_map(self) -> dict[str, Any]:
        """As a record's payload."""
        return {
            "epoch": list(self.epoch),
            "position": self.position.to_list(),
            "address": self.address,
            "force": self.force,
        }

    @classmethod
    def from_map(cls, values: dict[str, Any]) -> Candidacy:
        """From a record's payload.

        Raises:
            ValueError, KeyError, TypeError: it is not one.
        """
        return cls(
            epoch=Epoch.of(values["epoch"]),
            position=Position.of(values["position"]),
            address=str(values["address"]),
            force=bool(values["force"]),
        )


def check_candidate(own: MemberStatus, others: Sequence[MemberStatus], *, force: bool, promised: bool = False) -> None:
    """May `own` become primary?

    Args:
        own: the candidate.
        others: those who answered, or promised.
        force: whether it may in any case.
        promised: whether they have promised. Before that, the primary that a candidate in step follows may be ahead:
            it hands over only what the candidate has got by then.

    Raises:
        Refused: no; names the member to promote instead.
    """
    if force:
        return
    if own.asynchronous:
        raise Refused("this broker follows asynchronously (ha-async): it may lack what clients were told is safe")
    in_step = own.status in (READY, RECOVERING, ACTIVE)
    # What only an asynchronous member holds, nobody waited for, unless the candidate was not there at the time.
    ahead = [other for other in others if other.position > own.position and not (other.asynchronous and in_step)]
    if in_step and not promised:
        ahead = [other for other in ahead if not (other.primary and other.epoch == own.epoch)]
    if own.status == CATCH_UP:
        raise Refused("this broker is in catch-up: it does not hold a whole copy of the primary's state")
    if ahead:
        best = max(ahead, key=lambda other: other.position)
        raise Refused(
            f"broker {best.address} is ahead of this one (it is at {best.position}, this one at {own.position}): "
            f"promote {best.address} instead{', by force: it follows asynchronously' if best.asynchronous else ''}"
        )
    if own.status == JOINING:
        for other in others:
            # A primary that stepped down holds what those hold that it left ready, or more: nobody else may be promoted
            # then.
            left_behind = other.status == READY and START < other.position <= own.position
            if other.status not in (JOINING, CATCH_UP) and not left_behind:
                raise Refused(f"this broker has not joined the cluster, and {other.address} is {other.status}")


def next_epoch(own: MemberStatus, others: Sequence[MemberStatus]) -> Epoch:
    """An epoch above every one that was seen, of the candidate."""
    seen = [epoch for member in (own, *others) for epoch in (member.epoch, member.promised, member.position.epoch)]
    return Epoch(max(seen).counter + 1, own.broker)


def check_promises(promised: Sequence[MemberStatus], members: int, min_replicas: int, *, force: bool) -> bool:
    """Whether the promises, the candidate's own among them, are all that is needed.

    Raises:
        Refused: they are not, and nobody forced the candidate to go on without.
    """
    if min_replicas == 0:
        return True
    # One that came back with nothing cannot vouch for what it held; where all N answer, nobody else holds more.
    voices = [member for member in promised if not member.lost_state]
    needed = members - min_replicas
    if len(voices) >= needed or len(promised) >= members:
        return True
    if force:
        return False
    raise Refused(
        f"{len(voices)} of {members} members promised, {needed} are needed with ha-min-replicas={min_replicas}; "
        "acknowledged messages could be missing here (--force promotes all the same)"
    )


def must_step_down(own: MemberStatus, others: Sequence[MemberStatus]) -> MemberStatus | None:
    """Whether this primary is deposed by one of the others, and by which.

    A primary with the promises that it needed deposes every one of an older epoch. One that was forced without them
    deposes only a primary that has no in-sync backups, and yields to one that has. A primary without any is deposed
    also by a member that holds entries of a later epoch: their primary has reigned, even if it is gone by now.
    """
    for other in others:
        if other.broker == own.broker:
            continue
        if not other.primary:
            if other.position.epoch > own.epoch and not own.in_sync:
                return other
            continue
        if other.epoch > own.epoch and (other.legitimate or not own.in_sync):
            return other
        if other.epoch < own.epoch and not own.legitimate and other.in_sync:
            return other
    return None
