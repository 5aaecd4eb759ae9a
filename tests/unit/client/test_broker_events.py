"""What a connection tells of its brokers, to a handler and to the log, and what it counts."""

from __future__ import annotations

import logging
import time
from typing import Any

import pytest

from qpid_messaging import ConnectError
from qpid_messaging.broker_events import BrokerEvent, BrokerFailed, BrokerFound, BrokerLost, BrokerTried
from tests.unit.client.harness import Harness


def watched(**options: Any) -> tuple[Harness, list[BrokerEvent]]:
    h = Harness(reconnect=True, **options)
    events: list[BrokerEvent] = []
    h.core.on_broker = events.append
    return h, events


def kinds(events: list[BrokerEvent]) -> list[tuple[type[BrokerEvent], str, int]]:
    return [(type(event), event.where, getattr(event, "attempt", 0)) for event in events]


def test_a_fail_over_from_end_to_end() -> None:
    h, events = watched()
    h.open()
    assert kinds(events) == [(BrokerTried, "a:1", 1), (BrokerFound, "a:1", 1)]
    assert isinstance(events[1], BrokerFound)
    assert events[1].seconds_without_broker is None
    assert abs(events[1].time - time.time()) < 60
    events.clear()
    # The connection did something: its loss begins a new search, which finds nobody twice.
    h.send(h.sender(h.session(), "q; {create: always}"), b"x")
    h.run()
    h.refuses = True
    h.now = 5.0
    h.kill()
    for _ in range(2):
        h.step()
    h.refuses = False
    h.run()
    assert kinds(events) == [
        (BrokerLost, "a:1", 0),
        (BrokerTried, "b:2", 1),
        (BrokerFailed, "b:2", 1),
        (BrokerTried, "a:1", 2),
        (BrokerFailed, "a:1", 2),
        (BrokerTried, "b:2", 3),
        (BrokerFound, "b:2", 3),
    ]
    lost, _, failed, _, last_failed, _, found = events
    assert isinstance(lost, BrokerLost)
    assert "Connection reset by peer" in str(lost.error)
    assert isinstance(failed, BrokerFailed)
    assert failed.retry_in == 0, "the round goes on at once"
    assert isinstance(last_failed, BrokerFailed)
    assert last_failed.retry_in is not None
    assert 0.01 <= last_failed.retry_in < 0.05
    assert isinstance(found, BrokerFound)
    assert found.seconds_without_broker == pytest.approx(last_failed.retry_in)
    stats = h.core.stats
    assert (stats.attempts, stats.fail_overs) == (4, 1)
    assert stats.seconds_without_broker == pytest.approx(last_failed.retry_in)


def test_the_log_says_the_same(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING, "qpid_messaging"):
        h, events = watched(reconnect_log=True)
        h.open()
        assert caplog.records == [], "nothing is wrong"
        h.send(h.sender(h.session(), "q; {create: always}"), b"x")
        h.run()
        h.kill()
        h.run()
        h.core.set_option("reconnect_log", False)
        h.kill()
        h.run()
    lines = [record.getMessage() for record in caplog.records]
    assert lines == [str(event) for event in events[2:5]]
    assert lines[0] == "connection lost: a:1: Connection reset by peer"
    assert lines[1] == "trying: b:2 [attempt 1]"
    assert lines[2].startswith("reconnect succeeded: b:2 [attempt 1] after 0")


def test_the_end_of_a_search() -> None:
    h, events = watched(reconnect_limit=1)
    h.refuses = True
    h.open()
    h.wait(lambda: h.core.error)
    assert [type(event) for event in events] == [BrokerTried, BrokerFailed] * 4
    last = events[-1]
    assert isinstance(last, BrokerFailed)
    assert last.retry_in is None
    assert str(last) == "giving up[attempt 4]: b:2: Connection refused"
    assert isinstance(h.core.error, ConnectError)
    assert h.core.error is last.error


def test_without_reconnect() -> None:
    h = Harness()
    events: list[BrokerEvent] = []
    h.core.on_broker = events.append
    h.open()
    h.kill()
    assert [type(event) for event in events] == [BrokerTried, BrokerFound, BrokerLost]


def test_a_list_that_does_not_parse_is_said_and_not_an_internal_error() -> None:
    h, _ = watched()
    h.open()
    h.send(h.sender(h.session(), "q; {create: always}"), b"x")
    h.run()
    h.core.set_option("reconnect_urls", ["no url"])
    h.kill()
    h.run()
    assert isinstance(h.core.error, ConnectError)
    assert "invalid broker URL" in str(h.core.error)
