"""A client that sends a message to itself, over and over, until a line comes in: how long that took, as JSON.

Run as `python -m tests.benchmarks.echo URL`; it prints a line when it has begun. In a process of its own, so that it
waits for nobody but the broker.
"""

from __future__ import annotations

import json
import sys
import time
from threading import Event, Thread

from qpid_messaging import Connection, Message

PAUSE = 0.002  # seconds between two of them: this is no load


def main(url: str) -> None:
    """Echo until somebody writes a line."""
    ended = Event()
    Thread(target=lambda: (sys.stdin.readline(), ended.set()), daemon=True).start()
    with Connection.establish(url) as connection:
        session = connection.session()
        sender = session.sender("echo; {create: always}")
        receiver = session.receiver("echo", capacity=1)
        print("begun", flush=True)
        times = []
        while not times or not ended.is_set():
            begun = time.perf_counter()
            sender.send(Message("x"), sync=False)
            receiver.fetch(60)
            session.acknowledge(sync=False)
            times.append(time.perf_counter() - begun)
            ended.wait(PAUSE)
    times.sort()
    figures = {"number": len(times), "median": times[len(times) // 2], "worst": times[-1]}
    figures["percentile99"] = times[int(len(times) * 0.99)]
    print(json.dumps({name: round(value * 1000, 2) if name != "number" else value for name, value in figures.items()}))


if __name__ == "__main__":
    main(sys.argv[1])
