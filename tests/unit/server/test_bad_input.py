"""Bytes that no client should send: the connection ends with a close code, the others go on, memory stays bounded."""

from __future__ import annotations

import random
import struct
import tracemalloc

import pytest

from qpid_messaging.amqp import commands as c
from qpid_messaging.amqp.framing import PROTOCOL_HEADER, Decoder, encode
from qpid_server.broker import Broker
from qpid_server.connection import ConnectionHandler
from qpid_server.security.authenticator import Authenticator
from tests.captures import capture_names, read_capture

from .driver import Link, Peer, make_broker

ROUNDS = 10_000
CLIENT_STREAMS = [
    data
    for name in capture_names()
    if name.startswith("qpid-")
    for (_, side), data in read_capture(name).items()
    if side == "client" and len(data) < 6000
]


def _bystander(broker: Broker) -> Peer:
    peer = Link(broker).session(b"bystander")
    peer.declare("bystander")
    peer.subscribe("bystander")
    return peer


def _feed(broker: Broker, data: bytes, cut: int) -> ConnectionHandler:
    """A client that says all that: frame by frame until it is let in, since each waits for an answer; then in two."""
    handler = ConnectionHandler(broker, "bad:1", Authenticator())
    while data and not handler.finished and not handler.opened:
        size = 8 if data.startswith(b"AMQP") else max(12, int.from_bytes(data[2:4], "big"))
        handler.receive(data[:size])
        data = data[size:]
        handler.data_to_send()
    for part in (data[:cut], data[cut:]):
        if part and not handler.finished:
            handler.receive(part)
            handler.data_to_send()
            handler.sent()
    return handler


def _check_undisturbed(peer: Peer, number: int) -> None:
    body = b"%d" % number
    peer.send(body, "bystander")
    got = peer.receive_all()
    assert [event.body for event in got] == [body]
    peer.settle(c.MessageAccept, *got)


def _opening() -> bytes:
    """What an ordinary client says until its session is attached."""
    return PROTOCOL_HEADER + b"".join(
        encode(0, control)
        for control in (
            c.ConnectionStartOk(client_properties={}, mechanism="ANONYMOUS", response=b"", locale="en_US"),
            c.ConnectionTuneOk(channel_max=10, max_frame_size=65535, heartbeat=0),
            c.ConnectionOpen(virtual_host=""),
        )
    )


def _mutate(rng: random.Random, data: bytes) -> bytes:
    mutated = bytearray(data)
    for _ in range(rng.choice((1, 1, 2, 5, 20))):
        at = rng.randrange(len(mutated))
        kind = rng.randrange(5)
        if kind == 0:
            mutated[at] = rng.randrange(256)
        elif kind == 1:
            mutated[at] ^= 1 << rng.randrange(8)
        elif kind == 2:
            del mutated[at : at + rng.randrange(1, 9)]
        elif kind == 3:
            mutated[at:at] = rng.randbytes(rng.randrange(1, 9))
        else:
            mutated[at : at + 4] = rng.choice((b"\xff\xff\xff\xff", b"\0\0\0\0", b"\x7f\xff\xff\xff"))
        if not mutated:
            break
    return bytes(mutated)


