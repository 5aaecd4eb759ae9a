"""A link to another broker: batches of records, over AMQP 0-10.

A member of a cluster dials another one as a client that names itself a peer, attaches one session, subscribes to the
service `qpid.ha` and sends it transfers; their bodies are batches (see `records`). Requests are answered in the order
in which they came. A broker that copies a queue speaks in the same way to another service, as a client like others.
"""

from __future__ import annotations

import math
from collections import deque
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Protocol
from uuid import uuid4

import anyio
import anyio.abc

from qpid_messaging.amqp import commands as c
from qpid_messaging.amqp import sasl
from qpid_messaging.amqp.connection import AuthenticationError, ClientConnection
from qpid_messaging.amqp.events import Attached, Broken, Closed, Detached, Event, Failed, Incoming, Opened
from qpid_messaging.amqp.session import Session

from ..listening import PEER_LEFT

if TYPE_CHECKING:
    import ssl

SERVICE = "qpid.ha"
"""Name of the internal service that peers talk to."""
PEER_PROPERTY = "qpid.ha-peer"
"""Client property that names a connection a peer's."""
_UNLIMITED = 0xFFFFFFFF
_READ_SIZE = 1 << 18


class LinkError(Exception):
    """The link cannot be made, or is gone; the text says why."""


class LinkRefused(LinkError):
    """The peer is there and says no: to the credentials, to the connection, or to what was asked."""


class Network(Protocol):
    """How members reach each other: TCP in production, something in memory in a simulation."""

    async def connect(self, host: str, port: int) -> anyio.abc.ByteStream:
        """Open a connection.

        Raises:
            OSError: it cannot be opened.
        """


class TCPNetwork:
    """Members are reached over TCP.

    Attributes:
        tls: what to show them and to demand of them; None is no encryption.
    """

    def __init__(self) -> None:
        self.tls: ssl.SSLContext | None = None

    async def connect(self, host: str, port: int) -> anyio.abc.ByteStream:
        """Open a TCP connection."""
        if self.tls is None:
            return await anyio.connect_tcp(host, port)
        try:
            return await anyio.connect_tcp(host, port, ssl_context=self.tls, tls_standard_compatible=False)
        except anyio.BrokenResourceError as error:
            raise OSError(f"TLS handshake failed: {error.__cause__ or 'the peer closed the connection'}") from error


class Credentials:
    """Who this broker is to the others (`ha-username`, `ha-password`, `ha-mechanism`)."""

    def __init__(self, username: str | None, password: str | None, mechanism: str | None) -> None:
        self.username = username or None
        self.password = password
        self.permitted = [mechanism] if mechanism else None

    def choose(self, offered: list[str]) -> sasl.Mechanism:
        """The SASL mechanism to use with a peer."""
        return sasl.choose(offered, self.username, self.password, permitted=self.permitted, trace="qpid.ha")


