"""An application whose main thread waits for a message, while handlers of signals send one and close the connection."""

import signal
import sys

from qpid_messaging import Connection, MessagingError
from qpid_messaging.turns import OFTEN

connection = Connection.establish(sys.argv[1], timeout=20)
session = connection.session()
sender = session.sender("handling; {create: always, delete: always}")
receiver = session.receiver("handling", capacity=10)


def send(number: int, frame: object) -> None:
    sender.send("sent by a handler", timeout=20)


def close(number: int, frame: object) -> None:
    connection.close(timeout=20)


signal.signal(signal.SIGUSR1, send)
signal.signal(signal.SIGUSR2, close)


def fetch() -> str:
    """After so many answers the main thread reads itself what comes."""
    other = session.sender("amq.fanout")
    for _ in range(2 * OFTEN):
        other.send("x", timeout=20)
    print("reading", flush=True)
    content: str = receiver.fetch(timeout=20).content
    session.acknowledge()
    return content


first = fetch()
try:
    fetch()
except MessagingError:
    print(f"{first}\nclosed by a handler")
