"""Signals whose handlers may raise, held back while a thread does what must not be left half done.

Python runs handlers in the main thread, between any two of its instructions, and Ctrl-C or a handler that ends the
program raises there. A thread that has the signal blocked does not get it from the system; for that to hold it back,
nobody else may get it in its place.
"""

from __future__ import annotations

import signal
import threading

#: Those of which handlers are known to raise: to interrupt, to end the program, or to set a time limit.
RAISING = frozenset(
    {
        signal.SIGINT,
        signal.SIGTERM,
        signal.SIGHUP,
        signal.SIGQUIT,
        signal.SIGALRM,
        signal.SIGUSR1,
        signal.SIGUSR2,
    }
)


def can_be_held_back(threads: int) -> bool:
    """Whether blocking signals in this thread keeps handlers from running in it.

    Args:
        threads: how many other threads have them blocked.
    """
    return threading.current_thread() is not threading.main_thread() or threading.active_count() == threads + 1


class HeldBack:
    """A block of code that no handler interrupts. What came meanwhile is handled at its end."""

    def __init__(self) -> None:
        self._blocked: set[int] | frozenset[int] = frozenset()

    def __enter__(self) -> None:
        if threading.current_thread() is threading.main_thread():
            try:
                self._blocked = RAISING - signal.pthread_sigmask(signal.SIG_BLOCK, RAISING)
            except BaseException:  # a handler, for what came before
                signal.pthread_sigmask(signal.SIG_UNBLOCK, RAISING)
                raise

    def __exit__(self, *exc: object) -> None:
        if self._blocked:
            signal.pthread_sigmask(signal.SIG_UNBLOCK, self._blocked)
