"""Whatever a broker sends: the right exception or none, never another one, never a talk without end."""

from __future__ import annotations

import contextlib
import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from qpid_messaging.core.connection import ConnectionCore
from qpid_messaging.core.receiver import ReceiverCore
from qpid_messaging.core.sender import SenderCore
from qpid_messaging.exceptions import DecodeError, MessagingError
from qpid_messaging.message import Message
from qpid_messaging.options import ConnectionOptions
from tests.captures import read_capture
from tests.unit.client.cluster import Cluster
from tests.unit.client.harness import Harness

SERVER = [
    read_capture(name)[1, "server"]
    for name in ("qpid-python-hello", "qpid-python-addresses", "qpid-python-dispositions", "qpid-python-transaction")
]


def feed(data: bytes, *, reconnect: bool) -> None:
    """A client with a session, a sender and a receiver hears this."""
    core = ConnectionCore(ConnectionOptions.parse("broker", {"reconnect": reconnect, "reconnect_log": False}), "c")
    core.attach(0.0)
    core.next_broker(0.0)
    core.transport_connected(0.0)
    session = core.session("c:0", False, continues=False)
    sender = SenderCore(session, "cap-hello; {create: always}", 10, None)
    session.senders.append(sender)
    receiver = ReceiverCore(session, "cap-hello", "0", 10)
    session.receivers.append(receiver)
    sender.send(Message(b"x"), sync=False)
    core.receive(data, 0.0)
    while core.wire is not None and (delivery := receiver.take()) is not None:
        with contextlib.suppress(DecodeError):
            delivery.message()
        session.acknowledge([delivery], None)
    core.data_to_send()
    core.transport_lost(1.0, "Connection reset by peer")
    for failed in (core, session, sender, receiver):
        assert failed.error is None or isinstance(failed.error, MessagingError)
    assert reconnect or core.error is not None


@settings(max_examples=300)
@given(st.binary(max_size=300), st.booleans(), st.booleans())
def test_random_bytes(data: bytes, greeted: bool, reconnect: bool) -> None:
    feed((SERVER[0][:8] if greeted else b"") + data, reconnect=reconnect)


@pytest.mark.parametrize("seed", range(10))
def test_ten_thousand_mutations_of_what_brokers_say(seed: int) -> None:
    chance = random.Random(seed)
    for _ in range(1000):
        data = bytearray(chance.choice(SERVER)[: chance.randint(200, 1500)])
        for _ in range(chance.choice([1, 1, 2, 8])):
            at = chance.randrange(len(data))
            kind = chance.randrange(4)
            if kind == 0:
                data[at] = chance.randrange(256)
            elif kind == 1:
                del data[at : at + chance.randint(1, 12)]
            elif kind == 2:
                data[at:at] = chance.randbytes(chance.randint(1, 12))
            else:
                data[at : at + 4] = chance.choice([b"\xff\xff\xff\xff", b"\0\0\0\0", b"\x7f\xff\xff\xff"])
        feed(bytes(data), reconnect=chance.random() < 0.5)


@pytest.mark.parametrize("seed", range(10))
def test_mutations_in_a_live_conversation(seed: int) -> None:
    """Bytes change on their way, again and again; with sound brokers at last, everything comes right."""
    chance = random.Random(seed)
    for _ in range(20):
        h = Harness(Cluster(), reconnect=True).open()
        session = h.session()
        sender = h.sender(session, "q; {create: always}")
        receiver = h.receiver(session, "q", capacity=3)
        for n in range(6):
            if sender.linked:
                h.send(sender, b"%d" % n)
            assert h.peer is None or h.core.wire is not None
            if h.peer is not None:
                h.peer.receive(h.core.data_to_send())
                data = bytearray(h.peer.data_to_send())
                if data:
                    data[chance.randrange(len(data))] ^= 1 << chance.randrange(8)
                    h.core.receive(bytes(data), h.now)
                    h.drop()
                    h.core.transport_lost(h.now, "Connection reset by peer")
            h.run()
            receiver.take()
        for failed in (h.core, session, sender, receiver):
            assert failed.error is None or isinstance(failed.error, MessagingError)


def test_a_result_of_the_wrong_kind() -> None:
    h = Harness().open()
    session = h.session()
    assert h.peer is not None
    h.peer._queue_query = h.peer._exchange_query  # type: ignore[method-assign,assignment]
    original = h.peer._exchange_query
    h.peer._queue_query = lambda session, id, command: original(session, id, _Named(command.queue))  # type: ignore[method-assign,assignment,arg-type]
    sender = h.sender(session, "q")
    assert isinstance(sender.error, MessagingError)
    assert "answer" in str(sender.error)


class _Named:
    def __init__(self, name: str | None) -> None:
        self.name = name
