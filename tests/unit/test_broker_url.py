"""The broker URL language: its three forms, lossless printing, and passwords that stay secret."""

from __future__ import annotations

import pickle
from dataclasses import replace

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from qpid_address import DEFAULT_PORTS, AddressError, BrokerAddress, BrokerURL, URLError, parse_url

A = BrokerAddress


@pytest.mark.parametrize(
    ("text", "user", "password", "addresses"),
    [
        # qpid-python
        ("localhost", None, None, [A("tcp", "localhost")]),
        ("localhost:5673", None, None, [A("tcp", "localhost", 5673)]),
        ("user@host", "user", None, [A("tcp", "host")]),
        ("guest/guest@host:1", "guest", "guest", [A("tcp", "host", 1)]),
        ("[::1]", None, None, [A("tcp", "::1")]),
        ("u/p@[fe80::1%eth0]:5672", "u", "p", [A("tcp", "fe80::1%eth0", 5672)]),
        ("amqp://user/pass@host:1", "user", "pass", [A("tcp", "host", 1)]),
        ("amqps://host", None, None, [A("ssl", "host")]),
        # C++ and qpidd.conf
        ("amqp:host", None, None, [A("tcp", "host")]),
        ("amqp:tcp:a:1,ssl:b:2,rdma:c", None, None, [A("tcp", "a", 1), A("ssl", "b", 2), A("rdma", "c")]),
        ("amqp:u/p@tcp:[::1]:1,[::2]", "u", "p", [A("tcp", "::1", 1), A("tcp", "::2")]),
        ("amqps:a,tcp:b", None, None, [A("ssl", "a"), A("tcp", "b")]),
        ("u:p@a,b", "u", "p", [A("tcp", "a"), A("tcp", "b")]),
        ("u/p:q@a", "u", "p:q", [A("tcp", "a")]),
        ("u/@a", "u", "", [A("tcp", "a")]),
        ("u/p%40@a", "u", "p%40", [A("tcp", "a")]),
        ("u/p@q@a", "u", "p@q", [A("tcp", "a")]),
        (" 10.0.0.1:1, 10.0.0.2 ", None, None, [A("tcp", "10.0.0.1", 1), A("tcp", "10.0.0.2")]),
        # URLs
        ("amqp://user:p%40ss%2fword@host", "user", "p@ss/word", [A("tcp", "host")]),
        ("AMQPS://u:p@[::1]:5671", "u", "p", [A("ssl", "::1", 5671)]),
        ("amqp://u:p@a:1,ssl:b:2/", "u", "p", [A("tcp", "a", 1), A("ssl", "b", 2)]),
        # hosts that look like something else
        ("amqp:5672", None, None, [A("tcp", "amqp", 5672)]),
        ("tcp", None, None, [A("tcp", "tcp")]),
        ("tcp:5672", None, None, [A("tcp", "5672")]),
        ("tcp:tcp:5672", None, None, [A("tcp", "tcp", 5672)]),
    ],
)
def test_forms(text: str, user: str | None, password: str | None, addresses: list[BrokerAddress]) -> None:
    url = parse_url(text)
    assert url == BrokerURL(user, password, tuple(addresses))
    assert parse_url(str(url)) == url


def test_virtual_host_and_parameters() -> None:
    url = parse_url("amqp://host/test%20ing?heartbeat=5&mail=a@b&empty=&sasl_mechanisms=PLAIN%20ANONYMOUS")
    assert url.virtual_host == "test ing"
    assert url.parameters == {"heartbeat": "5", "mail": "a@b", "empty": "", "sasl_mechanisms": "PLAIN ANONYMOUS"}
    assert url.user is None
    assert parse_url(str(url)) == url


def test_default_transport_is_for_addresses_that_name_none() -> None:
    assert parse_url("a,tcp:b", "ssl").addresses == (A("ssl", "a"), A("tcp", "b"))
    assert str(parse_url("a", "tcp+tls")) == "amqp:tcp+tls:a"
    assert parse_url("amqps://a", "tcp").addresses == (A("ssl", "a"),)


def test_str_is_the_form_of_the_cpp_broker_where_that_can_say_it() -> None:
    assert str(parse_url("u/p@h:1")) == "amqp:u/p@tcp:h:1"
    assert str(parse_url("a,ssl:[::1]:2")) == "amqp:tcp:a,ssl:[::1]:2"
    assert str(BrokerURL("u", "p@", (A("tcp", "h"),))) == "amqp://u:p%40@tcp:h"


def test_ports() -> None:
    assert [A(transport, "h").port_or_default for transport in ("tcp", "ssl", "rdma")] == [5672, 5671, 5672]
    assert A("ssl", "h", 7).port_or_default == 7
    assert (A("tcp", "::1", 7).host_port, A("tcp", "h").host_port) == ("[::1]:7", "h")


@pytest.mark.parametrize(
    ("text", "column", "message"),
    [
        ("", 1, "expected a host"),
        ("amqp:", 6, "expected a host"),
        ("a,,b", 3, "expected a host"),
        ("a,", 3, "expected a host"),
        ("h:", 3, "expected a port; an IPv6 address needs brackets"),
        ("h:x", 3, "expected a port; an IPv6 address needs brackets"),
        ("fe80::1", 6, "expected a port; an IPv6 address needs brackets"),
        ("h:65536", 3, "expected a port between 0 and 65535"),
        ("h:123456", 8, "expected a comma or the end"),
        ("h/x", 2, "expected a comma or the end"),
        ("[::1", 1, "expected a host"),
        ("a b", 2, "expected a comma or the end"),
        ("@h", 1, "expected a user"),
        ("amqp:/p@h", 6, "expected a user"),
        ("http://h", 1, "expected amqp:// or amqps://"),
        ("my_amqp://u/p@h", 1, "expected amqp:// or amqps://"),
        ("amqp://h?x", 10, "expected name=value, joined by &"),
        ("amqp://h?x=1&&y=2", 10, "expected name=value, joined by &"),
        ("amqp://%ff@h", 8, "percent-encoding that is not UTF-8"),
    ],
)
def test_errors_say_where(text: str, column: int, message: str) -> None:
    with pytest.raises(URLError) as caught:
        parse_url(text)
    error = caught.value
    assert isinstance(error, AddressError)
    assert (error.line, error.column, error.message) == (1, column, message)
    assert str(error).splitlines()[2] == " " * (column + 1) + "^"
    assert str(pickle.loads(pickle.dumps(error))) == str(error)


