"""Neighbours that behave badly: others are served, and what it costs the broker in memory is what its limits allow.

`make bench ARGS="-k neighbours"`. Figures are extra info.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import pytest

from interop.broker_process import BrokerProcess, running_broker
from tests.benchmarks.broker_figures import ROUNDS, echoing, fill, measured, memory
from tests.benchmarks.neighbours import NeverAcknowledges, NeverReads, declares_queues

pytestmark = pytest.mark.timeout(300)

WATCHED = 3.0  # seconds
MOST_SLOWED = 2.0  # times the median of an echo
MOST_QUEUES = 2000
MB_FOR_ONE = 16.0
"""What a connection may hold back and what a consumer may hold unsettled is a few megabytes, and so are the queues."""
MESSAGES = 20_000


def median(broker: BrokerProcess) -> float:
    """Milliseconds of an echo."""
    with echoing(broker) as echoes:
        time.sleep(WATCHED)
    return echoes["median"]


def never_reads(broker: BrokerProcess) -> Any:
    fill(broker.url, "unread", MESSAGES, 1000)
    return lambda: NeverReads(broker.url, "unread")


def never_acknowledges(broker: BrokerProcess) -> Any:
    fill(broker.url, "unacknowledged", MESSAGES)
    return lambda: NeverAcknowledges(broker.url, "unacknowledged", MESSAGES)


def declares(broker: BrokerProcess) -> Any:
    return lambda: declares_queues(broker.url)


@pytest.mark.parametrize("prepare", [never_reads, never_acknowledges, declares], ids=lambda prepare: prepare.__name__)
def test_neighbours(benchmark: Any, prepare: Callable[[BrokerProcess], Any]) -> None:
    def run(figures: dict[str, Any]) -> None:
        with running_broker("--max-queues-per-user", str(MOST_QUEUES)) as broker:
            begin = prepare(broker)
            slowed, more = [], []
            before = memory(broker)
            for _ in range(ROUNDS):
                alone = median(broker)
                neighbour = begin()
                slowed.append(median(broker) / alone)
                more.append((memory(broker) - before) / 1e6)
                neighbour.close()
            figures["times as long as alone"] = min(slowed)
            figures["MB more"] = max(more)

    figures = measured(benchmark, run)
    assert figures["times as long as alone"] <= MOST_SLOWED
    assert figures["MB more"] <= MB_FOR_ONE
