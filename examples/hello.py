"""The smallest whole program: send a message, receive it, acknowledge it.

python examples/hello.py [BROKER [ADDRESS]]
"""

from __future__ import annotations

import argparse
import sys

from qpid_messaging import Connection, MessagingError

parser = argparse.ArgumentParser(description="Send a message, receive it, acknowledge it.")
parser.add_argument("broker", nargs="?", default="localhost:5672", metavar="BROKER", help="default: %(default)s")
parser.add_argument("address", nargs="?", default="amq.topic", metavar="ADDRESS", help="default: %(default)s")
options = parser.parse_args()

try:
    with Connection.establish(options.broker) as connection:
        session = connection.session()
        receiver = session.receiver(options.address)
        sender = session.sender(options.address)
        sender.send("Hello world!")
        message = receiver.fetch(timeout=1)
        print(message.content)
        session.acknowledge()
except MessagingError as error:
    sys.exit(f"hello: {error}")
except KeyboardInterrupt:
    sys.exit(130)
