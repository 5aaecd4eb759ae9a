"""tshark's AMQP dissector reads our traffic and finds nothing malformed, and would say so if there were."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from interop.broker_process import ROOT, BrokerProcess
from interop.clients import Client, scenarios
from interop.dissect import dissect
from interop.pcap import Read
from interop.recorder import Recorder

HELLO = ROOT / "tests" / "data" / "captures" / "qpid-python-hello.jsonl"


def recorded(path: Path) -> list[Read]:
    lines = (json.loads(line) for line in path.read_text("utf-8").splitlines())
    return [
        Read(line["conn"], line["t"], line["from"] == "client", bytes.fromhex(line["hex"]))
        for line in lines
        if "hex" in line
    ]


def test_recorded_traffic_of_real_peers_has_no_fault(tshark: Path) -> None:
    found = dissect(tshark, recorded(HELLO))
    assert not found.complaints
    assert found.client[:4] == ["connection.start-ok", "connection.tune-ok", "connection.open", "session.attach"]
    assert found.server[:3] == ["connection.start", "connection.tune", "connection.open-ok"]
    assert found.client.count("message.transfer") == found.server.count("message.transfer") == 4


@pytest.mark.parametrize(
    ("offset", "value"),
    [
        pytest.param(12, 0x55, id="unknown class"),
        pytest.param(3, 0x0E, id="frame shorter than its command"),
        pytest.param(3, 0xFF, id="frame longer than its command"),
        pytest.param(16, 0xFF, id="fields that the command does not have"),
    ],
)
def test_a_changed_byte_is_found(tshark: Path, offset: int, value: int) -> None:
    reads = recorded(HELLO)
    [index] = [i for i, read in enumerate(reads) if read.data[12:14] == b"\x04\x07"]  # message.subscribe
    changed = bytearray(reads[index].data)
    changed[offset] = value
    reads[index] = reads[index]._replace(data=bytes(changed))
    assert dissect(tshark, reads).complaints


FILES = {file: [function for name, function in scenarios() if name == file] for file, _ in scenarios()}
OPENING = ["connection.start-ok", "connection.tune-ok", "connection.open"]
SEEN = {
    "acknowledging": {"message.accept", "message.release", "message.reject", "message.cancel"},
    "addresses": {"exchange.declare", "exchange.delete", "queue.declare", "queue.delete", "exchange.bind"},
    "content": {"message.transfer", "message.subscribe", "message.flow"},
    "transactions": {"tx.select", "message.accept"},  # tshark calls commit and rollback tx.select, too
}


@pytest.mark.parametrize("file", FILES)
def test_our_traffic_has_no_fault(tshark: Path, broker: BrokerProcess, client: Client, file: str) -> None:
    with Recorder(broker.port) as recorder:
        client.run(file, recorder.url, *FILES[file])
    found = dissect(tshark, recorder.reads)
    assert not found.complaints
    assert found.client[:3] == OPENING
    assert found.server[:3] == ["connection.start", "connection.tune", "connection.open-ok"]
    assert {"session.attach", "session.detach", "connection.close"} <= set(found.client)
    assert {"session.attached", "session.completed", "connection.close-ok"} <= set(found.server)
    assert SEEN.get(file, set()) <= set(found.client)
