"""What holds for every test: loopback only, nothing left running, hypothesis repeatable in CI."""

from __future__ import annotations

import ipaddress
import logging
import os
import signal
import socket
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, settings

ROOT = Path(__file__).resolve().parent.parent
SETTLE = 3.0  # seconds that a closing connection's thread may take to end

# A deadline for one example says more about the machine's load than about the code.
settings.register_profile("dev", deadline=None)
settings.register_profile(
    "ci", deadline=None, derandomize=True, print_blob=True, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile("ci" if os.environ.get("CI") else "dev")


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host.partition("%")[0]).is_loopback
    except ValueError:
        return host == "localhost"


def _loopback_only(event: str, args: tuple[Any, ...]) -> None:
    """Audit hook: a test that reaches for another machine fails at the place where it does."""
    if event not in ("socket.connect", "socket.bind"):
        return
    sock, address = args
    if sock.family in (socket.AF_INET, socket.AF_INET6) and not _is_loopback(address[0]):
        raise RuntimeError(f"{event} to {address[0]!r}: tests stay on loopback")


sys.addaudithook(_loopback_only)

# A shell that runs us in the background has it ignored, which the processes of tests would inherit.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)


def _children() -> set[int]:
    """Process ids of the running children of this process (none where there is no /proc)."""
    found: set[int] = set()
    for tasks in Path("/proc/self/task").glob("*/children"):
        try:
            found.update(int(pid) for pid in tasks.read_text().split())
        except OSError:  # that thread has just ended
            continue
    return found


def _is_pooled(thread: threading.Thread) -> bool:
    """Idle workers of anyio and trio outlive the run that started them, by design."""
    return thread.name.startswith(("AnyIO worker thread", "Trio thread", "asyncio_"))


@pytest.fixture(scope="session")
def kept_running() -> set[int]:
    """Ids of processes that a fixture of a wider scope started during a test, in place of others of its own."""
    return set()


@pytest.fixture(autouse=True)
def nothing_left_running(kept_running: set[int]) -> Iterator[None]:
    """Fails a test that leaves a thread or a process behind, and ends the process.

    What fixtures of a wider scope started before the test is theirs to end, and what they keep running.
    """
    threads, children = set(threading.enumerate()), _children()
    yield
    left = [t for t in threading.enumerate() if t not in threads and not _is_pooled(t)]
    for thread in left:
        thread.join(SETTLE)
    orphans = _children() - children - kept_running
    for pid in orphans:
        os.kill(pid, signal.SIGKILL)
    left = [t for t in left if t.is_alive()]
    assert not left, f"threads left running: {left}"
    assert not orphans, f"processes left running: {orphans}"


@pytest.fixture(scope="session")
def root() -> Path:
    """The checkout."""
    return ROOT


@pytest.fixture(scope="session")
def data() -> Path:
    """`tests/data`: vectors and recorded traffic of real peers."""
    return ROOT / "tests" / "data"


@pytest.fixture(scope="session")
def spec() -> Path:
    """The published specification, where it lies beside the checkout; a test that wants it is skipped elsewhere."""
    folder = ROOT.parent / "shared" / "spec"
    if not folder.is_dir():
        pytest.skip("the specification is not beside this checkout")
    return folder


@pytest.fixture
def own_log() -> Iterator[None]:
    """Let the loggers of the broker and of the client be set up anew, and give them back as they were."""
    loggers = [logging.getLogger(name) for name in ("qpid_server", "qpid_messaging")]
    kept = [(logger.handlers[:], logger.level, logger.propagate) for logger in loggers]
    yield
    for logger, (handlers, level, propagate) in zip(loggers, kept, strict=True):
        logger.handlers[:], logger.propagate = handlers, propagate
        logger.setLevel(level)
