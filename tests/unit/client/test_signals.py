"""Signals held back: which are, where, and until when."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator

import pytest

from qpid_messaging.signals import RAISING, HeldBack, can_be_held_back


class Interrupted(Exception):
    pass


@pytest.fixture(autouse=True)
def interrupted() -> Iterator[None]:
    """SIGUSR1 has a handler that raises."""

    def interrupt(number: int, frame: object) -> None:
        raise Interrupted

    before = signal.signal(signal.SIGUSR1, interrupt)
    yield
    signal.signal(signal.SIGUSR1, before)


def blocked() -> set[int]:
    """The signals that this thread does not get."""
    return set(signal.pthread_sigmask(signal.SIG_BLOCK, ()))


def test_a_handler_runs_at_the_end_of_the_block() -> None:
    done: list[bool] = []

    def block() -> None:
        with HeldBack():
            signal.raise_signal(signal.SIGUSR1)
            done.append(True)

    with pytest.raises(Interrupted):
        block()
    assert done
    assert not blocked() & RAISING


def test_what_went_wrong_in_the_block_comes_out_of_it() -> None:
    with pytest.raises(ZeroDivisionError), HeldBack():
        raise ZeroDivisionError
    assert not blocked() & RAISING


def test_what_was_blocked_stays_blocked() -> None:
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM, signal.SIGWINCH})
    try:
        with HeldBack():
            assert blocked() >= RAISING | {signal.SIGWINCH}
        assert blocked() == {signal.SIGTERM, signal.SIGWINCH}
    finally:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGTERM, signal.SIGWINCH})


def test_no_handler_runs_in_another_thread_anyway() -> None:
    seen: list[object] = []

    def run() -> None:
        with HeldBack():
            seen.append(blocked())
        seen.append(can_be_held_back(threads=0))

    thread = threading.Thread(target=run)
    thread.start()
    thread.join()
    assert seen == [set(), True]


def test_somebody_else_would_get_what_the_main_thread_blocks() -> None:
    others, ended = threading.active_count() - 1, threading.Event()
    assert can_be_held_back(threads=others)
    thread = threading.Thread(target=ended.wait)
    thread.start()
    try:
        assert not can_be_held_back(threads=others)
        assert can_be_held_back(threads=others + 1)
    finally:
        ended.set()
        thread.join()
