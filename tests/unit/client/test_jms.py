"""What a connection URL of the JMS client makes of a connection, and of its search for a broker."""

from __future__ import annotations

import logging
from typing import Any

import pytest

from qpid_messaging import ConnectError, Connection, ConnectionError
from qpid_messaging.options import ConnectionOptions
from qpid_messaging.reconnect import ReconnectPolicy

EVERYTHING = (
    "amqp://guest:secret@me/test?brokerlist='tcp://h1:1?retries='2'&connectdelay='100';tcp://h2'"
    "&failover='roundrobin?cyclecount='2''"
)


def parse(url: str, **options: Any) -> ConnectionOptions:
    return ConnectionOptions.parse(url, options)


def with_brokers(brokers: str, rest: str = "", **options: Any) -> ConnectionOptions:
    return parse(f"amqp:///?brokerlist='{brokers}'{rest}", **options)


def search(options: ConnectionOptions, *, lost: bool = False, most: int = 50) -> list[tuple[str, float]]:
    """The attempts of a search that finds nobody: host, and the pause before it, whether from 10 ms up or none."""
    policy = ReconnectPolicy(options)
    now: float | None = policy.begin(0.0, initial=True)
    if lost:
        policy.next_broker()
        policy.succeeded()
        if not options.reconnect:
            return []
        now = policy.begin(0.0)
    found: list[tuple[str, float]] = []
    before = 0.0
    while now is not None and len(found) < most:
        found.append((policy.next_broker().host, round(now - before, 2)))
        before = now
        now = policy.failed(now, answered=True)
    return found


def hosts(attempts: list[tuple[str, float]]) -> str:
    return " ".join(host for host, _ in attempts)


def test_who_and_where() -> None:
    options = parse(EVERYTHING, username="other", client_properties={"a": 1})
    assert (options.username, options.password, options.virtualhost) == ("guest", "secret", "test")
    assert options.client_properties == {"clientName": "me", "a": 1}
    assert [str(broker) for broker in options.brokers()] == ["tcp:h1:1", "tcp:h2:5672"]
    assert (options.host, options.port, options.transport, options.reconnect) == ("h1", 1, "tcp", True)
    assert Connection(EVERYTHING).host == "h1"


def test_retries_delay_and_cycles() -> None:
    """The pauses of the connectdelay are those before a retry; before a round comes the policy's own."""
    attempts = search(parse(EVERYTHING))
    assert hosts(attempts) == "h1 h1 h1 h2 h2 h2 " * 2 + "h1 h1 h1 h2 h2 h2", "a first round and two more"
    assert [pause for _, pause in attempts[:6]] == [0, 0.1, 0.1, 0, 0.1, 0.1]
    assert 0 < attempts[6][1] < 0.1
    own = parse(EVERYTHING.replace("h2'", "h2?retries='0''"))
    assert hosts(search(own)) == "h1 h1 h1 h2 " * 2 + "h1 h1 h1 h2"
    # After a loss the next broker comes first.
    assert hosts(search(own, lost=True)[:8]) == "h2 h1 h1 h1 h2 h1 h1 h1"


@pytest.mark.parametrize(
    ("brokers", "rest", "first", "later"),
    [
        ("a;b", "", "a b a b", "b a b a"),  # several brokers: roundrobin, with one more round
        ("a;b", "&failover='roundrobin?cyclecount='0''", "a b", "b a"),
        ("a;b", "&failover='singlebroker'", "a", ""),
        ("a?retries='2';b", "&failover='singlebroker'", "a a a", "a a a"),
        ("a", "", "a", ""),
        ("a?retries='1'", "", "a a", "a a"),
        ("a", "&retries='1'", "a a", "a a"),
        ("a", "&failover='singlebroker?cyclecount='1''", "a a", "a a"),
        ("a?retries='9';b", "&failover='nofailover'", "a", ""),
        ("a", "&failover='failover_exchange'", "a a", "a a"),
    ],
)
def test_methods(brokers: str, rest: str, first: str, later: str) -> None:
    options = with_brokers(brokers, rest)
    assert hosts(search(options)) == first
    assert hosts(search(options, lost=True)) == later
    assert options.failover_updates is options.reconnect_urls_replace is ("exchange" in rest)


def test_options_of_ours_go_first() -> None:
    limited = parse(EVERYTHING, reconnect_limit=1, connect_retries=0)
    assert hosts(search(limited)) == "h1 h2 h1 h2"
    assert parse(EVERYTHING, reconnect=False).reconnect is False
    assert parse(EVERYTHING, failover_updates=True).failover_updates is True


