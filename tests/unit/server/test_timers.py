"""Timers: in order, at their time, and gone when nobody needs them."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from qpid_server.timers import Timer, Timers


@given(st.lists(st.tuples(st.integers(0, 50), st.booleans(), st.booleans()), max_size=400))
def test_what_is_due_is_done_once_and_in_order(steps: list[tuple[int, bool, bool]]) -> None:
    timers = Timers()
    made: list[Timer] = []
    done: list[int] = []
    wanted: dict[int, int] = {}
    now = 0
    for number, (seconds, cancel, wait) in enumerate(steps):
        made.append(timers.at(now + seconds, lambda number=number: done.append(number)))  # type: ignore[misc]
        wanted[number] = now + seconds
        if cancel:
            victim = (number * 7) % len(made)
            made[victim].cancel()
            made[victim].cancel()
            wanted.pop(victim, None)
        assert timers.due == min(wanted.values(), default=None)
        if wait:
            now += seconds
            timers.run(now)
            due = sorted((when, which) for which, when in wanted.items() if when <= now)
            assert done == [which for _, which in due]
            done.clear()
            for _, which in due:
                del wanted[which]


def test_a_timer_that_sets_another() -> None:
    timers, done = Timers(), []
    timers.at(1, lambda: timers.at(1, lambda: done.append("second")))
    timers.run(1)
    assert done == ["second"]


def test_cancelled_timers_take_no_memory() -> None:
    """As a client makes them that attaches and detaches a session for hours."""
    timers = Timers()
    kept = timers.at(7200.0, lambda: None)
    for _ in range(10_000):
        timers.at(3600.0, lambda: None).cancel()
    assert len(timers._heap) < 300
    assert timers.due == kept.when
