"""Runs a connection's core against scripted peers: moves bytes, tells the time, loses connections."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from uuid import uuid4

from qpid_messaging.constants import UNLIMITED
from qpid_messaging.core.connection import ConnectionCore, Phase
from qpid_messaging.core.delivery import Delivery
from qpid_messaging.core.receiver import ReceiverCore
from qpid_messaging.core.sender import SenderCore
from qpid_messaging.core.session import SessionCore
from qpid_messaging.message import Message
from qpid_messaging.options import ConnectionOptions
from tests.unit.client.cluster import Cluster, Peer


class Harness:
    """One connection and the cluster that it finds behind every address.

    Args:
        cluster: the brokers.
        options: the connection's options.
    """

    def __init__(self, cluster: Cluster | None = None, **options: Any) -> None:
        self.cluster = cluster or Cluster()
        options.setdefault("reconnect_log", False)
        self.core = ConnectionCore(ConnectionOptions.parse("a:1,b:2", options), "c")
        self.now = 0.0
        self.peer: Peer | None = None
        self.on_connect: Callable[[Peer], object] | None = None
        self.refuses = False

    def open(self) -> Harness:
        self.core.attach(self.now)
        self.run()
        return self

    def step(self, chunk: int | None = None) -> bool:
        """Move one portion of bytes in each direction. Returns whether anything moved."""
        core = self.core
        core.tick(self.now)
        broker = core.next_broker(self.now)
        if broker is not None:
            if self.refuses:
                core.transport_lost(self.now, "Connection refused")
                return True
            self.peer = self.cluster.connect()
            if self.on_connect is not None:
                self.on_connect(self.peer)
            core.transport_connected(self.now)
        data = core.data_to_send()
        if not core.has_transport:
            self.drop()
        if self.peer is None:
            return broker is not None
        if data:
            for start in range(0, len(data), chunk or len(data)):
                self.peer.receive(data[start : start + (chunk or len(data))])
        answer = self.peer.data_to_send()
        if answer:
            for start in range(0, len(answer), chunk or len(answer)):
                core.receive(answer[start : start + (chunk or len(answer))], self.now)
        return bool(data or answer)

    def run(self) -> None:
        """Until nothing moves any more."""
        for _ in range(1000):
            if self.step():
                continue
            deadline = self.core.deadline()
            if self.core.phase is not Phase.WAITING or self.refuses or deadline is None:
                return
            self.now = max(self.now, deadline)
        raise AssertionError("client and peer talk for ever")

    def drop(self) -> None:
        if self.peer is not None:
            self.peer.lost()
            self.peer = None

    def kill(self, *, arrives: int | None = None, answers: bool = False) -> None:
        """Lose the connection.

        Args:
            arrives: how many of the bytes on their way to the peer it still gets; None is none.
            answers: whether the client still gets what the peer says to that.
        """
        data = self.core.data_to_send()
        if self.peer is not None and arrives:
            self.peer.receive(data[:arrives])
            if answers:
                self.core.receive(self.peer.data_to_send(), self.now)
        self.drop()
        self.core.transport_lost(self.now, "Connection reset by peer")

    def wait(self, predicate: Callable[[], object]) -> None:
        """Run, with time passing, until something is true."""
        for _ in range(200):
            self.run()
            if predicate():
                return
            self.now += 1.0
        raise AssertionError("never became true")

    # -- the API in short

    def session(self, transactional: bool = False) -> SessionCore:
        name = str(uuid4())
        return self.core.session(name, transactional, continues=False)

    def sender(self, session: SessionCore, address: str, capacity: Any = UNLIMITED) -> SenderCore:
        sender = SenderCore(session, address, capacity, None)
        session.senders.append(sender)
        session.reconcile()
        self.run()
        return sender

    def receiver(self, session: SessionCore, address: str, capacity: Any = 0) -> ReceiverCore:
        receiver = ReceiverCore(session, address, str(len(session.receivers)), capacity)
        session.receivers.append(receiver)
        session.reconcile()
        self.run()
        return receiver

    def send(self, sender: SenderCore, *contents: bytes) -> None:
        for content in contents:
            sender.send(Message(content), sync=False)

    def take(self, receiver: ReceiverCore) -> Delivery | None:
        delivery = receiver.take()
        if delivery is None and receiver.linked:
            receiver.fetching += 1
            receiver.grant()
            self.run()
            receiver.fetching -= 1
            delivery = receiver.take()
            if delivery is None:
                receiver.drain()
                self.run()
                delivery = receiver.take()
        return delivery
