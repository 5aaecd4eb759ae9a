"""What the codec costs, in microseconds for one message: decode and encode of what passes most often."""

from __future__ import annotations

import uuid
from typing import Any

import pytest

from qpid_messaging.amqp import commands as c
from qpid_messaging.amqp.codec import decode_header, encode_header, find_struct
from qpid_messaging.amqp.framing import Decoder, encode
from qpid_messaging.amqp.ranges import RangeSet

pytest.importorskip("pytest_benchmark")

BODY = bytes(256)
DELIVERY = c.DeliveryProperties(priority=4, delivery_mode=2, routing_key="my-queue")
PROPERTIES = c.MessageProperties(
    content_length=256,
    message_id=uuid.UUID(int=1 << 100),
    content_type="text/plain",
    user_id=b"guest",
    application_headers={"qpid.subject": "x", "sn": 17},
)
HEADER = encode_header(DELIVERY, PROPERTIES)
TRANSFER = c.MessageTransfer("my-queue", c.AcceptMode.EXPLICIT, c.AcquireMode.PRE_ACQUIRED)
FRAMES = encode(3, TRANSFER, HEADER, BODY)

CONTROLS_AND_COMMANDS = [
    c.MessageAccept(RangeSet([(5, 9)])),
    c.SessionCompleted(RangeSet([(5, 9)])),
    c.MessageFlow("my-queue", c.CreditUnit.MESSAGE, 10),
]


def test_decode_transfer(benchmark: Any) -> None:
    assert benchmark(Decoder().feed, FRAMES) == [(3, TRANSFER, HEADER, BODY)]


def test_decode_read_of_100_transfers(benchmark: Any) -> None:
    assert len(benchmark(Decoder().feed, FRAMES * 100)) == 100


def test_encode_transfer(benchmark: Any) -> None:
    assert benchmark(encode, 3, TRANSFER, HEADER, BODY) == FRAMES


def test_decode_header(benchmark: Any) -> None:
    assert benchmark(decode_header, HEADER) == (DELIVERY, PROPERTIES)


def test_encode_header(benchmark: Any) -> None:
    assert benchmark(encode_header, DELIVERY, PROPERTIES) == HEADER


def test_find_delivery_properties(benchmark: Any) -> None:
    assert benchmark(find_struct, HEADER, c.DeliveryProperties) == DELIVERY


@pytest.mark.parametrize("command", CONTROLS_AND_COMMANDS, ids=lambda command: command.NAME)
def test_decode(benchmark: Any, command: c.Command) -> None:
    assert benchmark(Decoder().feed, encode(1, command)) == [(1, command, None, None)]


@pytest.mark.parametrize("command", CONTROLS_AND_COMMANDS, ids=lambda command: command.NAME)
def test_encode(benchmark: Any, command: c.Command) -> None:
    assert Decoder().feed(benchmark(encode, 1, command)) == [(1, command, None, None)]