@pytest.mark.parametrize("seed", range(4))
def test_random_and_mutated_bytes(seed: int) -> None:
    rng = random.Random(seed)
    broker = make_broker()
    bystander = _bystander(broker)
    opening = _opening()
    for number in range(ROUNDS // 4):
        kind = number % 4
        if kind == 0:
            data = rng.randbytes(rng.randrange(1, 200))
        elif kind == 1:
            data = PROTOCOL_HEADER + rng.randbytes(rng.randrange(1, 200))
        elif kind == 2:
            attach = encode(0, c.SessionAttach(name=b"s"))
            data = opening + attach + _mutate(rng, encode(0, c.MessageTransfer(destination=""), b"", b"xyz"))
        else:
            data = _mutate(rng, rng.choice(CLIENT_STREAMS))
        handler = _feed(broker, data, rng.randrange(len(data) + 1))
        handler.lost()
        if number % 50 == 0:
            _check_undisturbed(bystander, number)
    _check_undisturbed(bystander, -1)
    assert len(broker.connections) == 1
    assert len(broker.sessions) == 1


@pytest.mark.parametrize("header", [b"AMQP\x00\x00\x09\x01", b"AMQP\x03\x01\x00\x00", b"GET / HT", b"GET", b"\0" * 8])
def test_wrong_protocol_header_is_answered_with_ours(header: bytes) -> None:
    handler = ConnectionHandler(make_broker(), "bad:1", Authenticator())
    handler.receive(header + b"TP/1.1\r\n")
    assert handler.finished
    assert handler.data_to_send() == PROTOCOL_HEADER


def _opened(broker: Broker) -> ConnectionHandler:
    handler = _feed(broker, _opening(), 0)
    assert handler.opened
    return handler


def _close_code(handler: ConnectionHandler) -> int:
    assert handler.finished
    closes = [unit[1] for unit in Decoder().feed(handler.data_to_send()) if isinstance(unit[1], c.ConnectionClose)]
    assert len(closes) == 1
    return int(closes[0].reply_code or 0)


@pytest.mark.parametrize(
    "frame",
    [
        struct.pack(">BBHBBHI", 0x0F, 0, 3, 0, 0, 0, 0),  # smaller than its own header
        struct.pack(">BBHBBHI", 0x0F, 9, 12, 0, 0, 0, 0),  # no such segment type
        struct.pack(">BBHBBHI", 0x0F, 0, 14, 0, 0, 0, 0) + b"\x63\x01",  # no such class
        struct.pack(">BBHBBHI", 0x0F, 1, 14, 0, 1, 0, 0) + b"\x08\x63",  # no such command
        struct.pack(">BBHBBHI", 0x07, 3, 14, 0, 1, 0, 0) + b"xx",  # a body without a command
    ],
)
def test_lying_frames_are_framing_errors(frame: bytes) -> None:
    broker = make_broker()
    bystander = _bystander(broker)
    handler = _opened(broker)
    handler.receive(frame)
    assert _close_code(handler) in (501, 503)
    _check_undisturbed(bystander, 1)


def test_header_structs_that_lie_about_their_size() -> None:
    broker = make_broker()
    for header in (b"\0\0", b"\xff\xff\xff\xff\x04\x01", b"\0\0\0\x01\x04\x01\0"):
        handler = _opened(broker)
        handler.receive(encode(0, c.SessionAttach(name=header)))
        handler.receive(encode(0, c.MessageTransfer(destination=""), header, b"x"))
        assert handler.machine.state.name in ("CLOSING", "CLOSED")


def test_half_a_message_is_bounded() -> None:
    """Frames of a segment that never ends are refused once they exceed the largest message."""
    broker = make_broker(max_message_size=1 << 20)
    handler = _opened(broker)
    handler.receive(encode(0, c.SessionAttach(name=b"s")))
    transfer = encode(0, c.MessageTransfer(destination=""), b"", b"x")
    handler.receive(transfer[: transfer.index(b"\x07\x03")])
    body = struct.pack(">BBHBBHI", 0x04, 3, 65535, 0, 1, 0, 0) + bytes(65535 - 12)
    tracemalloc.start()
    try:
        for _ in range(100):
            if handler.finished:
                break
            handler.receive(body)
        assert handler.finished
        assert tracemalloc.get_traced_memory()[1] < 8 << 20
    finally:
        tracemalloc.stop()


def test_more_sessions_than_channels() -> None:
    broker = make_broker(channel_max=3)
    handler = _opened(broker)
    for channel in range(5):
        handler.receive(encode(channel, c.SessionAttach(name=b"%d" % channel)))
    assert handler.finished
    handler.lost()
    assert not broker.sessions


def test_commands_before_the_connection_is_open() -> None:
    handler = ConnectionHandler(make_broker(), "bad:1", Authenticator())
    handler.receive(PROTOCOL_HEADER + encode(0, c.QueueDeclare(queue="q")))
    assert handler.finished
    assert not handler.broker.queues


def test_commands_without_a_session_do_nothing() -> None:
    broker = make_broker()
    handler = _opened(broker)
    handler.receive(encode(5, c.QueueDeclare(queue="q")))
    assert not broker.queues
