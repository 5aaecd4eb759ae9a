"""Frames to units and back: chunking, splitting, interleaving, order, limits."""

from __future__ import annotations

import struct
from collections.abc import Iterable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qpid_messaging.amqp import commands as c
from qpid_messaging.amqp.errors import ProtocolError
from qpid_messaging.amqp.framing import (
    BODY,
    COMMAND,
    FIRST_SEGMENT,
    HEADER,
    LAST_SEGMENT,
    PROTOCOL_HEADER,
    Decoder,
    Unit,
    content_frames,
    encode,
    frames,
)
from tests.unit.amqp import strategies

TRANSFER = c.MessageTransfer("q", 0, 0)
METHOD = TRANSFER.pack()


def frame(
    flags: int, kind: int, payload: bytes = b"", *, track: int | None = None, channel: int = 1, size: int | None = None
) -> bytes:
    """A frame of any kind, right or wrong."""
    size = len(payload) + 12 if size is None else size
    track = min(kind, 1) if track is None else track
    return struct.pack(">BBHxBHxxxx", flags, kind, size, track, channel) + payload


def feed_all(decoder: Decoder, data: bytes, sizes: list[int]) -> list[Unit]:
    found = []
    pos = 0
    for size in sizes:
        found += decoder.feed(data[pos : pos + size])
        pos += size
    return found + decoder.feed(data[pos:])


@given(st.lists(strategies.units(), max_size=6), st.lists(st.integers(0, 200), max_size=30), st.integers(20, 300))
def test_chunking_and_frame_size_do_not_matter(units: list[Unit], sizes: list[int], max_frame_size: int) -> None:
    data = b"".join(encode(*unit, max_frame_size) for unit in units)
    decoder = Decoder(max_frame_size=max_frame_size)
    assert feed_all(decoder, data, sizes) == units
    assert decoder.error is None


@given(st.lists(strategies.units(), max_size=5, unique_by=lambda unit: unit[0]), st.randoms(use_true_random=False))
def test_channels_interleave(units: list[Unit], random: Any) -> None:
    queues = [split(encode(*unit, 40)) for unit in units]
    stream = b""
    while any(queues):
        stream += random.choice([queue for queue in queues if queue]).pop(0)
    found = Decoder(max_frame_size=40).feed(stream)
    assert sorted(found, key=lambda unit: unit[0]) == sorted(units, key=lambda unit: unit[0])


def feed_each(decoder: Decoder, parts: Iterable[bytes]) -> None:
    for part in parts:
        decoder.feed(part)


def split(data: bytes) -> list[bytes]:
    parts = []
    while data:
        size = int.from_bytes(data[2:4], "big")
        parts.append(data[:size])
        data = data[size:]
    return parts


def test_a_unit_in_one_read() -> None:
    data = encode(7, TRANSFER, b"header", b"body")
    assert [part[:2].hex() for part in split(data)] == ["0b01", "0302", "0703"]
    assert Decoder().feed(data * 3) == [(7, TRANSFER, b"header", b"body")] * 3


def test_a_unit_in_two_reads_wherever_the_cut_is() -> None:
    data = encode(7, TRANSFER, b"header", b"body")
    for cut in range(len(data)):
        decoder = Decoder()
        assert decoder.feed(data[:cut]) == []
        assert decoder.feed(data[cut:]) == [(7, TRANSFER, b"header", b"body")]


@pytest.mark.parametrize("header", [None, b"", b"h"])
@pytest.mark.parametrize("body", [None, b"", b"b"])
def test_absent_and_empty_segments_are_different_things(header: bytes | None, body: bytes | None) -> None:
    assert Decoder().feed(encode(1, TRANSFER, header, body)) == [(1, TRANSFER, header, body)]


@pytest.mark.parametrize("header", [None, b"", b"h", b"h" * 30000])
@pytest.mark.parametrize("body", [None, b"", b"b", b"b" * 70000])
@pytest.mark.parametrize("max_frame_size", [4096, 65535])
def test_method_frame_and_content_can_be_made_apart(
    header: bytes | None, body: bytes | None, max_frame_size: int
) -> None:
    flags = FIRST_SEGMENT if header is not None or body is not None else FIRST_SEGMENT | LAST_SEGMENT
    method = frames(3, COMMAND, flags, METHOD, max_frame_size)
    whole = encode(3, TRANSFER, header, body, max_frame_size)
    assert method + content_frames(3, header, body, max_frame_size) == whole
    assert all(len(part) <= max_frame_size for part in split(whole))
    assert Decoder(max_frame_size=max_frame_size).feed(whole) == [(3, TRANSFER, header, body)]


