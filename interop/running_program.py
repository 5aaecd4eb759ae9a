"""A program that runs until it is told to end: what it prints meanwhile, and what is typed into it."""

from __future__ import annotations

import os
import re
import select
import signal
import subprocess
import time
from types import TracebackType

from typing_extensions import Self

PATIENCE = 40  # seconds for what is waited for, on a machine with other work


class RunningProgram:
    """A program as a process, for a `with` block; it is killed at its end if it has not ended.

    Args:
        process: with a pipe for its output, and one for its input where anything is typed.
    """

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process
        self.text = ""
        self._read = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._process.kill()
        self._process.communicate()

    def until(self, pattern: str) -> str:
        """Wait until what was printed since the last time has something that the pattern finds; returns it all.

        Raises:
            AssertionError: it does not come.
        """
        deadline = time.monotonic() + PATIENCE
        while not (found := re.search(pattern, self.text[self._read :], re.MULTILINE)):
            assert self._more(deadline), f"no {pattern!r} in {self.text!r}"
        start, self._read = self._read, self._read + found.end()
        return self.text[start : self._read]

    def _more(self, deadline: float) -> bool:
        out = self._process.stdout
        assert out is not None
        ready, _, _ = select.select([out], [], [], max(0.0, deadline - time.monotonic()))
        data = os.read(out.fileno(), 65536) if ready else b""
        self.text += data.decode()
        return bool(data)

    def wait(self, seconds: float) -> None:
        """Take what it prints within that time."""
        self._more(time.monotonic() + seconds)

    def type(self, line: str) -> None:
        """Give it a line to read."""
        assert self._process.stdin is not None
        self._process.stdin.write(line + "\n")
        self._process.stdin.flush()

    def interrupt(self) -> int:
        """Ctrl-C; returns the exit status."""
        return self._end_by(signal.SIGINT)

    def terminate(self) -> int:
        """SIGTERM; returns the exit status."""
        return self._end_by(signal.SIGTERM)

    def _end_by(self, number: signal.Signals) -> int:
        self._process.send_signal(number)
        return self.end()

    def end(self) -> int:
        """Wait for its end; returns the exit status. `text` is all that it printed then."""
        deadline = time.monotonic() + PATIENCE
        while self._more(deadline):
            pass
        return self._process.wait(PATIENCE)
