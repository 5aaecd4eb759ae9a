"""An application on a host, as a program: sends or receives numbers, and writes each down when it is acknowledged.

    python -m interop.managers.application_program send|receive QUEUE URL [URL...]

It ends after its standard input does. The last line is `end`: everything that was begun is acknowledged.
"""

from __future__ import annotations

import sys
import threading

from qpid_messaging import Connection, Empty, Message

REPLICATED = "{create: always, node: {x-declare: {arguments: {'qpid.replicate': all}}}}"
PAUSE = 0.01  # seconds between messages


def send(connection: Connection, address: str, enough: threading.Event) -> None:
    sender = connection.session().sender(address)
    number = 0
    while not enough.wait(PAUSE):
        sender.send(Message(str(number)))
        print(number, flush=True)
        number += 1


def receive(connection: Connection, address: str, enough: threading.Event) -> None:
    session = connection.session()
    receiver = session.receiver(address, capacity=10)
    while True:
        try:
            message = receiver.fetch(timeout=1)
        except Empty:
            if enough.is_set():
                return
            continue
        session.acknowledge(message)
        print(message.content, flush=True)


def main() -> None:
    what, queue, *urls = sys.argv[1:]
    enough = threading.Event()

    def read() -> None:
        sys.stdin.read()
        enough.set()

    threading.Thread(target=read, daemon=True).start()
    with Connection.establish(urls[0], reconnect=True, reconnect_urls=urls[1:], heartbeat=1) as connection:
        {"send": send, "receive": receive}[what](connection, f"{queue}; {REPLICATED}", enough)
    print("end", flush=True)


if __name__ == "__main__":
    main()