@pytest.mark.parametrize(
    "text",
    [
        "u/SECRET@h:x",
        "u/SECRET@h:99999",
        "u/SECRET@",
        "/SECRET@h",
        "http://u:SECRET@h",
        "amqp://u:SECRET%ff@h",
        "amqp://u:SECRET@h?x",
        "amqp://u:1?SECRET@h",
        "amqp://u:x?SECRET@h",
        "u/a@SECRET@h:x",
        # the host is missing
        "u/SECRET",
        "u:SECRET",
        "amqp://u:SECRET",
        "amqp:u/SECRET",
    ],
)
def test_errors_keep_passwords(text: str) -> None:
    with pytest.raises(URLError) as caught:
        parse_url(text)
    error = caught.value
    assert error.__context__ is None
    assert "SECRET" not in f"{error} {error!r} {vars(error)}"


def test_repr_and_redacted_keep_passwords() -> None:
    url = parse_url("amqp://u:SECRET@h/v?ssl_key_password=SECRET&x=1")
    assert "SECRET" in str(url)
    assert url.redacted() == "amqp://u:***@tcp:h/v?ssl_key_password=***&x=1"
    assert repr(parse_url("u/SECRET@h")) == "<BrokerURL amqp:u/***@tcp:h>"
    assert parse_url("u@h").redacted() == "amqp:u@tcp:h"


@pytest.mark.parametrize(
    ("transport", "host", "port"),
    [("udp", "h", 1), ("tcp", "", 1), ("tcp", "a b", 1), ("tcp", "a,b", 1), ("tcp", "a:x", 1), ("tcp", "h", 65536)],
)
def test_addresses_that_no_url_can_hold_are_refused(transport: str, host: str, port: int) -> None:
    with pytest.raises(ValueError, match=r"host|transport|port"):
        BrokerAddress(transport, host, port)


def test_urls_that_cannot_be_written_are_refused() -> None:
    with pytest.raises(ValueError, match="address"):
        BrokerURL("u")
    with pytest.raises(ValueError, match="empty"):
        BrokerURL("", None, (A("tcp", "h"),))
    with pytest.raises(ValueError, match="password"):
        BrokerURL(None, "p", (A("tcp", "h"),))


def test_urls_are_values() -> None:
    assert len({parse_url("amqp://h?a=1"), parse_url("amqp://h?a=1"), parse_url("h")}) == 2


HOSTS = (
    st.from_regex(r"[a-z0-9][a-z0-9.-]{0,9}", fullmatch=True)
    | st.ip_addresses().map(str)
    | st.sampled_from(["tcp", "ssl", "amqp", "5672", "h\u00f6st", "fe80::1%eth0", "::ffff:1.2.3.4"])
)
ADDRESSES = st.builds(
    BrokerAddress, st.sampled_from(sorted(DEFAULT_PORTS)), HOSTS, st.none() | st.integers(min_value=0, max_value=65535)
)
TEXTS = st.text(max_size=10) | st.text("ab:/@%?&=#,[] ***", max_size=8)
CREDENTIALS = st.just((None, None)) | st.tuples(TEXTS.filter(bool), st.none() | TEXTS)
URLS = st.builds(
    lambda who, addresses, parameters, host: BrokerURL(who[0], who[1], tuple(addresses), parameters, host),
    CREDENTIALS,
    st.lists(ADDRESSES, min_size=1, max_size=4),
    st.dictionaries(TEXTS, TEXTS, max_size=3),
    st.none() | TEXTS.filter(bool),
)


@given(URLS)
@example(BrokerURL(None, None, (A("tcp", "5672"),)))
@example(BrokerURL("amqp", "", (A("tcp", "tcp", 5672),)))
def test_printing_is_lossless(url: BrokerURL) -> None:
    assert parse_url(str(url)) == url
    assert str(parse_url(str(url))) == str(url)


@given(URLS, TEXTS, TEXTS)
def test_redacted_says_nothing_of_the_password(url: BrokerURL, one: str, other: str) -> None:
    first, second = (replace(url, user="user", password=password) for password in (one, other))
    assert first.redacted() == second.redacted()
    assert repr(first) == repr(second)
    assert parse_url(first.redacted()).addresses == url.addresses


def outcome(text: str) -> BrokerURL | URLError:
    try:
        return parse_url(text)
    except URLError as error:
        return error


PIECES = TEXTS | st.text("u/p@h:1,[]amqps:/? =&%", max_size=20)


@given(PIECES)
def test_any_text_is_a_url_or_an_error(text: str) -> None:
    url = outcome(text)
    assert isinstance(url, URLError) or parse_url(str(url)) == url


@given(PIECES, PIECES, PIECES)
def test_no_error_shows_what_stands_before_the_last_at(before: str, after: str, rest: str) -> None:
    url = outcome(f"{before}SECRET{after}@{rest}")
    assert isinstance(url, BrokerURL) or "SECRET" not in f"{url} {vars(url)}"
