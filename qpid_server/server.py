"""The shell of the broker: listeners, sockets and time, on anyio (asyncio or trio).

One task reads a connection, one writes it. A read is handed to the connection whole, and whatever it leads to, on any
connection, goes out in one write each.
"""

from __future__ import annotations

import errno
import logging
import ssl
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import anyio
import anyio.abc
from anyio import CancelScope, Event
from anyio.streams.tls import TLSAttribute, TLSStream

from qpid_messaging.amqp.sasl import Accepted

from .broker import Broker
from .connection import ConnectionHandler
from .ha.cluster import Cluster
from .management import install
from .options import OptionError, Options
from .security.acl import demand_allow_all
from .security.authenticator import Authenticator, Origin, Refused, Slow
from .security.login_queue import LoginQueue
from .security.tls import identity, server_context
from .security.users import UsersFile

__all__ = ["Server"]

Listener = anyio.abc.Listener[anyio.abc.SocketStream]

log = logging.getLogger(__name__)

_READ_SIZE = 1 << 18
_LAST_WRITE = 2.0
_SHUT_DOWN = 3.0
_CONNECTION_FORCED = 320
_LOOPBACK = ("127.0.0.1", "::1")
_ANYWHERE = ("0.0.0.0", "::")


class Server:
    """A broker on the network.

    Args:
        options: how it is configured.
        broker: the broker to serve; one is made where not given.

    Attributes:
        broker: the broker.
        port: the port that it listens on, once it does.
        addresses: all of them, with their hosts.
        tls_addresses: those that speak TLS.
        services: coroutine functions run beside the listeners as long as the server runs (HA, management); each is
            given the server.

    Raises:
        OptionError: files of certificates or rules that it cannot do with.
    """

    def __init__(self, options: Options | None = None, broker: Broker | None = None) -> None:
        self.options = options if options is not None else Options()
        self.broker = broker if broker is not None else Broker(self.options, clock=anyio.current_time)
        self.broker.shut_down = self.stop
        self.port = self.options.port
        self.addresses: list[tuple[str, int]] = []
        self.tls_addresses: list[tuple[str, int]] = []
        if self.options.acl_path is not None:
            demand_allow_all(self.options.acl_path)
        self._tls = server_context(self.options)
        self.services: list[Callable[[Server], Any]] = []
        if self.options.ha_cluster:
            cluster = Cluster(self.broker)
            if cluster.encrypted and self._tls is None:
                raise OptionError("ha-brokers-url says that brokers speak TLS, and this one has no ssl-cert-file")
            self.services.append(
                lambda server: cluster.run(server.tls_addresses[0][1] if cluster.encrypted else server.port)
            )
        if self.options.mgmt_enable:
            install(self.broker, port=lambda: self.port)
        self.authenticator = Authenticator(
            UsersFile(self.options.users_path) if self.options.auth else None,
            realm=self.options.realm,
            permitted=self.options.sasl_mechanisms.split(),
            require_encryption=self.options.require_encryption,
            no_dictionary=self.options.ssl_sasl_no_dict,
        )
        self.logins = LoginQueue()
        self._listeners: list[Listener] = []
        self._tls_listeners: list[Listener] = []
        self._hosts: Counter[str] = Counter()
        self._stop: Event | None = None
        self._closed: Event | None = None

    async def run(self, *, task_status: anyio.abc.TaskStatus[int] = anyio.TASK_STATUS_IGNORED) -> None:
        """Serve until :meth:`stop` is called; then close all connections in order.

        Raises:
            OSError: an address cannot be listened on.
        """
        self._stop = Event()
        await self.listen()
        listeners = [*self._listeners, *self._tls_listeners]
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(self._run_timers)
            tasks.start_soon(self.logins.run)
            for service in self.services:
                tasks.start_soon(service, self)
            for listener in listeners:
                tasks.start_soon(self._serve, listener, listener in self._tls_listeners, tasks)
            task_status.started(self.port)
            await self._stop.wait()
            for listener in listeners:
                await listener.aclose()
            await self._close_connections()
            tasks.cancel_scope.cancel()

    def stop(self) -> None:
        """End :meth:`run`."""
        if self._stop is not None:
            self._stop.set()

    # -- listening

    async def listen(self) -> None:
        """Take the addresses, so that it is known whether that works; :meth:`run` does so where nobody did.

        Raises:
            OSError: an address cannot be listened on.
        """
        if not self._listeners:
            self._listeners, self.port = await self._listen(self.options.port, self.addresses)
            if self._tls is not None:
                try:
                    for tls_port in self.options.ssl_port:
                        self._tls_listeners += (await self._listen(tls_port, self.tls_addresses))[0]
                except BaseException:
                    for listener in [*self._listeners, *self._tls_listeners]:
                        await listener.aclose()
                    raise

    async def _listen(self, port: int, addresses: list[tuple[str, int]]) -> tuple[list[Listener], int]:
        interfaces = self.options.interface or (_ANYWHERE if self.options.auth else _LOOPBACK)
        listeners: list[Listener] = []
        try:
            for interface in interfaces:
                try:
                    multi = await anyio.create_tcp_listener(local_host=interface, local_port=port, backlog=511)
                except OSError as error:
                    absent = error.errno in (errno.EAFNOSUPPORT, errno.EADDRNOTAVAIL)
                    if absent and listeners and not self.options.interface:
                        continue  # a machine without IPv6
                    raise
                for listener in multi.listeners:
                    listeners.append(listener)
                    address = listener.extra(anyio.abc.SocketAttribute.local_address)
                    port = int(address[1])
                    addresses.append((str(address[0]), port))
        except BaseException:
            for listener in listeners:
                await listener.aclose()
            raise
        return listeners, port

    async def _serve(self, listener: Listener, encrypted: bool, tasks: anyio.abc.TaskGroup) -> None:
        with suppress(anyio.ClosedResourceError, anyio.BrokenResourceError):  # that is how it is stopped
            await listener.serve(self._connected_with_tls if encrypted else self._connected, tasks)

    # -- connections

    async def _connected_with_tls(self, stream: anyio.abc.SocketStream) -> None:
        await self._connected(stream, self._tls)

    async def _connected(self, stream: anyio.abc.SocketStream, tls: ssl.SSLContext | None = None) -> None:
        try:
            address = stream.extra(anyio.abc.SocketAttribute.remote_address)
        except (OSError, anyio.TypedAttributeLookupError) as error:
            log.debug("a client left at once: %s", error)
            await anyio.aclose_forcefully(stream)
            return
        host, peer = (address[0], f"{address[0]}:{address[1]}") if isinstance(address, tuple) else (address, address)
        reason = self._above_limit(host)
        if reason:
            log.warning("connection from %s refused: %s", peer, reason)
            await anyio.aclose_forcefully(stream)
            return
        self._hosts[host] += 1
        try:
            if tls is None:
                await self._run_link(stream, peer, Origin(host))
            else:
                encrypted = await self._shake_hands(stream, tls, peer)
                if encrypted is not None:
                    certificate = identity(encrypted.extra(TLSAttribute.peer_certificate))
                    await self._run_link(encrypted, peer, Origin(host, True, certificate))
        finally:
            self._hosts[host] -= 1
            if not self._hosts[host]:
                del self._hosts[host]
            # Also where a shutdown cancelled the handshake: nobody else knows of the stream by then.
            with CancelScope(shield=True):
                await anyio.aclose_forcefully(stream)

    def _above_limit(self, host: str) -> str:
        """Why there may be no further connection from a host, if so."""
        total, of_host = self.options.max_connections, self.options.connection_limit_per_ip
        if total and self._hosts.total() >= total:
            return f"there are {total} connections already"
        if of_host and self._hosts[host] >= of_host:
            return f"there are {of_host} connections from {host} already"
        return ""

    async def _shake_hands(self, stream: anyio.abc.SocketStream, tls: ssl.SSLContext, peer: str) -> TLSStream | None:
        """Begin TLS; None where the client does not, or not in time."""
        reason = f"no TLS handshake within {self.options.max_negotiate_time} ms"
        with anyio.move_on_after(self.options.max_negotiate_time / 1000):
            try:
                return await TLSStream.wrap(stream, server_side=True, ssl_context=tls, standard_compatible=False)
            except (ssl.SSLError, anyio.BrokenResourceError, anyio.EndOfStream, OSError) as error:
                cause = error.__cause__ if isinstance(error.__cause__, ssl.SSLError) else error
                reason = f"TLS handshake failed: {getattr(cause, 'reason', '') or str(cause) or 'the client left'}"
        log.warning("connection from %s refused: %s", peer, reason)
        return None

    async def _run_link(self, stream: anyio.abc.ByteStream, peer: str, origin: Origin) -> None:
        refusal = self.authenticator.refusal(origin)
        if refusal:
            log.warning("connection from %s refused: %s", peer, refusal)
        await _Link(self, stream, peer, origin).run()
        if self._closed is not None:
            self._closed.set()

    async def _close_connections(self) -> None:
        """connection.close (320) to everybody, and a little time for their answers."""
        for connection in list(self.broker.connections):
            connection.close(_CONNECTION_FORCED, "the broker is shutting down")
        self.broker.settle()
        with anyio.move_on_after(_SHUT_DOWN):
            while self.broker.connections:
                self._closed = Event()
                await self._closed.wait()

    # -- time

    async def _run_timers(self) -> None:
        timers = self.broker.timers
        changed = Event()

        def wake() -> None:
            changed.set()

        timers.changed = wake
        while True:
            due = timers.due
            if due is None:
                await changed.wait()
            else:
                with anyio.move_on_after(max(0.0, due - self.broker.clock())):
                    await changed.wait()
            if changed.is_set():
                changed = Event()
            timers.run(self.broker.clock())
            self.broker.settle()


