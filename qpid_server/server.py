"""The shell of the broker: listeners, who may connect, and time, on anyio (asyncio or trio)."""

from __future__ import annotations

import logging
import socket
import ssl
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import partial
from typing import Any

import anyio
import anyio.abc
from anyio import CancelScope, Event
from anyio.streams.tls import TLSAttribute, TLSStream

from .broker import Broker
from .broker_urls import known_hosts
from .ha.cluster import Cluster
from .ha.queue_replication import QueueReplication
from .http import HttpServer
from .link import Link
from .listening import PEER_LEFT, Listener, inherited, listen
from .management import install
from .options import OptionError, Options
from .security.acl import demand_allow_all
from .security.authenticator import Authenticator, Origin
from .security.login_queue import LoginQueue
from .security.tls import identity, server_context
from .security.users import UsersFile

__all__ = ["Server"]

log = logging.getLogger(__name__)

_SHUT_DOWN = 3.0
_CONNECTION_FORCED = 320


class Server:
    """A broker on the network.

    Args:
        options: how it is configured.
        broker: the broker to serve; one is made where not given.
        cluster: the broker's membership in a cluster; made where not given and the options ask for one.
        listeners: where clients come in; without any, the addresses that the options say.

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

    def __init__(
        self,
        options: Options | None = None,
        broker: Broker | None = None,
        *,
        cluster: Cluster | None = None,
        listeners: Sequence[Listener] = (),
    ) -> None:
        self.options = options if options is not None else Options()
        self.broker = broker if broker is not None else Broker(self.options)
        self.broker.shut_down = self.stop
        self.port = self.options.port
        self.addresses: list[tuple[str, int]] = []
        self.tls_addresses: list[tuple[str, int]] = []
        if self.options.acl_path is not None:
            demand_allow_all(self.options.acl_path)
        self._tls = server_context(self.options)
        if self.options.known_hosts_url != "none" and not self.options.ha_cluster:
            try:
                hosts = known_hosts(self.options.known_hosts_url)
            except ValueError as error:
                raise OptionError(f"known-hosts-url: {error}") from error
            self.broker.known_hosts = lambda: hosts
        self.services: list[Callable[[Server], Any]] = []
        if self.options.ha_cluster and cluster is None:
            cluster = Cluster(self.broker)
        if cluster is not None:
            if cluster.membership.encrypted and self._tls is None:
                raise OptionError("ha-brokers-url says that brokers speak TLS, and this one has no ssl-cert-file")
            self.services.append(partial(_take_part, cluster))
        if cluster is not None or self.options.ha_queue_replication:
            replication = QueueReplication(self.broker)
            self.services.append(lambda server: replication.run())
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
        self.http: HttpServer | None = None
        if self.options.http_port is not None:
            self.http = HttpServer(
                self.broker,
                self.authenticator,
                self.logins,
                interface=self.options.http_interface,
                port=self.options.http_port,
            )
        self._listeners: list[Listener] = list(listeners)
        self._tls_listeners: list[Listener] = []
        self._listening = False
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
            if self.http is not None:
                tasks.start_soon(self.http.run)
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
            OptionError: a socket or interface of the options is none, or there is nothing to listen on.
        """
        if self._listening:
            return
        self._listening = True
        options, disabled = self.options, self.options.listen_disable
        take = partial(listen, options.interface, backlog=options.connection_backlog, loopback=not options.auth)
        try:
            if not self._listeners:
                if "tcp" not in disabled:
                    self._listeners += await take(options.port)
                for descriptor in options.socket_fd:
                    self._listeners.append(await inherited(descriptor))
                if self._tls is not None and "ssl" not in disabled:
                    for port in options.ssl_port:
                        self._tls_listeners += await take(port)
            if not self._listeners and not self._tls_listeners:
                raise OptionError("listen-disable: there is no transport left to listen on")
            if self.http is not None:
                await self.http.listen()
        except BaseException:
            for listener in [*self._listeners, *self._tls_listeners]:
                await listener.aclose()
            raise
        self.addresses += map(_address, self._listeners)
        self.tls_addresses += map(_address, self._tls_listeners)
        self.port = (self.addresses or self.tls_addresses)[0][1]

    async def _serve(self, listener: Listener, encrypted: bool, tasks: anyio.abc.TaskGroup) -> None:
        with suppress(anyio.ClosedResourceError, anyio.BrokenResourceError):  # that is how it is stopped
            await listener.serve(self._connected_with_tls if encrypted else self._connected, tasks)

    # -- connections

    async def _connected_with_tls(self, stream: anyio.abc.SocketStream) -> None:
        await self._connected(stream, self._tls)

    async def _connected(self, stream: anyio.abc.SocketStream, tls: ssl.SSLContext | None = None) -> None:
        try:
            address = stream.extra(anyio.abc.SocketAttribute.remote_address)
            if not self.options.tcp_nodelay:
                stream.extra(anyio.abc.SocketAttribute.raw_socket).setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 0)
        except PEER_LEFT as error:
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
                shaken = await self._shake_hands(stream, tls, peer)
                if shaken is not None:
                    encrypted, certificate = shaken
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

    async def _shake_hands(
        self, stream: anyio.abc.SocketStream, tls: ssl.SSLContext, peer: str
    ) -> tuple[TLSStream, str] | None:
        """Begin TLS; with whom the client's certificate speaks of. None where it does not begin, or not in time."""
        reason = f"no TLS handshake within {self.options.max_negotiate_time} ms"
        with anyio.move_on_after(self.options.max_negotiate_time / 1000):
            try:
                encrypted = await TLSStream.wrap(stream, server_side=True, ssl_context=tls, standard_compatible=False)
                return encrypted, identity(encrypted.extra(TLSAttribute.peer_certificate))
            except (ssl.SSLError, anyio.BrokenResourceError, anyio.EndOfStream, *PEER_LEFT) as error:
                cause = error.__cause__ if isinstance(error.__cause__, ssl.SSLError) else error
                reason = f"TLS handshake failed: {getattr(cause, 'reason', '') or str(cause) or 'the client left'}"
        log.warning("connection from %s refused: %s", peer, reason)
        return None

    async def _run_link(self, stream: anyio.abc.ByteStream, peer: str, origin: Origin) -> None:
        refusal = self.authenticator.refusal(origin)
        if refusal:
            log.warning("connection from %s refused: %s", peer, refusal)
        await Link(self.broker, self.authenticator, self.logins, stream, peer, origin).run()
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


async def _take_part(cluster: Cluster, server: Server) -> None:
    await cluster.run(server.tls_addresses[0][1] if cluster.membership.encrypted else server.port)


def _address(listener: Listener) -> tuple[str, int]:
    address = listener.extra(anyio.abc.SocketAttribute.local_address)
    return str(address[0]), int(address[1])