def test_options_of_brokers() -> None:
    options = with_brokers(
        "a:1?heartbeat='5'&connecttimeout='3000'&sasl_mechs='PLAIN CRAM-MD5'&tcp_nodelay='false'&sasl_protocol='amqp'"
        ";b:2?heartbeat='7';c:3?ssl='true'&ssl_verify_hostname='false'&trusted_certs_path='/ca.pem'"
        "&client_cert_path='/c.pem'&client_cert_priv_key_path='/k.pem'",
        "&idle_timeout='2000'",
    )
    a, b, c = (options.at(broker) for broker in options.brokers())
    assert [str(broker) for broker in options.brokers()] == ["tcp:a:1", "tcp:b:2", "ssl:c:3"]
    assert (a.heartbeat, a.connect_timeout, a.sasl_mechanisms, a.tcp_nodelay) == (5, 3, "PLAIN CRAM-MD5", False)
    assert a.sasl_service == "amqp"
    assert (b.heartbeat, b.connect_timeout) == (7, 3), "what the first broker says holds for all"
    assert (c.heartbeat, options.heartbeat) == (2, 2), "but for what the connection says"
    assert (c.ssl_skip_hostname_check, c.ssl_trustfile, c.ssl_certfile, c.ssl_keyfile) == (
        True,
        "/ca.pem",
        "/c.pem",
        "/k.pem",
    )
    assert a.ssl_trustfile is None


@pytest.mark.parametrize(
    ("text", "heartbeat"),
    [
        ("idle_timeout='3'", 3),  # as in the high availability guide
        ("idle_timeout='3000'", 3),  # as in the client
        ("idle_timeout='3000'&heartbeat='9'", 9),
        ("heartbeat='9'&idle_timeout='3000'", 9),
        ("heartbeat='0'", 0),
    ],
)
def test_heartbeat(text: str, heartbeat: float) -> None:
    assert with_brokers("h", "&" + text).heartbeat == heartbeat
    assert with_brokers(f"h?{text}").heartbeat == heartbeat


def test_encryption_of_the_whole_connection() -> None:
    options = with_brokers("a;b:2?ssl='false'", "&ssl='true'")
    assert [str(broker) for broker in options.brokers()] == ["ssl:a:5672", "ssl:b:2"]
    assert options.transport == "ssl"
    assert str(with_brokers("a", transport="tcp+tls").brokers()[0]) == "ssl:a:5672"
    mixed = with_brokers("a?ssl='true';b")
    assert [str(broker) for broker in mixed.brokers()] == ["ssl:a:5672", "tcp:b:5672"]


@pytest.mark.parametrize(
    ("brokers", "rest", "complaint"),
    [
        ("a?retries='x'", "", "retries of a:5672 cannot be 'x'"),
        ("a?retries='-1'", "", "retries of a:5672 cannot be '-1'"),
        ("a?tcp_nodelay='maybe'", "", "tcp_nodelay of a:5672 cannot be 'maybe'"),
        ("a", "&heartbeat='often'", "heartbeat of the connection cannot be 'often'"),
        ("a?retrys='1'", "", "a:5672 has no option retrys; did you mean retries?"),
        ("a", "&failover='org.example.Method'", "no fail-over method org.example.Method; there are roundrobin"),
        ("a", "&failover='roundrobin?cycles='1''", "no option cycles, only cyclecount"),
        ("a", "&failover='roundrobin?cyclecount='x''", "cyclecount of failover cannot be 'x'"),
        ("a?trust_store='t.jks'", "", "trust_store of a:5672 cannot be had: .* ssl_trustfile"),
        ("a?key_store='k.jks'", "", "key_store of a:5672 cannot be had: .* ssl_certfile"),
        ("a?sasl_encryption='true'", "", "sasl_encryption of a:5672 cannot be had"),
        ("a?encryption_key_store='x'", "", "encryption_key_store .* cannot be encrypted"),
    ],
)
def test_what_cannot_be_had_is_refused_by_name(brokers: str, rest: str, complaint: str) -> None:
    with pytest.raises(ConnectError, match=complaint):
        with_brokers(brokers, rest)


def test_key_stores_can_be_made_up_for() -> None:
    stores = "a?trust_store='t.jks'&trust_store_password='x'&key_store='k.jks'&sasl_encryption='false'"
    options = with_brokers(stores, ssl_trustfile="ca.pem", ssl_certfile="me.pem")
    assert (options.ssl_trustfile, options.ssl_certfile) == ("ca.pem", "me.pem")


def test_what_is_for_the_jms_api_is_named_once(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING, "qpid_messaging"):
        with_brokers("a?sasl_server='x';b", "&maxprefetch='1'&sync_ack='true'")
        with_brokers("a")
    assert [record.getMessage() for record in caplog.records] == [
        "the connection URL's options for the JMS API mean nothing here: maxprefetch, sasl_server, sync_ack"
    ]


def test_bad_text() -> None:
    with pytest.raises(ConnectError, match=r"(?s)invalid broker URL: 1:37: a quote that is not closed.*\^") as caught:
        parse("amqp://u:SECRET@c/?brokerlist='h?retries='2")
    assert "SECRET" not in str(caught.value)
    with pytest.raises(ConnectError, match="stands alone"):
        parse("a", reconnect=True, reconnect_urls=[EVERYTHING]).brokers()
    with pytest.raises(ConnectionError, match="protocol"):
        parse(EVERYTHING, protocol="amqp1.0")
