"""How the async shell gets to brokers, and waits for its transports: over TCP, or by what a test puts in its place."""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING, Any

import anyio

from ..transports import Blocked, Connecting, kind_for, resolving, tls

if TYPE_CHECKING:
    from qpid_address import BrokerAddress

    from ..options import ConnectionOptions
    from ..transports import Transport


class Sockets:
    """Connects transports, and waits until they are ready."""

    async def connect(self, broker: BrokerAddress, options: ConnectionOptions) -> Transport:
        """Open a transport to a broker, encrypted where its address says so.

        Raises:
            OSError: there is none.
        """
        connecting = Connecting(broker, options, kind_for(options, broker) is tls, await _resolve(broker))
        try:
            while True:
                try:
                    return connecting.proceed()
                except Blocked as blocked:
                    writing = blocked.writing
                await (anyio.wait_writable if writing else anyio.wait_readable)(connecting)
        finally:
            connecting.close()

    async def readable(self, transport: Transport) -> None:
        """Wait until there is something to be read."""
        await anyio.wait_readable(transport)

    async def writable(self, transport: Transport) -> None:
        """Wait until it takes something to be written."""
        await anyio.wait_writable(transport)


async def _resolve(broker: BrokerAddress) -> list[Any]:
    """The network addresses of a broker. A number is not worth a thread."""
    host, port = broker.host, broker.port_or_default
    with resolving():
        try:
            return socket.getaddrinfo(host, port, 0, socket.SOCK_STREAM, flags=socket.AI_NUMERICHOST)
        except OSError:
            return await anyio.getaddrinfo(host, port, type=socket.SOCK_STREAM)
