"""The network of a cluster under test: each way from a member or a client to a member goes through a relay of its own.

The brokers listen on one loopback address, and what the others and the clients know are the relays, on another one. A
member tells the others its port with the address that it dials from, so there is a relay at that address, too; it
is closed for as long as any two members are parted, who would meet behind our back there.
"""

from __future__ import annotations

from contextlib import ExitStack

from typing_extensions import Self

from tests.integration.cluster import free_ports
from tests.integration.relay import Relay

BROKERS = "127.0.0.2"
"""Where the brokers listen."""


class Network:
    """Relays between the members of a cluster, and to them.

    Args:
        size: how many members.

    Attributes:
        ports: where each member is to listen, on `BROKERS`.
    """

    def __init__(self, size: int) -> None:
        self.ports = free_ports(size)
        self._announced = [Relay(port, port=port, host=BROKERS) for port in self.ports]
        self._clients = [Relay(port, host=BROKERS) for port in self.ports]
        members = range(size)
        self._links = {
            (member, other): Relay(self.ports[other], host=BROKERS)
            for member in members
            for other in members
            if other != member
        }
        self._relays = [*self._announced, *self._clients, *self._links.values()]

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        with ExitStack() as stack:
            for relay in self._relays:
                stack.push(relay)

    def brokers_url(self, member: int) -> str:
        """The members as one of them finds them."""
        announced = self._announced[member]
        relays = [self._links.get((member, other), announced) for other in range(len(self.ports))]
        return ",".join(relay.url for relay in relays)

    def member_at(self, url: str) -> int | None:
        """Which member one of them knows by that address."""
        known = {relay.url: number for number, relay in enumerate(self._announced)}
        known |= {relay.url: other for (_, other), relay in self._links.items()}
        return known.get(url)

    @property
    def client_urls(self) -> list[str]:
        """The members as clients find them."""
        return [relay.url for relay in self._clients]

    def part(self, member: int, other: int) -> None:
        """Two members lose their connections and get no new ones, until `heal`."""
        for relay in (*self._announced, self._links[member, other], self._links[other, member]):
            relay.closed = True
            relay.cut()

    def silence(self, member: int, other: int) -> None:
        """What two members say to each other comes late: after `heal`."""
        for relay in self._announced:
            relay.closed = True
            relay.cut()
        for relay in (self._links[member, other], self._links[other, member]):
            relay.hold()

    def heal(self) -> None:
        """Everything goes through again, also what was held."""
        for relay in self._relays:
            relay.closed = False
            relay.release()

    def cut_clients(self, member: int) -> None:
        """The clients of a member lose their connections, and may come back at once."""
        self._clients[member].cut()

    def silence_clients(self, member: int) -> None:
        """What a member and its clients say to each other comes late: after `heal`."""
        self._clients[member].hold()
