"""The client, fed what a C++ broker said to the original client, does what that client did."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from qpid_messaging.amqp.codec import decode_header
from qpid_messaging.amqp.commands import Command, ExecutionResult, ExecutionSync, MessageFlow
from qpid_messaging.constants import REJECTED, RELEASED, UNLIMITED
from qpid_messaging.core.connection import ConnectionCore, Phase
from qpid_messaging.core.delivery import Delivery
from qpid_messaging.core.nodes import Node
from qpid_messaging.core.receiver import ReceiverCore
from qpid_messaging.core.sender import SenderCore
from qpid_messaging.core.session import SessionCore
from qpid_messaging.exceptions import NotFound
from qpid_messaging.message import Disposition, Message
from qpid_messaging.options import ConnectionOptions
from tests.captures import read_capture, read_reads, units

_UUID = re.compile(r"[0-9a-f]{8}-[0-9a-f-]{27}")
# How much credit is given at a time, and how often completion is asked for, is each client's own affair.
_OWN_AFFAIRS = (MessageFlow, ExecutionSync, ExecutionResult)


class Replay:
    """A connection to a recorded broker, which says its next piece whenever the client waits for something."""

    def __init__(self, name: str) -> None:
        self.core = ConnectionCore(ConnectionOptions.parse("recorded", {}), "5e551011-0000-0000-0000-000000000000")
        self._pieces: Iterator[bytes] = iter([data for _, _, side, data in read_reads(name) if side == "server"])
        self._sent: list[bytes] = []
        self.core.attach(0.0)
        assert self.core.next_broker(0.0) is not None
        self.core.transport_connected(0.0)
        self.until(lambda: self.core.opened)

    def until(self, predicate: Callable[[], object]) -> None:
        while True:
            self._sent.append(self.core.data_to_send())
            if predicate():
                return
            self.core.receive(next(self._pieces), 0.0)

    def sent(self) -> bytes:
        return b"".join(self._sent)

    # -- the API in short

    def session(self, number: int = 0, transactional: bool = False) -> SessionCore:
        return self.core.session(f"{self.core.name}:{number}", transactional, continues=False)

    def sender(self, session: SessionCore, address: str) -> SenderCore:
        sender = SenderCore(session, address, UNLIMITED, None)
        session.senders.append(sender)
        session.reconcile()
        self.until(lambda: sender.linked or sender.closed)
        return sender

    def receiver(self, session: SessionCore, address: str, capacity: int = 0, number: int = 0) -> ReceiverCore:
        receiver = ReceiverCore(session, address, str(number), capacity)
        session.receivers.append(receiver)
        session.reconcile()
        self.until(lambda: receiver.linked or receiver.closed)
        return receiver

    def send(self, sender: SenderCore, content: Any, **fields: Any) -> None:
        sender.send(Message(content, **fields), sync=True)
        self.until(lambda: not sender.unsettled())

    def fetch(self, receiver: ReceiverCore) -> Delivery:
        receiver.fetching = 1
        receiver.grant()
        self.until(lambda: receiver.incoming)
        receiver.fetching = 0
        delivery = receiver.take()
        assert delivery is not None
        return delivery

    def skip(self, session: SessionCore, count: int = 1) -> None:
        """The original client sent so many more commands here; the ids in what the broker said count on it."""
        for _ in range(count):
            session.wire.sync()

    def acknowledge(self, session: SessionCore, disposition: Disposition | None = None) -> None:
        session.acknowledge(list(session.unacked), disposition)
        self.until(lambda: not session.acking)

    def close(self, *links: Any) -> None:
        for link in links:
            link.closing = True
            link.session.reconcile()
            self.until(lambda link=link: link.closed)

    def end(self, *sessions: SessionCore) -> None:
        for session in sessions:
            session.closing = True
            session.reconcile()
            self.until(lambda session=session: session.closed)
        self.core.detach(0.0)
        self.until(lambda: self.core.phase is Phase.IDLE)


def told(stream: bytes) -> list[Any]:
    """What a client asked of the broker: commands, without the names that differ."""
    return [
        (channel, _plain(command), _message(header), body)
        for channel, command, header, body in units(stream)
        if not command.IS_CONTROL and not isinstance(command, _OWN_AFFAIRS)
    ]


def _plain(command: Command) -> str:
    command.sync = False
    return _UUID.sub("UUID", repr(command).replace(", arguments={}", ""))


def _message(header: bytes | None) -> list[str]:
    text = [repr(struct) for struct in decode_header(header or b"")]
    return [part.replace(", application_headers={}", "") for part in text]


def assert_same(replay: Replay, name: str) -> None:
    ours, theirs = told(replay.sent()), told(read_capture(name)[1, "client"])
    assert ours == theirs


def test_hello() -> None:
    r = Replay("qpid-python-hello")
    session = r.session()
    sender = r.sender(session, "cap-hello")
    receiver = r.receiver(session, "cap-hello; {delete: always}", capacity=10)
    fields: dict[str, Any] = {
        "subject": "subj",
        "correlation_id": "corr",
        "reply_to": "cap-hello",
        "durable": True,
        "priority": 7,
        "ttl": 60,
    }
    contents = [
        "hello \u20ac",
        b"\0\1raw",
        {"a": 1, "b": [1, 2.5, True, None, "x"], "big": 1 << 40, "neg": -5},
        ["one", 2, {"k": "v"}],
    ]
    for content in contents:
        r.send(sender, content, properties={"p": "v", "n": 3}, **fields)
    messages = [r.fetch(receiver).message() for _ in contents]
    for message, content in zip(messages, contents, strict=True):
        assert message.properties["p"] == "v"
        assert (message.subject, message.correlation_id, message.reply_to) == ("subj", "corr", "cap-hello")
        assert (message.durable, message.priority, message.redelivered) == (True, 7, False)
        assert message.ttl is not None
        assert message.content == content
    r.skip(session, 8)
    r.acknowledge(session)
    r.close(receiver, sender)
    r.end(session)
    assert_same(r, "qpid-python-hello")


def test_addresses() -> None:
    r = Replay("qpid-python-addresses")
    one = r.session(0)
    topic = "cap-topic/k; {create: always, node: {type: topic, x-declare: {type: direct}}}"
    sender = r.sender(one, topic)
    r.send(sender, "x")
    # The recorded client takes a plain name for the topic that it made by that name; ours would ask for a queue first.
    r.core.node_cache.put("cap-topic", Node("topic", "direct"))
    filtered = r.receiver(one, "cap-topic/k; {link: {x-subscribe: {exclusive: True}}}")
    r.send(sender, "routed")
    assert r.fetch(filtered).message().content == "routed"
    r.acknowledge(one)
    r.skip(one)
    browser = r.receiver(
        one,
        "cap-rep; {create: always, mode: browse, node: {durable: True, x-declare: {arguments: {'qpid.replicate': all,"
        " 'qpid.max_count': 10, 'qpid.policy_type': ring}}, x-bindings: [{exchange: 'amq.direct', key: k}]}}",
        number=1,
    )
    browser.fetching = 1
    browser.grant()
    r.skip(one)
    browser.drain()
    r.until(lambda: not browser.draining)
    missing = r.sender(one, "no-such-node")
    assert isinstance(missing.error, NotFound)
    two = r.session(1)
    queue = r.receiver(two, "cap-rep; {delete: always}")
    r.close(queue)
    exchange = r.receiver(two, "cap-topic; {delete: always}", number=1)
    r.close(exchange)
    r.close(filtered, browser, sender)
    r.end(one, two)
    assert_same(r, "qpid-python-addresses")


def test_dispositions() -> None:
    r = Replay("qpid-python-dispositions")
    session = r.session()
    address = "cap-disp; {create: always, node: {x-declare: {alternate-exchange: 'amq.fanout'}}}"
    sender = r.sender(session, address)
    receiver = r.receiver(session, "cap-disp")
    for disposition in (Disposition(RELEASED), Disposition(REJECTED), None):
        r.send(sender, "d")
        r.fetch(receiver)
        r.skip(session)
        r.acknowledge(session, disposition)
    r.close(r.receiver(session, "cap-disp; {delete: always}", number=1))
    r.close(receiver, sender)
    r.end(session)
    assert_same(r, "qpid-python-dispositions")


@pytest.mark.parametrize("name", ["qpid-python-hello", "qpid-python-addresses", "qpid-python-error"])
def test_a_recorded_broker_cut_short_is_no_harm(name: str) -> None:
    server = b"".join(data for _, _, side, data in read_reads(name) if side == "server")
    for end in range(0, len(server), 7):
        core = ConnectionCore(ConnectionOptions.parse("recorded", {}), "c")
        core.attach(0.0)
        core.next_broker(0.0)
        core.transport_connected(0.0)
        core.receive(server[:end], 0.0)
        core.session("s", False, continues=False)
        core.transport_lost(0.0, "Connection reset by peer")
        assert core.error is not None
