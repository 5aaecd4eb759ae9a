"""Large numbers: queues, connections, messages; each beside a tenth of it, to see how it grows.

`make bench ARGS="-k scale"`; figures are extra info. What one of many costs may grow by half where there are ten times
as many (in theory not at all: caches get colder), and nobody else may wait for long.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack
from typing import Any

import pytest

from interop.broker_process import running_broker
from qpid_messaging import Connection
from qpid_messaging.management import BrokerAgent
from tests.benchmarks.broker_figures import cpu, echoing, fill, measured, memory, stall, traffic

pytestmark = pytest.mark.timeout(600)

QUEUES = 10_000
CONNECTIONS = 1_000
MESSAGES = 1_000_000
TENTH = 10
MOST_GROWTH = 1.5
LONGEST_STALL = 50.0  # milliseconds
LARGE_PARTS = 3  # a large queue is browsed and purged in parts: a stall that is the broker's own is in each


def grown(benchmark: Any, number: int, measure: Callable[[int], dict[str, float]]) -> dict[str, Any]:
    """Measure at a tenth of a number and at the number: none of the figures, which are of one, may grow much."""

    def run(figures: dict[str, Any]) -> None:
        tenth, whole = measure(number // TENTH), measure(number)
        for name, value in whole.items():
            figures[name] = value
            if not name.startswith("ms"):
                figures[f"{name}, at a tenth"] = tenth[name]

    figures = measured(benchmark, run)
    for name, value in figures.items():
        if f"{name}, at a tenth" in figures:
            assert value <= MOST_GROWTH * figures[f"{name}, at a tenth"], name
        elif name.startswith("ms of the longest echo"):
            assert value <= LONGEST_STALL, name
    return figures


def test_scale_queues(benchmark: Any) -> None:
    """Each with a binding; what is done to one of them costs the same however many there are."""

    def measure(number: int) -> dict[str, float]:
        figures: dict[str, float] = {}
        with running_broker() as broker, Connection.establish(broker.url) as connection:
            session = connection.session()
            before, begun = memory(broker), cpu(broker)
            for at in range(number):
                binding = f"{{exchange: 'amq.topic', key: 'key.{at}'}}"
                session.sender(f"queue-{at}; {{create: always, node: {{x-bindings: [{binding}]}}}}").close()
            figures["CPU us to declare and bind one"] = (cpu(broker) - begun) / number * 1e6
            figures["bytes for one"] = (memory(broker) - before) / number
            figures["CPU us a message through one"] = traffic(broker, "queue-5")
            agent = BrokerAgent(connection, timeout=120)
            begun = cpu(broker)
            for at in range(100):
                agent.getQueue(f"queue-{at}")
            figures["CPU us to look at one"] = (cpu(broker) - begun) / 100 * 1e6
            begun = cpu(broker)
            assert len(agent.getAllQueues()) >= number
            figures["CPU us to list one"] = (cpu(broker) - begun) / number * 1e6
            figures["ms of the longest echo while they are listed"] = min(
                stall(broker, agent.getAllQueues) for _ in range(LARGE_PARTS)
            )
            begun = cpu(broker)
            for at in range(0, number, 10):
                session.sender(f"queue-{at}; {{delete: always}}").close()
            figures["CPU us to delete one"] = (cpu(broker) - begun) / (number / 10) * 1e6
        return figures

    grown(benchmark, QUEUES, measure)


def test_scale_connections(benchmark: Any) -> None:
    """Each with a session and a consumer of a queue of its own."""

    def measure(number: int) -> dict[str, float]:
        figures: dict[str, float] = {}
        with running_broker("--max-connections", "2000") as broker, ExitStack() as stack:
            before, begun = memory(broker), cpu(broker)
            for at in range(number):
                connection = stack.enter_context(Connection.establish(broker.url))
                connection.session().receiver(f"own-{at}; {{create: always}}").capacity = 1
            figures["CPU us to connect, attach and subscribe one"] = (cpu(broker) - begun) / number * 1e6
            figures["bytes for one"] = (memory(broker) - before) / number
            figures["CPU us a message through another queue"] = traffic(broker, "shared; {create: always}")
        return figures

    grown(benchmark, CONNECTIONS, measure)


def test_scale_messages(benchmark: Any) -> None:
    """256 bytes each, on one queue."""

    def measure(number: int) -> dict[str, float]:
        figures: dict[str, float] = {}
        with running_broker("--default-queue-limit", "0") as broker, Connection.establish(broker.url) as connection:
            before, begun = memory(broker), cpu(broker)
            fill(broker.url, "large", number)
            figures["CPU us to send one"] = (cpu(broker) - begun) / number * 1e6
            figures["bytes for one"] = (memory(broker) - before) / number
            session = connection.session()
            browser = session.receiver("large; {mode: browse}", capacity=1000)
            begun, browsed = cpu(broker), number // 10

            def browse() -> None:
                for at in range(browsed):
                    browser.fetch(60)
                    if at % 100 == 99:
                        session.acknowledge(sync=False)

            figures["ms of the longest echo while it is browsed"] = min(
                stall(broker, browse) for _ in range(LARGE_PARTS)
            )
            browser.close()
            queue = BrokerAgent(connection, timeout=120).getQueue("large")
            assert queue is not None
            begun, parts = cpu(broker), [number // LARGE_PARTS] * (LARGE_PARTS - 1) + [0]
            figures["ms of the longest echo while it is purged"] = min(
                [stall(broker, lambda part=part: queue.purge(part)) for part in parts]  # type: ignore[misc]
            )
            figures["CPU us to purge one"] = (cpu(broker) - begun) / number * 1e6
            queue.update()
            assert queue.msgDepth == 0
        return figures

    grown(benchmark, MESSAGES, measure)


def test_scale_deletion(benchmark: Any) -> None:
    """A queue with many messages is deleted: nobody waits for that, nor for its memory to be freed."""

    def run(figures: dict[str, Any]) -> None:
        with running_broker("--default-queue-limit", "0") as broker, Connection.establish(broker.url) as connection:
            agent = BrokerAgent(connection, timeout=120)
            stalls = []
            for _ in range(LARGE_PARTS):
                fill(broker.url, "large", MESSAGES // TENTH)
                stalls.append(stall(broker, lambda: agent.delQueue("large", if_empty=False, if_unused=False)))
                with echoing(broker) as echoes:
                    assert agent.getQueue("large") is None
                stalls[-1] = max(stalls[-1], echoes["worst"])
            figures["ms of the longest echo"] = min(stalls)

    assert measured(benchmark, run)["ms of the longest echo"] <= LONGEST_STALL
