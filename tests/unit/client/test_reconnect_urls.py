"""`qpid_messaging.util`: brokers that the exchange `amq.failover` tells of."""

from __future__ import annotations

import logging
import threading

import pytest

from qpid_messaging import Connection, LinkClosed, Message, SessionError
from qpid_messaging.util import auto_fetch_reconnect_urls, set_reconnect_urls


def failover(*urls: str) -> Message:
    return Message(properties={"amq.failover": list(urls)})


def test_the_brokers_of_a_message() -> None:
    connection = Connection("here", reconnect=True)
    set_reconnect_urls(connection, failover("amqp:tcp:a:1,tcp:[::1]:2", "b"))
    assert connection.reconnect_urls == ["a:1", "[::1]:2", "b"]
    assert [str(broker) for broker in connection._core.policy.brokers()][1:] == ["tcp:a:1", "tcp:[::1]:2", "tcp:b:5672"]


def test_what_is_no_url_is_a_matter_for_the_log(caplog: pytest.LogCaptureFixture) -> None:
    connection = Connection("here", reconnect=True)
    set_reconnect_urls(connection, failover("amqp:", "b:3"))
    assert connection.reconnect_urls == ["b:3"]
    assert "amq.failover: " in caplog.text


@pytest.mark.parametrize("message", [Message("x"), failover(), failover(":"), Message(properties={"amq.failover": 5})])
def test_a_message_that_tells_of_no_broker_changes_nothing(message: Message, caplog: pytest.LogCaptureFixture) -> None:
    connection = Connection("here", reconnect=True, reconnect_urls=["a:1"], reconnect_urls_replace=True)
    before = connection._core.policy.brokers()
    set_reconnect_urls(connection, message)
    assert connection._core.policy.brokers() == before
    assert "tells of no broker" in caplog.text


class Source:
    """A connection, a session and a receiver in one."""

    def __init__(self, messages: list[Message], end: Exception) -> None:
        self.reconnect_urls: list[str] = []
        self.acknowledged = 0
        self.asked: list[str] = []
        self._messages = iter(messages)
        self._end = end

    @property
    def session(self) -> Source:
        return self

    def __call__(self, name: str) -> Source:
        self.asked.append(name)
        return self

    def receiver(self, address: str, capacity: int) -> Source:
        self.asked.append(address)
        assert capacity
        return self

    def fetch(self) -> Message:
        for message in self._messages:
            return message
        raise self._end

    def acknowledge(self, message: Message, sync: bool) -> None:
        self.acknowledged += 1


@pytest.mark.parametrize(
    ("end", "logged"), [(LinkClosed(), ""), (SessionError(text="gone wrong"), "not brought up to date any more: gone")]
)
def test_a_thread_listens_until_the_end(end: Exception, logged: str, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.WARNING)
    source = Source([failover("a"), failover("b", "c")], end)
    auto_fetch_reconnect_urls(source)  # type: ignore[arg-type]
    for thread in threading.enumerate():
        if thread.name == "auto-fetch-reconnect-urls":
            thread.join(10)
    assert source.reconnect_urls == ["b", "c"]
    assert source.acknowledged == 2
    assert source.asked == ["auto-fetch-reconnect-urls", "amq.failover"]
    assert logged in caplog.text
