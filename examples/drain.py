"""Receive the messages of an address, and print them.

python examples/drain.py orders
python examples/drain.py --forever --format "%(S)s: %(C)s" orders
python examples/drain.py "orders; {mode: browse}"
"""

from __future__ import annotations

import argparse
import logging
import sys

from qpid_messaging import Connection, Empty, MessagingError


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Receive the messages of an address, and print them.")
    parser.add_argument("address", metavar="ADDRESS", help='for example orders, or "orders; {mode: browse}"')
    parser.add_argument("-b", "--broker", default="localhost", metavar="URL", help="broker (default: %(default)s)")
    parser.add_argument("-r", "--reconnect", action="store_true", help="connect again when the connection is lost")
    parser.add_argument("-i", "--reconnect-interval", type=float, metavar="S", help="seconds between attempts")
    parser.add_argument("-l", "--reconnect-limit", type=int, metavar="N", help="attempts before giving up")
    parser.add_argument("-c", "--count", type=int, metavar="N", help="stop after that many messages")
    parser.add_argument("-t", "--timeout", type=float, default=0, metavar="S", help="seconds to wait for each message")
    parser.add_argument("-f", "--forever", action="store_true", help="wait for messages without an end")
    parser.add_argument(
        "-F",
        "--format",
        "-p",
        "--print",
        default="%(M)s",
        help="how to print a message: M is all of it, C its content, S its subject, P its properties, I its id",
    )
    parser.add_argument("-v", "--verbose", action="store_true", help="log what the client does")
    options = parser.parse_args()
    try:
        options.format % dict.fromkeys("MCSPI")
    except (KeyError, TypeError, ValueError) as error:
        parser.error(f"--format {options.format!r}: {error}")
    return options


def main() -> None:
    options = arguments()
    if options.verbose:
        logging.basicConfig(level=logging.DEBUG)
    with Connection.establish(
        options.broker,
        reconnect=options.reconnect,
        reconnect_interval=options.reconnect_interval,
        reconnect_limit=options.reconnect_limit,
    ) as connection:
        session = connection.session()
        # The broker sends up to 100 messages ahead, but none too many where only a few are wanted.
        receiver = session.receiver(options.address, capacity=0 if options.count else 100)
        received = 0
        while options.count is None or received < options.count:
            try:
                message = receiver.fetch(timeout=None if options.forever else options.timeout)
            except Empty:
                break
            fields = {
                "M": message,
                "C": message.content,
                "S": message.subject,
                "P": message.properties,
                "I": message.id,
            }
            print(options.format % fields, flush=True)
            session.acknowledge(message, sync=False)
            received += 1
        session.sync()


if __name__ == "__main__":
    try:
        main()
    except MessagingError as error:
        sys.exit(f"drain: {error}")
    except KeyboardInterrupt:
        sys.exit(130)
