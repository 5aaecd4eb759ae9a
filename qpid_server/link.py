"""A client's socket and the connection on it.

One task reads, one writes. A read is handed to the connection whole, and whatever it leads to goes out in one write for
each connection: at once to the client that was read from, which waits for it; to the others when their writers have
their turn, so that what several reads have for one of them comes together.
"""

from __future__ import annotations

import logging
import os
import ssl
from collections.abc import Callable
from contextlib import suppress

import anyio
import anyio.abc
from anyio import CancelScope, Event
from anyio.streams.tls import TLSStream

from qpid_messaging.amqp.sasl import Accepted

from .broker import Broker
from .connection import ConnectionHandler
from .security.authenticator import Authenticator, Origin, Refused, Slow
from .security.login_queue import LoginQueue

__all__ = ["Link"]

log = logging.getLogger(__name__)

_READ_SIZE = 1 << 18
#: Seconds for the last that there is to say to a client.
_LAST_WRITE = 2.0


class Link:
    """Carries one connection's bytes.

    Args:
        broker: the broker that is talked to.
        authenticator: who decides whether the client may come in.
        logins: where passwords are checked.
        stream: the socket, or TLS on it; the link closes it.
        peer: the client's address, for the log.
        origin: what is known of the client before it says anything.
    """

    def __init__(
        self,
        broker: Broker,
        authenticator: Authenticator,
        logins: LoginQueue,
        stream: anyio.abc.ByteStream,
        peer: str,
        origin: Origin,
    ) -> None:
        self._stream = stream
        self._peer = peer
        self._logins = logins
        self._wake = Event()
        self._drained = Event()
        self._tasks: anyio.abc.TaskGroup | None = None
        # The socket that takes what is written as it is; none where the stream has something to do with it.
        raw = None if isinstance(stream, TLSStream) else stream.extra(anyio.abc.SocketAttribute.raw_socket, None)
        self._descriptor = -1 if raw is None else raw.fileno()
        self._socket = _socket(self._descriptor)
        self._receiving = False
        # What was taken from the connection and the socket did not take, and whether the writer is about it.
        self._rest = b""
        self._writing = False
        self._handler = ConnectionHandler(
            broker, peer, authenticator, notify=self._notify, run_slow=self._run_slow, origin=origin
        )

    def _notify(self) -> None:
        finished = self._handler.finished
        if self._receiving and not finished:
            return
        self._wake.set()
        if finished and self._tasks is not None:
            # Also where a client that does not read holds up the writer.
            scope = self._tasks.cancel_scope
            scope.deadline = min(scope.deadline, anyio.current_time() + _LAST_WRITE)

    def _run_slow(self, check: Slow, answer: Callable[[Accepted | Refused], None]) -> None:
        handler = self._handler
        self._logins.submit(handler.origin.host, check, lambda: handler.authenticating, answer)

    async def run(self) -> None:
        """Read and write until either side is done."""
        try:
            async with anyio.create_task_group() as tasks:
                self._tasks = tasks
                tasks.start_soon(self._write)
                await self._read()
                self._handler.finish()
        except Exception:  # one connection's fault must not end the others
            log.exception("connection from %s failed", self._peer)
        finally:
            in_order = self._handler.finished
            self._handler.lost()
            self._tasks = None
            with CancelScope(shield=True):
                if in_order and isinstance(self._stream, TLSStream):
                    await _take_leave(self._stream)
                await anyio.aclose_forcefully(self._stream)

    async def _read(self) -> None:
        handler, stream = self._handler, self._stream
        try:
            while not handler.finished:
                if handler.paused:
                    self._drained = Event()
                    await self._drained.wait()
                    continue
                data = await stream.receive(_READ_SIZE)
                self._receiving = bool(self._socket) and not self._writing
                handler.receive(data)
                if self._receiving:
                    self._receiving = False
                    self._write_at_once()
        except (anyio.EndOfStream, anyio.BrokenResourceError, anyio.ClosedResourceError):
            pass  # the client left

    def _write_at_once(self) -> None:
        """Write what a read led to. What the socket does not take is the writer's."""
        data = self._handler.data_to_send()
        if not data:
            return
        written = 0
        # The event loop closes a socket that failed before what it read from it is heard here: by now the number may be
        # another client's.
        if _socket(self._descriptor) == self._socket:
            with suppress(OSError):  # the writer will find out why
                written = os.write(self._descriptor, data)
        if written == len(data):
            self._handler.sent()
        else:
            self._rest = data[written:]
            self._writing = True
            self._wake.set()

    async def _write(self) -> None:
        handler, stream = self._handler, self._stream
        assert self._tasks is not None
        try:
            while True:
                await self._wake.wait()
                self._wake = Event()
                self._writing = True
                data, self._rest = self._rest + handler.data_to_send(), b""
                finished = handler.finished
                if data:
                    await stream.send(data)
                if finished:
                    break
                if data:
                    handler.sent()
                self._writing = False
                self._drained.set()
        except (anyio.BrokenResourceError, anyio.ClosedResourceError):
            pass  # the client left
        self._tasks.cancel_scope.cancel()


def _socket(descriptor: int) -> int:
    """Which socket of the system that number stands for now; 0 is none, or none that can be told from others."""
    try:
        return os.fstat(descriptor).st_ino
    except OSError:
        return 0


async def _take_leave(stream: TLSStream) -> None:
    """Say that this is the end: a client whose TLS just stops cannot tell it from an accident or an attack."""
    gone = (anyio.EndOfStream, anyio.BrokenResourceError, anyio.ClosedResourceError, ssl.SSLError)
    with suppress(*gone), anyio.move_on_after(_LAST_WRITE):
        await stream.unwrap()
