"""QMF v2 messages survive the trip: what one side builds, the other reads the same."""

from __future__ import annotations

from typing import Any
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qpid_messaging.amqp.codec import decode_map, encode_map
from qpid_messaging.management import AgentError, qmf
from qpid_messaging.management.qmf import Data, Status

names = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
# What is binary and happens to be UTF-8 cannot be told from text.
scalars = st.none() | st.booleans() | st.integers(-(2**63), 2**64 - 1) | names | st.floats(allow_nan=False) | st.uuids()
keys = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)
maps = st.dictionaries(keys, scalars | st.lists(scalars, max_size=3), max_size=4)
times = st.integers(0, 2**63 - 1)


@given(name=names, values=maps, created=times, updated=times, epoch=st.none() | times)
def test_data(name: str, values: dict[str, Any], created: int, updated: int, epoch: int | None) -> None:
    sent = Data(name, "p.q", "queue", values, created=created, updated=updated, epoch=epoch, schema_hash=UUID(int=5))
    got = Data.from_map(decode_map(encode_map(sent.to_map())))
    for attribute in Data.__slots__:
        assert getattr(got, attribute) == getattr(sent, attribute), attribute


def test_text_among_values_travels_as_binary_and_maps_as_they_are() -> None:
    values = Data("n", "p", "c", {"name": "ü", "arguments": {"key": "text"}}).to_map()["_values"]
    assert values == {"name": "ü".encode(), "arguments": {"key": "text"}}


@given(values=maps)
def test_binary_and_back(values: dict[str, Any]) -> None:
    assert qmf.as_text(qmf.as_binary(values)) == values


def test_bytes_that_are_no_text_stay_bytes() -> None:
    assert qmf.as_text([b"\xff\x00", {"k": b"text"}]) == [b"\xff\x00", {"k": "text"}]


def test_exceptions() -> None:
    error = qmf.agent_error(decode_map(encode_map(qmf.error_content(Status.FORBIDDEN, "nö"))))
    assert (error.status, error.text) == (Status.FORBIDDEN, "nö")


@pytest.mark.parametrize("content", [None, [], {}, {"_values": 1}, {"_values": {"error_code": "x"}}, b"?"])
def test_exceptions_that_say_nothing(content: object) -> None:
    assert qmf.agent_error(content).status == Status.EXCEPTION


@pytest.mark.parametrize(
    "content",
    [
        None,
        b"",
        [],
        {},
        {"_values": 1},
        {"_values": {}, "_object_id": 3},
        {"_values": {}, "_schema_id": "queue"},
        {"_values": {}, "_create_ts": "yesterday"},
        {"_values": {}, "_object_id": {"_agent_epoch": "x"}},
    ],
)
def test_data_that_is_none(content: object) -> None:
    with pytest.raises(AgentError, match="malformed data"):
        Data.from_map(content)
