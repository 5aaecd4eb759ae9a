"""qpid-printevents: prints what brokers tell of what happens on them, as it happens.

Options and output are those of the tool of that name for the C++ broker. It runs until it is interrupted; a broker that
is not there, or goes away, is tried again.
"""

from __future__ import annotations

import argparse
import sys
import time
from threading import Lock, Thread
from typing import Any, NoReturn

from qpid_messaging import Connection
from qpid_messaging.exceptions import MessagingError
from qpid_messaging.management import AgentError, EventReceiver
from qpid_messaging.management.display import TimeLong

from .broker_options import add_ha_admin_option, add_security_options, security_settings
from .running import error_name, error_text, run_tool

__all__ = ["main"]

_HEARTBEAT = 5  # seconds
_RETRY_INTERVAL = 1.0  # seconds


class _Broker:
    """Prints the events of one broker.

    Args:
        url: where it is.
        settings: how to connect to it.
        printing: held while a line is written, which other brokers' threads do, too.
    """

    def __init__(self, url: str, settings: dict[str, Any], printing: Lock) -> None:
        self._url = url
        self._settings = settings
        self._printing = printing
        self._reason = ""

    def run(self) -> NoReturn:
        """Print its events for ever; say when the connection is there, and when it is lost."""
        while True:
            try:
                # Without reconnecting by itself: that is something to tell.
                connection: Connection = Connection.establish(self._url, **self._settings)
            except MessagingError as error:
                self._waits(str(error))
                time.sleep(_RETRY_INTERVAL)
                continue
            self._reason = ""
            self._tell("brokerConnected")
            try:
                self._follow(EventReceiver(connection))
            except MessagingError:
                self._tell("brokerDisconnected")
            time.sleep(_RETRY_INTERVAL)

    def _follow(self, receiver: EventReceiver) -> NoReturn:
        while True:
            try:
                self._print(repr(receiver.fetch()))
            except AgentError:
                self._tell("unreadableEvent")  # anybody may publish there

    def _waits(self, reason: str) -> None:
        """Say why there are no events, once for each reason; beside the events, which a script may read."""
        if reason != self._reason:
            self._reason = reason
            with self._printing:
                print(f"qpid-printevents: waiting: {reason}", file=sys.stderr, flush=True)

    def _tell(self, what: str) -> None:
        self._print(f"{TimeLong(time.time_ns())} NOTIC qpid-printevents:{what} broker={self._url}")

    def _print(self, line: str) -> None:
        with self._printing:
            print(line, flush=True)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="qpid-printevents",
        usage="%(prog)s [options] [broker-addr]...",
        description="Print the events of one or more brokers, by default of the one at localhost:5672.",
    )
    parser.add_argument(
        "brokers", nargs="*", metavar="broker-addr", help="[username/password@] hostname | ip-address [:<port>]"
    )
    parser.add_argument("--heartbeats", action="store_true", help="Notice by heartbeats that a broker is gone")
    add_security_options(parser.add_argument)
    add_ha_admin_option(parser.add_argument)
    return parser


def run(args: list[str]) -> int:
    """Do what a command line says, until interrupted.

    Args:
        args: the command line without the program's name.

    Returns:
        The exit status.
    """
    parser = _parser()
    options = parser.parse_intermixed_args(args)
    settings = security_settings(parser, options)
    if options.heartbeats:
        settings["heartbeat"] = _HEARTBEAT
    printing = Lock()
    threads = [
        Thread(target=_Broker(url, settings, printing).run, daemon=True) for url in options.brokers or ["localhost"]
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return 0


def main() -> NoReturn:
    """Entry point of the console script."""
    run_tool(run, lambda error: f"Failed: {error_name(error)} - {error_text(error)}", interrupted=0)


if __name__ == "__main__":
    main()
