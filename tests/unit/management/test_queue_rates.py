"""What qpid-queue-stats makes of a broker's reports."""

from __future__ import annotations

import re
from typing import Any

import pytest

from qpid_messaging.management import qmf
from qpid_messaging.management.qmf import Data
from qpid_server.tools.qpid_queue_stats import QueueRates

SECOND = 1_000_000_000


def report(at: float, enqueued: int, dequeued: int, *, name: str = "q", deleted: int = 0) -> Data:
    values = {"msgTotalEnqueues": enqueued, "msgTotalDequeues": dequeued, "msgDepth": enqueued - dequeued}
    updated = int(at * SECOND)
    return Data(
        f"{qmf.BROKER_PACKAGE}:queue:{name}", qmf.BROKER_PACKAGE, "queue", values, updated=updated, deleted=deleted
    )


def test_rates_are_those_since_the_report_before() -> None:
    rates = QueueRates()
    assert rates.line(report(100, 10, 0)) is None
    assert rates.line(report(102, 30, 5)) == f"q{'':40}      2.00         25        10.00         2.50"
    assert rates.line(report(112, 30, 30)) == f"q{'':40}     10.00          0         0.00         2.50"


def test_less_than_a_second_is_no_measure() -> None:
    rates = QueueRates()
    assert rates.line(report(100, 0, 0)) is None
    assert rates.line(report(100.5, 5, 0)) is None
    line = rates.line(report(101.5, 15, 0))
    assert line is not None
    assert line.split() == ["q", "1.00", "15", "10.00", "0.00"]


@pytest.mark.parametrize(("name", "shown"), [("one", True), ("two.x", True), ("zone", False), ("three", False)])
def test_filters_match_from_the_beginning(name: str, shown: bool) -> None:
    rates = QueueRates([re.compile("one"), re.compile(r"two\..*")])
    rates.line(report(100, 0, 0, name=name))
    assert (rates.line(report(102, 0, 0, name=name)) is not None) == shown


def test_a_queue_that_comes_again_is_another_one() -> None:
    rates = QueueRates()
    rates.line(report(100, 50, 0))
    assert rates.line(report(102, 50, 0, deleted=101 * SECOND)) is None
    assert rates.line(report(104, 0, 0)) is None
    rates.forget()
    assert rates.line(report(106, 0, 0)) is None


@pytest.mark.parametrize("values", [{}, {"name": "q"}, {"msgTotalEnqueues": "x", "msgTotalDequeues": 0, "msgDepth": 0}])
def test_reports_without_counters(values: dict[str, Any]) -> None:
    rates = QueueRates()
    rates.line(report(100, 0, 0))
    assert rates.line(Data("a:b:q", "a", "b", values, updated=102 * SECOND)) is None


def test_what_is_no_report_is_passed_over() -> None:
    good = report(1, 0, 0).to_map()
    assert [data.name for data in Data.of_indication([{}, good, 7])] == ["org.apache.qpid.broker:queue:q"]
    assert list(Data.of_indication({"not": "a list"})) == []
