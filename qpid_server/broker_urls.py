"""URLs of brokers, as options have them: what members of a cluster dial, and what clients are told."""

from __future__ import annotations

from typing import NamedTuple

from qpid_address import BrokerURL

__all__ = ["RDMA", "MemberAddresses", "host_port", "known_hosts", "member_addresses"]

RDMA = "rdma:"
"""What the address of a member begins with that is reached over RDMA, which cannot be dialled here."""


class MemberAddresses(NamedTuple):
    """Where the members of a cluster are.

    Attributes:
        encrypted: they are reached over TLS.
        addresses: host:port of each; those over RDMA with their transport before them.
    """

    encrypted: bool
    addresses: list[str]


def host_port(host: str, port: int) -> str:
    """Both in one text, with IPv6 in brackets."""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def known_hosts(url: str) -> list[str]:
    """The addresses of a URL as connection.open-ok has them.

    Raises:
        ValueError: it is no URL.
    """
    return [
        f"amqp:{'ssl' if address.transport == 'tcp+tls' else address.transport}:"
        f"{host_port(address.host, address.port_or_default)}"
        for address in (BrokerURL.parse(url).addresses if url else ())
    ]


def member_addresses(url: str) -> MemberAddresses:
    """The addresses of `ha-brokers-url`.

    Raises:
        ValueError: it is no URL, or some of the members speak TLS and some do not.
    """
    hosts = [address.split(":", 2)[1:] for address in known_hosts(url)]
    transports = {transport for transport, _ in hosts} - {"rdma"}
    if len(transports) > 1:
        # Members tell each other hosts and ports only.
        raise ValueError(f"{url}: brokers are linked over tcp or over ssl, and all of them over the same")
    addresses = [f"{RDMA}{at}" if transport == "rdma" else at for transport, at in hosts]
    return MemberAddresses(transports == {"ssl"}, addresses)
