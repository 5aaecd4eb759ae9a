"""Applications that send and receive while a cluster fails over, and what they must have seen at the end."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from interop.managers.hosts import Host

PATIENCE = 90.0
"""Seconds after which what is waited for has failed: much more than it takes on a machine that does nothing else."""


def wait_until(condition: Callable[[], bool], what: Callable[[], str], *, patience: float = PATIENCE) -> None:
    """Wait for what nobody announces.

    Raises:
        AssertionError: it does not come.
    """
    deadline = time.monotonic() + patience
    while not condition():
        assert time.monotonic() < deadline, f"not within {patience} s: {what()}"
        time.sleep(0.05)


class Application:
    """`application_program` on a host.

    Args:
        host: where.
        what: send or receive.
        queue: to or from which queue.
        urls: the brokers that it knows.
        folder: for what it writes.
    """

    def __init__(self, host: Host, what: str, queue: str, urls: Sequence[str], folder: Path) -> None:
        self._name = f"{what}-{queue}"
        self._written, self._log = folder / f"{self._name}.txt", folder / f"{self._name}.log"
        program = [sys.executable, "-m", "interop.managers.application_program", what, queue, *urls]
        # What it logs is not among the numbers.
        self._process = host.start("sh", "-c", 'exec "$@" > "$0"', str(self._written), *program, log=self._log)

    def numbers(self) -> list[int]:
        """What is acknowledged so far, in order."""
        try:
            lines = self._written.read_text().split("\n")[:-1]
        except FileNotFoundError:
            return []
        return [int(line) for line in lines if line != "end"]

    def go_on(self, count: int = 30) -> None:
        """Wait until so many more are acknowledged than now."""
        wanted = len(self.numbers()) + count
        wait_until(lambda: len(self.numbers()) >= wanted or self._process.poll() is not None, self._say)
        assert self._process.poll() is None, self._say()

    def finish(self) -> list[int]:
        """Let it end what it has begun. Returns all that was acknowledged."""
        assert self._process.stdin is not None
        self._process.stdin.close()
        assert self._process.wait(PATIENCE) == 0, self._say()
        assert self._written.read_text().endswith("end\n"), self._say()
        return self.numbers()

    def _say(self) -> str:
        said = self._log.read_text("utf-8", "replace").splitlines()[-20:]
        return f"{self._name} has {len(self.numbers())}\n" + "\n".join(said)


class Traffic:
    """Somebody who sends, and somebody who receives it.

    Args:
        host: where both run.
        queue: between them.
        urls: the brokers that they know.
        folder: for what they write.
    """

    def __init__(self, host: Host, queue: str, urls: Sequence[str], folder: Path) -> None:
        self._sender = Application(host, "send", queue, urls, folder)
        self._receiver = Application(host, "receive", queue, urls, folder)

    def go_on(self) -> None:
        """Wait until both have got further."""
        self._sender.go_on()
        self._receiver.go_on()

    def finish(self) -> int:
        """Nothing is lost, doubled or out of order. Returns how many messages there were."""
        sent, received = self._sender.finish(), self._receiver.finish()
        assert sent == list(range(len(sent)))
        assert received == sent
        return len(sent)
