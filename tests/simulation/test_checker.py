"""The checker sees each kind of broken promise, and nothing where none is broken."""

from __future__ import annotations

import pytest

from tests.simulation.checker import (
    Acknowledged,
    Acknowledging,
    Confirmed,
    Decided,
    Event,
    Outcome,
    Received,
    Rule,
    Sent,
    check,
)


def sent(*names: str, queues: tuple[str, ...] = ("q",), transaction: str = "") -> list[Event]:
    return [Sent("p", name, queues, transaction) for name in names]


def stored(*names: str, queues: tuple[str, ...] = ("q",)) -> list[Event]:
    return [*sent(*names, queues=queues), *map(Confirmed, names)]


def received(*names: str, by: str = "c", queue: str = "q", connection: int = 0, stored_as: str = "") -> list[Event]:
    return [Received(by, queue, name, connection, stored_as) for name in names]


def acknowledged(*names: str, by: str = "c", queue: str = "q", connection: int = 0) -> list[Event]:
    begun: list[Event] = [Acknowledging(by, queue, name) for name in names]
    return begun + [Acknowledged(by, queue, name, connection) for name in names]


def taken(*names: str, by: str = "c", queue: str = "q", connection: int = 0) -> list[Event]:
    receipts = received(*names, by=by, queue=queue, connection=connection)
    return receipts + acknowledged(*names, by=by, queue=queue, connection=connection)


def begun(transaction: str, *names: str) -> list[Event]:
    """Messages are acknowledged in a transaction."""
    return [Acknowledging("c", "q", name, transaction) for name in names]


GOOD: dict[str, list[Event]] = {
    "sent, received, acknowledged": [*stored("a", "b"), *taken("a", "b")],
    "received again before it was acknowledged": [*stored("a"), *received("a"), *received("a"), *acknowledged("a")],
    "not confirmed and never seen": sent("a"),
    "not confirmed and there all the same": [*sent("a"), *taken("a")],
    "on both of its queues": [*stored("a", queues=("q", "r")), *taken("a"), *taken("a", queue="r")],
    "stale: from a deposed primary": [*stored("a", "b"), *taken("a"), *received("a", by="d"), *taken("b")],
    "held while another had it": [
        *stored("a"),
        *received("a"),
        *acknowledged("a", connection=1),
        *taken("a", by="d"),
    ],
    "committed": [
        *stored("a"),
        *sent("b", "c", transaction="t"),
        *received("a"),
        *begun("t", "a"),
        Decided("t", Outcome.COMMITTED, "c"),
        *taken("b", "c"),
    ],
    "aborted": [
        *stored("a"),
        *sent("b", transaction="t"),
        *received("a"),
        *begun("t", "a"),
        Decided("t", Outcome.ABORTED, "c"),
        *taken("a", connection=1),
    ],
    "unknown, and not done": [
        *stored("a"),
        *sent("b", transaction="t"),
        *received("a"),
        *begun("t", "a"),
        Decided("t", Outcome.UNKNOWN),
        *taken("a", connection=1),
    ],
    "unknown, and done": [
        *stored("a"),
        *sent("b", transaction="t"),
        *received("a"),
        *begun("t", "a"),
        Decided("t", Outcome.UNKNOWN),
        *taken("b", connection=1),
    ],
}

BAD: dict[str, tuple[Rule, list[Event]]] = {
    "confirmed and never seen": (Rule.LOST, stored("a")),
    "on one of two queues": (Rule.LOST, [*stored("a", queues=("q", "r")), *taken("a")]),
    "gone without anybody's doing": (Rule.LOST, [*stored("a"), *received("a")]),
    "gone though the transaction was aborted": (
        Rule.LOST,
        [*stored("a"), *received("a"), *begun("t", "a"), Decided("t", Outcome.ABORTED)],
    ),
    "committed and never seen": (
        Rule.LOST,
        [*sent("a", "b", transaction="t"), Decided("t", Outcome.COMMITTED), *taken("a")],
    ),
    "two of it": (
        Rule.TWICE,
        [*stored("a"), *received("a", stored_as="1"), *received("a", stored_as="2"), *acknowledged("a")],
    ),
    "again": (Rule.AGAIN, [*stored("a"), *taken("a"), *taken("a", by="d")]),
    "again, and the connection is in order": (
        Rule.AGAIN,
        [*stored("a", "b"), *taken("a"), *received("a", by="d"), *taken("b", by="d")],
    ),
    "again after a commit": (
        Rule.AGAIN,
        [*stored("a"), *received("a"), *begun("t", "a"), Decided("t", Outcome.COMMITTED, "c"), *taken("a", by="d")],
    ),
    "half of an exchange's message": (Rule.ATOMIC, [*sent("a", queues=("q", "r")), *taken("a")]),
    "aborted and there": (Rule.ATOMIC, [*sent("a", transaction="t"), Decided("t", Outcome.ABORTED), *taken("a")]),
    "unknown, and half of it done": (
        Rule.ATOMIC,
        [*sent("a", "b", transaction="t"), Decided("t", Outcome.UNKNOWN), *taken("a")],
    ),
    "unknown, what was sent is there and what was acknowledged, too": (
        Rule.ATOMIC,
        [
            *stored("a"),
            *sent("b", transaction="t"),
            *received("a"),
            *begun("t", "a"),
            Decided("t", Outcome.UNKNOWN),
            *taken("a", "b", connection=1),
        ],
    ),
    "unknown, and nothing of it is there": (
        Rule.ATOMIC,
        [
            *stored("a"),
            *sent("b", transaction="t"),
            *received("a"),
            *begun("t", "a"),
            Decided("t", Outcome.UNKNOWN),
        ],
    ),
    "a stranger": (Rule.UNSENT, taken("a")),
    "on the wrong queue": (Rule.UNSENT, [*stored("a"), *taken("a"), *taken("a", queue="r")]),
}


@pytest.mark.parametrize("history", GOOD.values(), ids=GOOD)
def test_what_is_as_promised(history: list[Event]) -> None:
    assert check(history).violations == []


@pytest.mark.parametrize(("rule", "history"), BAD.values(), ids=BAD)
def test_what_is_not(rule: Rule, history: list[Event]) -> None:
    assert [violation.rule for violation in check(history).violations] == [rule]


def test_order_is_checked_where_one_consumer_at_a_time_receives() -> None:
    history = [*stored("a", "b", "c"), *taken("a", "c", "b")]
    assert check(history).violations == []
    assert [violation.rule for violation in check(history, sole=["q"]).violations] == [Rule.ORDER]
    # What came before and comes again is in its place.
    assert check([*stored("a", "b"), *received("a", "b"), *taken("a", "b")], sole=["q"]).violations == []


def test_an_acknowledge_of_the_sole_consumer_counts_across_a_fail_over() -> None:
    history = [*stored("a"), *received("a"), *acknowledged("a", connection=1), *taken("a", connection=1)]
    assert check(history).violations == []
    assert [violation.rule for violation in check(history, sole=["q"]).violations] == [Rule.AGAIN]


def test_what_is_still_on_its_way_is_not_lost() -> None:
    assert check(stored("a"), drained=False).violations == []


def test_it_counts() -> None:
    history = [
        *stored("a", "b"),
        *sent("c", transaction="t"),
        Decided("t", Outcome.COMMITTED),
        *sent("d", transaction="u"),
        Decided("u", Outcome.ABORTED),
        *taken("a", "b", "c"),
        *received("a", by="d", connection=3),
    ]
    findings = check(history)
    assert findings._replace(violations=[]) == ([], 4, 3, 4, 3, 1, 1, 0, 1)
