"""Send messages to an address.

python examples/spout.py "orders; {create: always}" "one book"
python examples/spout.py -c 1000 -P colour=red -S books orders "the same again"
python examples/spout.py -M title=Dune -M price=12 orders
"""

from __future__ import annotations

import argparse
import logging
import sys
import time
import uuid

from qpid_messaging import Connection, Message, MessagingError


def name_and_value(text: str) -> tuple[str, str | None]:
    """`name=value` as a pair; a name alone has the value None."""
    name, given, value = text.partition("=")
    return name, value if given else None


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Send messages to an address.")
    parser.add_argument("address", metavar="ADDRESS", help='for example "orders; {create: always}"')
    parser.add_argument("content", metavar="CONTENT", nargs="*", help="text of the messages")
    parser.add_argument("-b", "--broker", default="localhost", metavar="URL", help="broker (default: %(default)s)")
    parser.add_argument("-r", "--reconnect", action="store_true", help="connect again when the connection is lost")
    parser.add_argument("-i", "--reconnect-interval", type=float, metavar="S", help="seconds between attempts")
    parser.add_argument("-l", "--reconnect-limit", type=int, metavar="N", help="attempts before giving up")
    parser.add_argument("-c", "-n", "--count", type=int, default=1, metavar="N", help="messages; 0: no limit")
    parser.add_argument("-t", "--timeout", type=float, metavar="S", help="stop after that many seconds")
    parser.add_argument("-d", "--durable", action="store_true", help="let the messages survive a restart of the broker")
    parser.add_argument("-I", "--id", default=str(uuid.uuid4()), help="first part of the property spout-id")
    parser.add_argument("-S", "--subject", help="subject of the messages")
    parser.add_argument("-R", "--reply-to", metavar="ADDRESS", help="address for answers")
    parser.add_argument("-P", "--property", type=name_and_value, action="append", default=[], metavar="NAME=VALUE")
    parser.add_argument("-M", "--map", type=name_and_value, action="append", default=[], metavar="KEY=VALUE")
    parser.add_argument("-v", "--verbose", action="store_true", help="log what the client does")
    return parser.parse_args()


def main() -> None:
    options = arguments()
    if options.verbose:
        logging.basicConfig(level=logging.DEBUG)
    content = dict(options.map) if options.map else " ".join(options.content) or None
    with Connection.establish(
        options.broker,
        reconnect=options.reconnect,
        reconnect_interval=options.reconnect_interval,
        reconnect_limit=options.reconnect_limit,
    ) as connection:
        sender = connection.session().sender(options.address)
        started = time.monotonic()
        sent = 0
        while not options.count or sent < options.count:
            if options.timeout is not None and time.monotonic() - started >= options.timeout:
                break
            message = Message(
                content,
                subject=options.subject,
                reply_to=options.reply_to,
                durable=options.durable,
                properties={**dict(options.property), "spout-id": f"{options.id}:{sent}"},
            )
            # Nobody waits for each message; sync() below waits for all of them.
            sender.send(message, sync=False)
            sent += 1
            if options.count == 1:
                print(message)
        sender.sync()


if __name__ == "__main__":
    try:
        main()
    except MessagingError as error:
        sys.exit(f"spout: {error}")
    except KeyboardInterrupt:
        sys.exit(130)
