"""Random and mutated bytes: each decoder gives a result or a ProtocolError, soon and in little memory."""

from __future__ import annotations

import random
import tracemalloc
from collections.abc import Callable, Iterator
from functools import cache
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qpid_messaging.amqp.codec import decode_command, decode_header, decode_list, decode_map, find_struct
from qpid_messaging.amqp.commands import COMMANDS, CONTROLS, MessageProperties
from qpid_messaging.amqp.errors import ProtocolError
from qpid_messaging.amqp.framing import PROTOCOL_HEADER, Decoder
from tests.captures import capture_names, read_capture

#: Memory that an input of a few KiB may take while it is decoded.
MEMORY = 1 << 20


@cache
def recorded() -> list[bytes]:
    """What peers sent, in pieces of a few frames."""
    pieces = []
    for name in capture_names():
        for stream in read_capture(name).values():
            stream = stream[len(PROTOCOL_HEADER) :]
            while stream:
                end = 0
                while end < min(600, len(stream)):
                    end += int.from_bytes(stream[end + 2 : end + 4], "big")
                if end < 4096:
                    pieces.append(stream[:end])
                stream = stream[end:]
    return pieces


def mutated(rng: random.Random, data: bytes) -> bytes:
    """A few bytes flipped, overwritten, cut out or doubled."""
    changed = bytearray(data)
    for _ in range(rng.choice((1, 1, 2, 3, 8))):
        at = rng.randrange(len(changed) + 1)
        match rng.randrange(5):
            case 0 if at < len(changed):
                changed[at] ^= 1 << rng.randrange(8)
            case 1 if at < len(changed):
                changed[at] = rng.choice((0, 1, 0x7F, 0x80, 0xAA, 0xAB, 0xF0, 0xFF, rng.randrange(256)))
            case 2:
                del changed[at : at + rng.randrange(1, 9)]
            case 3:
                changed[at:at] = changed[at : at + rng.randrange(1, 30)]
            case _:
                changed[at : at + 4] = rng.randrange(1 << 32).to_bytes(4, "big")
    return bytes(changed)


def refuses_or_accepts(decode: Callable[[bytes], Any], data: bytes) -> bool:
    try:
        decode(data)
    except ProtocolError:
        return False
    return True


def read_stream(data: bytes) -> None:
    """Decode as a connection does: frames, then the headers of transfers."""
    decoder = Decoder(max_frame_size=4096, max_message_size=1 << 16)
    for start in range(0, len(data), 700):
        for _, command, header, _ in decoder.feed(data[start : start + 700]):
            repr(command)
            if header is not None:
                decode_header(header)
    if decoder.error is not None:
        raise decoder.error


def decode_any_command(data: bytes) -> None:
    """A method whose code exists, so that what follows is arguments."""
    codes = (*CONTROLS, *COMMANDS)
    code = codes[int.from_bytes(data[:2], "big") % len(codes)]
    decode_command(code.to_bytes(2, "big") + data[2:], code in CONTROLS)


def random_bytes(rng: random.Random) -> Iterator[bytes]:
    while True:
        data = rng.randbytes(rng.randrange(200))
        # Sizes that fit let the decoders look further than at the first four bytes.
        yield rng.choice((b"", len(data).to_bytes(4, "big"), b"\0\0\0\x20\x04\x03", b"\1\0\xff\xff")) + data


def mutations(rng: random.Random) -> Iterator[bytes]:
    while True:
        yield mutated(rng, rng.choice(recorded()))


@pytest.mark.parametrize("decode", [read_stream, decode_any_command, decode_map, decode_list, decode_header])
@pytest.mark.parametrize(("source", "count"), [(random_bytes, 4000), (mutations, 1500)])
def test_only_protocol_errors(
    decode: Callable[[bytes], Any], source: Callable[[random.Random], Iterator[bytes]], count: int
) -> None:
    rng = random.Random(f"{decode.__name__} {source.__name__}")
    data = source(rng)
    results = {refuses_or_accepts(decode, next(data)) for _ in range(count)}
    assert False in results


def test_mutations_reach_past_the_framing() -> None:
    """The bulk test would prove little if every mutation broke the first frame header."""
    rng = random.Random(0)
    data = mutations(rng)
    accepted = sum(refuses_or_accepts(read_stream, next(data)) for _ in range(500))
    assert 50 < accepted < 450


@pytest.mark.parametrize("source", [random_bytes, mutations])
def test_memory_is_bounded(source: Callable[[random.Random], Iterator[bytes]]) -> None:
    recorded()
    data = source(random.Random(1))
    tracemalloc.start()
    try:
        for _ in range(1000):
            item = next(data)
            tracemalloc.reset_peak()
            before, _ = tracemalloc.get_traced_memory()
            for decode in (read_stream, decode_map, decode_list, decode_header):
                refuses_or_accepts(decode, item)
            _, peak = tracemalloc.get_traced_memory()
            assert peak - before < MEMORY
    finally:
        tracemalloc.stop()


@given(st.binary(max_size=300))
def test_hypothesis_finds_nothing(data: bytes) -> None:
    for decode in (read_stream, decode_any_command, decode_map, decode_list, decode_header):
        refuses_or_accepts(decode, data)
    refuses_or_accepts(lambda header: find_struct(header, MessageProperties), data)


@given(st.integers(0, 2**32 - 1), st.sampled_from([0xA8, 0xA9, 0xAA, 0xAB, 0xF0, 0x00, 0xA0]), st.binary(max_size=40))
def test_lies_about_sizes_and_counts(lie: int, code: int, rest: bytes) -> None:
    number = lie.to_bytes(4, "big")
    for data in (number + rest, len(rest).to_bytes(4, "big") + number + rest):
        refuses_or_accepts(decode_map, data)
        refuses_or_accepts(decode_list, data)
        inner = bytes((code,)) + data
        refuses_or_accepts(decode_list, (len(inner) + 4).to_bytes(4, "big") + b"\0\0\0\1" + inner)
