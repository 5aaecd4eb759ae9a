"""A broker in the background: the parent that waits until it is ready, and the file by which it is found again.

The file is ``PID-DIR/qpidd.PORT.pid``, as the C++ broker has it. A daemon keeps it locked as long as it lives, so that
a process that has the same number by chance, after a crash or a reboot, is never taken for it, and never killed.
"""

from __future__ import annotations

import fcntl
import json
import os
import select
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TextIO

from .options import OptionError, Options

__all__ = ["PidFile", "control", "daemonize"]

Ready = Callable[[list[int]], None]


class PidFile:
    """The file of a daemon's process id.

    Args:
        options: name the directory, and the port that tells daemons apart.
        port: the port, where the options let the system choose it.
    """

    def __init__(self, options: Options, port: int | None = None) -> None:
        if port is None:
            port = options.port if options.transport == "tcp" else options.ssl_port[0]
        self.path = Path(options.pid_dir).expanduser() / f"qpidd.{port}.pid"
        self._file: TextIO | None = None

    def take(self) -> None:
        """Write this process's id, and keep the file until `remove`.

        Raises:
            OptionError: another daemon has it, or it cannot be written.
        """
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            file = self.path.open("a+", encoding="ascii")
        except OSError as error:
            raise OptionError(f"pid-dir: {error}") from error
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            file.close()
            raise OptionError(f"{self.path} belongs to a daemon that is running") from None
        file.truncate(0)
        file.write(f"{os.getpid()}\n")
        file.flush()
        self._file = file

    def remove(self) -> None:
        """There is no such daemon any more."""
        if self._file is not None:
            self.path.unlink(missing_ok=True)
            self._file.close()

    def pid(self) -> int | None:
        """The id of the daemon that runs; None where there is none."""
        try:
            with self.path.open(encoding="ascii") as file:
                try:
                    fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
                except BlockingIOError:
                    return int(file.read())
        except (OSError, ValueError):
            pass  # no file, or one that is just being written: no daemon is ready
        return None


def control(options: Options) -> int:
    """Do what ``--check``, ``--quit`` and ``--kill`` ask for.

    Returns:
        The exit code: 0 if there is such a daemon, or was; else 1.

    Raises:
        OptionError: it may not be ended, or did not end in time.
    """
    file = PidFile(options)
    pid = file.pid()
    if pid is None:
        return 1
    if options.check:
        print(pid, flush=True)
    if options.quit or options.kill:
        try:
            with _process(pid) as process:
                os.kill(pid, signal.SIGKILL if options.kill else signal.SIGINT)
                ended, _, _ = select.select([process], [], [], options.wait)
        except ProcessLookupError:
            return 0
        except PermissionError as error:
            raise OptionError(f"cannot end daemon {pid}: {error}") from error
        if not ended:
            raise OptionError(f"daemon {pid} is still there after {options.wait} seconds")
    return 0


@contextmanager
def _process(pid: int) -> Iterator[int]:
    """A file descriptor that can be read once the process has ended.

    Raises:
        ProcessLookupError: it has.
        OptionError: this system cannot tell.
    """
    if sys.platform != "linux":
        raise OptionError("only on Linux can the end of a daemon be awaited")
    descriptor = os.pidfd_open(pid)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def daemonize(options: Options, run: Callable[[Ready], int]) -> int:
    """Run the broker in the background.

    Args:
        options: the broker's.
        run: runs the broker until it ends, and returns its exit code; calls what it is given with the port that tells
            it from others, and those to be printed, once it listens.

    Returns:
        In the parent: 0 once the broker listens. In the daemon: the broker's own exit code.

    Raises:
        OptionError: in the parent, it could not start, or not in time; nothing of it is left then.
    """
    reading, writing = os.pipe()
    pid = os.fork()
    if pid:
        os.close(writing)
        with os.fdopen(reading, encoding="utf-8") as answers:
            return _await_daemon(answers, pid, options)
    os.close(reading)
    with os.fdopen(writing, "w", encoding="utf-8") as answer:
        return _be_daemon(options, run, answer)


def _await_daemon(answers: TextIO, pid: int, options: Options) -> int:
    readable, _, _ = select.select([answers], [], [], options.wait)
    if not readable:
        os.kill(pid, signal.SIGKILL)
        raise OptionError(f"the daemon was not ready within {options.wait} seconds")
    line = answers.readline()
    answer = json.loads(line) if line else {"error": "it ended without a word"}
    if "error" in answer:
        raise OptionError(f"the daemon did not start: {answer['error']}")
    for port in answer["ports"]:
        print(port, flush=True)
    return 0


def _be_daemon(options: Options, run: Callable[[Ready], int], answer: TextIO) -> int:
    os.setsid()
    os.umask(0o027)
    null = os.open(os.devnull, os.O_RDWR)
    for descriptor in (0, 1, 2):
        os.dup2(null, descriptor)
    os.close(null)
    for descriptor in options.close_fd:
        with suppress(OSError):  # it was none
            os.close(descriptor)
    file: PidFile | None = None

    def ready(ports: list[int]) -> None:
        nonlocal file
        file = PidFile(options, ports[0])
        file.take()
        # Only now, since what was opened relative to the old folder is open.
        os.chdir("/")
        _say(answer, {"ports": ports[1:]})

    try:
        return run(ready)
    except BaseException as error:
        _say(answer, {"error": str(error) or type(error).__name__})
        raise
    finally:
        if file is not None:
            file.remove()


def _say(answer: TextIO, what: dict[str, object]) -> None:
    if not answer.closed:
        with suppress(BrokenPipeError):  # the parent was killed: the daemon goes on without it
            answer.write(json.dumps(what) + "\n")
            answer.close()
