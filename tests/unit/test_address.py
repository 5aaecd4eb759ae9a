"""The address language: 240 addresses as the original client reads them, what errors say, and lossless printing."""

from __future__ import annotations

import json
import pickle
import time
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from qpid_address import MAX_DEPTH, MAX_LENGTH, Address, AddressError, parse, parse_map

VECTORS = json.loads((Path(__file__).parents[1] / "data" / "address.json").read_text(encoding="utf-8"))


def error_of(text: str) -> AddressError | None:
    try:
        parse(text)
    except AddressError as error:
        return error
    return None


@pytest.mark.parametrize("vector", VECTORS, ids=lambda vector: ascii(vector["address"])[:60])
def test_agrees_with_the_original_client(vector: dict[str, Any]) -> None:
    if "error" in vector:
        with pytest.raises(AddressError):
            parse(vector["address"])
        return
    address = parse(vector["address"])
    # Through JSON, as the vectors went: it turns keys into strings.
    assert json.loads(json.dumps(list(address))) == [vector["name"], vector["subject"], vector["options"]]
    assert parse(str(address)) == address


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a 'b c' \\n", Address("ab cn")),
        ("q\\x00\\u1234", Address("q\0\u1234")),
        ("q\\\n", Address("q\n")),
        ("''", Address("")),
        ("''/''", Address("", "")),
        ("q/", Address("q")),
        ("q/a/b:c,{d}", Address("q", "a/b:c,{d}")),
        ("q;{a: [1, -2.50, +.5, 00, {b: []},],}", Address("q", None, {"a": [1, -2.5, 0.5, 0, {"b": []}]})),
        ("q;{1: a, None: b, 'True': c}", Address("q", None, {1: "a", None: "b", "True": "c"})),
        (r"q;{a: '\a\b\f\n\r\t\v\\\'\"\0\101\x41\u0041\U0001f600\d'}", None),
    ],
)
def test_values(text: str, expected: Address | None) -> None:
    if expected is None:
        expected = Address("q", None, {"a": "\a\b\f\n\r\t\v\\'\"\0AAA\U0001f600\\d"})
    assert parse(text) == expected


def test_a_map_alone() -> None:
    text = " { reconnect : true, heartbeat:10, 'sasl-mechanisms': 'PLAIN CRAM-MD5', reconnect-urls: ['a:1', \"b\"], } "
    assert parse_map(text) == {
        "reconnect": True,
        "heartbeat": 10,
        "sasl-mechanisms": "PLAIN CRAM-MD5",
        "reconnect-urls": ["a:1", "b"],
    }
    assert parse_map("{}") == {}
    for bad, column in (("", 1), ("{a: 1", 6), ("{a: 1}; b", 7), ("a: 1", 1), ("{a: host.name}", 9)):
        with pytest.raises(AddressError) as caught:
            parse_map(bad)
        assert caught.value.column == column, bad


def test_an_address_unpacks_and_is_one_argument_of_a_format() -> None:
    name, subject, options = address = parse("q/s; {a: 1}")
    assert (name, subject, options) == ("q", "s", {"a": 1})
    assert "%s" % address == "q/s; {a: 1}"  # noqa: UP031 - a tuple would break here


def test_equal_addresses_have_equal_hashes() -> None:
    assert len({parse("q;{a:1}"), parse("q ; { a : 1 }"), parse("q")}) == 2


@pytest.mark.parametrize(
    ("text", "line", "column", "message"),
    [
        ("", 1, 1, "unexpected token EOF"),
        ("/s", 1, 1, "unexpected token SLASH(/)"),
        ("q; {create: }", 1, 13, "expecting (NUMBER, STRING, ID, LBRACE, LBRACK), got RBRACE(})"),
        ("q;\n{a: 1\n b: 2}", 3, 2, "expecting (COMMA, RBRACE), got ID(b)"),
        ("q;{a: [1 2]}", 1, 10, "expecting (COMMA, RBRACK), got NUMBER(2)"),
        ("q;{a 1}", 1, 6, "expecting COLON, got NUMBER(1)"),
        ("q;{} x", 1, 6, "expecting EOF, got ID(x)"),
        ("q;{,}", 1, 4, "expecting (NUMBER, STRING, ID, LBRACE, LBRACK, RBRACE), got COMMA(,)"),
        ("q;{} 'a\x1b" + "b" * 50 + "'", 1, 6, "expecting EOF, got STRING('a\\x1b" + "b" * 36 + "…)"),
        ("q;[]", 1, 3, "expecting LBRACE, got LBRACK([)"),
        ("q;{a: 'x\ny'}", 1, 7, "unrecognized characters, a string that does not end on its line, or holds a NUL"),
        ("q;{a: 'x\0y'}", 1, 7, "unrecognized characters, a string that does not end on its line, or holds a NUL"),
        ("caf\u00e9", 1, 4, "unrecognized characters, '\u00e9' needs quotes"),
        ("q\\x4", 1, 2, "unrecognized characters, an escape that is not complete"),
        ("q;{a: 'ab\\x4'}", 1, 10, "an escape that names no character"),
        ("q;{a: '\\U00110000'}", 1, 8, "an escape that names no character"),
        ("q;{a: 010}", 1, 7, "a whole number with leading zeros"),
        ("q;{[1]: 2}", 1, 4, "a map or list cannot be a key"),
        ("q;{a: " + "9" * 641 + "}", 1, 7, "a number of more than 640 characters"),
        ("q;{a: " + "9" * 400 + ".0}", 1, 7, "a number that is too large"),
    ],
)
def test_errors_say_where(text: str, line: int, column: int, message: str) -> None:
    with pytest.raises(AddressError) as caught:
        parse(text)
    error = caught.value
    assert (error.line, error.column, error.message) == (line, column, message)
    assert str(error).startswith(f"{line}:{column}: {message}\n")


