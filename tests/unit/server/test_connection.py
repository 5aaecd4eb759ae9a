"""Connections: who may come in, time-outs, heartbeats, closing; options and users."""

from __future__ import annotations

from pathlib import Path

import pytest

from qpid_messaging.amqp import commands as c
from qpid_messaging.amqp.connection import ClientConnection
from qpid_messaging.amqp.events import Closed, Opened
from qpid_messaging.amqp.framing import PROTOCOL_HEADER, Decoder, encode
from qpid_messaging.amqp.sasl import choose
from qpid_server.broker import Broker
from qpid_server.connection import ConnectionHandler
from qpid_server.observer import Observer
from qpid_server.option_sources import parse_options
from qpid_server.options import OptionError, Options
from qpid_server.security.authenticator import Authenticator
from qpid_server.security.users import UsersFile

from .driver import Link, advance, make_broker


@pytest.fixture
def users(tmp_path: Path) -> UsersFile:
    users = UsersFile(tmp_path / "users")
    users.add("bob", "sécret")
    return users


def outcome(broker: Broker, users: UsersFile | None, username: str | None, password: str | None) -> object:
    client = ClientConnection(lambda offered: choose(offered, username, password))
    handler = ConnectionHandler(broker, "test:1", Authenticator(users))
    events: list[object] = []
    for _ in range(6):
        handler.receive(client.data_to_send())
        events += client.receive(handler.data_to_send())
    return events[-1] if events else None


def test_users_come_in_with_their_password(users: UsersFile) -> None:
    assert isinstance(outcome(make_broker(), users, "bob", "sécret"), Opened)


@pytest.mark.parametrize(("name", "password"), [("bob", "wrong"), ("alice", "sécret"), ("bob", "")])
def test_nobody_else_does(users: UsersFile, name: str, password: str) -> None:
    broker = make_broker()
    closed = outcome(broker, users, name, password)
    assert isinstance(closed, Closed)
    assert (closed.code, closed.by_peer) == (320, True)
    assert "sécret" not in closed.text


def test_server_properties() -> None:
    broker = make_broker()
    properties = Link(broker).client.server_properties
    assert set(properties) == {"product", "version", "platform", "host", "qpid.federation_tag"}
    assert properties["qpid.federation_tag"] == broker.federation_tag


def test_every_virtual_host_is_the_one() -> None:
    """As in the C++ broker: connection URLs of Java clients always name one."""
    broker = make_broker()
    client = ClientConnection(choose, virtual_host="/test")
    handler = ConnectionHandler(broker, "test:1", Authenticator())
    events: list[object] = []
    for _ in range(5):
        handler.receive(client.data_to_send())
        events += client.receive(handler.data_to_send())
    assert isinstance(events[-1], Opened)
    assert handler.virtual_host == "/test"


def test_admission() -> None:
    """Who decides over roles can turn clients away when they open a connection."""
    broker = make_broker()
    broker.admission = lambda connection: (
        None if connection.client_properties.get("qpid.ha-admin") else (320, "a backup")
    )
    assert Link(broker).closed is not None
    assert Link(broker, **{"qpid.ha-admin": 1}).closed is None


@pytest.mark.parametrize("sent", [b"", b"AMQ", PROTOCOL_HEADER])
def test_who_does_not_negotiate_is_closed(sent: bytes) -> None:
    broker = make_broker(max_negotiate_time=2000)
    handler = ConnectionHandler(broker, "test:1", Authenticator())
    handler.receive(sent)
    advance(broker, 1.9)
    assert not handler.finished
    advance(broker, 0.2)
    assert handler.finished


def test_heartbeats() -> None:
    broker = make_broker()
    link = Link(broker, heartbeat=10)
    assert link.client.heartbeat == 10
    for _ in range(4):
        advance(broker, 5)
        (heartbeat,) = Decoder().feed(link.handler.data_to_send())
        assert isinstance(heartbeat[1], c.ConnectionHeartbeat)
        link.handler.receive(encode(0, c.ConnectionHeartbeat()))
    advance(broker, 10)
    assert not link.handler.finished
    advance(broker, 10)
    assert link.handler.finished


def test_a_client_is_not_silent_while_it_is_not_listened_to() -> None:
    broker = make_broker()
    link = Link(broker, heartbeat=10)
    link.handler.hold()
    advance(broker, 60)
    assert not link.handler.finished
    link.handler.release()
    advance(broker, 10)
    assert not link.handler.finished
    advance(broker, 10)
    assert link.handler.finished


def test_silence_ends_when_its_time_is_reached_to_the_last_digit() -> None:
    broker = make_broker()
    broker.clock.now = 3.812  # plus 2 and minus itself: less than 2
    link = Link(broker, heartbeat=1)
    link.handler.awaited = True
    while not link.handler.finished:
        due = broker.timers.due
        assert due is not None
        assert due <= 3.812 + 2
        broker.clock.now = due
        broker.timers.run(due)
    assert broker.clock.now == 3.812 + 2


