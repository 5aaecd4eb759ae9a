"""The client beside the original one (PyPI qpid-python on Python 2.7), by the same program against the same broker.

`make bench ARGS="-k client"`; the figures are ratios, and microseconds of the client's CPU for a message.
"""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from statistics import median
from typing import Any

import pytest

from interop.broker_process import ROOT, running_broker
from interop.clients import Client
from interop.peers import PeerAbsent, qpid_python

PROGRAM = Path(ROOT) / "interop" / "programs" / "pace.py"
ROUNDS = 3
LEAST = {"send": 6.0, "receive": 6.0, "send_sync": 2.5, "echo": 3.0, "connect": 2.0}
"""How many times as fast as the original the client is to be."""
MOST_CPU = 15.0
"""Microseconds of CPU for a pipelined message."""


def pace(client: Client, url: str) -> dict[str, float]:
    """What `pace.py` says of that client."""
    command = [str(client.python), str(PROGRAM), client.module, url]
    done = subprocess.run(command, env=client.environment, capture_output=True, text=True, timeout=120, check=True)
    figures: dict[str, float] = json.loads(done.stdout)
    return figures


def test_client_beside_the_original(benchmark: Any) -> None:
    try:
        peer = Client.original(qpid_python())
    except PeerAbsent as absent:
        pytest.skip(f"qpid-python: {absent}")
    figures: dict[str, Any] = benchmark.extra_info

    def run() -> None:
        with running_broker() as broker:
            rounds = [(pace(Client.ours(), broker.url), pace(peer, broker.url)) for _ in range(ROUNDS)]
        for name in LEAST:
            figures[f"{name}, times"] = median(ours[name] / theirs[name] for ours, theirs in rounds)
            figures[f"{name}, CPU us"] = median(ours[f"{name} CPU us"] for ours, _ in rounds)
            figures[f"{name}, CPU us of the original"] = median(theirs[f"{name} CPU us"] for _, theirs in rounds)

    benchmark.pedantic(run, rounds=1, iterations=1)
    print("\n", {name: round(value, 1) for name, value in figures.items()})
    for name, least in LEAST.items():
        assert figures[f"{name}, times"] >= least, name
    assert figures["send, CPU us"] <= MOST_CPU
    assert figures["receive, CPU us"] <= MOST_CPU
