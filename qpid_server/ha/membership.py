"""Who the members of a cluster are, and where they and their clients reach each other.

`ha-brokers-url` lists the members, or has one address, a virtual one, behind which the primary is. In the second case
the number of members, on which it depends how many promises a candidate needs, is that of those that ever joined: they
are on record, and a member leaves that only by an operator's command.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection, Iterable
from typing import TYPE_CHECKING, Any

from ..broker_urls import RDMA, host_port, known_hosts, member_addresses
from .epoch import system_id

if TYPE_CHECKING:
    from .epoch import Promises

_log = logging.getLogger("qpid_server.ha")

UNAVAILABLE = "unavailable"
"""State of a member that does not follow the primary at present."""


class Membership:
    """What one member knows of the others.

    Args:
        record: what this member must not forget: its own id, and who joined.
        brokers_url: where the brokers of the cluster are.
        public_url: where clients find the cluster; empty where that is the same.
        changed: called when members, their states or the URLs change.

    Attributes:
        brokers_url: as it was set last.
        addresses: host:port of each broker in it.
        encrypted: whether members are reached over TLS.
        known_hosts: what connection.open-ok tells clients of other brokers to turn to.
        peers: what is known of the others, by broker id: {"address", "status"}.
        own_addresses: those at which this broker answered itself.
        port: where this broker listens.

    Raises:
        ValueError: one of the URLs is none.
    """

    def __init__(self, record: Promises, brokers_url: str, public_url: str, changed: Callable[[], None]) -> None:
        self.port = 0
        self.own_addresses: set[str] = set()
        self.peers = {id: {"address": at, "status": UNAVAILABLE} for id, at in record.members.items()}
        self._record = record
        self._changed = changed
        self._own_host = ""
        self._refusals: dict[str, str] = {}
        self._given_public_url = public_url
        self.set_brokers_url(brokers_url)
        self.set_public_url(public_url)

    # -- URLs

    def set_brokers_url(self, url: str) -> None:
        """Say where the brokers of the cluster are.

        Raises:
            ValueError: it is no URL.
        """
        self.encrypted, self.addresses = member_addresses(url)
        if any(address.startswith(RDMA) for address in self.addresses):
            _log.warning("rdma is not supported: its addresses in %s will not be dialled", url)
        self.brokers_url = url
        if not self._given_public_url:
            self.set_public_url("")

    def set_public_url(self, url: str) -> None:
        """Say where clients find the cluster; where it is empty, they use the brokers' URL.

        Raises:
            ValueError: it is no URL.
        """
        self.known_hosts = known_hosts(url or self.brokers_url)
        self._given_public_url = url
        self._changed()

    @property
    def public_url(self) -> str:
        """Where clients find the cluster."""
        return self._given_public_url or self.brokers_url

    @property
    def client_urls(self) -> list[str]:
        """What `amq.failover` tells: the public URL; where there is none of its own, a second one of members met.

        The brokers' URL may be one virtual address. A public URL says that clients come in elsewhere than brokers do.
        """
        told = [self.known_hosts]
        if not self._given_public_url:
            transport = "ssl" if self.encrypted else "tcp"
            met = dict.fromkeys(peer["address"] for peer in self.peers.values())
            told.append([f"amqp:{transport}:{address}" for address in met if address not in self.addresses])
        return [f"amqp:{','.join(at.removeprefix('amqp:') for at in hosts)}" for hosts in told if hosts]

    # -- where this member is

    @property
    def virtual(self) -> bool:
        """The URL is one address, which may be a virtual one: another broker's next."""
        return len(self.addresses) < 2

    @property
    def own_address(self) -> str:
        """host:port of this member, as others reach it."""
        own = [address for address in self.addresses if address in self.own_addresses and not self.virtual]
        return own[0] if own else self.address_on(self._own_host)

    def address_on(self, host: str) -> str:
        """host:port of this member to one that reaches it on that host; an empty one is not told by the network."""
        return host_port(host or "localhost", self.port)

    def seen_as(self, host: str) -> bool:
        """A member sees this one as coming from that host. Returns whether that is news."""
        if not host or self._own_host:
            return False
        self._own_host = host
        return True

    # -- the others

    @property
    def count(self) -> int:
        """N: the brokers that the URL lists; where that is one address, every member that ever joined."""
        return self.counted(())

    def counted(self, known: Iterable[str]) -> int:
        """N, to which others add whom they know: a list that was written down while this one was away may be longer."""
        if not self.virtual:
            return len(self.addresses)
        return len({*self.peers, *self._record.members, *known, self._record.broker_id})

    @property
    def ids(self) -> list[str]:
        """The ids of all who joined, this member included."""
        return [self._record.broker_id, *self._record.members]

    def know(self, broker_id: str, address: str, status: str) -> None:
        """A member is at that address; one that was there before under another id lost its data directory.

        The virtual address says only who is the primary: a member that has been there keeps the one of its own.
        """
        if self.virtual and address in self.addresses and broker_id in self.peers:
            address = self.peers[broker_id]["address"]
        for id in [id for id, member in self.peers.items() if member["address"] == address and id != broker_id]:
            del self.peers[id]
        self.peers[broker_id] = {"address": address, "status": status}

    def nobody_follows(self) -> None:
        """What the others are to this member now that a new reign begins: nothing, until they join."""
        self.peers = {id: {**member, "status": UNAVAILABLE} for id, member in self.peers.items()}

    def find(self, member: str) -> str | None:
        """The id of the member with that system id or address; None where there is none."""
        for id, known in self.peers.items():
            if member in (id, str(system_id(id)), known["address"]):
                return id
        return None

    def forget(self, broker_id: str) -> None:
        """A member has left for good.

        Raises:
            OSError: that cannot be written down.
        """
        del self.peers[broker_id]
        self.write_down(self.ids)

    def write_down(self, ids: Collection[str]) -> None:
        """Put those of the others who have one of these ids on record as having joined.

        Raises:
            OSError: that cannot be done.
        """
        self._record.know({id: member["address"] for id, member in self.peers.items() if id in ids})

    def take(self, members: Iterable[dict[str, Any]]) -> None:
        """The primary says who the members are.

        Raises:
            KeyError, TypeError: it says something else.
        """
        self.peers = {
            str(member["id"]): {"address": str(member["address"]), "status": str(member["status"])}
            for member in members
            if member["id"] != self._record.broker_id
        }
        self._changed()

    def told(self, own_status: str) -> list[dict[str, Any]]:
        """What a primary says of who the members are: those who joined."""
        own = {"address": self.own_address, "status": own_status}
        joined = {id: member for id, member in self.peers.items() if id in self._record.members}
        return [{"id": id, **member} for id, member in {**joined, self._record.broker_id: own}.items()]

    def shown(self, own_status: str) -> list[dict[str, str]]:
        """The same as management shows it, this member first."""
        own = {"address": self.own_address, "status": own_status}
        known = {self._record.broker_id: own, **self.peers, self._record.broker_id: own}
        return [{"system-id": str(system_id(id)), **member} for id, member in known.items()]

    def addresses_of_others(self, hint: str | None) -> list[str]:
        """Where other members may be: the most likely primary first, then those of the URL, then those known."""
        known = [hint] if hint else []
        known += self.addresses
        known += [member["address"] for member in self.peers.values()]
        return [address for address in dict.fromkeys(known) if address not in self.own_addresses]

    def refused_by(self, address: str, reason: str) -> None:
        """The broker there does not talk to this one: said once for each reason."""
        if self._refusals.get(address) != reason:
            self._refusals[address] = reason
            _log.warning("not let in by a member: %s", reason)

    def admitted_by(self, address: str) -> None:
        """The broker there talks to this one."""
        if self._refusals.pop(address, None) is not None:
            _log.info("let in by %s", address)
