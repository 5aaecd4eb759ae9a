"""Connection URLs of the JMS client: what its users have in their JNDI files, and what is wrong with a text."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from qpid_address import JMSBroker, JMSConnectionURL, URLError

B = JMSBroker
parse = JMSConnectionURL.parse


def test_a_url_with_everything() -> None:
    text = (
        "amqp://guest:gu%3Aest@clientid/test?brokerlist='tcp://h1:5672?retries='2'&connectdelay='100';tcp://h2'"
        "&failover='roundrobin?cyclecount='2''&maxprefetch='10',sync_ack=true"
    )
    assert JMSConnectionURL.matches(text)
    assert parse(text) == JMSConnectionURL(
        brokers=(B("h1", 5672, {"retries": "2", "connectdelay": "100"}), B("h2")),
        user="guest",
        password="gu:est",
        client_id="clientid",
        virtual_host="test",
        failover="roundrobin",
        failover_options={"cyclecount": "2"},
        options={"maxprefetch": "10", "sync_ack": "true"},
    )


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("amqp:///test?brokerlist='localhost'", JMSConnectionURL((B("localhost"),), virtual_host="test")),
        ("amqp://c/?brokerlist='h:1'", JMSConnectionURL((B("h", 1),), client_id="c")),
        ("AMQP://u:@/v?brokerlist=tcp://h", JMSConnectionURL((B("h"),), "u", "", virtual_host="v")),
        ("amqp://u@/?brokerlist='h'", JMSConnectionURL((B("h"),), "u")),
        (
            # With a comma between options, and with a path that means nothing.
            "amqp://u:p@/v?brokerlist='tcp://a:1;tcp://b:2/',failover='roundrobin?cyclecount='100''",
            JMSConnectionURL(
                (B("a", 1), B("b", 2)), "u", "p", None, "v", "roundrobin", failover_options={"cyclecount": "100"}
            ),
        ),
        (
            # As the high availability guide writes it.
            "amqp://guest:guest@clientid/test?brokerlist='tcp://localhost:5672',idle_timeout=3",
            JMSConnectionURL((B("localhost"),), "guest", "guest", "clientid", "test", options={"idle_timeout": "3"}),
        ),
        (
            "amqp:///t.-_+!=:?brokerlist='[::1]:7;127.0.0.1;'",
            JMSConnectionURL((B("::1", 7), B("127.0.0.1")), virtual_host="t.-_+!=:"),
        ),
        (
            "amqp:///?brokerlist='h?a='x=1&y;z'&b='''&c=''&",
            JMSConnectionURL((B("h", options={"a": "x=1&y;z", "b": ""}),), options={"c": ""}),
        ),
        (
            "amqp:///?a=1&a=2&brokerlist='x'&brokerlist='y'&failover='f?k=1'&failover='g'",
            JMSConnectionURL((B("y"),), failover="g", options={"a": "2"}),
        ),
        ("  amqp:///?brokerlist='h?a='%27%C3%A9%20'' \n", JMSConnectionURL((B("h", options={"a": "'é "}),))),
        ("amqp:///?brokerlist=a?x=1&y=2;b", JMSConnectionURL((B("a", options={"x": "1", "y": "2"}), B("b")))),
    ],
)
def test_forms(text: str, expected: JMSConnectionURL) -> None:
    assert parse(text) == expected
    assert parse(str(expected)) == expected


@pytest.mark.parametrize(
    ("text", "column", "message"),
    [
        ("", 1, "expected amqp://"),
        ("http://x/?brokerlist='h'", 1, "expected amqp://"),
        ("amqp://c/test", 14, "expected a broker list behind a question mark"),
        ("amqp://c/?", 11, "expected a broker list"),
        ("amqp://c/?maxprefetch='1'", 26, "expected a broker list"),
        ("amqp://c/?brokerlist=''", 23, "expected a host"),
        ("amqp://c/?brokerlist='vm://:1'", 23, "expected tcp://, the only transport"),
        ("amqp://c/?brokerlist='h:'", 24, "expected a port"),
        ("amqp://c/?brokerlist='h:65536'", 30, "expected a port between 0 and 65535"),
        ("amqp://c/?brokerlist='h;tcp://", 31, "expected a host"),
        ("amqp://c/?brokerlist='h", 24, "expected a separator or the closing quote"),
        ("amqp://c/?brokerlist='h'+failover='x'", 25, "expected &, a comma or the end"),
        ("amqp://c/?brokerlist='h?retries'", 32, "expected ="),
        ("amqp://c/?brokerlist='h?retries='2&x=1", 33, "a quote that is not closed"),
        ("amqp://c/?brokerlist='h?='2''", 25, "expected the name of an option"),
        ("amqp://c/?brokerlist='h'&failover=''", 36, "expected a fail-over method"),
        ("amqp://:p@c/?brokerlist='h'", 8, "expected a user"),
        ("amqp://u:p/?brokerlist='h'", 8, "expected an @ between the password and the client id"),
        ("amqp://c/%ff?brokerlist='h'", 13, "percent-encoding that is not UTF-8"),
        ("amqp://c/?brokerlist='h'&a='%ff'", 33, "percent-encoding that is not UTF-8"),
    ],
)
def test_errors_say_where(text: str, column: int, message: str) -> None:
    with pytest.raises(URLError) as caught:
        parse(text)
    assert (caught.value.line, caught.value.column) == (1, column), caught.value
    assert caught.value.message.startswith(message)


@pytest.mark.parametrize(
    "text",
    [
        "amqp://u:SECRET@c/?brokerlist='h:x'",
        "amqp://u:SECRET/?brokerlist='h'",
        "amqp://u:SECRET%ff@c/?brokerlist='h'",
        "amqp://u:x/SECRET@c/?brokerlist='h'",
        "amqp://c/?brokerlist='h?trust_store_password='SECRET'&x'",
        "amqp://c/?brokerlist='h?key_store_password='SECRET",
        "amqp://c/?brokerlist='h?key_store_password=SECRET SECRET",
        "amqp://c/?brokerlist='h'&password='SECRET%ff'",
    ],
)
def test_errors_keep_passwords(text: str) -> None:
    with pytest.raises(URLError) as caught:
        parse(text)
    assert caught.value.__context__ is None
    assert "SECRET" not in f"{caught.value} {caught.value!r} {vars(caught.value)}"


def test_broker_urls_are_other_urls() -> None:
    for text in (
        "localhost:5672",
        "amqp:a,b",
        "amqp://u:p@h/v?x=1",
        "amqp://brokerlist=x/",
        "amqp://h?my_brokerlist=x",
    ):
        assert not JMSConnectionURL.matches(text)


def test_urls_that_cannot_be_written_are_refused() -> None:
    for wrong in (
        lambda: JMSConnectionURL(()),
        lambda: JMSConnectionURL((B("h"),), password="p"),
        lambda: JMSConnectionURL((B("h"),), user=""),
        lambda: JMSConnectionURL((B("h"),), failover=""),
        lambda: JMSConnectionURL((B("h"),), failover_options={"a": ""}),
        lambda: JMSConnectionURL((B("h"),), options={"brokerlist": "h"}),
        lambda: JMSConnectionURL((B("h"),), options={"a b": ""}),
        lambda: B("h;i"),
        lambda: B("h", 65536),
        lambda: B("h", options={"": "1"}),
    ):
        with pytest.raises(ValueError, match=r"."):
            wrong()


NAMES = st.from_regex(r"[A-Za-z_][A-Za-z0-9_.$-]{0,8}", fullmatch=True)
TEXTS = st.text(max_size=10) | st.text("ab':/@%?&=#,;[] ***", max_size=8)
SOME = st.none() | TEXTS.filter(bool)
SETTINGS = st.dictionaries(NAMES, TEXTS, max_size=3)
HOSTS = (
    st.from_regex(r"[a-z0-9][a-z0-9.-]{0,9}", fullmatch=True)
    | st.ip_addresses().map(str)
    | st.sampled_from(["tcp", "amqp", "5672", "hö", "fe80::1%eth0"])
)
BROKERS = st.builds(JMSBroker, HOSTS, st.integers(min_value=0, max_value=65535), SETTINGS)
METHODS = st.just((None, {})) | st.tuples(NAMES, SETTINGS)
CREDENTIALS = st.just((None, None)) | st.tuples(TEXTS.filter(bool), st.none() | TEXTS)
URLS = st.builds(
    lambda brokers, who, client, host, method, options: JMSConnectionURL(
        tuple(brokers), who[0], who[1], client, host, method[0], method[1], options
    ),
    st.lists(BROKERS, min_size=1, max_size=4),
    CREDENTIALS,
    SOME,
    SOME,
    METHODS,
    st.dictionaries(NAMES.filter(lambda name: name not in ("brokerlist", "failover")), TEXTS, max_size=3),
)


@given(URLS)
def test_printing_is_lossless(url: JMSConnectionURL) -> None:
    assert parse(str(url)) == url
    assert str(parse(str(url))) == str(url)
    assert JMSConnectionURL.matches(str(url))


@given(URLS, TEXTS, TEXTS)
def test_redacted_says_nothing_of_the_passwords(url: JMSConnectionURL, one: str, other: str) -> None:
    first, second = (
        replace(url, user="u", password=p, brokers=(B("h", options={"key_store_password": p}),)) for p in (one, other)
    )
    assert repr(first) == repr(second)


PIECES = TEXTS | st.text("amqp://u:p@h1?brokerlist='tcp://h;x=,&", max_size=20)


def outcome(text: str) -> JMSConnectionURL | URLError:
    try:
        return parse(text)
    except URLError as error:
        return error


@given(PIECES, PIECES)
def test_any_text_is_a_url_or_an_error(before: str, after: str) -> None:
    for text in (before + after, f"amqp://{before}?brokerlist='{after}'", f"amqp:///?brokerlist='h{before}'&{after}"):
        url = outcome(text)
        if isinstance(url, URLError):
            assert 0 <= url.position <= len(url.text)
        else:
            assert parse(str(url)) == url
