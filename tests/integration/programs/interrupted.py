"""An application whose main thread is interrupted while it reads an answer, and goes on all the same."""

import os
import signal
import sys
import threading
import time
from typing import Any

from qpid_messaging import Connection

url, number = sys.argv[1], int(sys.argv[2])


class Interrupted(Exception):
    pass


def interrupt(number: int, frame: object) -> None:
    raise Interrupted


signal.signal(number, interrupt)
connection = Connection.establish(url, timeout=20)
session = connection.session()
sender = session.sender("interrupted; {create: always, delete: always}")
core: Any = connection._core
receive = core.receive
struck: list[int] = []


def receive_interrupted(data: bytes, now: float) -> None:
    """Once, where the main thread reads."""
    if not struck and threading.current_thread() is threading.main_thread():
        struck.append(number)
        os.kill(os.getpid(), number)
        time.sleep(0.05)  # a thread that may get it would by now, and have this one interrupted here
        assert number in signal.sigpending()
    receive(data, now)


core.receive = receive_interrupted
count = 0
try:
    while count < 10000:
        count += 1
        sender.send(f"{count}", timeout=20)
    sys.exit("the main thread never read")
except Interrupted:
    core.receive = receive
receiver = session.receiver("interrupted", capacity=10)
for expected in range(1, count + 1):
    assert receiver.fetch(timeout=20).content == f"{expected}"
assert receiver.available() == 0
session.acknowledge()
connection.close(timeout=20)
print("interrupted, nothing lost")
