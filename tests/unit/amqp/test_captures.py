"""Every frame that real peers sent decodes, and encodes to the same bytes or to bytes that mean the same."""

from __future__ import annotations

import pytest

from qpid_messaging.amqp.codec import decode_command, decode_header, encode_command, encode_header
from qpid_messaging.amqp.framing import PROTOCOL_HEADER, Decoder, encode
from qpid_messaging.amqp.schema import RawStruct
from tests.captures import capture_names, read_capture, units

STREAMS = [(name, *key) for name in capture_names() for key in read_capture(name)]


@pytest.mark.parametrize(("name", "conn", "side"), STREAMS)
def test_round_trip(name: str, conn: int, side: str) -> None:
    stream = read_capture(name)[conn, side]  # type: ignore[index]
    found = units(stream)
    assert found
    for channel, command, header, body in found:
        encoded = encode_command(command)
        assert decode_command(encoded, command.IS_CONTROL) == command
        if header is not None:
            structs = decode_header(header)
            assert structs
            assert not any(isinstance(struct, RawStruct) for struct in structs)
            assert decode_header(encode_header(*structs)) == structs
        assert Decoder().feed(encode(channel, command, header, body)) == [(channel, command, header, body)]


@pytest.mark.parametrize(("name", "conn", "side"), STREAMS)
def test_mostly_the_same_bytes(name: str, conn: int, side: str) -> None:
    """Peers choose wider or narrower forms inside of maps only; where there is no map, the bytes are the same."""
    stream = read_capture(name)[conn, side]  # type: ignore[index]
    for channel, command, header, body in units(stream):
        if any(isinstance(getattr(command, f.name), (dict, list)) for f in command.FIELDS):
            continue
        again = encode(channel, command, header, body)
        # Content may have been split into frames in another way; this is about small ones.
        if len(again) < 4096:
            assert again in stream, command


@pytest.mark.parametrize(("name", "conn", "side"), STREAMS)
@pytest.mark.parametrize("size", [1, 7, 4096])
def test_chunks_do_not_matter(name: str, conn: int, side: str, size: int) -> None:
    stream = read_capture(name)[conn, side][len(PROTOCOL_HEADER) :]  # type: ignore[index]
    decoder = Decoder()
    found = [unit for start in range(0, len(stream), size) for unit in decoder.feed(stream[start : start + size])]
    assert found == Decoder().feed(stream)
