"""A service: receive requests, send each answer to where its request asks for it. `client.py` is its other half.

python examples/server.py [-b BROKER] [ADDRESS]
"""

from __future__ import annotations

import argparse
import sys

from qpid_messaging import REJECTED, Connection, Disposition, Message, MessagingError


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Answer each request with its text in capitals.")
    parser.add_argument("address", nargs="?", default="service; {create: always}", help="default: %(default)s")
    parser.add_argument("-b", "--broker", default="localhost", metavar="URL", help="broker (default: %(default)s)")
    parser.add_argument("-r", "--reconnect", action="store_true", help="connect again when the connection is lost")
    return parser.parse_args()


def main() -> None:
    options = arguments()
    with Connection.establish(options.broker, reconnect=options.reconnect) as connection:
        session = connection.session()
        requests = session.receiver(options.address, capacity=10)
        print(f"serving {requests.source!r}", flush=True)
        while True:
            request = requests.fetch()
            if not request.reply_to or not isinstance(request.content, str):
                session.acknowledge(request, Disposition(REJECTED))
                continue
            answer = Message(request.content.upper(), correlation_id=request.correlation_id)
            try:
                with session.sender(request.reply_to) as sender:
                    sender.send(answer)
            except MessagingError as error:
                # The client that asked is gone: that is no reason to let the others wait.
                session.check_error()
                print(f"nobody to answer at {request.reply_to}: {error}", file=sys.stderr)
            session.acknowledge(request)


if __name__ == "__main__":
    try:
        main()
    except MessagingError as error:
        sys.exit(f"server: {error}")
    except KeyboardInterrupt:
        sys.exit(130)