def test_a_control_between_the_frames_of_a_command() -> None:
    head, *rest = split(encode(1, TRANSFER, None, b"x" * 100, 60))
    flush = encode(1, c.SessionFlush(completed=True))
    assert Decoder().feed(head + flush + b"".join(rest)) == [
        (1, c.SessionFlush(completed=True), None, None),
        (1, TRANSFER, None, b"x" * 100),
    ]


def test_reserved_bits_are_ignored() -> None:
    data = bytearray(encode(1, c.ExecutionSync()))
    data[0] |= 0x30
    data[4] = 0xFF
    data[5] |= 0xF0
    data[8:12] = b"\xff" * 4
    assert Decoder().feed(bytes(data)) == [(1, c.ExecutionSync(), None, None)]


def test_any_buffer_will_do() -> None:
    data = encode(1, TRANSFER, b"h", b"b")
    assert Decoder().feed(bytearray(data)) == [(1, TRANSFER, b"h", b"b")]
    assert Decoder().feed(memoryview(data)) == [(1, TRANSFER, b"h", b"b")]


SYNC = encode(1, c.ExecutionSync())
SYNC_METHOD = c.ExecutionSync().pack()

WRONG = {
    "size below twelve": frame(0xF, 1, size=11),
    "size of zero": frame(0xF, 1, size=0),
    "size above the maximum": frame(0xF, 1, size=4097),
    "version": b"\x4f" + SYNC[1:],
    "protocol header": PROTOCOL_HEADER,
    "first byte of a protocol header": b"A",
    "segment type": frame(0xF, 4, METHOD, track=1),
    "control on the command track": frame(0xF, 0, c.SessionFlush().pack(), track=1),
    "command on the control track": frame(0xF, 1, SYNC_METHOD, track=0),
    "track": frame(0xF, 1, SYNC_METHOD, track=2),
    "header without method": frame(0x3, HEADER),
    "header without method, last": frame(0x7, HEADER),
    "body without method": frame(0x7, BODY),
    "first segment is a header": frame(0xF, HEADER),
    "first segment is a body": frame(0xB, BODY),
    "method behind a method": frame(0xB, 1, METHOD) + frame(0x7, 1, METHOD),
    "unit begins before the last is whole": frame(0xB, 1, METHOD) + SYNC,
    "transfer begins before the last is whole": frame(0xB, 1, METHOD) * 2,
    "header twice": frame(0xB, 1, METHOD) + frame(0x3, HEADER) * 2,
    "header behind body": frame(0xB, 1, METHOD) + frame(0x3, BODY) + frame(0x7, HEADER),
    "body twice": frame(0xB, 1, METHOD) + frame(0x3, BODY) + frame(0x7, BODY),
    "header inside of a split method": frame(0xA, 1, METHOD[:3]) + frame(0x3, HEADER),
    "body inside of a split header": frame(0xB, 1, METHOD) + frame(0x2, HEADER, b"x") + frame(0x7, BODY),
    "header inside of a split header": frame(0xB, 1, METHOD) + frame(0x2, HEADER, b"x") + frame(0x3, HEADER),
    "a later frame of nothing": frame(0x9, 1, METHOD),
    "a later frame of a whole segment": frame(0xB, 1, METHOD) + frame(0x1, HEADER),
    "frames disagree about the first segment": frame(0xA, 1, METHOD[:3]) + frame(0x1, 1, METHOD[3:]),
    "content of a command that has none": frame(0xB, 1, SYNC_METHOD),
    "content of a control": frame(0xB, 0, c.ConnectionHeartbeat().pack()),
    "unknown class": frame(0xF, 1, b"\x40\x01\x01\x00\0\0"),
    "unknown command": frame(0xF, 1, b"\x04\x40\x01\x00\0\0"),
    "unknown command, split": frame(0xE, 1, b"\x04\x40") + frame(0xD, 1, b"\x01\x00\0\0"),
    "unknown command with content": frame(0xB, 1, b"\x04\x40\x01\x00\0\0"),
    "empty method": frame(0xF, 1),
    "method of one byte": frame(0xF, 1, b"\x04"),
    "arguments too short": frame(0xF, 1, METHOD[:-1]),
    "arguments too long": frame(0xF, 1, METHOD + b"\0"),
    "arguments too short, split": frame(0xE, 1, METHOD[:3]) + frame(0xD, 1, METHOD[3:-1]),
}


@pytest.mark.parametrize("data", WRONG.values(), ids=WRONG)
def test_what_is_wrong_is_refused_at_once(data: bytes) -> None:
    decoder = Decoder(max_frame_size=4096)
    with pytest.raises(ProtocolError) as caught:
        decoder.feed(data)
    assert decoder.error is caught.value
    assert caught.value.offset is not None
    assert 0 <= caught.value.offset <= len(data)
    with pytest.raises(ProtocolError):
        decoder.feed(SYNC)