def test_an_error_shows_its_line_with_a_caret() -> None:
    with pytest.raises(AddressError) as caught:
        parse("q;\n\t{a: \x1b}")
    assert str(caught.value).splitlines()[1:] == ["   {a:  }", "       ^"]
    copy = pickle.loads(pickle.dumps(caught.value))
    assert (type(copy), str(copy)) == (AddressError, str(caught.value))


def test_an_error_in_a_long_line_is_short() -> None:
    with pytest.raises(AddressError) as caught:
        parse("x" * 100_000 + "\u00e9" + "x" * 100_000)
    _, source, caret = str(caught.value).splitlines()
    assert len(source) < 120
    assert source[caret.index("^")] == "\u00e9"


@pytest.mark.parametrize(("opening", "closing"), [("[", "]"), ("{a: ", "}")])
def test_deep_nesting_is_an_error_and_not_a_crash(opening: str, closing: str) -> None:
    deepest = "q; {a: " + opening * (MAX_DEPTH - 2) + "[]" + closing * (MAX_DEPTH - 2) + "}"
    assert str(parse(deepest)) == deepest
    for count in (MAX_DEPTH, 100_000):
        with pytest.raises(AddressError, match="nested more than"):
            parse("q; {a: " + opening * count)


@pytest.mark.parametrize(
    "text",
    [
        '"' + "\\a" * 200_000,
        "'" + "x" * 400_000,
        "q;{a:" + "1" * 400_000,
        "a" + "-" * 400_000,
        "a-" * 200_000,
        "1." * 200_000,
        "\\" * 400_001,
        "q" + " " * 400_000,
        "q" + " \n" * 200_000 + "\u00e9",
        "q;{" + "a:1," * 100_000,
    ],
    ids=lambda text: ascii(text)[:10],
)
def test_work_is_linear_in_the_length(text: str) -> None:
    start = time.process_time()
    error = error_of(text)
    assert len(str(error)) < 400
    assert time.process_time() - start < 5  # about half a second; hours if it were quadratic


def test_length_is_bounded() -> None:
    with pytest.raises(AddressError, match="longer than"):
        parse("q" * (MAX_LENGTH + 1))


SCALARS = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.integers(-(10**639) + 1, 10**639 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text()
    | st.sampled_from(
        ["True", "true", "False", "false", "None", "none", "1", "-1.5", "a-", "a-b", "_", "", "{}", "\\x41"]
    )
)
VALUES = st.recursive(
    SCALARS, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(SCALARS, inner, max_size=4), max_leaves=12
)
TEXTS = st.text() | st.text("ab1.#*/;:'\"\\{}[],- \n\0\u00e9", max_size=8)


def exact(value: object) -> str:
    """Tells 1, 1.0 and True apart, and 0.0 from -0.0, which == does not."""
    return repr(value)


@given(TEXTS, st.none() | TEXTS, st.none() | st.dictionaries(SCALARS, VALUES, max_size=5))
@example("\ud800\U0010ffff", "\x7f\x85\u2028", {"-0": -0.0, "tiny": 5e-324, "huge": 1.7976931348623157e308})
@example("9q", "/", {"int": 10**639 - 1, "exponent": 1e16})
def test_printing_is_lossless(name: str, subject: str | None, options: dict[Any, Any] | None) -> None:
    address = Address(name, subject, options)
    text = str(address)
    assert exact(parse(text)) == exact(address)
    assert str(parse(text)) == text


@given(TEXTS | st.text("q;{}[]a:1,'\"\\/ \nT", max_size=30))
def test_any_text_is_an_address_or_an_address_error(text: str) -> None:
    error = error_of(text)
    if error is None:
        assert exact(parse(str(parse(text)))) == exact(parse(text))
    else:
        assert 0 <= error.position <= len(text)
        assert str(error).startswith(f"{error.line}:{error.column}: ")


@pytest.mark.parametrize(
    "options",
    [
        {"a": b"bytes"},
        {"a": float("inf")},
        {"a": float("nan")},
        {"a": 10**639},
        {"a": -(10**5000)},
        {("a",): 1},
        {"a": object()},
    ],
    ids=["bytes", "inf", "nan", "long", "very long", "key", "object"],
)
def test_what_the_language_has_no_words_for_is_not_printed(options: dict[Any, Any]) -> None:
    with pytest.raises(ValueError, match="cannot hold"):
        str(Address("q", None, options))


def test_a_value_that_holds_itself_is_not_printed() -> None:
    options: dict[str, Any] = {}
    options["self"] = options
    with pytest.raises(ValueError, match="nested"):
        str(Address("q", None, options))
