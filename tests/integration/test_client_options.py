"""Options of a connection, as the broker meets them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

import qpid_server
from qpid_messaging import AuthenticationFailure, ConnectError, Connection, Message, SessionError
from qpid_messaging.broker_events import BrokerEvent, BrokerFailed, BrokerTried
from qpid_server.security.users import UsersFile
from tests.integration.test_client_connect import nobody


@pytest.fixture(scope="module")
def broker() -> Iterator[qpid_server.Running]:
    with qpid_server.running() as running:
        yield running


def test_channels_and_frames(broker: qpid_server.Running) -> None:
    options = "{max-channels: 2, max-frame-size: 4096, locale: en_US, virtualhost: test}"
    with Connection.establish(broker.url, options=options, timeout=10) as connection:
        session = connection.session()
        session.sender("q; {create: always}").send(b"x" * 20_000, timeout=10)
        assert session.receiver("q").fetch(timeout=10).content == b"x" * 20_000
        session.acknowledge()
        connection.session().sender("amq.topic")
        with pytest.raises(SessionError, match="all 2 channels"):
            connection.session().sender("amq.topic")


def test_maps_and_lists_as_they_come(broker: qpid_server.Running) -> None:
    with Connection.establish(broker.url, timeout=10, disable_auto_decode=True) as connection:
        session = connection.session()
        sender, receiver = session.sender("maps; {create: always}"), session.receiver("maps")
        for content in ({"a": 1}, [1, 2], "text"):
            sender.send(Message(content), timeout=10)
        kinds = []
        for _ in range(3):
            message = receiver.fetch(timeout=10)
            kinds.append((message.content_type, type(message.content)))
        assert kinds == [("amqp/map", bytes), ("amqp/list", bytes), ("text/plain", str)]
        session.acknowledge()


def test_a_session_that_another_process_takes_up(broker: qpid_server.Running) -> None:
    """What the first one sent is known to have come: the second one counts on from there."""

    def establish() -> Connection:
        return Connection.establish(broker.url, timeout=10, reconnect=True, container_id="accounts")

    first = establish()
    session = first.session("booking")
    assert session.name == "accounts:booking"
    assert first.session().name.startswith(first.id), "the others are nobody else's"
    sender = session.sender("bookings; {create: always}")
    for number in range(3):
        sender.send(f"{number}", timeout=10)
    first._abandon()
    with establish() as second:
        session = second.session("booking")
        sender = session.sender("bookings")
        sender.send("3", timeout=10)
        receiver = session.receiver("bookings")
        assert [receiver.fetch(timeout=10).content for _ in range(4)] == ["0", "1", "2", "3"]
        session.acknowledge()


def test_a_url_of_the_list_names_another_user(tmp_path: Path) -> None:
    users = UsersFile(tmp_path / "users")
    users.add("ann", "a")
    with qpid_server.running(auth=True, users_file=str(tmp_path / "users")) as broker, nobody() as gone:
        with Connection.establish(
            f"bob/b@{gone}", reconnect=True, reconnect_urls=[f"ann/a@{broker.url}"], timeout=10
        ) as connection:
            assert connection.auth_username == "ann"
            assert connection.username == "bob"
        with pytest.raises(AuthenticationFailure):
            Connection.establish(
                f"bob/b@{gone}", reconnect=True, reconnect_urls=[broker.url], reconnect_limit=1, timeout=10
            )


def test_a_handler_that_fails_does_no_harm(caplog: pytest.LogCaptureFixture) -> None:
    told: list[BrokerEvent] = []

    def handler(event: BrokerEvent) -> None:
        told.append(event)
        raise RuntimeError("the application's mistake")

    with nobody() as url:
        connection = Connection(url)
        connection.set_broker_notify_handler(handler)
        with pytest.raises(ConnectError):
            connection.open(timeout=10)
        assert [type(event) for event in told] == [BrokerTried, BrokerFailed]
        assert caplog.text.count("RuntimeError: the application's mistake") == 2
        connection.set_broker_notify_handler(None)
        connection.detach()
        with pytest.raises(ConnectError):
            connection.attach(timeout=10)
        assert len(told) == 2
