"""SASL: which mechanism is chosen, and what its responses are."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qpid_messaging.amqp import sasl

BOTH = ["ANONYMOUS", "PLAIN"]
ALL = ["ANONYMOUS", "PLAIN", "CRAM-MD5", "EXTERNAL", "SCRAM-SHA-256", "DIGEST-MD5"]
credentials = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=30)


@pytest.mark.parametrize(
    ("offered", "username", "password", "permitted", "name"),
    [
        (BOTH, None, None, None, "ANONYMOUS"),
        (BOTH, "ann", "secret", None, "PLAIN"),
        (BOTH, "ann", "", None, "PLAIN"),
        (BOTH, "ann", "secret", ["ANONYMOUS"], "ANONYMOUS"),
        (BOTH, "ann", "secret", ["PLAIN", "ANONYMOUS"], "PLAIN"),
        (["GSSAPI", "PLAIN"], "ann", "secret", None, "PLAIN"),
        (["ANONYMOUS"], "ann", "secret", ["ANONYMOUS", "PLAIN"], "ANONYMOUS"),
        (ALL, "ann", "secret", None, "SCRAM-SHA-256"),
        (ALL, "ann", "secret", ["PLAIN", "DIGEST-MD5", "CRAM-MD5"], "DIGEST-MD5"),
        (ALL, "ann", "secret", ["PLAIN", "CRAM-MD5"], "CRAM-MD5"),
        (ALL, "ann", "secret", ["PLAIN", "EXTERNAL"], "EXTERNAL"),
        (ALL, None, None, None, "ANONYMOUS"),
    ],
)
def test_the_strongest_that_fits_is_chosen(
    offered: list[str], username: str | None, password: str | None, permitted: list[str] | None, name: str
) -> None:
    assert sasl.choose(offered, username, password, permitted=permitted).name == name


@pytest.mark.parametrize(
    ("offered", "username", "password", "permitted", "said"),
    [
        (["PLAIN"], None, None, None, "missing credentials"),
        (["ANONYMOUS"], "ann", "secret", None, "offers: ANONYMOUS"),
        (BOTH, "ann", None, None, "no password given"),
        ([], "ann", "secret", None, "offers: none"),
        (BOTH, "ann", "secret", ["GSSAPI"], "permitted: GSSAPI"),
        (BOTH, None, None, ["PLAIN"], "permitted: PLAIN"),
        (BOTH, "ann", "secret", [], "permitted: none"),
    ],
)
def test_none_fits(
    offered: list[str], username: str | None, password: str | None, permitted: list[str] | None, said: str
) -> None:
    with pytest.raises(sasl.SASLError, match=said) as caught:
        sasl.choose(offered, username, password, permitted=permitted)
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize(
    ("offered", "username", "password", "name"),
    [
        (ALL, None, None, "EXTERNAL"),
        (ALL, "ann", None, "EXTERNAL"),
        (ALL, "ann", "secret", "SCRAM-SHA-256"),
        (["EXTERNAL"], "ann", "secret", "EXTERNAL"),
        (BOTH, None, None, "ANONYMOUS"),
    ],
)
def test_with_a_certificate(offered: list[str], username: str | None, password: str | None, name: str) -> None:
    chosen = sasl.choose(offered, username, password, certified=True)
    assert chosen.name == name
    if name == "EXTERNAL":
        assert chosen.initial() == (username or "").encode()


def test_only_plain_reveals_the_password() -> None:
    assert [n for n in ALL if sasl.choose([n], "ann", "secret", permitted=[n]).reveals_password] == ["PLAIN"]


def test_responses() -> None:
    assert sasl.Anonymous("trace").initial() == b"trace"
    assert sasl.Plain("ann", "sécret").initial() == "\0ann\0sécret".encode()


@pytest.mark.parametrize("mechanism", [sasl.Anonymous(), sasl.Plain("ann", "secret")])
def test_a_challenge_is_not_expected(mechanism: sasl.Mechanism) -> None:
    with pytest.raises(sasl.SASLError, match=mechanism.name):
        mechanism.respond(b"who?")


@pytest.mark.parametrize(("username", "password"), [("a\0b", "p"), ("a", "p\0")])
def test_plain_cannot_carry_nul(username: str, password: str) -> None:
    with pytest.raises(sasl.SASLError, match="NUL"):
        sasl.Plain(username, password)


@given(credentials, credentials)
def test_plain_comes_back(username: str, password: str) -> None:
    assert sasl.parse_plain(sasl.Plain(username, password).initial()) == ("", username, password)


@given(st.binary(max_size=40))
def test_any_response_is_parsed_or_refused(response: bytes) -> None:
    try:
        parsed = sasl.parse_plain(response)
    except sasl.SASLError:
        return
    assert "\0".join(parsed).encode() == response


@pytest.mark.parametrize("response", [b"", b"ann", b"\0ann", b"\0ann\0a\0b", b"\0\xff\0x"])
def test_broken_responses(response: bytes) -> None:
    with pytest.raises(sasl.SASLError):
        sasl.parse_plain(response)
