"""The blocking shell's driver: one thread a connection that moves bytes and tells the time, and callers that wait.

Rules of the house:

- The core is touched under the lock only.
- A caller that only has something to send appends it. It writes to the socket itself when it is about to wait, or when
  much has come together; otherwise it wakes the I/O thread, unless that looks soon anyway.
- A caller that waits, waits on the condition, which is notified when something came of which it could depend; or it
  reads itself, where the I/O thread stands aside (see `turns`). The lock is held once then, since it is released.
- Only the I/O thread opens and closes sockets, and loses brokers.
"""

from __future__ import annotations

import os
import select
import signal
import socket
import threading
import traceback
import weakref
from contextlib import suppress
from time import monotonic
from typing import TYPE_CHECKING, TypeVar

from .bell import Bell
from .core.connection import Phase
from .engine import Engine, reason
from .exceptions import ConnectError, InternalError
from .signals import RAISING, HeldBack, can_be_held_back
from .transports import READ_SIZE, Blocked, Connecting, SocketTransport, Transport, kind_for, resolving, tcp, tls
from .turns import MOMENT, Turn, Turns

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
        # Whether the latest of them could have read itself.
        self._able = False
        # Whether the I/O thread does.
        self._gets_signals = True
        self._turns = Turns()
        self._thread: threading.Thread | None = None
        self._latest_thread: threading.Thread | None = None
        self._bell: Bell | None = None
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
            self._bell = Bell()
            self._poll = select.poll()
            self._poll.register(self._bell.fileno(), select.POLLIN)
            self._attended = False
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
        if self._bell is not None:
            self._attended = True
            self._bell.ring()

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
        while not predicate():
            remaining = None if deadline is None else deadline - monotonic()
            if remaining is not None and remaining <= 0:
                return False
            turn = self._turn()
            if turn is not None:
                self._read_until(turn, predicate, deadline)
                continue
            self._waiters += 1
            try:
                self._condition.wait(remaining)
            finally:
                self._waiters -= 1
        return True

    def notify(self) -> None:
        if self._waiters:
            self._condition.notify_all()
        turn = self._turns.callers
        if turn is not None and turn.reader is not None and turn.reader():
            turn.bell.ring()

    def attend(self) -> None:
        if self._turns.callers is not None:
            self._turns.take_back()
            self.wake()

    def _turn(self) -> Turn | None:
        """The turn of a caller that is about to wait; None where somebody else reads."""
        self._able = can_be_held_back(threads=1)
        turn = self._turns.callers
        if turn is None:
            return None
        if turn.reader is None:
            if self._able and not self._waiters and self.core.phase is Phase.OPEN:
                return turn
        elif turn.thread != threading.get_ident():
            return None
        # Nobody reads; or it is a signal's handler that waits, and what it interrupted does not read meanwhile.
        self.attend()
        return None

    def _read_until(self, turn: Turn, predicate: Callable[[], object], deadline: float | None) -> None:
        """Read what comes, until that is true, the time is over, or the turn is."""
        turns = self._turns
        try:
            turn.taken(predicate)
            while turns.callers is turn and not predicate():
                timeout = None if deadline is None else deadline - monotonic()
                if timeout is not None and timeout <= 0:
                    break
                self._condition.release()
                try:
                    if turn.readable(timeout):
                        with HeldBack(), self._condition:
                            if turns.callers is not turn:
                                break
                            if not can_be_held_back(threads=1):
                                self.attend()
                                break
                            self._read(turn)
                finally:
                    self._condition.acquire()
                if turns.callers is turn:
                    turn.bell.silence()
        finally:
            turn.reader = None
            if turns.callers is turn:
                if self._waiters:
                    self.attend()
                elif turns.resting:
                    self.wake()

    def _read(self, turn: Turn) -> None:
        """What the I/O thread does, where a caller does it: read once, and not leave it half done."""
        core, transport = self.core, self._transport
        assert transport is not None
        try:
            data, self._failure = self._recv(transport)
            if data:
                core.receive(data, monotonic())
                self.flush()
        except BaseException as error:
            self._abort(error)
            if not isinstance(error, Exception):
                raise
        finally:
            turn.was_read = True
            if self._failure is not None or core.phase is not Phase.OPEN:
                self.attend()
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
                self._abort(error)
                self._finish()

    def _abort(self, error: BaseException) -> None:
        """A mistake of ours, or a handler's that raised amid the work: nobody knows what state the core is in."""
        self.core.abort(InternalError(text=traceback.format_exc()))
        self.core.error.__cause__ = error  # type: ignore[union-attr]

    def _finish(self) -> None:
        """The thread is about to end: leave nothing behind, and let `start` start another."""
        self._drop()
        self._close_bells()
        self._thread = None
        self._condition.notify_all()

    def _close_bells(self) -> None:
        self._turns.close()
        bell, self._bell = self._bell, None
        if bell is not None:
            bell.close()

    def _loop(self) -> None:
        core, turns = self.core, self._turns
        data: bytes | None = None
        lost: str | None = None
        while True:
            with self.lock:
                self._get_signals(True)
                now = monotonic()
                lost = lost or self._failure
                if data:
                    core.receive(data, now)
                elif lost is not None:
                    core.transport_lost(now, lost)
                if not self._has_to_read_first(now):
                    core.tick(now)
                if self._transport is not None:
                    self.flush()
                if not core.has_transport:
                    self._drop()
                broker = core.next_broker(now)
                self._take_turns(received=bool(data))
                self.notify()
                if core.phase is Phase.IDLE:
                    self._finish()
                    return
                deadline = core.deadline()
                transport = self._transport
                events = 0
                if transport is not None:
                    events = select.POLLIN if transport.reading(turns.callers is None) else 0
                    events |= select.POLLOUT if transport.writing(bool(self._unsent)) else 0
                aside = turns.callers is not None
                if aside and not turns.resting:
                    deadline = now + MOMENT if deadline is None else min(deadline, now + MOMENT)
                    self._attended = True
                else:
                    self._attended = self._bell is not None and self._bell.rung
                self._get_signals(not aside)
            data = lost = None
            if broker is not None:
                lost = self._connect(broker)
                continue
            readable = self._wait_for_io(transport, events, deadline)
            if readable and transport is not None:
                if aside:
                    # It was hung up: nothing else is looked for.
                    with self.lock:
                        turns.take_back()
                if self._concurrent:
                    data, lost = self._recv(transport)
                else:
                    with self.lock:
                        data, lost = self._recv(transport)

    def _recv(self, transport: Transport) -> tuple[bytes | None, str | None]:
        """What is there to read, and what is wrong with the transport, if anything is."""
        try:
            data = transport.recv(READ_SIZE)
        except OSError as error:
            return None, reason(error)
        return (data, None) if data != b"" else (None, "connection aborted")

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
            assert self._bell is not None
            self._bell.silence()

    def _take_turns(self, *, received: bool) -> None:
        """Go on standing aside, or begin to."""
        turns = self._turns
        if turns.callers is not None:
            turns.look()
        elif received and turns.often_alone(self._able and self._waiters == 1) and self._may_stand_aside():
            assert self._transport is not None
            with suppress(OSError):  # no descriptor is left for it: it can be done without
                turns.stand_aside(self._transport.fileno())

    def _may_stand_aside(self) -> bool:
        """Whether anybody can read, and no handler is to be called in this thread."""
        if self.core.phase is not Phase.OPEN or not isinstance(self._transport, SocketTransport):
            return False
        return all(session._core.on_message is None for session in self.core.owner.sessions.values())

    def _has_to_read_first(self, now: float) -> bool:
        """Whether the time has come for something while callers read. What has arrived is to be read before."""
        if self._turns.callers is None:
            return False
        due = self.core.deadline()
        if due is None or due > now:
            return False
        self._turns.take_back()
        return True

    def _get_signals(self, wanted: bool) -> None:
        """Where the main thread may read, it has its signals held back, and this one must not get them instead."""
        if wanted is not self._gets_signals:
            self._gets_signals = wanted
            signal.pthread_sigmask(signal.SIG_UNBLOCK if wanted else signal.SIG_BLOCK, RAISING)

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
                assert self._bell is not None
                poll.register(self._bell.fileno(), select.POLLIN)
                poll.register(connecting.fileno(), select.POLLOUT if writing else select.POLLIN)
                with self.lock:
                    core.tick(monotonic())
                    if core.phase is not Phase.CONNECTING:
                        return None
                    deadline = core.deadline()
                timeout = None if deadline is None else max(0.0, deadline - monotonic()) * 1000 + 1
                if any(fd == self._bell.fileno() for fd, _ in poll.poll(timeout)):
                    self._unwake()
        finally:
            connecting.close()

    def _drop(self) -> None:
        self._turns.reset()
        if self._transport is not None:
            self._poll.unregister(self._transport.fileno())
        super()._drop()

    # -- fork --------------------------------------------------------------------------------------------------

    def forked(self) -> None:
        """This is the child of a fork: the connection, its thread and its bytes are the parent's."""
        self.lock = lock = threading.RLock()
        self._condition = threading.Condition(lock)
        self._waiters = 0
        self._close_bells()
        self._turns = Turns()
        self._thread = self._latest_thread = None
        transport, self._transport = self._transport, None
        if transport is not None:
            transport.close()
        if self.core.wanted:
            self.core.abort(InternalError(text="the process was forked: this connection is the parent's"))


def _after_fork() -> None:
    for driver in list(_drivers):
        driver.forked()


os.register_at_fork(after_in_child=_after_fork)