class _Link:
    """A socket and the connection on it."""

    def __init__(self, server: Server, stream: anyio.abc.ByteStream, peer: str, origin: Origin) -> None:
        self.server = server
        self.stream = stream
        self.peer = peer
        self.wake = Event()
        self.drained = Event()
        self.tasks: anyio.abc.TaskGroup | None = None
        self.handler = ConnectionHandler(
            server.broker, peer, server.authenticator, notify=self._notify, run_slow=self._run_slow, origin=origin
        )

    def _notify(self) -> None:
        self.wake.set()
        if self.handler.finished and self.tasks is not None:
            # Also where a client that does not read holds up the writer.
            self.tasks.cancel_scope.deadline = min(self.tasks.cancel_scope.deadline, anyio.current_time() + _LAST_WRITE)

    def _run_slow(self, check: Slow, answer: Callable[[Accepted | Refused], None]) -> None:
        handler = self.handler
        self.server.logins.submit(handler.origin.host, check, lambda: handler.authenticating, answer)

    async def run(self) -> None:
        """Read and write until either side is done."""
        try:
            async with anyio.create_task_group() as tasks:
                self.tasks = tasks
                tasks.start_soon(self._write)
                await self._read()
                self.handler.finish()
        except Exception:  # one connection's fault must not end the others
            log.exception("connection from %s failed", self.peer)
        finally:
            self.handler.lost()
            with CancelScope(shield=True):
                await anyio.aclose_forcefully(self.stream)

    async def _read(self) -> None:
        handler, stream = self.handler, self.stream
        try:
            while not handler.finished:
                if handler.paused:
                    self.drained = Event()
                    await self.drained.wait()
                    continue
                handler.receive(await stream.receive(_READ_SIZE))
        except (anyio.EndOfStream, anyio.BrokenResourceError, anyio.ClosedResourceError):
            pass  # the client left

    async def _write(self) -> None:
        handler, stream = self.handler, self.stream
        assert self.tasks is not None
        try:
            while True:
                await self.wake.wait()
                self.wake = Event()
                data = handler.data_to_send()
                if handler.finished:
                    if data:
                        await stream.send(data)
                    break
                if data:
                    await stream.send(data)
                    handler.sent()
                    self.drained.set()
        except (anyio.BrokenResourceError, anyio.ClosedResourceError):
            pass  # the client left
        self.tasks.cancel_scope.cancel()