def test_no_heartbeats_unless_asked_for() -> None:
    broker = make_broker()
    link = Link(broker)
    advance(broker, 1000)
    assert not link.handler.finished
    assert not link.handler.data_to_send()


def test_close_from_either_side() -> None:
    broker = make_broker()
    link = Link(broker)
    link.session().declare("q", exclusive=True, auto_delete=True)
    link.client.close()
    link.pump()
    assert link.handler.finished
    link.handler.lost()
    assert not broker.queues
    link = Link(broker)
    link.handler.close(320, "enough")
    link.pump()
    assert link.closed is not None
    assert (link.closed.code, link.closed.text) == (320, "enough")
    assert link.handler.finished


def test_a_client_that_does_not_agree_to_close_is_dropped() -> None:
    broker = make_broker()
    link = Link(broker)
    link.handler.close(320, "enough")
    advance(broker, 6)
    assert link.handler.finished


def test_observers_are_told() -> None:
    broker = make_broker()
    seen: list[str] = []

    class Watcher(Observer):
        def __getattribute__(self, name: str) -> object:
            if name.startswith("_"):
                return object.__getattribute__(self, name)
            return lambda *arguments: seen.append(name)

    broker.observers.append(Watcher())
    link = Link(broker)
    peer = link.session()
    peer.declare("q", auto_delete=True)
    peer.do(c.ExchangeDeclare(exchange="e", type="fanout", auto_delete=True))
    peer.do(c.ExchangeBind(queue="q", exchange="e"))
    peer.subscribe()
    link.lose()
    assert seen == [
        "connected",
        "attached",
        "queue_created",
        "exchange_created",
        "bound",
        "subscribed",
        "unsubscribed",
        "unbound",
        "queue_deleted",
        "exchange_deleted",
        "detached",
        "disconnected",
    ]


# -- options


def test_precedence(tmp_path: Path) -> None:
    file = tmp_path / "qpidd.conf"
    file.write_text("# comment\nport=1\nmax-connections = 5 # more\nauth=no\ninterface=127.0.0.1\ninterface=::1\n")
    options, ignored = parse_options(
        ["--port", "3", "--worker-threads", "4"],
        {"QPID_CONFIG": str(file), "QPID_PORT": "2", "QPID_MAX_CONNECTIONS": "6", "QPID_MODULE_DIR": "/x", "HOME": "/"},
    )
    assert (options.port, options.max_connections, options.auth) == (3, 6, False)
    assert options.interface == ("127.0.0.1", "::1")
    assert sorted(ignored) == ["module-dir", "worker-threads"]


def test_defaults() -> None:
    options, ignored = parse_options([], {})
    assert options == Options()
    assert not ignored
    assert (options.link_maintenance_interval, options.link_heartbeat_interval) == (2, 5)
    assert (options.ha_backup_timeout, options.ha_replicate, options.ha_min_replicas) == (10, "none", 0)
    assert options.auth
    assert parse_options(["--no-data-dir"], {})[0].data_path is None
    assert parse_options(["--data-dir", "/d"], {})[0].users_path == Path("/d/qpidd.users")


@pytest.mark.parametrize(
    "arguments",
    [
        ["--nonsense"],
        ["--port", "x"],
        ["--port", "70000"],
        ["--auth", "perhaps"],
        ["--ha-replicate", "some"],
        ["--config", "/does/not/exist"],
        ["--po", "1"],
        ["stray"],
        ["--max-negotiate-time", "0"],
    ],
)
def test_wrong_options(arguments: list[str]) -> None:
    with pytest.raises(OptionError):
        parse_options(arguments, {})


def test_wrong_line_in_the_file(tmp_path: Path) -> None:
    file = tmp_path / "qpidd.conf"
    file.write_text("\nnonsense=1\n")
    with pytest.raises(OptionError, match=r"qpidd.conf:2.*nonsense"):
        parse_options(["--config", str(file)], {})


def test_a_client_that_is_held_gets_answers_and_is_carried_out_later() -> None:
    broker = make_broker()
    link = Link(broker)
    peer = link.session()
    link.handler.hold()
    assert link.handler.paused
    peer.do(c.QueueDeclare(queue="later"))
    assert "later" not in broker.queues
    link.handler.release()
    peer.update()
    assert not link.handler.paused
    assert "later" in broker.queues
    assert 0 in peer.completed


def test_what_a_client_says_after_the_end_is_not_carried_out() -> None:
    broker = make_broker()
    held, dropped = (Link(broker).session(name) for name in (b"held", b"dropped"))
    held.link.handler.hold()
    for peer in (held, dropped):
        peer.link.handler.abort("enough")
        peer.do(c.QueueDeclare(queue="late"))
    held.link.handler.release()
    assert "late" not in broker.queues
    assert held.failure is dropped.failure is None
