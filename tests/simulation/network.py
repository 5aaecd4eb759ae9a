"""A network in memory: hosts, the routes between them, and TCP connections with delay, loss and partition.

What is written arrives later, in order and in pieces, as TCP has it. A route that is cut holds everything back, also
the end of a connection, until it is mended. A connection that breaks loses some of what was on its way, in either
direction, and its ends see that at different times. A process that dies leaves its connections to its host, which
closes them; a process that is stopped has what comes kept for it.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping
from random import Random
from typing import Any

import anyio
import anyio.abc
import trio

from qpid_messaging.aio.sockets import Sockets
from qpid_messaging.transports import SocketTransport, Transport
from tests.simulation.clock import Clock

WINDOW = 1 << 18
"""Bytes that may be on their way, or unread, before a writer has to wait."""
PORT = 5672


class _Mark:
    """What comes instead of bytes."""


_END = _Mark()
_RESET = _Mark()


class Route:
    """One direction from one host to another.

    Attributes:
        open: whether anything arrives.
        delay: seconds that bytes take, at least and at most.
    """

    def __init__(self, network: Network) -> None:
        self._network = network
        self.open = True
        self.delay = network.delay
        self._held: dict[Wire, None] = {}
        self._mended = trio.Event()

    def draw_delay(self) -> float:
        return self._network.random.uniform(*self.delay)

    def cut(self) -> None:
        """Nothing arrives any more."""
        self.open = False

    def mend(self) -> None:
        """What was held back arrives, and the rest again."""
        if not self.open:
            self.open = True
            self._mended.set()
            self._mended = trio.Event()
            held, self._held = self._held, {}
            for wire in held:
                # TCP tries again in its own time.
                self._network.clock.after(self._network.random.uniform(0, 0.2), wire.arrive)

    def hold(self, wire: Wire) -> None:
        """Something on that wire waits for the route."""
        self._held[wire] = None

    async def travel(self) -> None:
        """Wait until a packet sent now has arrived."""
        await trio.sleep(self.draw_delay())
        while not self.open:
            await self._mended.wait()


class Wire:
    """One direction of a connection."""

    def __init__(self, network: Network, route: Route) -> None:
        self._network = network
        self.route = route
        self.target: End | None = None
        self._flying: deque[tuple[float, bytes | _Mark]] = deque()
        self._last_due = 0.0
        self._over = False

    def put(self, what: bytes | _Mark) -> None:
        """Send bytes, or the end of them."""
        if self._over:
            return
        self._over = what is _RESET
        now = self._network.clock.now
        self._last_due = due = max(self._last_due, now + self.route.draw_delay())
        self._flying.append((due, what))
        self._network.clock.after(due - now, self.arrive)

    def lose(self) -> None:
        """Of what is on its way only the first so many bytes will arrive, if any, and then a reset."""
        flying, self._flying = self._flying, deque()
        arriving = self._network.random.randint(0, sum(len(what) for _, what in flying if isinstance(what, bytes)))
        for due, what in flying:
            if not isinstance(what, bytes) or not arriving:
                break
            self._flying.append((due, what[:arriving]))
            arriving -= len(self._flying[-1][1])
        self.put(_RESET)

    def arrive(self) -> None:
        """Hand over what is due."""
        now = self._network.clock.now
        flying = self._flying
        while flying and flying[0][0] <= now:
            if not self.route.open:
                self.route.hold(self)
                return
            assert self.target is not None
            self.target.take(flying.popleft()[1])


class End:
    """One end of a connection: what the kernel keeps of it.

    Attributes:
        host: where it is.
        address: host and port of this end.
    """

    def __init__(self, network: Network, host: Host, address: tuple[str, int], wire: Wire) -> None:
        self.host = host
        self.address = address
        self.peer: End | None = None
        self._network = network
        self._wire = wire
        self._incoming = bytearray()
        self._outstanding = 0
        self._ended = self._broken = self.closed = False
        self._readable, self._writable = trio.Event(), trio.Event()

    # -- for the process

    def write(self, data: bytes | memoryview) -> int:
        """Send what the window allows. Returns how many bytes that were.

        Raises:
            OSError: the connection is broken, or closed at this end.
        """
        if self._broken or self.closed:
            raise BrokenPipeError("broken pipe")
        data = bytes(data[: WINDOW - self._outstanding])
        self._outstanding += len(data)
        for piece in self._network.pieces(data):
            self._wire.put(piece)
        return len(data)

    def read(self, size: int) -> bytes | None:
        """What has come: None where nothing has, b"" at the end.

        Raises:
            OSError: the connection is broken.
        """
        if self._incoming:
            data = bytes(self._incoming[:size])
            del self._incoming[:size]
            assert self.peer is not None
            self.peer._taken(len(data))
            return data
        if self._broken:
            raise ConnectionResetError("connection reset by peer")
        return b"" if self._ended or self.closed else None

    async def readable(self) -> None:
        """Wait until `read` gives something."""
        while not (self._incoming or self._ended or self._broken or self.closed):
            await self._readable.wait()

    async def writable(self) -> None:
        """Wait until `write` takes something."""
        while self._outstanding >= WINDOW and not (self._broken or self.closed):
            await self._writable.wait()

    async def turn(self) -> None:
        """Let others have their turn, or not: who knows what a system call does."""
        if self._network.random.random() < 0.2:
            await trio.lowlevel.checkpoint()
        else:
            await trio.lowlevel.checkpoint_if_cancelled()

    def close(self) -> None:
        """The process has closed it, or is no more: what was written arrives, and then the end of it."""
        if not self.closed:
            self.closed = True
            self.host.ends.pop(self, None)
            self._wire.put(_RESET if self._incoming else _END)
            self._incoming.clear()
            self._wake()

    # -- for the network

    def take(self, what: bytes | _Mark) -> None:
        """Something has come."""
        if self._broken:
            return
        if what is _RESET:
            self._broken = True
            self.host.ends.pop(self, None)
        elif what is _END:
            self._ended = True
        elif self.closed:
            self._wire.put(_RESET)
            return
        else:
            assert isinstance(what, bytes)
            self._incoming += what
        self._wake()

    def lose(self) -> None:
        """Not all that was written will leave, and then it is over."""
        self._wire.lose()

    def _taken(self, size: int) -> None:
        """The peer has read so much."""
        self._outstanding -= size
        self._writable.set()
        self._writable = trio.Event()

    def _wake(self) -> None:
        self._readable.set()
        self._readable = trio.Event()
        self._writable.set()
        self._writable = trio.Event()


class Host:
    """A machine.

    Attributes:
        name: its name, which resolves to it.
        ends: the open ends of connections here.
    """

    def __init__(self, network: Network, name: str) -> None:
        self.network = network
        self.name = name
        self.ends: dict[End, None] = {}
        self._backlog: deque[End] | None = None
        self._came = trio.Event()
        self._ports = 40000

    def listen(self) -> Listening:
        """Have connections taken from now on."""
        self._backlog = deque()
        return Listening(self)

    def crash(self) -> None:
        """The process here is no more; what it wrote may never leave."""
        self._backlog = None
        for end in list(self.ends):
            if self.network.random.random() < 0.7:
                end.lose()
            end.close()

    async def connect(self, name: str) -> End:
        """Open a connection to whoever listens on that host. Waits for as long as a route is cut.

        Raises:
            OSError: nobody listens there.
        """
        network = self.network
        there, back = network.route(self.name, name), network.route(name, self.name)
        await there.travel()
        host = network.hosts.get(name)
        if host is None or host._backlog is None:
            await back.travel()
            raise ConnectionRefusedError("connection refused")
        self._ports += 1
        near = End(network, self, (self.name, self._ports), Wire(network, there))
        far = End(network, host, (name, PORT), Wire(network, back))
        near.peer, far.peer = far, near
        near._wire.target, far._wire.target = far, near
        host.ends[far] = None
        host._backlog.append(far)
        host._came.set()
        try:
            await back.travel()
        except BaseException:
            near.close()
            raise
        self.ends[near] = None
        return near

    async def accept(self) -> End:
        """The next connection that came."""
        while not self._backlog:
            self._came = trio.Event()
            await self._came.wait()
        return self._backlog.popleft()


class Network:
    """All hosts and routes.

    Args:
        clock: carries the bytes.
        random: decides delays and what gets lost.
        delay: seconds that bytes take from one host to another, at least and at most, where nothing else is said.
        in_pieces: how likely it is that something written comes in two pieces.
    """

    def __init__(
        self, clock: Clock, random: Random, delay: tuple[float, float] = (0.0005, 0.004), in_pieces: float = 0.1
    ) -> None:
        self.clock = clock
        self.delay = delay
        self.random = random
        self.hosts: dict[str, Host] = {}
        self._in_pieces = in_pieces
        self._routes: dict[tuple[str, str], Route] = {}

    def host(self, name: str) -> Host:
        """The host of that name."""
        if name not in self.hosts:
            self.hosts[name] = Host(self, name)
        return self.hosts[name]

    def route(self, source: str, target: str) -> Route:
        """The way from one host to another."""
        key = (source, target)
        if key not in self._routes:
            self._routes[key] = Route(self)
        return self._routes[key]

    def between(self, one: str, other: str) -> list[Route]:
        """Both directions."""
        return [self.route(one, other), self.route(other, one)]

    def connections(self, one: str, other: str) -> list[End]:
        """The ends at one host of its connections with another."""
        ends = self.host(one).ends
        return [end for end in ends if end.peer is not None and end.peer.host.name == other]

    def mend(self) -> None:
        """All routes are as they should be."""
        for route in self._routes.values():
            route.delay = self.delay
            route.mend()

    def pieces(self, data: bytes) -> list[bytes]:
        """How it travels."""
        if len(data) > 1 and self.random.random() < self._in_pieces:
            at = self.random.randrange(1, len(data))
            return [data[:at], data[at:]]
        return [data] if data else []


# -- what the broker sees ----------------------------------------------------------------------------------------------


class Stream(anyio.abc.ByteStream):
    """A connection, as anyio has them."""

    def __init__(self, end: End) -> None:
        self._end = end

    async def receive(self, max_bytes: int = 65536) -> bytes:
        await self._end.readable()
        await self._end.turn()
        if self._end.closed:
            raise anyio.ClosedResourceError
        try:
            data = self._end.read(max_bytes)
        except OSError as error:
            raise anyio.BrokenResourceError from error
        if not data:
            raise anyio.EndOfStream
        return data

    async def send(self, item: bytes) -> None:
        await self._end.turn()
        rest = memoryview(item)
        while rest:
            await self._end.writable()
            if self._end.closed:
                raise anyio.ClosedResourceError
            try:
                rest = rest[self._end.write(rest) :]
            except OSError as error:
                raise anyio.BrokenResourceError from error

    async def send_eof(self) -> None:
        raise NotImplementedError("nobody needs it")

    async def aclose(self) -> None:
        self._end.close()
        await trio.lowlevel.checkpoint()

    @property
    def extra_attributes(self) -> Mapping[Any, Callable[[], Any]]:
        assert self._end.peer is not None
        peer = self._end.peer
        return {
            anyio.abc.SocketAttribute.local_address: lambda: self._end.address,
            anyio.abc.SocketAttribute.remote_address: lambda: peer.address,
        }


class Listening(anyio.abc.Listener[Stream]):
    """Where a host's process takes connections."""

    def __init__(self, host: Host) -> None:
        self._host = host

    async def serve(self, handler: Callable[[Stream], Any], task_group: anyio.abc.TaskGroup | None = None) -> None:
        assert task_group is not None
        while True:
            task_group.start_soon(handler, Stream(await self._host.accept()))

    async def aclose(self) -> None:
        self._host._backlog = None

    @property
    def extra_attributes(self) -> Mapping[Any, Callable[[], Any]]:
        return {anyio.abc.SocketAttribute.local_address: lambda: (self._host.name, PORT)}


class PeerNetwork:
    """How the broker on a host reaches others (`qpid_server.ha.link.Network`)."""

    def __init__(self, host: Host) -> None:
        self._host = host

    async def connect(self, host: str, port: int) -> Stream:
        return Stream(await self._host.connect(host))


# -- what a client sees ------------------------------------------------------------------------------------------------


class ClientTransport(SocketTransport):
    """A connection, as the client's engine has them."""

    def __init__(self, end: End) -> None:
        self.end = end

    @property
    def local(self) -> bool:
        return True

    def send(self, data: bytes | memoryview) -> int:
        return self.end.write(data)

    def recv(self, size: int) -> bytes | None:
        return self.end.read(size)

    def close(self) -> None:
        self.end.close()


class ClientSockets(Sockets):
    """How the clients on a host reach brokers."""

    def __init__(self, host: Host) -> None:
        self._host = host

    async def connect(self, broker: Any, options: Any) -> Transport:
        return ClientTransport(await self._host.connect(broker.host))

    async def readable(self, transport: Transport) -> None:
        assert isinstance(transport, ClientTransport)
        await transport.end.readable()

    async def writable(self, transport: Transport) -> None:
        assert isinstance(transport, ClientTransport)
        await transport.end.writable()