class PeerLink:
    """An open link; `PeerLink.open` makes one.

    Attributes:
        address: host:port that was dialled.
        service: name of the service at the other end.
        local_host: this broker's host as the peer sees it; empty where the network does not tell.
    """

    def __init__(self, address: str, service: str, stream: anyio.abc.ByteStream, machine: ClientConnection) -> None:
        self.address = address
        self.service = service
        self.local_host = _local_host(stream)
        self._stream = stream
        self._machine = machine
        # All brokers may be one user, whose sessions are told apart by name.
        self._session = Session(f"qpid.ha.{uuid4()}".encode())
        self._batches: deque[bytes] = deque()
        self._sending = anyio.Lock(fast_acquire=True)

    @classmethod
    async def open(
        cls,
        network: Network,
        host: str,
        port: int,
        credentials: Credentials,
        properties: dict[str, Any],
        heartbeat: int,
        *,
        service: str = SERVICE,
    ) -> PeerLink:
        """Dial a peer.

        Args:
            network: how to get there.
            host, port: where it listens.
            credentials: who to be.
            properties: client properties.
            heartbeat: seconds.
            service: the service there.

        Raises:
            LinkError: it is not there, does not let us in (`LinkRefused`), or speaks something else.
        """
        address = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
        try:
            stream = await network.connect(host, port)
        except OSError as error:
            raise LinkError(f"{address}: {error}") from error
        machine = ClientConnection(credentials.choose, client_properties=properties, heartbeat=heartbeat)
        try:
            link = cls(address, service, stream, machine)
            await link._open()
        except BaseException:
            with anyio.CancelScope(shield=True):
                await anyio.aclose_forcefully(stream)
            raise
        return link

    async def _open(self) -> None:
        await self._until(Opened)
        self._machine.attach(self._session)
        await self._until(Attached)
        self._session.send(
            c.MessageSubscribe(
                queue=self.service,
                destination=self.service,
                accept_mode=c.AcceptMode.NONE,
                acquire_mode=c.AcquireMode.PRE_ACQUIRED,
            )
        )
        for unit in (c.CreditUnit.MESSAGE, c.CreditUnit.BYTE):
            self._session.send(c.MessageFlow(destination=self.service, unit=unit, value=_UNLIMITED))
        await self._write()

    @property
    def product(self) -> str:
        """What the peer says that it is."""
        return str(self._machine.server_properties.get("product", ""))

    async def _until(self, wanted: type[Event]) -> None:
        found = False
        while not found:
            await self._write()
            for event in await self._read():
                found = found or type(event) is wanted

    def send(self, batch: bytes) -> None:
        """Queue a batch; `flush` writes it."""
        self._session.send(c.MessageTransfer(destination=self.service, accept_mode=c.AcceptMode.NONE), None, batch)

    async def flush(self) -> None:
        """Write what is queued.

        Raises:
            LinkError: the link is gone.
        """
        await self._write()

    async def request(self, record: bytes) -> bytes:
        """Send a batch and wait for the answer to it."""
        self.send(record)
        await self._write()
        return await self.receive()

    async def receive(self, silence: float = math.inf) -> bytes:
        """The next batch of the peer.

        Args:
            silence: seconds that the peer may send nothing at all, not even a heartbeat.

        Raises:
            LinkError: the link is gone, or silent.
        """
        while not self._batches:
            try:
                with anyio.fail_after(silence):
                    await self._read()
            except TimeoutError as error:
                raise LinkError(f"{self.address}: silent for {silence:g} s") from error
            await self._write()
        return self._batches.popleft()

    async def heartbeats(self, interval: float) -> None:
        """Send a heartbeat each `interval` seconds, until cancelled or the link is gone (which the reader sees)."""
        with suppress(LinkError):
            while True:
                await anyio.sleep(interval)
                self._machine.send_heartbeat()
                await self._write()

    async def aclose(self) -> None:
        """Close the link, in order where the peer is there to see it."""
        self._machine.close()
        with anyio.move_on_after(0.1, shield=True):
            with suppress(LinkError):
                await self._write()
        with anyio.CancelScope(shield=True):
            await anyio.aclose_forcefully(self._stream)

    async def _write(self) -> None:
        async with self._sending:
            data = self._machine.data_to_send()
            if data:
                try:
                    await self._stream.send(data)
                except (OSError, anyio.BrokenResourceError, anyio.ClosedResourceError) as error:
                    raise LinkError(f"{self.address}: connection lost while sending") from error

    async def _read(self) -> list[Event]:
        try:
            data = await self._stream.receive(_READ_SIZE)
        except (OSError, anyio.EndOfStream, anyio.BrokenResourceError, anyio.ClosedResourceError) as error:
            raise LinkError(f"{self.address}: connection lost") from error
        events = self._machine.receive(data)
        for event in events:
            kind = type(event)
            if kind is Incoming:
                assert isinstance(event, Incoming)
                if isinstance(event.command, c.MessageTransfer):
                    self._batches.append(event.body or b"")
                event.session.complete(event.id)
            elif isinstance(event, Closed):
                raise LinkRefused(f"{self.address}: {event.text or 'closed the connection'}")
            elif isinstance(event, Failed):
                raise LinkRefused(f"{self.address}: {event.exception.description}")
            elif isinstance(event, Detached):
                raise LinkError(f"{self.address}: detached the session (code {event.code})")
            elif isinstance(event, Broken):
                refused = isinstance(event.error, AuthenticationError)
                raise (LinkRefused if refused else LinkError)(f"{self.address}: {event.error}")
        return events


def _local_host(stream: anyio.abc.ByteStream) -> str:
    try:
        address = stream.extra(anyio.abc.SocketAttribute.local_address, None)
    except PEER_LEFT:
        return ""  # whoever writes next is told
    return str(address[0]) if isinstance(address, tuple) else ""
