"""Connection options, the list of brokers, and when to try which."""

from __future__ import annotations

from dataclasses import fields
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from qpid_address import BrokerAddress

from qpid_messaging import ConnectError, Connection, ConnectionError, aio, exceptions
from qpid_messaging.core.login import client_properties
from qpid_messaging.option_values import OPTIONS
from qpid_messaging.options import ConnectionOptions
from qpid_messaging.reconnect import ReconnectPolicy


def parse(url: Any = "localhost", **options: object) -> ConnectionOptions:
    return ConnectionOptions.parse(url, options)


def test_the_url_goes_first() -> None:
    options = parse("amqp://user:secret@host:1234", username="other", password="x", port=7)
    assert (options.username, options.password, options.host, options.port) == ("user", "secret", "host", 1234)
    options = parse("host", username="u", password="p", port=7)
    assert (options.username, options.password, options.port) == ("u", "p", 7)
    options = parse("guest/guest@host")
    assert (options.username, options.password, options.port) == ("guest", "guest", 5672)
    assert parse(None, host="h").host == "h"


@pytest.mark.parametrize(
    ("url", "transport", "expected"),
    [
        ("host", None, "tcp:host:5672"),
        ("amqps://host", None, "ssl:host:5671"),
        ("host", "ssl", "ssl:host:5671"),
        ("host", "tcp+tls", "ssl:host:5671"),
        ("[::1]:3", None, "tcp:[::1]:3"),
    ],
)
def test_transport_and_port(url: str, transport: str | None, expected: str) -> None:
    assert [str(broker) for broker in parse(url, transport=transport).brokers()] == [expected]


def test_brokers_in_order_and_once() -> None:
    options = parse("amqp:tcp:a:1,tcp:b:2", reconnect=True, reconnect_urls=["b:2", "c", "amqp:tcp:d:4,tcp:a:1"])
    assert [str(broker) for broker in options.brokers()] == ["tcp:a:1", "tcp:b:2", "tcp:c:5672", "tcp:d:4"]
    once = parse("amqp:tcp:a:1,tcp+tls:b:2,ssl:b:2")
    assert [str(broker) for broker in once.brokers()] == ["tcp:a:1", "ssl:b:2"], "tcp+tls is ssl"
    assert len(parse("a", reconnect_urls=["b"]).brokers()) == 1, "without reconnect they are not asked for"
    assert len(parse("a", reconnect=True, reconnect_urls="b").brokers()) == 2


def test_a_url_taken_apart() -> None:
    """`qpid.util.URL` is one, and so is whatever has the same attributes."""
    options = parse(SimpleNamespace(scheme="amqps", user="ann", password="secret", host="::1", port=None))
    assert [str(broker) for broker in options.brokers()] == ["ssl:[::1]:5671"]
    assert (options.username, options.password, options.transport) == ("ann", "secret", "ssl")
    backup = SimpleNamespace(scheme=None, user=None, password=None, host="b", port=0)
    options = parse(backup, reconnect=True, reconnect_urls=[backup, "c:0"])
    assert [str(broker) for broker in options.brokers()] == ["tcp:b:0", "tcp:c:0"]


@pytest.mark.parametrize(
    "url",
    [
        7,
        SimpleNamespace(host="a"),
        SimpleNamespace(scheme=None, user=None, password="secret", host="a", port=None),
        SimpleNamespace(scheme=None, user=None, password=None, host=None, port=None),
        SimpleNamespace(scheme=None, user=None, password=None, host="a", port=70000),
    ],
)
def test_what_is_no_url(url: object) -> None:
    with pytest.raises(ConnectError, match="broker URL"):
        parse(url)


def test_names_with_hyphens() -> None:
    assert parse(**{"reconnect-interval-min": 3}).reconnect_interval_min == 3


def test_every_option_of_the_peer_is_an_attribute() -> None:
    connection = Connection("user/secret@host:1", heartbeat=3, reconnect=True)
    assert (connection.username, connection.password, connection.host, connection.port) == ("user", "secret", "host", 1)
    assert (connection.transport, connection.heartbeat, connection.reconnect) == ("tcp", 3, True)
    assert (connection.sasl_service, connection.address_ttl, connection.tcp_nodelay) == ("qpidd", 60, True)
    connection.reconnect_urls = ["other"]
    assert len(connection._core.policy.brokers()) == 2


