"""The blocking shell's engine: one thread a connection that moves bytes and tells the time, and callers that wait.

Rules of the house:

- The core is touched under the lock only.
- A caller that only has something to send appends it. It writes to the socket itself when it is about to wait, or when
  much has come together; otherwise it wakes the I/O thread, once until that has looked.
- A caller that waits, waits on the condition, which is notified when something came of which it could depend.
- Only the I/O thread opens, reads and closes sockets.
"""

from __future__ import annotations

import os
import select
import threading
import traceback
import weakref
from collections import deque
from time import monotonic
from typing import TYPE_CHECKING

from .core.connection import Phase
from .exceptions import ConnectionError, InternalError
from .transport import Blocked, Connecting, Transport

if TYPE_CHECKING:
    from collections.abc import Callable

    from qpid_address import BrokerAddress

    from .core.connection import ConnectionCore

#: Bytes that a caller lets come together before it writes them itself.
_MUCH = 1 << 16
_drivers: weakref.WeakSet[Driver] = weakref.WeakSet()


class Driver:
    """Runs a connection's core.

    Args:
        core: the connection.

    Attributes:
        lock: held by whoever touches the core.
    """

    def __init__(self, core: ConnectionCore) -> None:
        self.core = core
        self.lock = threading.RLock()
        self._condition = threading.Condition(self.lock)
        self._waiters = 0
        self._thread: threading.Thread | None = None
        self._latest_thread: threading.Thread | None = None
        self._transport: Transport | None = None
        self._unsent: deque[memoryview] = deque()
        self._buffered = 0
        self._wake: tuple[int, int] | None = None
        self._woken = False
        self._poll = select.poll()
        _drivers.add(self)

    # -- for callers; the lock is held -------------------------------------------------------------------------

    def start(self) -> None:
        """Have a running I/O thread."""
        if self._thread is None:
            self._wake = os.pipe()
            for end in self._wake:
                os.set_blocking(end, False)
            self._poll = select.poll()
            self._poll.register(self._wake[0], select.POLLIN)
            self._woken = False
            self._thread = threading.Thread(target=self._run, name=f"qpid_messaging {self.core.name}", daemon=True)
            self._latest_thread = self._thread
            self._thread.start()
        else:
            self.wake()

    def appended(self, size: int) -> None:
        """Something of about this many bytes is to be sent, and nobody waits for it."""
        self._buffered += size
        if self._buffered >= _MUCH:
            self.flush()
        elif not self._woken:
            self.wake()

    def wake(self) -> None:
        """Have the I/O thread look at the core."""
        if not self._woken and self._wake is not None:
            self._woken = True
            os.write(self._wake[1], b"\0")

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
        except OSError:
            # Whatever is wrong, reading will tell, and may have the broker's last words before.
            unsent.clear()

    def wait(self, predicate: Callable[[], object], timeout: float | None = None) -> bool:
        """Wait until something is true of the core.

        Args:
            predicate: what to wait for.
            timeout: seconds; None is for ever.

        Returns:
            Whether it is true.
        """
        if predicate():
            return True
        self.flush()
        deadline = None if timeout is None else monotonic() + timeout
        self._waiters += 1
        try:
            while not predicate():
                remaining = None if deadline is None else deadline - monotonic()
                if remaining is not None and remaining <= 0:
                    return False
                self._condition.wait(remaining)
            return True
        finally:
            self._waiters -= 1

    def notify(self) -> None:
        """The core changed in a way that another caller may wait for."""
        if self._waiters:
            self._condition.notify_all()

    # -- for callers; the lock is not held ---------------------------------------------------------------------

    def join(self) -> None:
        """Wait until the I/O thread is gone. To be called when the core wants no connection."""
        thread = self._latest_thread
        if thread is not None and thread is not threading.current_thread():
            with self.lock:
                self.wake()
            thread.join()

    # -- the I/O thread ----------------------------------------------------------------------------------------

    def _run(self) -> None:
        try:
            self._loop()
        except BaseException as error:  # noqa: BLE001 - nobody else would ever hear of it
            with self.lock:
                self.core.abort(InternalError(text=traceback.format_exc()))
                self.core.error.__cause__ = error  # type: ignore[union-attr]
                self._finish()

    def _finish(self) -> None:
        """The thread is about to end: leave nothing behind, and let `start` start another."""
        self._drop()
        wake, self._wake = self._wake, None
        if wake is not None:
            for end in wake:
                os.close(end)
        self._thread = None
        self._condition.notify_all()

    def _loop(self) -> None:
        core = self.core
        data: bytes | None = None
        lost: str | None = None
        while True:
            with self.lock:
                now = monotonic()
                if data:
                    core.receive(data, now)
                elif lost is not None:
                    core.transport_lost(now, lost)
                core.tick(now)
                if self._transport is not None:
                    self.flush()
                if not core.has_transport:
                    self._drop()
                broker = core.next_broker(now)
                self.notify()
                if core.phase is Phase.IDLE:
                    self._finish()
                    return
                deadline = core.deadline()
                transport = self._transport
                writing = bool(self._unsent)
            data = lost = None
            if broker is not None:
                lost = self._connect(broker)
                continue
            readable = self._wait_for_io(transport, writing, deadline)
            if readable and transport is not None:
                try:
                    if transport.concurrent:
                        data = transport.receive()
                    else:
                        with self.lock:
                            data = transport.receive()
                except OSError as error:
                    lost = _reason(error)
                else:
                    if data == b"":
                        lost = "connection aborted"

    def _wait_for_io(self, transport: Transport | None, writing: bool, deadline: float | None) -> bool:
        """Wait for the socket, a caller, or the time. Returns whether the socket can be read."""
        timeout = None if deadline is None else max(0.0, deadline - monotonic()) * 1000 + 1
        if transport is not None:
            self._poll.modify(transport.fileno(), select.POLLIN | (select.POLLOUT if writing else 0))
        ready = False
        for fd, events in self._poll.poll(timeout):
            if transport is not None and fd == transport.fileno():
                ready = bool(events & ~select.POLLOUT)
            else:
                self._unwake()
        return ready

    def _unwake(self) -> None:
        with self.lock:
            self._woken = False
            assert self._wake is not None
            os.read(self._wake[0], 64)

    def _connect(self, broker: BrokerAddress) -> str | None:
        """Open a transport. Returns what went wrong, if anything did."""
        try:
            connecting = Connecting(broker, self.core.options)
        except OSError as error:
            return _reason(error)
        try:
            transport = self._proceed(connecting)
        except OSError as error:
            return _reason(error)
        finally:
            connecting.close()
        if transport is None:
            return None
        with self.lock:
            self._transport = transport
            self._unsent.clear()
            self._poll.register(transport.fileno(), select.POLLIN)
            self.core.transport_connected(monotonic(), encrypted=transport.encrypted, local=transport.local)
        return None

    def _proceed(self, connecting: Connecting) -> Transport | None:
        """Wait for a connection, unless it is not wanted any more."""
        core = self.core
        while True:
            try:
                return connecting.proceed()
            except Blocked as blocked:
                writing = blocked.writing
            poll = select.poll()
            assert self._wake is not None
            poll.register(self._wake[0], select.POLLIN)
            poll.register(connecting.fileno(), select.POLLOUT if writing else select.POLLIN)
            with self.lock:
                core.tick(monotonic())
                if core.phase is not Phase.CONNECTING:
                    return None
                deadline = core.deadline()
            timeout = None if deadline is None else max(0.0, deadline - monotonic()) * 1000 + 1
            if any(fd == self._wake[0] for fd, _ in poll.poll(timeout)):
                self._unwake()

    def _drop(self) -> None:
        transport, self._transport = self._transport, None
        if transport is not None:
            self._poll.unregister(transport.fileno())
            transport.close()
            self._unsent.clear()
            self._buffered = 0

    # -- fork --------------------------------------------------------------------------------------------------

    def forked(self) -> None:
        """This is the child of a fork: the connection, its thread and its bytes are the parent's."""
        self.lock = threading.RLock()
        self._condition = threading.Condition(self.lock)
        self._waiters = 0
        self._thread = self._latest_thread = None
        transport, self._transport = self._transport, None
        if transport is not None:
            transport.close()
        wake, self._wake = self._wake, None
        if wake is not None:
            for end in wake:
                os.close(end)
        if self.core.wanted:
            self.core.abort(ConnectionError(text="the process was forked: this connection is the parent's"))


def _reason(error: OSError) -> str:
    return error.strerror or str(error) or type(error).__name__


def _after_fork() -> None:
    for driver in list(_drivers):
        driver.forked()


os.register_at_fork(after_in_child=_after_fork)
