"""What a broker process costs, and how it serves a client meanwhile."""

from __future__ import annotations

import ctypes
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from interop.broker_process import ROOT, BrokerProcess
from qpid_messaging import Connection, Message

TRAFFIC = 5000  # messages, to see what one costs
ROUNDS = 3  # whoever else uses the machine makes figures worse, never better: the best of so many is the broker's


def cpu(broker: BrokerProcess) -> float:
    """Seconds of CPU time that the broker has used, to the nanosecond."""
    clock = ctypes.c_int()
    if ctypes.CDLL(None).clock_getcpuclockid(broker.process.pid, ctypes.byref(clock)):
        raise ProcessLookupError(broker.process.pid)
    return time.clock_gettime(clock.value)


def memory(broker: BrokerProcess) -> int:
    """Bytes of memory that it has."""
    pages = int(Path(f"/proc/{broker.process.pid}/statm").read_text("ascii").split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")


@contextmanager
def echoing(broker: BrokerProcess) -> Iterator[dict[str, float]]:
    """Echo during the block, in a process of its own; afterwards the dictionary has what came out, in milliseconds."""
    path = os.pathsep.join([str(ROOT), str(ROOT / "address")])
    command = [sys.executable, "-m", "tests.benchmarks.echo", broker.url]
    process = subprocess.Popen(
        command,
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": path},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    found: dict[str, float] = {}
    try:
        assert process.stdout is not None
        assert process.stdout.readline() == "begun\n"
        yield found
        output, _ = process.communicate("enough\n", timeout=120)
        found.update(json.loads(output))
    finally:
        process.kill()
        process.wait()


def stall(broker: BrokerProcess, act: Callable[[], Any]) -> float:
    """Milliseconds of the longest echo while something is done."""
    with echoing(broker) as echoes:
        act()
    return echoes["worst"]


def fill(url: str, queue: str, messages: int, size: int = 256) -> None:
    """Put so many messages on a queue, without waiting for each."""
    with Connection.establish(url) as connection:
        sender = connection.session().sender(f"{queue}; {{create: always}}", capacity=2000)
        content = "x" * size
        for _ in range(messages):
            sender.send(Message(content), sync=False)
        sender.sync()


def traffic(broker: BrokerProcess, queue: str, size: int = 256) -> float:
    """Microseconds of the broker's CPU time for a message in and out of a queue: one producer, one consumer."""
    with Connection.establish(broker.url) as connection:
        session = connection.session()
        sender, receiver = session.sender(queue, capacity=1000), session.receiver(queue, capacity=1000)

        def once() -> float:
            begun = cpu(broker)
            for _ in range(TRAFFIC):
                sender.send(Message("x" * size), sync=False)
            for number in range(TRAFFIC):
                receiver.fetch(60)
                if number % 100 == 99:
                    session.acknowledge(sync=False)
            session.acknowledge()
            return (cpu(broker) - begun) / TRAFFIC * 1e6

        return min(once() for _ in range(ROUNDS))


def measured(benchmark: Any, run: Callable[[dict[str, Any]], None]) -> dict[str, Any]:
    """Run once as a benchmark; what `run` puts into the dictionary is kept as extra info, printed, and returned."""
    figures: dict[str, Any] = benchmark.extra_info
    benchmark.pedantic(run, args=(figures,), rounds=1, iterations=1)
    print("\n", {name: round(value, 2) if isinstance(value, float) else value for name, value in figures.items()})
    return figures
