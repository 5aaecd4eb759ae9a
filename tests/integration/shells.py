"""One scenario for all shells: the blocking client, and the async one on asyncio and on trio.

A scenario is written once, as an async function, against the async API. The blocking client runs it too: its verbs are
wrapped so that they can be awaited, and wait in their own way while they are. Nothing else is ever awaited there, so
that one `send(None)` runs the whole scenario.
"""

from __future__ import annotations

import threading
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any

import anyio
import anyio.to_thread

from qpid_messaging import Connection, Endpoint, aio

Scenario = Callable[..., Coroutine[Any, Any, Any]]

_LINK_VERBS = ("sender", "receiver", "next_receiver", "send", "sync", "fetch", "acknowledge", "commit", "rollback")
_VERBS = frozenset(("open", "attach", "detach", "close", *_LINK_VERBS))


class _Awaited:
    """A blocking endpoint whose verbs are awaited."""

    def __init__(self, endpoint: Endpoint) -> None:
        self._endpoint = endpoint

    def __getattr__(self, name: str) -> Any:
        value = getattr(self._endpoint, name)
        if name in _VERBS:

            async def verb(*arguments: Any, **options: Any) -> Any:
                return _awaited(value(*arguments, **options))

            return verb
        if callable(value):
            return lambda *arguments, **options: _awaited(value(*arguments, **options))
        return value


def _awaited(value: Any) -> Any:
    return _Awaited(value) if isinstance(value, Endpoint) else value


class BlockingShell:
    """Runs scenarios through the blocking client."""

    name = "blocking"

    def run(self, scenario: Scenario, *arguments: Any) -> Any:
        """Run a scenario in this thread."""
        try:
            scenario(*arguments).send(None)
        except StopIteration as end:
            return end.value
        raise AssertionError("a scenario for the blocking client awaits something else than its verbs")

    def connection(self, *arguments: Any, **options: Any) -> Any:
        """A connection, not open; the real one is its `_endpoint`."""
        return _Awaited(Connection(*arguments, **options))

    async def wait(self, event: threading.Event) -> None:
        """Wait for something that happens outside of the scenario."""
        assert event.wait(30), "waited in vain"

    async def together(self, *functions: Callable[[], Awaitable[Any]]) -> None:
        """Run functions at once: in a thread each."""
        errors: list[BaseException] = []

        def run(function: Scenario) -> None:
            try:
                self.run(function)
            except BaseException as error:  # noqa: BLE001 - raised below
                errors.append(error)

        threads = [threading.Thread(target=run, args=(function,), daemon=True) for function in functions]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(60)
        assert not any(thread.is_alive() for thread in threads), "stuck"
        for error in errors:
            raise error


class AsyncShell:
    """Runs scenarios through the async client.

    Args:
        name: asyncio or trio.
    """

    def __init__(self, name: str) -> None:
        self.name = name

    def run(self, scenario: Scenario, *arguments: Any) -> Any:
        """Run a scenario in an event loop of its own."""

        async def limited() -> Any:
            with anyio.fail_after(60):
                return await scenario(*arguments)

        return anyio.run(limited, backend=self.name)

    def connection(self, *arguments: Any, **options: Any) -> Any:
        """A connection, not open."""
        return aio.Connection(*arguments, **options)

    async def wait(self, event: threading.Event) -> None:
        """Wait for something that happens outside of the scenario."""
        while not event.is_set():  # noqa: ASYNC110 - it is set by a thread, and a worker for each that waits is worse
            await anyio.sleep(0.005)

    async def together(self, *functions: Callable[[], Awaitable[Any]]) -> None:
        """Run functions at once: in a task each."""
        async with anyio.create_task_group() as tasks:
            for function in functions:
                tasks.start_soon(function)


Shell = BlockingShell | AsyncShell
SHELLS: list[Shell] = [BlockingShell(), AsyncShell("asyncio"), AsyncShell("trio")]
