"""Recorded traffic of real peers (`tests/data/captures`): what each side of each connection sent."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Literal

from qpid_messaging.amqp.framing import PROTOCOL_HEADER, Decoder, Unit

Side = Literal["client", "server"]

CAPTURES = Path(__file__).parent / "data" / "captures"


def capture_names() -> list[str]:
    """The names that `read_capture` takes, such as `qpid-python-hello`."""
    return sorted(path.stem for path in CAPTURES.glob("*.jsonl"))


def read_capture(name: str) -> dict[tuple[int, Side], bytes]:
    """All bytes of each side of each connection, keyed by the connection's number and the side that sent them."""
    streams: dict[tuple[int, Side], bytes] = {}
    for _, conn, side, data in read_reads(name):
        streams[conn, side] = streams.get((conn, side), b"") + data
    return streams


def read_reads(name: str) -> list[tuple[float, int, Side, bytes]]:
    """Each read in the order of the recording: seconds, connection, the side that sent it, bytes."""
    reads: list[tuple[float, int, Side, bytes]] = []
    for line in (CAPTURES / f"{name}.jsonl").read_text().splitlines():
        entry = json.loads(line)
        # Lines without bytes tell about the recording.
        if "hex" in entry:
            reads.append((entry.get("t", 0.0), entry["conn"], entry["from"], bytes.fromhex(entry["hex"])))
    return reads


def units(stream: bytes) -> list[Unit]:
    """The units of one side's bytes, behind the protocol header."""
    assert stream.startswith(PROTOCOL_HEADER)
    return Decoder().feed(stream[len(PROTOCOL_HEADER) :])
