"""Ask a service, and wait for its answers. `server.py` is its other half.

python examples/client.py [-b BROKER] [-a ADDRESS] [REQUEST ...]
"""

from __future__ import annotations

import argparse
import sys
import uuid

from qpid_messaging import Connection, Empty, Message, MessagingError


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Ask a service, and wait for its answers.")
    parser.add_argument("request", nargs="*", default=["hello", "is anybody there?"], metavar="REQUEST")
    parser.add_argument("-a", "--address", default="service", help="the service (default: %(default)s)")
    parser.add_argument("-b", "--broker", default="localhost", metavar="URL", help="broker (default: %(default)s)")
    parser.add_argument("-r", "--reconnect", action="store_true", help="connect again when the connection is lost")
    parser.add_argument("-t", "--timeout", type=float, default=10, metavar="S", help="seconds to wait for an answer")
    return parser.parse_args()


def main() -> None:
    options = arguments()
    with Connection.establish(options.broker, reconnect=options.reconnect) as connection:
        session = connection.session()
        requests = session.sender(options.address)
        # A queue for the answers that goes with its receiver, whatever becomes of this program.
        reply_to = f"answers.{uuid.uuid4()}"
        auto_delete = "{create: always, node: {x-declare: {auto-delete: true}}}"
        answers = session.receiver(f"{reply_to}; {auto_delete}", capacity=10)
        for text in options.request:
            request = Message(text, reply_to=reply_to, correlation_id=str(uuid.uuid4()))
            requests.send(request)
            answer = answers.fetch(timeout=options.timeout)
            while answer.correlation_id != request.correlation_id:
                answer = answers.fetch(timeout=options.timeout)
            print(f"{text} -> {answer.content}")
            session.acknowledge()


if __name__ == "__main__":
    try:
        main()
    except Empty:
        sys.exit("client: no answer")
    except MessagingError as error:
        sys.exit(f"client: {error}")
    except KeyboardInterrupt:
        sys.exit(130)