def test_every_option_is_in_every_place() -> None:
    names = {option.name for option in fields(ConnectionOptions)}
    assert set(OPTIONS) == names
    assert not {name for name in names if not hasattr(Connection, name)}
    documented = Connection.__doc__ or ""
    assert not {name for name in names - {"sasl_max_ssf"} if name not in documented}


@pytest.mark.parametrize("kind", [Connection, aio.Connection])
def test_options_as_a_map_and_as_text(kind: Any) -> None:
    """As the C++ client and its Python binding take them."""
    text = "{reconnect:true, heartbeat:10, reconnect-interval-min:0.5, sasl_mechanisms:'PLAIN', tcp-nodelay:False}"
    for options in (text, {"reconnect": "true", "heartbeat": "10", "reconnect-interval_min": ".5"}):
        connection = kind("host", options)
        assert (connection.reconnect, connection.heartbeat, connection.reconnect_interval_min) == (True, 10, 0.5)
    assert (kind("host", text).tcp_nodelay, kind("host", text).sasl_mechanisms) == (False, "PLAIN")
    assert kind("host", text, heartbeat=3).heartbeat == 3, "keyword arguments go first"
    assert kind("host", "").reconnect is False
    with pytest.raises(ConnectionError, match=r"invalid connection options: 1:12: expecting"):
        kind("host", "{reconnect:}")
    with pytest.raises(ConnectionError, match="a map or text"):
        kind("host", 7)


def test_names_of_the_cpp_client() -> None:
    options = parse(
        **{
            "sasl-mechanism": "PLAIN",
            "ssl-ignore-hostname-verification-failure": 1,
            "properties": {"a": 1},
            "reconnect-urls": "b",
            "reconnect": "yes",
            "x-reconnect-on-limit-exceeded": False,
            "ssl_trustfile": Path("ca.pem"),
        }
    )
    assert (options.sasl_mechanisms, options.ssl_skip_hostname_check) == ("PLAIN", True)
    assert (options.client_properties, options.reconnect_urls, options.ssl_trustfile) == ({"a": 1}, ["b"], "ca.pem")


@pytest.mark.parametrize(
    ("name", "value", "why"),
    [
        ("nest-annotations", True, "AMQP 1.0"),
        ("set_to_on_send", True, "AMQP 1.0"),
        ("redelivery-timeout", 1, "AMQP 1.0"),
        ("max-delivery-attempts", 1, "AMQP 1.0"),
        ("raise-rejected", True, "AMQP 1.0"),
        ("address-passthrough", True, "AMQP 1.0"),
        ("bounds", 2, "capacity"),
        ("ssl-cert-name", "x", "ssl_certfile"),
        ("x-reconnect-on-limit-exceeded", True, "TargetCapacityExceeded"),
        ("max-frame-size", 4095, "a number of bytes, 4096 to 65535, not 4095"),
        ("max-channels", 0, "a number of channels"),
        ("port", "http", "a port"),
        ("reconnect", "perhaps", "true or false"),
        ("reconnect_limit", 1.5, "a number of rounds"),
        ("heartbeat", float("nan"), "a number of seconds"),
        ("client-properties", "x", "a map"),
        ("sasl_mechanisms", 1, "names"),
        ("reconnect_urls", 1, "URLs"),
        ("ssl_keyfile", 1, "file"),
        ("username", 1, "text"),
    ],
)
def test_options_that_cannot_be_had_are_refused_by_name(name: str, value: object, why: str) -> None:
    with pytest.raises(ConnectionError, match=why) as caught:
        parse(**{name: value})
    assert name in str(caught.value)


def test_passwords_stay_out_of_errors() -> None:
    for options in ({"password": 12345}, {"pasword": "12345"}):
        with pytest.raises(ConnectionError) as caught:
            parse(**options)
        assert "12345" not in str(caught.value)


def test_urls_that_name_another_user() -> None:
    options = parse("ann/a@one:1", reconnect=True, reconnect_urls=["bob/b@two:2", "three:3"], heartbeat=4)
    two, three = BrokerAddress("tcp", "two", 2), BrokerAddress("tcp", "three", 3)
    assert (options.at(two).username, options.at(two).password, options.at(two).heartbeat) == ("bob", "b", 4)
    assert options.at(three) is options
    assert (options.username, options.password) == ("ann", "a")


