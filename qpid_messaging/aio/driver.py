"""The async shell's driver: one task a connection that moves bytes and tells the time, and tasks that wait.

The core is touched between two awaits only, so that nobody ever sees it half changed. The task belongs to the event
loop and not to whoever opened the connection, which may be opened in one task and closed in another; and its heart goes
on beating while the application does something else.
"""

from __future__ import annotations

import asyncio
import traceback
from contextlib import nullcontext
from math import inf
from typing import TYPE_CHECKING, Any, TypeVar

import anyio
import anyio.lowlevel

from ..core.connection import Phase
from ..engine import Engine, reason
from ..exceptions import ConnectionError, InternalError
from ..transports import READ_SIZE, kind_for, tcp, tls
from .sockets import Sockets

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Coroutine

    from qpid_address import BrokerAddress

    from ..core.connection import ConnectionCore
    from ..transports import Transport
    from ..verbs.waiting import Verb

T = TypeVar("T")

#: Verbs that need not wait until the event loop gets its turn all the same.
_TURNS = 64


class _Waiter:
    """A task that waits for something to be true of the core."""

    __slots__ = ("event", "predicate")

    def __init__(self, predicate: Callable[[], object]) -> None:
        self.predicate = predicate
        self.event = anyio.Event()


class Driver(Engine):
    """Runs a connection's core.

    Args:
        core: the connection.
        sockets: how to get to brokers.
    """

    def __init__(self, core: ConnectionCore, sockets: Sockets | None = None) -> None:
        super().__init__(core, nullcontext())
        self._sockets = sockets or Sockets()
        self._running = False
        self._task: object = None
        self._waiters: dict[_Waiter, None] = {}
        self._turns = 0
        # Set to have the pause ended that the task makes, which would otherwise last until `_due`.
        self._alarm: anyio.Event | None = None
        self._due = inf
        self._draining = False

    # -- for callers -------------------------------------------------------------------------------------------

    def now(self) -> float:
        return anyio.current_time()

    def start(self) -> None:
        if self._running:
            self.wake()
        else:
            self._running = True
            self._task = _spawn(self._run, f"qpid_messaging {self.core.name}")

    def wake(self) -> None:
        self._attended = True
        if self._alarm is not None:
            self._alarm.set()

    def notify(self) -> None:
        for waiter in self._waiters:
            if not waiter.event.is_set() and waiter.predicate():
                waiter.event.set()

    def attend(self) -> None:
        """Nobody else reads."""

    async def checkpoint(self) -> None:
        """Let others run, now and then: a loop over verbs that never have to wait must not keep everybody waiting."""
        self._turns += 1
        if self._turns >= _TURNS:
            self._turns = 0
            await anyio.lowlevel.checkpoint()

    async def run(self, verb: Verb[T]) -> T:
        """Do what a verb says, and wait for what it waits for. Returns what it does, and raises what it raises."""
        try:
            predicate, timeout = next(verb)
            while True:
                try:
                    came = await self.wait(predicate, timeout)
                except BaseException as error:  # noqa: BLE001 - cancelled: the verb has something to put in order
                    predicate, timeout = verb.throw(error)
                else:
                    predicate, timeout = verb.send(came)
        except StopIteration as end:
            result: T = end.value
            return result

    async def wait(self, predicate: Callable[[], object], seconds: float | None = None) -> bool:
        """Wait until something is true of the core. Nobody else runs between that and the return.

        Args:
            predicate: what to wait for.
            seconds: for how long; None is for ever.

        Returns:
            Whether it is true.
        """
        if predicate():
            return True
        self.flush()
        if seconds is not None and seconds <= 0:
            return False
        waiter = _Waiter(predicate)
        self._waiters[waiter] = None
        try:
            with anyio.move_on_after(seconds):
                while not predicate():
                    waiter.event = anyio.Event()
                    await waiter.event.wait()
                return True
            return bool(predicate())
        finally:
            del self._waiters[waiter]

    async def join(self) -> None:
        """Wait until the task is gone. To be called when the core wants no connection."""
        self.wake()
        # It has nothing to wait for any more: this takes a moment, whoever is being cancelled.
        with anyio.CancelScope(shield=True):
            await self.wait(lambda: not self._running or self.core.wanted)

    # -- the task ----------------------------------------------------------------------------------------------

    async def _run(self) -> None:
        core = self.core
        try:
            while core.phase is not Phase.IDLE:
                broker = core.next_broker(self.now())
                self.notify()
                if broker is not None:
                    await self._serve(broker)
                elif core.phase is Phase.WAITING:
                    await self._pause()
        except Exception as error:  # noqa: BLE001 - nobody else would ever hear of it
            core.abort(InternalError(text=traceback.format_exc()))
            core.error.__cause__ = error  # type: ignore[union-attr]
        finally:
            if core.phase is not Phase.IDLE:
                core.abort(ConnectionError(text="the event loop has ended"))
            self._drop()
            self._running = False
            self._task = None
            self.notify()

    async def _serve(self, broker: BrokerAddress) -> None:
        """See to one broker for as long as it is ours."""
        core = self.core
        self._draining = False
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(self._carry, broker, tasks.cancel_scope)
            while True:
                core.tick(self.now())
                self.flush()
                if self._failure is not None:
                    core.transport_lost(self.now(), self._failure)
                self.notify()
                if not core.has_transport:
                    break
                if self._unsent and not self._draining:
                    self._draining = True
                    tasks.start_soon(self._drain)
                await self._pause()
            tasks.cancel_scope.cancel()
        self._drop()

    async def _pause(self) -> None:
        """Wait for a caller or the time."""
        if self._attended:
            await anyio.lowlevel.checkpoint()
        else:
            deadline = self.core.deadline()
            self._due = inf if deadline is None else deadline
            self._alarm = anyio.Event()
            try:
                with anyio.CancelScope(deadline=self._due):
                    await self._alarm.wait()
            finally:
                self._alarm = None
        self._attended = False

    async def _carry(self, broker: BrokerAddress, scope: anyio.CancelScope) -> None:
        """Connect to a broker and read what it sends, until there is no more."""
        core = self.core
        lost: str | None = None
        try:
            transport = await self._connect(broker)
            self._use(transport)
            self.wake()
            while core.has_transport:
                await (self._sockets.readable if transport.reading(True) else self._sockets.writable)(transport)
                data = transport.recv(READ_SIZE)
                if data is None:
                    continue
                if not data:
                    lost = "connection aborted"
                    break
                core.receive(data, self.now())
                self.flush()
                self.notify()
                deadline = core.deadline()
                if deadline is not None and deadline < self._due:
                    self.wake()
        except OSError as error:
            lost = reason(error)
        if lost is not None:
            core.transport_lost(self.now(), lost)
        scope.cancel()

    async def _drain(self) -> None:
        """Write what the socket did not take."""
        while self._unsent and self._transport is not None:
            transport = self._transport
            await (self._sockets.writable if transport.writing(True) else self._sockets.readable)(transport)
            self.flush()
        self._draining = False

    async def _connect(self, broker: BrokerAddress) -> Transport:
        options = self.core.options.at(broker)
        kind = kind_for(options, broker)
        if kind in (tcp, tls):
            return await self._sockets.connect(broker, options)
        return await _made(lambda: kind(self.core.owner, broker.host, broker.port_or_default))


async def _made(make: Callable[[], Transport]) -> Transport:
    """What `make` gives, which takes its time, in a thread. Nobody waits for it who is cancelled; it is closed then."""
    made: list[Transport] = []
    wanted = True

    def run() -> Transport:
        transport = make()
        made.append(transport)
        if not wanted:
            transport.close()
        return transport

    try:
        return await anyio.to_thread.run_sync(run, abandon_on_cancel=True)
    except BaseException:
        wanted = False
        for transport in made:
            transport.close()
        raise


def _spawn(function: Callable[[], Coroutine[Any, Any, None]], name: str) -> Awaitable[None] | object:
    """Start a task that belongs to the event loop. Returns what has to be kept for it to go on."""
    if anyio.get_cancelled_exc_class() is asyncio.CancelledError:
        return asyncio.get_running_loop().create_task(function(), name=name)
    import trio  # noqa: PLC0415 - the loop is not asyncio's, so it is here

    return trio.lowlevel.spawn_system_task(function, name=name)
