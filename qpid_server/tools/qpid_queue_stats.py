"""qpid-queue-stats: shows how fast a broker's queues fill and drain, each time the broker reports.

Options and output are those of the tool of that name for the C++ broker. It runs until it is interrupted; where the
broker is not there, or goes away, it says so and tries again.
"""

from __future__ import annotations

import argparse
import re
import time
from collections.abc import Sequence
from typing import Any, NamedTuple, NoReturn

from qpid_messaging import Connection
from qpid_messaging.exceptions import MessagingError
from qpid_messaging.management import qmf
from qpid_messaging.management.qmf import Data

from .broker_options import add_security_options, security_settings
from .running import error_name, error_text, run_tool

__all__ = ["QueueRates", "main"]

HEAD = (
    "Queue Name                                     Sec       Depth     Enq Rate     Deq Rate\n"
    "========================================================================================"
)
REPORTS = f"{qmf.TOPIC_EXCHANGE}/agent.ind.data.{qmf.BROKER_PACKAGE.replace('.', '_')}.queue.#"
_CAPACITY = 100
_RETRY_INTERVAL = 1.0  # seconds
_COUNTERS = ("msgTotalEnqueues", "msgTotalDequeues", "msgDepth")
_SECOND = 1_000_000_000  # nanoseconds


class _Sample(NamedTuple):
    """What a queue's counters were: `time` in nanoseconds."""

    time: int
    enqueued: int
    dequeued: int


class QueueRates:
    """What a broker's reports say of the rates of its queues.

    Args:
        filters: only queues whose names begin with what one of these matches; all where empty.
    """

    def __init__(self, filters: Sequence[re.Pattern[str]] = ()) -> None:
        self._filters = filters
        self._last: dict[str, _Sample] = {}

    def line(self, queue: Data) -> str | None:
        """What there is to print of a report of a queue; None where that is nothing, as of the first one."""
        name = queue.name.split(":", 2)[-1]
        if queue.deleted:
            self._last.pop(name, None)
            return None
        counters = [value for value in map(queue.values.get, _COUNTERS) if isinstance(value, int)]
        if len(counters) != len(_COUNTERS):
            return None  # of its properties alone
        enqueued, dequeued, depth = counters
        if self._filters and not any(wanted.match(name) for wanted in self._filters):
            return None
        now = _Sample(queue.updated, enqueued, dequeued)
        before = self._last.get(name)
        self._last[name] = now
        if before is None or now.time - before.time < _SECOND:
            return None
        seconds = (now.time - before.time) / _SECOND
        enqueues, dequeues = (now.enqueued - before.enqueued) / seconds, (now.dequeued - before.dequeued) / seconds
        return f"{name:<41}{seconds:10.2f}{depth:11d}{enqueues:13.2f}{dequeues:13.2f}"

    def forget(self) -> None:
        """The broker that comes next is another one."""
        self._last.clear()


def _show(connection: Connection, rates: QueueRates) -> None:
    """Print what the broker reports, until the connection is lost."""
    session = connection.session()
    receiver = session.receiver(REPORTS)
    receiver.capacity = _CAPACITY
    while True:
        report = receiver.fetch()
        session.acknowledge(report, sync=False)
        for queue in Data.of_indication(report.content):
            line = rates.line(queue)
            if line is not None:
                print(line, flush=True)


def _watch(url: str, settings: dict[str, Any], rates: QueueRates) -> NoReturn:
    """Print what the broker at a URL reports, for ever."""
    untroubled = True
    while True:
        try:
            connection: Connection = Connection.establish(url, **settings)
        except MessagingError as error:
            if untroubled:
                print(f"*** Error: {error}, retrying...", flush=True)
        else:
            if not untroubled:
                print("*** Broker connected", flush=True)
            try:
                _show(connection, rates)
            except MessagingError as error:
                print(f"*** Broker connection lost - {error}, retrying...", flush=True)
            rates.forget()
        untroubled = False
        time.sleep(_RETRY_INTERVAL)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="qpid-queue-stats", usage="%(prog)s [options]")
    parser.add_argument(
        "--broker-address",
        "-a",
        default="localhost",
        metavar="<address>",
        help="the broker: [username/password@] hostname | ip-address [:<port>], for example localhost, "
        "10.1.1.7:10000 or guest/guest@localhost",
    )
    parser.add_argument(
        "--filter",
        "-f",
        metavar="<names>",
        help="the queues to show: names, or the beginnings of names, as regular expressions with commas between them",
    )
    add_security_options(parser.add_argument)
    return parser


def run(args: list[str]) -> int:
    """Do what a command line says, until interrupted.

    Args:
        args: the command line without the program's name.

    Returns:
        The exit status.

    Raises:
        Exception: whatever went wrong; `main` tells the user.
    """
    parser = _parser()
    # The original takes arguments, and makes nothing of them.
    options, _ = parser.parse_known_args(args)
    settings = security_settings(parser, options)
    filters = [re.compile(text) for text in options.filter.split(",")] if options.filter is not None else []
    print(HEAD, flush=True)
    _watch(options.broker_address, settings, QueueRates(filters))


def main() -> NoReturn:
    """Entry point of the console script."""
    run_tool(run, lambda error: f"Failed: {error_name(error)} - {error_text(error)}", interrupted=0)


if __name__ == "__main__":
    main()