@pytest.mark.parametrize("data", WRONG.values(), ids=WRONG)
def test_what_was_right_before_is_not_lost(data: bytes) -> None:
    decoder = Decoder(max_frame_size=4096)
    decoder.feed(SYNC)
    good = encode(2, TRANSFER, b"h", b"b")
    assert decoder.feed(good + data + SYNC) == [(2, TRANSFER, b"h", b"b")]
    assert decoder.error is not None
    assert decoder.error.offset is not None
    assert len(SYNC + good) <= decoder.error.offset <= len(SYNC + good + data)
    with pytest.raises(ProtocolError):
        decoder.feed(b"")


@pytest.mark.parametrize("data", WRONG.values(), ids=WRONG)
def test_byte_by_byte_it_is_refused_as_well(data: bytes) -> None:
    decoder = Decoder(max_frame_size=4096)
    with pytest.raises(ProtocolError):
        feed_each(decoder, (bytes((byte,)) for byte in data))


def test_a_wrong_size_is_not_waited_for() -> None:
    decoder = Decoder(max_frame_size=4096)
    with pytest.raises(ProtocolError, match="maximum"):
        decoder.feed(frame(0xF, 1, size=65535))


def test_the_frame_size_can_be_changed() -> None:
    big = encode(1, TRANSFER, None, bytes(5000))
    decoder = Decoder(max_frame_size=4096)
    decoder.max_frame_size = 65535
    assert len(decoder.feed(big)) == 1


def test_a_message_under_assembly_is_bounded() -> None:
    decoder = Decoder(max_message_size=100_000)
    parts = split(encode(1, TRANSFER, b"h" * 500, b"b" * 200_000, 4096))
    with pytest.raises(ProtocolError, match="100000 bytes"):
        feed_each(decoder, parts)
    assert len(Decoder(max_message_size=250_000).feed(b"".join(parts))) == 1


def test_all_messages_under_assembly_are_bounded_together() -> None:
    decoder = Decoder(max_message_size=100_000)
    methods = [frame(0xB, 1, METHOD, channel=channel) for channel in range(100)]
    bodies = [frame(0x2, BODY, bytes(9000), channel=channel) for channel in range(100)]
    with pytest.raises(ProtocolError, match="100000 bytes"):
        feed_each(decoder, map(bytes.__add__, methods, bodies))
    assert decoder.error is not None
    headers = [frame(0x3, HEADER, bytes(9000), channel=channel) for channel in range(100)]
    with pytest.raises(ProtocolError, match="100000 bytes"):
        feed_each(Decoder(max_message_size=100_000), map(bytes.__add__, methods, headers))


def test_a_header_is_counted_once() -> None:
    parts = split(encode(1, TRANSFER, bytes(60_000), b"body", 4096))
    feed_each(Decoder(max_message_size=70_000), parts)


def test_empty_frames_without_end_are_bounded() -> None:
    decoder = Decoder(max_message_size=50_000)
    decoder.feed(frame(0xB, 1, METHOD) + frame(0x2, BODY))
    with pytest.raises(ProtocolError, match="50000 bytes"):
        feed_each(decoder, [frame(0x0, BODY)] * 5000)


def test_units_under_assembly_are_counted() -> None:
    decoder = Decoder(max_assemblies=10)
    for channel in range(10):
        decoder.feed(frame(0xB, 1, METHOD, channel=channel))
    with pytest.raises(ProtocolError, match="more than 10 units"):
        decoder.feed(frame(0xB, 1, METHOD, channel=10))
    split_methods = Decoder(max_assemblies=10)
    with pytest.raises(ProtocolError, match="more than 10 units"):
        feed_each(split_methods, [frame(0xA, 1, METHOD[:2], channel=channel) for channel in range(11)])


def test_a_small_piece_does_not_keep_a_large_read_alive() -> None:
    """A body frame of one byte in each read of many whole units: what is held is what belongs to the message."""
    decoder = Decoder()
    decoder.feed(frame(0xB, 1, METHOD))
    noise = encode(2, TRANSFER, b"", bytes(60_000))
    decoder.feed(frame(0x2, BODY, b"a") + noise)
    for _ in range(10):
        decoder.feed(frame(0x0, BODY, b"a") + noise)
    (assembly,) = decoder._assemblies.values()
    assert all(isinstance(piece, bytes) for piece in assembly.pieces)
    assert decoder.feed(frame(0x5, BODY, b"z")) == [(1, TRANSFER, None, b"a" * 11 + b"z")]
