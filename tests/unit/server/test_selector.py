"""Selectors: the language, and what it says of messages."""

from __future__ import annotations

from typing import Any
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qpid_messaging.amqp import commands as c
from qpid_messaging.amqp.codec import encode_header
from qpid_server.errors import InvalidArgument
from qpid_server.message import Message
from qpid_server.selector import Selector
from qpid_server.selector.values import like

HEADERS: dict[str, Any] = {
    "colour": "blue",
    "weight": 2600,
    "ratio": 0.5,
    "flag": True,
    "raw": b"bytes",
    "nothing": None,
    "quote": "it's",
    "a b": "odd",
    "minus": -7,
}


def message(**delivery: Any) -> Message:
    properties = c.MessageProperties(
        message_id=UUID(int=1),
        correlation_id=b"c-1",
        reply_to=c.ReplyTo(exchange="amq.direct", routing_key="me"),
        application_headers={**HEADERS, "qpid.subject": "news"},
    )
    return Message("", encode_header(c.DeliveryProperties(routing_key="q", **delivery), properties), b"x")


TRUE = [
    "",
    "  ",
    "TRUE",
    "not false",
    "colour = 'blue'",
    "colour='blue'and weight>2500",
    "colour <> 'red'",
    "COLOUR is null and colour is not null",
    "nothing is null",
    "weight between 2600 and 2600",
    "weight not between 1 and 2",
    "colour in ('red', 'blue')",
    "colour not in ('red', 'green')",
    "colour like 'b%e'",
    "colour not like 'b_e'",
    "quote = 'it''s'",
    "\"a b\" = 'odd'",
    "'a%c' like 'a!%c' escape '!'",
    "weight = 2600.0",
    "weight = 0xA28",
    "weight = 0b1010_0010_1000l",
    "weight = 05050",
    "ratio = 5e-1 and ratio = .5d and ratio < 1.f",
    "weight + 400 = 3000 and weight - 100 * 2 = 2400 and weight / 1000 = 2",
    "minus / 2 = -3",
    "-weight < 0 and +weight > 0 and - -weight = weight",
    "(weight + 1) * 2 = 5202",
    "flag",
    "flag = true and flag <> false",
    "raw = 'bytes'",
    "missing = 1 or flag",
    "not (missing = 1 and flag = false)",
    "-9223372036854775808 < minus",
    "amqp.priority = 4 and JMSPriority = 4",
    "amqp.delivery_mode = 'NON_PERSISTENT'",
    "amqp.subject = 'news' and JMSType = 'news'",
    "JMSCorrelationID = 'c-1'",
    "JMSMessageID = '00000000-0000-0000-0000-000000000001'",
    "JMSReplyTo = 'amq.direct/me'",
    "JMSDestination = 'q'",
    "JMSExpiration = 0 and JMSTimestamp = 0",
    "JMSRedelivered = false",
    "amqp.unheard_of is null and JMSNonsense is null",
]
NOT_TRUE = [
    "false",
    "missing = 1",
    "not missing = 1",
    "missing <> 1",
    "missing like '%'",
    "missing in (1)",
    "missing not in (1)",
    "missing between 1 and 2",
    "colour = 1",
    "colour <> 1",
    "colour not in (1)",
    "colour > 'a'",
    "weight like '2%'",
    "weight / 0 = 0",
    "ratio / 0.0 > 0",
    "colour + 1 = 1",
    "flag = 1",
    "colour",
    "weight",
    "missing or false",
    "colour in ('red', missing)",
    "colour not in ('blue', missing)",
]
WRONG = [
    "a =",
    "= 1",
    "a = 1 b",
    "(a = 1",
    "a = 1)",
    "a in ()",
    "a in (1,)",
    "a in 1",
    "a like b",
    "a like 'x' escape 'xy'",
    "a between 1",
    "a is 1",
    "a not = 1",
    "'unfinished",
    '"unfinished',
    "a = 9223372036854775808",
    "a = 99999999999999999999",
    "a = " + "9" * 5000,
    "1.2.3 = a",
    "a ? b",
    "a = 1 and",
    "not",
    "(" * 1000 + "a" + ")" * 1000,
    "not " * 1000 + "a",
    "- " * 1000 + "a",
]


@pytest.mark.parametrize("text", TRUE)
def test_selects(text: str) -> None:
    assert Selector(text).matches(message())


@pytest.mark.parametrize("text", NOT_TRUE)
def test_does_not_select(text: str) -> None:
    assert not Selector(text).matches(message())


@pytest.mark.parametrize("text", WRONG, ids=lambda text: text[:20])
def test_refused(text: str) -> None:
    with pytest.raises(InvalidArgument, match="Illegal selector: "):
        Selector(text)


def test_what_is_wrong_is_said_and_where() -> None:
    with pytest.raises(InvalidArgument, match=r"expected an identifier or a value at 9, found 'or'"):
        Selector("a = 1 or or b = 2")


def test_properties_of_a_delivery() -> None:
    sent = message(delivery_mode=2, priority=9, ttl=500, timestamp=100)
    assert Selector("JMSDeliveryMode = 'PERSISTENT' and amqp.priority = 9").matches(sent)
    assert Selector("JMSTimestamp = 100000 and JMSExpiration = 100500").matches(sent)
    assert Selector("amqp.redelivered").matches(sent, redelivered=True)
    assert Selector("a is null and amqp.to is null").matches(Message("", None, b"x"))


@given(st.text(alphabet="ab%_!\n", max_size=12), st.text(alphabet="ab\n", max_size=12))
def test_like_is_what_a_naive_matcher_says(pattern: str, text: str) -> None:
    def naive(p: str, t: str) -> bool:
        if not p:
            return not t
        if p[0] == "%":
            return any(naive(p[1:], t[n:]) for n in range(len(t) + 1))
        return bool(t) and p[0] in ("_", t[0]) and naive(p[1:], t[1:])

    assert like(pattern, "")(text) == naive(pattern, text)


def test_no_pattern_takes_for_ever() -> None:
    assert not like("%a" * 200 + "b", "")("a" * 20_000)


@given(st.text(alphabet="ab1.'\"()=<>+-*/ ,_eEnotandlikeis%$", max_size=40))
def test_any_text_is_a_selector_or_clearly_none(text: str) -> None:
    try:
        selector = Selector(text)
    except InvalidArgument:
        return
    selector.matches(message())


_NUMBERS = st.integers(-(2**63) + 1, 2**63 - 1).map(str) | st.floats(0, 1e6).map(lambda n: f"{n:.6f}")


def _expressions(inner: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    return st.tuples(inner, st.sampled_from(["+", "-", "*"]), inner).map(lambda parts: f"({' '.join(parts)})")


@given(st.recursive(st.integers(0, 99).map(str), _expressions, max_leaves=12), st.integers(-99, 99))
def test_arithmetic_is_that_of_python(expression: str, other: int) -> None:
    comparison = Selector(f"{expression} > {other}")
    assert comparison.matches(message()) == (eval(expression) > other)


_TERMS = st.sampled_from(["true", "false", "missing = 1"])


@given(_TERMS, _TERMS, _TERMS)
def test_three_valued_logic(one: str, two: str, three: str) -> None:
    truth = {"true": True, "false": False, "missing = 1": None}
    a, b, d = truth[one], truth[two], truth[three]
    conjunction = False if False in (a, b) else None if None in (a, b) else True
    either = True if True in (conjunction, d) else None if None in (conjunction, d) else False
    assert Selector(f"{one} and {two} or {three}").matches(message()) is (either is True)
    assert Selector(f"not ({one} and {two} or {three})").matches(message()) is (either is False)
