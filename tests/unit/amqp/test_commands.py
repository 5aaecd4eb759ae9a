"""Commands, controls, structs and headers to bytes and back, and what is wrong with some."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given

from qpid_messaging.amqp import commands as c
from qpid_messaging.amqp.codec import (
    decode_command,
    decode_header,
    decode_struct32,
    encode_command,
    encode_header,
    encode_struct32,
    find_struct,
)
from qpid_messaging.amqp.errors import EncodeError, ProtocolError
from qpid_messaging.amqp.ranges import RangeSet
from tests.unit.amqp import strategies


@given(strategies.controls | strategies.commands)
def test_commands_round_trip(command: c.Command) -> None:
    assert decode_command(encode_command(command), command.IS_CONTROL) == command


@pytest.mark.parametrize("cls", [*c.CONTROLS.values(), *c.COMMANDS.values(), *c.STRUCTS.values()])
def test_every_class_empty(cls: Any) -> None:
    value = cls()
    if isinstance(value, c.Command):
        assert decode_command(encode_command(value), cls.IS_CONTROL) == value
    else:
        assert decode_struct32(encode_struct32(value)) == (value, len(encode_struct32(value)))


@given(strategies.coded_structs, strategies.coded_structs)
def test_headers_round_trip(first: c.Struct, second: c.Struct) -> None:
    header = encode_header(first, second)
    assert decode_header(header) == (first, second)
    if not isinstance(first, c.RawStruct):
        assert find_struct(header, type(first)) == first


@given(strategies.instances(c.SessionHeader) | strategies.instances(c.CommandFragment))
def test_structs_without_code_round_trip(value: c.Struct) -> None:
    data = value.pack()
    assert type(value).unpacker()(data, 0, len(data), 0) == value


def test_sync_is_the_session_header() -> None:
    assert encode_command(c.ExecutionSync(sync=True)) == b"\x03\x01" + c.SessionHeader(True).pack() + b"\0\0"
    assert encode_command(c.ExecutionSync()) == b"\x03\x01" + c.SessionHeader().pack() + b"\0\0"


def test_flags_stand_lowest_byte_first() -> None:
    assert c.QueueDeclare(queue="q").pack() == bytes.fromhex("0801 0100 0100 0171")
    assert c.DeliveryProperties(resume_ttl=1).pack() == bytes.fromhex("0000000c 0401 0008 0000000000000001")


def test_found_structs() -> None:
    delivery, properties = c.DeliveryProperties(routing_key="q"), c.MessageProperties(content_type="text/plain")
    unknown = c.RawStruct((0x40, 1), b"abc")
    header = encode_header(delivery, unknown, properties)
    assert decode_header(header) == (delivery, unknown, properties)
    assert find_struct(header, c.MessageProperties) == properties
    assert find_struct(header, c.FragmentProperties) is None
    with pytest.raises(ProtocolError):
        find_struct(header[:-1], c.MessageProperties)
    with pytest.raises(ProtocolError):
        find_struct(header + b"\0", c.FragmentProperties)
    with pytest.raises(ProtocolError):
        decode_header(header + b"\0\0")


@pytest.mark.parametrize(
    ("command", "message"),
    [
        (c.MessageTransfer(5), "message.transfer destination: int 5 does not fit str8"),  # type: ignore[arg-type]
        (c.MessageTransfer("x" * 256), "message.transfer destination: str"),
        (c.MessageTransfer("\ud800"), "message.transfer destination: str"),
        (c.MessageTransfer("x", -1), "message.transfer accept_mode: int -1 does not fit uint8"),
        (c.MessageTransfer("x", 256), "accept_mode: int 256 does not fit uint8"),
        (c.MessageFlow("x", 0, 2**32), "message.flow value: int 4294967296 does not fit uint32"),
        (c.SessionAttach("name"), "session.attach name: str 'name' does not fit vbin16"),  # type: ignore[arg-type]
        (c.SessionAttach(bytes(65536)), "session.attach name: bytes"),
        (c.QueueDeclare("q", arguments={"a": {"b": object()}}), "arguments['a']['b']: object has no encoding"),
        (c.QueueDeclare("q", arguments=[1]), "queue.declare arguments: list [1] does not fit map"),  # type: ignore[arg-type]
        (c.ConnectionStart(mechanisms=["A", 1]), "mechanisms[1]: int in an array"),  # type: ignore[list-item]
        (c.DtxStart(xid=c.ReplyTo()), "dtx.start xid: ReplyTo"),  # type: ignore[arg-type]
        (c.ExecutionResult(1, c.ReplyTo()), "ReplyTo cannot travel as a struct32"),
        (c.SessionCompleted(RangeSet([(0, 2**31)])), "is longer than half of the 32-bit numbers"),
        (c.SessionCompleted(RangeSet((n, n) for n in range(0, 20000, 2))), "10000 ranges in one sequence-set"),
    ],
)
def test_arguments_that_do_not_fit(command: c.Command, message: str) -> None:
    with pytest.raises(EncodeError) as caught:
        encode_command(command)
    assert message in str(caught.value)


def test_sequence_numbers_wrap() -> None:
    command = c.SessionCompleted(RangeSet([(2**40 - 2, 2**40 + 1)]))
    data = encode_command(command)
    assert data.endswith(b"\xff\xff\xff\xfe\x00\x00\x00\x01")
    decoded = decode_command(data, True)
    assert decoded == c.SessionCompleted(RangeSet([(0, 1), (2**32 - 2, 2**32 - 1)]))
    point = decode_command(encode_command(c.SessionCommandPoint(2**32 + 7, 0)), True)
    assert point == c.SessionCommandPoint(7, 0)


def test_ranges_come_in_any_order() -> None:
    data = bytes.fromhex("020a 0100 0010 00000005 00000006 00000001 00000004")
    assert decode_command(data, True) == c.SessionCompleted(RangeSet([(1, 6)]))


def test_arrays_of_hosts_may_be_empty() -> None:
    assert decode_command(bytes.fromhex("0108 0100 00000005 95 00000000"), True) == c.ConnectionOpenOk([])
    assert decode_command(bytes.fromhex("0108 0100 00000000"), True) == c.ConnectionOpenOk([])
    assert encode_command(c.ConnectionOpenOk([])) == bytes.fromhex("0108 0100 00000005 95 00000000")


@pytest.mark.parametrize(
    ("data", "is_control"),
    [
        ("", False),
        ("04", False),
        ("0401", False),
        ("040101", False),
        ("04010100", False),
        ("0401010000", False),
        ("040102000000", False),  # session.header of two bytes
        ("040101020000", False),  # unknown bits in it
        ("040101000800", False),  # a field that it does not have
        ("040101000100", False),  # a destination that is not there
        ("04010100010005", False),
        ("0401010001000161ff", False),  # a byte too many
        ("04ff01000000", False),  # no such command
        ("ff0101000000", False),  # no such class
        ("010a0000", False),  # a control as a command
        ("04010000", True),  # a command as a control
        ("020a01000007" + "00" * 7, True),  # no row of ranges
        ("020a0100ffff" + "00" * 8, True),
        ("020a01000008" + "00000005" + "00000004", True),  # backwards
        ("0602010001000000000100", False),  # a struct that overruns
        ("06020100010000000006060500000000", False),  # a struct of another class
        ("010201000000000f00000001026b", True),  # a map that overruns
        ("0101020000000006" + "020000000105", True),  # an array of the wrong type
    ],
)
def test_malformed_commands(data: str, is_control: bool) -> None:
    with pytest.raises(ProtocolError) as caught:
        decode_command(bytes.fromhex(data), is_control)
    assert caught.value.code == c.CloseCode.FRAMING_ERROR
    assert caught.value.offset is not None
    assert "at byte" in str(caught.value)
