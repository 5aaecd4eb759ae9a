"""Messages, their content, and how they look on the wire."""

from __future__ import annotations

from uuid import uuid4

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qpid_messaging import RELEASED, DecodeError, Disposition, EncodeError, Message
from qpid_messaging.amqp.codec import decode_header, decode_map, encode_map
from qpid_messaging.amqp.commands import DeliveryProperties, MessageProperties, ReplyTo
from qpid_messaging.amqp.values import Timestamp
from qpid_messaging.core.content import (
    decode_content,
    encode_content,
    encode_message_header,
    fill_message,
    from_reply_to,
    to_reply_to,
)
from qpid_messaging.core.transfers import transfer_ids


@pytest.mark.parametrize(
    ("content", "expected"),
    [("t", "text/plain"), (b"b", None), (bytearray(b"b"), None), ({}, "amqp/map"), ([], "amqp/list"), (None, None)],
)
def test_content_type_follows_from_the_content(content: object, expected: str | None) -> None:
    assert Message(content).content_type == expected
    assert Message(content, content_type=None).content_type is None
    assert Message(content, content_type="x").content_type == "x"


def test_no_content_type_for_other_kinds() -> None:
    with pytest.raises(EncodeError, match="complex"):
        Message(1j)
    assert Message(1j, content_type="custom").content == 1j


def test_repr() -> None:
    assert repr(Message()) == "Message()"
    assert repr(Message("x")) == "Message('x')"
    assert repr(Message(b"x", subject="s", properties={"a": 1}, content_type="t")) == (
        "Message(subject='s', properties={'a': 1}, content_type='t', content=b'x')"
    )
    assert repr(Disposition(RELEASED, set_redelivered=True)) == "Disposition(RELEASED, set_redelivered=True)"


def test_applications_may_add_attributes() -> None:
    message = Message("x")
    message.mine = 1  # type: ignore[attr-defined]
    assert message.mine == 1  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("content", "content_type", "body"),
    [
        ("\u20ac", "text/plain", b"\xe2\x82\xac"),
        ("a", "text/plain; charset=utf8", b"a"),
        (b"raw", "text/plain", b"raw"),
        ("text", "application/x", b"text"),
        (None, "text/plain", None),
        (bytearray(b"x"), None, b"x"),
        (memoryview(b"x"), None, b"x"),
    ],
)
def test_encoding(content: object, content_type: str | None, body: bytes | None) -> None:
    assert encode_content(content, content_type) == body


@pytest.mark.parametrize(
    ("content", "content_type"),
    [(1, "text/plain"), ({}, "text/plain"), ({"k": object()}, "amqp/map"), ("x", "amqp/map"), ("\ud800", "text/plain")],
)
def test_what_does_not_encode(content: object, content_type: str) -> None:
    with pytest.raises(EncodeError):
        encode_content(content, content_type)


@pytest.mark.parametrize(("body", "content_type"), [(b"\xff", "text/plain"), (b"xx", "amqp/map"), (b"x", "amqp/list")])
def test_what_does_not_decode(body: bytes, content_type: str) -> None:
    with pytest.raises(DecodeError):
        decode_content(body, content_type)
    assert decode_content(body, "other") == body


#: Properties that are only properties: hypothesis tries the constants that it finds in the code, too.
NAMES = st.text(max_size=20).filter(lambda name: not name.startswith(("qpid.", "x-amqp-0-10.")))


@given(
    st.builds(
        Message,
        content=st.one_of(st.none(), st.text(), st.binary(), st.dictionaries(st.text(max_size=20), st.integers(0, 9))),
        id=st.one_of(st.none(), st.uuids()),
        subject=st.one_of(st.none(), st.text(max_size=50)),
        user_id=st.one_of(st.none(), st.text(max_size=20)),
        correlation_id=st.one_of(st.none(), st.text(max_size=20)),
        durable=st.one_of(st.none(), st.booleans()),
        priority=st.one_of(st.none(), st.integers(0, 9)),
        ttl=st.one_of(st.none(), st.integers(0, 10_000)),
        properties=st.dictionaries(NAMES, st.one_of(st.text(), st.integers(-9, 9), st.none())),
    )
)
def test_there_and_back(message: Message) -> None:
    body = encode_content(message.content, message.content_type)
    header = encode_message_header(message, message.subject, "key")
    delivery, properties = decode_header(header)
    assert isinstance(delivery, DeliveryProperties)
    assert isinstance(properties, MessageProperties)
    got = Message()
    fill_message(got, delivery, properties, body)
    for name in ("id", "subject", "user_id", "correlation_id", "durable", "priority", "ttl", "content", "content_type"):
        assert getattr(got, name) == getattr(message, name), name
    assert got.properties["x-amqp-0-10.routing-key"] == "key"
    assert message.properties.items() <= got.properties.items()


@pytest.mark.parametrize(
    ("message", "match"),
    [
        (Message(priority="high"), "priority"),  # type: ignore[arg-type]
        (Message(id="no uuid"), ""),
        (Message(ttl="long"), ""),  # type: ignore[arg-type]
        (Message(reply_to="; {"), "reply_to"),
        (Message(properties={"k": object()}), "object"),
        (Message(correlation_id=7), "correlation_id"),  # type: ignore[arg-type]
    ],
)
def test_fields_that_do_not_encode(message: Message, match: str) -> None:
    with pytest.raises(EncodeError) as caught:
        encode_message_header(message, None, None)
    assert match in str(caught.value)


def test_ids_may_be_text() -> None:
    number = uuid4()
    header = encode_message_header(Message(id=str(number)), None, None)
    properties = decode_header(header)[1]
    assert isinstance(properties, MessageProperties)
    assert properties.message_id == number


@pytest.mark.parametrize(
    ("address", "struct", "back"),
    [
        ("q", ReplyTo(routing_key="q"), "q"),
        ("q/ignored", ReplyTo(routing_key="q"), "q"),
        ("t; {node: {type: topic}}", ReplyTo(exchange="t"), "t; {node: {type: topic}}"),
        ("t/s; {node: {type: topic}}", ReplyTo(exchange="t", routing_key="s"), "t/s; {node: {type: topic}}"),
    ],
)
def test_reply_to(address: str, struct: ReplyTo, back: str) -> None:
    assert to_reply_to(address) == struct
    assert from_reply_to(struct) == back


def test_transfer_ids() -> None:
    assert list(transfer_ids([])) == []
    assert list(transfer_ids([1, 2, 3, 7, 9, 10])) == [(1, 3), (7, 7), (9, 10)]
    around = [(1 << 32) - 2, (1 << 32) - 1, 1 << 32, (1 << 32) + 1]
    assert list(transfer_ids(around)) == [(0, 1), ((1 << 32) - 2, (1 << 32) - 1)]


def test_the_time_of_arrival_stays_a_time() -> None:
    """A program that passes properties on sends them as what they were."""
    got = Message()
    fill_message(got, DeliveryProperties(timestamp=7), None, None)
    (arrived,) = got.properties.values()
    assert isinstance(arrived, Timestamp)
    (again,) = decode_map(encode_map(got.properties)).values()
    assert isinstance(again, Timestamp)
    assert again == arrived == 7
