"""The blocking shell's driver: one thread a connection that moves bytes and tells the time, and callers that wait.

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
import socket
import threading
import traceback
import weakref
from time import monotonic
from typing import TYPE_CHECKING, TypeVar

from .core.connection import Phase
from .engine import Engine, reason
from .exceptions import ConnectError, InternalError
from .transports import READ_SIZE, Blocked, Connecting, Transport, kind_for, resolving, tcp, tls

if TYPE_CHECKING:
    from collections.abc import Callable

    from qpid_address import BrokerAddress

    from .core.connection import ConnectionCore
    from .verbs.waiting import Verb

T = TypeVar("T")
_drivers: weakref.WeakSet[Driver] = weakref.WeakSet()


class Driver(Engine):
    """Runs a connection's core.

    Args:
        core: the connection.
    """

    def __init__(self, core: ConnectionCore) -> None:
        lock = threading.RLock()
        super().__init__(core, lock)
        self._condition = threading.Condition(lock)
        self._waiters = 0
        self._thread: threading.Thread | None = None
        self._latest_thread: threading.Thread | None = None
        self._wake: tuple[int, int] | None = None
        self._poll = select.poll()
        _drivers.add(self)

    # -- for callers; the lock is held -------------------------------------------------------------------------

    def now(self) -> float:
        return monotonic()

    def start(self) -> None:
        if self._thread is not None:
            self.wake()
            return
        thread = threading.Thread(target=self._run, name=f"qpid_messaging {self.core.name}", daemon=True)
        try:
            self._wake = os.pipe()
            for end in self._wake:
                os.set_blocking(end, False)
            self._poll = select.poll()
            self._poll.register(self._wake[0], select.POLLIN)
            self._woken = False
            thread.start()
        except (OSError, RuntimeError) as error:
            # The system has no descriptor or no thread left: whoever waits is told, and nobody waits for the thread.
            self._finish()
            options = self.core.options
            self.core.abort(ConnectError(text=f"{options.host}:{options.port}: no means to connect: {error}"))
        else:
            # It has not looked yet: the lock is held here.
            self._thread = self._latest_thread = thread

    def wake(self) -> None:
        if not self._woken and self._wake is not None:
            self._woken = True
            os.write(self._wake[1], b"\0")

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
        if self._waiters:
            self._condition.notify_all()

    # -- for callers; the lock is not held ---------------------------------------------------------------------

    def run(self, verb: Verb[T]) -> T:
        """Do what a verb says, and wait for what it waits for. Returns what it does, and raises what it raises."""
        with self.lock:
            try:
                predicate, timeout = next(verb)
                while True:
                    try:
                        came = self.wait(predicate, timeout)
                    except BaseException as error:  # noqa: BLE001 - Ctrl-C: the verb has something to put in order
                        predicate, timeout = verb.throw(error)
                    else:
                        predicate, timeout = verb.send(came)
            except StopIteration as end:
                result: T = end.value
                return result

    def join(self) -> None:
        """Wait until the I/O thread is gone. To be called when the core wants no connection."""
        thread = self._latest_thread
        if thread is None or thread is threading.current_thread():
            return
        with self.lock:
            self.wake()
            # Somebody else may attach before it has seen that nobody is attached: then it goes on.
            self.wait(lambda: self._thread is None or self.core.wanted)
            if self._thread is not None:
                return
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
                lost = lost or self._failure
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
                events = 0
                if transport is not None:
                    events = select.POLLIN if transport.reading(True) else 0
                    events |= select.POLLOUT if transport.writing(bool(self._unsent)) else 0
            data = lost = None
            if broker is not None:
                lost = self._connect(broker)
                continue
            readable = self._wait_for_io(transport, events, deadline)
            if readable and transport is not None:
                try:
                    if self._concurrent:
                        data = transport.recv(READ_SIZE)
                    else:
                        with self.lock:
                            data = transport.recv(READ_SIZE)
                except OSError as error:
                    lost = reason(error)
                else:
                    if data is not None and not data:
                        lost = "connection aborted"

    def _wait_for_io(self, transport: Transport | None, events: int, deadline: float | None) -> bool:
        """Wait for the transport, a caller, or the time. Returns whether the transport can be read."""
        timeout = None if deadline is None else max(0.0, deadline - monotonic()) * 1000 + 1
        if transport is not None:
            self._poll.modify(transport.fileno(), events)
        ready = False
        for fd, came in self._poll.poll(timeout):
            if transport is not None and fd == transport.fileno():
                ready = bool(came & ~select.POLLOUT)
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
        options = self.core.options
        host, port = broker.host, broker.port_or_default
        transport: Transport | None
        try:
            kind = kind_for(options, broker)
            if kind in (tcp, tls):
                with resolving():
                    addresses = socket.getaddrinfo(host, port, 0, socket.SOCK_STREAM)
                transport = self._proceed(Connecting(broker, options.at(broker), kind is tls, addresses))
            else:
                transport = kind(self.core.owner, host, port)
        except OSError as error:
            return reason(error)
        if transport is None:
            return None
        with self.lock:
            self._use(transport)
            self._poll.register(transport.fileno(), select.POLLIN)
        return None

    def _proceed(self, connecting: Connecting) -> Transport | None:
        """Wait for a connection, unless it is not wanted any more."""
        core = self.core
        try:
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
        finally:
            connecting.close()

    def _drop(self) -> None:
        if self._transport is not None:
            self._poll.unregister(self._transport.fileno())
        super()._drop()

    # -- fork --------------------------------------------------------------------------------------------------

    def forked(self) -> None:
        """This is the child of a fork: the connection, its thread and its bytes are the parent's."""
        self.lock = lock = threading.RLock()
        self._condition = threading.Condition(lock)
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
            self.core.abort(InternalError(text="the process was forked: this connection is the parent's"))


def _after_fork() -> None:
    for driver in list(_drivers):
        driver.forked()


os.register_at_fork(after_in_child=_after_fork)
