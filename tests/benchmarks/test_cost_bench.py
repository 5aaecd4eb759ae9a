"""What a message costs a broker process that is managed and watched: 256 bytes, one producer, one consumer.

`make bench ARGS="-k cost"`. CPU time, the kernel's part of it included, so that it does not matter who else is there.
"""

from __future__ import annotations

from typing import Any

from interop.broker_process import running_broker
from qpid_messaging import Connection
from qpid_messaging.management.qmf import TOPIC_EXCHANGE
from tests.benchmarks.broker_figures import measured, traffic

MOST_CPU = 30.0  # microseconds for a message in and out


def test_cost_of_a_message(benchmark: Any) -> None:
    def run(figures: dict[str, Any]) -> None:
        with running_broker() as broker:
            figures["CPU us, management on"] = traffic(broker, "q; {create: always}")
        with running_broker("--mgmt-pub-interval", "0.2") as broker, Connection.establish(broker.url) as connection:
            console = connection.session().receiver(f"{TOPIC_EXCHANGE}/agent.ind.#", capacity=1000)
            figures["CPU us, and a console hears of all that changes five times a second"] = traffic(
                broker, "q; {create: always}"
            )
            assert console.available() > 0
        with running_broker("--mgmt-enable", "no") as broker:
            figures["CPU us, management off"] = traffic(broker, "q; {create: always}")

    figures = measured(benchmark, run)
    assert max(figures.values()) <= MOST_CPU
