"""Predicates of queries."""

from __future__ import annotations

from typing import Any

import pytest

from qpid_messaging.management import qmf
from qpid_messaging.management.qmf import Opcode, Status
from qpid_server.effects import QueueDeclared
from qpid_server.management.predicate import Predicate, matches
from qpid_server.management.schema import MethodError
from tests.unit.management.console import Console

VALUES = {"name": "q", "msgDepth": 5, "durable": True, "creator": b"me"}


@pytest.mark.parametrize(
    ("expression", "wanted"),
    [
        (None, True),
        ([], True),
        (["eq", "name", ["quote", "q"]], True),
        ([b"eq", b"name", [b"quote", b"q"]], True),
        (["eq", "creator", ["quote", "me"]], True),
        (["ne", "name", ["quote", "q"]], False),
        (["gt", "msgDepth", 4], True),
        (["ge", 5, "msgDepth"], True),
        (["lt", "msgDepth", 5], False),
        (["le", "msgDepth", 5], True),
        (["lt", "msgDepth", ["quote", "five"]], False),
        (["eq", "nothing", 1], False),
        (["eq", "name", ["quote"]], False),
        (["exists", "name"], True),
        (["exists", "name", "nothing"], False),
        (["not", ["exists", "nothing"]], True),
        (["and", ["eq", "durable", True], ["gt", "msgDepth", 9]], False),
        (["or", ["eq", "durable", True], ["gt", "msgDepth", 9]], True),
        (["true"], True),
        (["not", ["false"]], True),
    ],
)
def test_matches(expression: Any, wanted: bool) -> None:
    assert matches(Predicate.of(expression), VALUES) is wanted


@pytest.mark.parametrize(
    "expression",
    ["name", {"name": "q"}, ["dance", 1], ["eq", "name"], ["and"], ["not", ["true"], ["true"]], ["and", "name"], [[]]],
)
def test_what_is_none_is_refused(expression: Any) -> None:
    with pytest.raises(MethodError):
        Predicate.of(expression)


def test_depth_is_bounded() -> None:
    expression: Any = ["true"]
    for _ in range(100):
        expression = ["not", expression]
    with pytest.raises(MethodError):
        Predicate.of(expression)


def test_queries() -> None:
    console = Console()
    console.broker.do(*(QueueDeclared(f"q{number:03}") for number in range(500)))
    wanted = {**qmf.query_class("queue"), "_where": ["eq", "name", ["quote", "q321"]]}
    assert [qmf.Data.from_map(item).values["name"] for item in console.query(wanted)] == ["q321"]
    one = qmf.query_object("org.apache.qpid.broker:queue:q001")
    assert len(console.query({**one, "_where": ["eq", "msgDepth", 0]})) == 1
    assert console.query({**one, "_where": ["eq", "msgDepth", 1]}) == []
    [answer] = console.send(Opcode.QUERY_REQUEST, {**one, "_where": ["dance"]})
    assert answer.error[0] is Status.INVALID_PARAMETER


def test_agents_that_are_not_wanted_do_not_answer() -> None:
    console = Console()
    assert len(console.send(Opcode.LOCATE_REQUEST, ["eq", "_product", ["quote", "qpidd"]])) == 1
    assert console.send(Opcode.LOCATE_REQUEST, ["eq", "_product", ["quote", "other"]]) == []
