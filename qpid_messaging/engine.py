"""What moves the bytes of one connection, as far as that is the same for the blocking and the async shell."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Any

from .transports import SocketTransport

if TYPE_CHECKING:
    from contextlib import AbstractContextManager

    from .core.connection import ConnectionCore
    from .transports import Transport

#: Bytes that a caller lets come together before it writes them itself.
MUCH = 1 << 16


class Engine:
    """Writes what the core has to send. How to wait, for sockets and for callers, is each shell's own.

    Args:
        core: the connection.
        lock: held by whoever touches the core.
    """

    def __init__(self, core: ConnectionCore, lock: AbstractContextManager[Any]) -> None:
        self.core = core
        self.lock = lock
        self._transport: Transport | None = None
        # Whether one thread may read from it while another writes.
        self._concurrent = True
        # What went wrong with writing, where reading will not tell.
        self._failure: str | None = None
        self._unsent: deque[memoryview] = deque()
        self._buffered = 0
        # Whether somebody looks soon at what there is to send, without being woken.
        self._attended = False

    def now(self) -> float:
        """The time, in seconds of the clock that the core is told."""
        raise NotImplementedError

    def start(self) -> None:
        """Have the connection's bytes moved from now on."""
        raise NotImplementedError

    def wake(self) -> None:
        """Have the core looked at, soon."""
        raise NotImplementedError

    def notify(self) -> None:
        """The core changed in a way that others may wait for."""
        raise NotImplementedError

    def attend(self) -> None:
        """Have what comes read by the connection's own thread or task."""
        raise NotImplementedError

    def appended(self, size: int) -> None:
        """Something of about this many bytes is to be sent, and nobody waits for it."""
        self._buffered += size
        if self._buffered >= MUCH:
            self.flush()
        elif not self._attended:
            self.wake()

    def flush(self) -> None:
        """Write what there is to write, as far as the socket takes it."""
        self._buffered = 0
        transport = self._transport
        if transport is None:
            return
        data = self.core.data_to_send()
        unsent = self._unsent
        try:
            if data:
                if not unsent:
                    sent = transport.send(data)
                    if sent == len(data):
                        return
                    unsent.append(memoryview(data)[sent:])
                    self.wake()
                    return
                unsent.append(memoryview(data))
            while unsent:
                sent = transport.send(unsent[0])
                if sent < len(unsent[0]):
                    unsent[0] = unsent[0][sent:]
                    return
                unsent.popleft()
        except OSError as error:
            unsent.clear()
            # Whatever is wrong with a socket, reading will tell, and may have the broker's last words before.
            if not isinstance(transport, SocketTransport):
                self._failure = reason(error)
                self.wake()

    def _use(self, transport: Transport) -> None:
        """A transport is connected."""
        self._transport = transport
        self._concurrent = getattr(transport, "concurrent", False)
        self._unsent.clear()
        encrypted, local = getattr(transport, "encrypted", False), getattr(transport, "local", False)
        self.core.transport_connected(self.now(), encrypted=encrypted, local=local)

    def _drop(self) -> None:
        """Close the transport, if there is one."""
        transport, self._transport, self._failure = self._transport, None, None
        if transport is not None:
            transport.close()
            self._unsent.clear()
            self._buffered = 0


def reason(error: OSError) -> str:
    """The system's words for what went wrong."""
    return error.strerror or str(error) or type(error).__name__