def test_urls_that_replace_the_list() -> None:
    """What the C++ client does with reconnect-urls-replace: nothing at first, and later on it counts."""
    connection = Connection("a:1", reconnect=True, reconnect_urls=["b:2"])
    brokers = connection._core.policy.brokers
    connection.reconnect_urls = ["c:3"]
    assert [broker.host for broker in brokers()] == ["a", "c"]
    connection.setOption("reconnect-urls-replace", True)
    assert [broker.host for broker in brokers()] == ["a", "c"]
    connection.setOption("reconnect-urls", "d:4")
    assert [broker.host for broker in brokers()] == ["d"]
    connection._core._learn(["amqp:tcp:e:5"])
    assert [broker.host for broker in brokers()] == ["e"]
    connection.reconnect_urls = ["f:6"]
    assert [broker.host for broker in brokers()] == ["f"], "what was told before is replaced, too"
    connection = Connection("a:1", reconnect=True, reconnect_urls=["b:2"], reconnect_urls_replace=True)
    assert [broker.host for broker in connection._core.policy.brokers()] == ["a", "b"]


def test_options_are_checked_whenever_they_are_set() -> None:
    connection = Connection("host", reconnect_timeout=3)
    connection.reconnect_timeout = None
    assert connection.reconnect_timeout is None
    connection.reconnect = 1
    assert connection.reconnect is True
    with pytest.raises(ConnectionError, match="heartbeat is a number"):
        connection.heartbeat = "often"
    connection.host, connection.port = "other", "99"
    assert [str(broker) for broker in connection._core.policy.brokers()] == ["tcp:other:99"]


def test_client_properties() -> None:
    properties = client_properties({"mine": 1})
    assert properties["product"] == "qpid python client"
    assert properties["mine"] == 1
    assert {"qpid.client_process", "qpid.client_pid", "qpid.client_ppid"} <= set(properties)


@pytest.mark.parametrize("options", [{"heartbeat": -1}, {"heartbeat": True}, {"reconnect_interval": "soon"}, {"no": 1}])
def test_what_cannot_be(options: dict[str, object]) -> None:
    with pytest.raises(ConnectionError):
        parse(**options)


def test_bad_reconnect_urls_are_said_when_they_are_used() -> None:
    with pytest.raises(ConnectError, match="invalid broker URL"):
        parse(reconnect=True, reconnect_urls=["no url"]).brokers()


# -- the policy


def policy(**options: object) -> ReconnectPolicy:
    return ReconnectPolicy(parse("amqp:tcp:a:1,tcp:b:2", reconnect=True, **options))


def waits(policy: ReconnectPolicy, count: int, *, answered: bool = True) -> list[float]:
    """Seconds between the rounds of a campaign that never succeeds."""
    now = policy.begin(0.0)
    found: list[float] = []
    while len(found) < count:
        policy.next_broker()
        later = policy.failed(now, answered=answered)
        assert later is not None
        if policy._todo:
            assert later == now, "within a round there is no pause"
        else:
            found.append(later - now)
        now = later
    return found


def test_the_first_pauses_are_short_and_double() -> None:
    pauses = waits(policy(), 12)
    assert 0.01 <= pauses[0] < 0.03
    assert all(0.01 * 2**n <= pause <= 0.01 * 2**n * 1.6 + 0.01 for n, pause in enumerate(pauses[:6]))
    assert all(pause <= 1.1 for pause in pauses)
    assert pauses[-1] >= 1


def test_where_nothing_answers_they_grow_on() -> None:
    pauses = waits(policy(), 16, answered=False)
    assert pauses[-1] >= 120
    assert max(waits(policy(reconnect_interval_max=5), 16, answered=False)) <= 5.5


def test_explicit_intervals() -> None:
    assert waits(policy(reconnect_interval_min=2, reconnect_interval_max=5), 4) == [2, 4, 5, 5]
    assert waits(policy(reconnect_interval=3), 3) == [3, 3, 3]
    assert waits(policy(reconnect_interval_min=0), 3) == [0, 0, 0]


def test_each_round_begins_behind_the_one_that_was_lost() -> None:
    p = policy()
    p.begin(0.0)
    assert p.next_broker().host == "a"
    p.succeeded()
    p.begin(1.0)
    assert [p.next_broker().host for _ in range(3)] == ["b", "a", "b"]


