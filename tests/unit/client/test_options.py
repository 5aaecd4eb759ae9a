"""Connection options, the list of brokers, and when to try which."""

from __future__ import annotations

import pytest

from qpid_messaging import ConnectError, Connection, ConnectionError, exceptions
from qpid_messaging.core.connection import client_properties
from qpid_messaging.options import ConnectionOptions
from qpid_messaging.reconnect import ReconnectPolicy


def parse(url: str | None = "localhost", **options: object) -> ConnectionOptions:
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
    assert len(parse("a", reconnect_urls=["b"]).brokers()) == 1, "without reconnect they are not asked for"
    assert len(parse("a", reconnect=True, reconnect_urls="b").brokers()) == 2


def test_names_with_hyphens() -> None:
    assert parse(**{"reconnect-interval-min": 3}).reconnect_interval_min == 3


def test_every_option_of_the_peer_is_an_attribute() -> None:
    connection = Connection("user/secret@host:1", heartbeat=3, reconnect=True)
    assert (connection.username, connection.password, connection.host, connection.port) == ("user", "secret", "host", 1)
    assert (connection.transport, connection.heartbeat, connection.reconnect) == ("tcp", 3, True)
    assert (connection.sasl_service, connection.address_ttl, connection.tcp_nodelay) == ("qpidd", 60, True)
    connection.reconnect_urls = ["other"]
    assert len(connection._core.policy.brokers()) == 2


def test_client_properties() -> None:
    properties = client_properties({"mine": 1})
    assert properties["product"] == "qpid python client"
    assert properties["mine"] == 1
    assert {"qpid.client_process", "qpid.client_pid", "qpid.client_ppid"} <= set(properties)


@pytest.mark.parametrize("options", [{"heartbeat": -1}, {"heartbeat": True}, {"reconnect_interval": "1"}, {"no": 1}])
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