def test_what_a_broker_tells_comes_behind_the_list_or_in_its_place() -> None:
    p = policy()
    assert p.learn(["b:2", "c:3"])
    assert not p.learn(["b:2", "c:3"]), "no news"
    assert not p.learn([]), "nobody else is no reason to forget"
    assert [broker.host for broker in p.brokers()] == ["a", "b", "c"]
    p.learn(["d:4"])
    assert [broker.host for broker in p.brokers()] == ["a", "b", "d"]
    p = policy(reconnect_urls_replace=True)
    assert [broker.host for broker in p.brokers()] == ["a", "b"], "until it is told of some"
    p.learn(["d:4", "e:5"])
    p.begin(0.0)
    assert [p.next_broker().host for _ in range(3)] == ["d", "e", "d"]


def test_of_what_a_broker_tells_only_our_transport_counts() -> None:
    both = ["amqp:tcp:a:5672", "amqp:ssl:a:5671", "amqp:ssl:b"]
    secure = ReconnectPolicy(parse("amqps://x", reconnect=True))
    secure.learn(both)
    assert [str(broker) for broker in secure.brokers()[1:]] == ["ssl:a:5671", "ssl:b:5671"]
    secure.learn(["amqp:tcp:c:7"])
    assert [str(broker) for broker in secure.brokers()[1:]] == ["ssl:c:7"], "never without encryption"
    plain = policy()
    plain.learn(both)
    assert [str(broker) for broker in plain.brokers()[2:]] == ["tcp:a:5672"]


def test_limits() -> None:
    p = policy(reconnect_limit=1)
    now = p.begin(0.0)
    results = []
    for _ in range(4):
        p.next_broker()
        results.append(p.failed(now, answered=True) is None)
    assert results == [False, False, False, True]
    p = policy(reconnect_timeout=10)
    p.begin(0.0)
    p.next_broker()
    assert p.failed(9.9, answered=True) is not None
    p.next_broker()
    assert p.failed(10.0, answered=True) is None


def test_hopeless_only_where_all_are() -> None:
    p = policy()
    p.begin(0.0)
    p.next_broker()
    assert p.failed(0.0, answered=True, fatal=True) == 0.0, "the next one may be another"
    p.next_broker()
    assert p.failed(0.0, answered=True, fatal=True) is None


def test_without_reconnect_each_broker_is_tried_once() -> None:
    p = ReconnectPolicy(parse("amqp:tcp:a:1,tcp:b:2"))
    p.begin(0.0, initial=True)
    p.next_broker()
    assert p.failed(0.0, answered=True) == 0.0
    p.next_broker()
    assert p.failed(0.0, answered=True) is None


# -- exceptions


def test_the_tree_of_exceptions() -> None:
    parents = {
        "AddressError": "LinkError",
        "AssertionFailed": "ResolutionError",
        "AuthenticationFailure": "ConnectError",
        "ConnectError": "ConnectionError",
        "ConnectionClosed": "ConnectionError",
        "ConnectionError": "MessagingError",
        "ContentError": "MessagingError",
        "DecodeError": "ContentError",
        "Detached": "SessionError",
        "Empty": "FetchError",
        "EncodeError": "ContentError",
        "FetchError": "ReceiverError",
        "HeartbeatTimeout": "ConnectionError",
        "InsufficientCapacity": "LinkError",
        "InternalError": "MessagingError",
        "InvalidOption": "AddressError",
        "LinkClosed": "LinkError",
        "LinkError": "MessagingError",
        "MalformedAddress": "AddressError",
        "MessagingError": "Exception",
        "NontransactionalSession": "SessionError",
        "NotFound": "ResolutionError",
        "ReceiverError": "LinkError",
        "ResolutionError": "AddressError",
        "SendError": "SenderError",
        "SenderError": "LinkError",
        "ServerError": "SessionError",
        "SessionClosed": "SessionError",
        "SessionError": "MessagingError",
        "TargetCapacityExceeded": "SendError",
        "Timeout": "Exception",
        "TransactionAborted": "TransactionError",
        "TransactionError": "SessionError",
        "TransactionUnknown": "TransactionError",
        "UnauthorizedAccess": "SessionError",
        "VersionError": "ConnectError",
    }
    assert {name: getattr(exceptions, name).__base__.__name__ for name in exceptions.__all__} == parents


def test_exception_text() -> None:
    error = exceptions.MessagingError(404, "no such queue", queue="q")
    assert str(error) == "no such queue(404) queue='q'"
    assert (error.code, error.text, error.info) == (404, "no such queue", {"queue": "q"})
    assert str(exceptions.Empty()) == "None"
