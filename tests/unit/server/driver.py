"""Clients of a broker without sockets: a client's connection machine on one side, a ConnectionHandler on the other."""

from __future__ import annotations

from typing import Any

from qpid_messaging.amqp import commands as c
from qpid_messaging.amqp.codec import encode_header
from qpid_messaging.amqp.connection import ClientConnection
from qpid_messaging.amqp.events import Closed, Completed, Detached, Event, Failed, Incoming, Result
from qpid_messaging.amqp.sasl import choose
from qpid_messaging.amqp.session import Session
from qpid_server.broker import Broker
from qpid_server.connection import ConnectionHandler
from qpid_server.options import Options
from qpid_server.security.authenticator import Authenticator

UNLIMITED = 0xFFFFFFFF


class Clock:
    """A clock that moves when it is told to."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def make_broker(**options: Any) -> Broker:
    """A broker without authentication and disk, on a clock of its own (`broker.clock.now`)."""
    return Broker(Options(auth=False, no_data_dir=True, **options), clock=Clock())


def advance(broker: Broker, seconds: float) -> None:
    """Let time pass on the broker's clock, and do what is due."""
    broker.clock.now += seconds  # type: ignore[attr-defined]
    broker.timers.run(broker.clock())
    broker.settle()


class Link:
    """One client's connection to a broker, opened."""

    def __init__(self, broker: Broker, *, username: str | None = None, heartbeat: int = 0, **properties: Any) -> None:
        self.broker = broker
        self.client = ClientConnection(
            lambda offered: choose(offered, username, "secret" if username else None),
            client_properties=properties,
            heartbeat=heartbeat,
        )
        self.handler = ConnectionHandler(broker, "test:1", Authenticator())
        self.events: list[Event] = []
        self.pump()

    def pump(self) -> None:
        """Carry bytes in both directions until there are no more."""
        while True:
            out = self.client.data_to_send()
            if out:
                self.handler.receive(out)
            back = self.handler.data_to_send()
            self.handler.sent()
            if back:
                self.events += self.client.receive(back)
            if not out and not back:
                return

    def take(self) -> list[Event]:
        """The events since the last time."""
        events, self.events = self.events, []
        return events

    @property
    def closed(self) -> Closed | None:
        """The broker's connection.close, if there was one."""
        return next((event for event in self.events if isinstance(event, Closed)), None)

    def session(self, name: bytes = b"test", *, force: bool = False) -> Peer:
        """Attach a session."""
        peer = Peer(self, Session(name))
        self.client.attach(peer.session, force=force)
        self.pump()
        return peer

    def lose(self) -> None:
        """The connection is gone, without a word."""
        self.handler.lost()
        self.client.lost()


class Peer:
    """A client's session, a command at a time."""

    def __init__(self, link: Link, session: Session) -> None:
        self.link = link
        self.session = session
        self.transfers: list[Incoming] = []
        self.results: dict[int, c.Struct | None] = {}
        self.failure: c.ExecutionException | None = None
        self.detached: int | None = None
        self.completed: set[int] = set()

    def do(self, command: c.Command, header: bytes | None = None, body: bytes | None = None) -> int:
        """Send a command and take in all that follows from it; returns its id."""
        command_id = self.session.send(command, header, body, token=True)
        self.update()
        return command_id

    def update(self) -> None:
        """Take in what has come."""
        self.link.pump()
        for event in self.link.take():
            if isinstance(event, Incoming) and event.session is self.session:
                self.transfers.append(event)
            elif isinstance(event, Result) and event.session is self.session:
                self.results[event.id] = event.value
            elif isinstance(event, Failed) and event.session is self.session:
                self.failure = event.exception
            elif isinstance(event, Detached) and event.session is self.session:
                self.detached = event.code
            elif isinstance(event, Completed) and event.session is self.session:
                for lower, upper in event.ranges:
                    self.completed.update(range(lower, upper + 1))
            else:
                self.link.events.append(event)

    def ask(self, command: c.Command) -> Any:
        """Send a command that has a result, and return that."""
        return self.results[self.do(command)]

    def declare(self, name: str, **settings: Any) -> None:
        """queue.declare."""
        self.do(c.QueueDeclare(queue=name, **settings))

    def send(self, body: bytes, key: str = "q", exchange: str = "", **properties: Any) -> int:
        """message.transfer, with delivery properties (and `headers`, the application's)."""
        headers = properties.pop("headers", None)
        structs: list[c.Struct] = [c.DeliveryProperties(routing_key=key, **properties)]
        if headers is not None:
            structs.append(c.MessageProperties(application_headers=headers))
        return self.do(c.MessageTransfer(destination=exchange), encode_header(*structs), body)

    def subscribe(
        self,
        queue: str = "q",
        destination: str = "d",
        *,
        credit: int = UNLIMITED,
        size: int = UNLIMITED,
        **settings: Any,
    ) -> None:
        """message.subscribe with credit."""
        self.do(c.MessageSubscribe(queue=queue, destination=destination, **settings))
        self.do(c.MessageFlow(destination=destination, unit=c.CreditUnit.BYTE, value=size))
        self.do(c.MessageFlow(destination=destination, unit=c.CreditUnit.MESSAGE, value=credit))

    def receive(self) -> list[bytes]:
        """Bodies of the transfers since the last time."""
        return [event.body or b"" for event in self.receive_all()]

    def receive_all(self) -> list[Incoming]:
        """The transfers since the last time."""
        self.update()
        transfers, self.transfers = self.transfers, []
        return transfers

    def complete(self, *transfers: Incoming) -> None:
        """session.completed for transfers."""
        for transfer in transfers:
            self.session.complete(transfer.id)
        self.update()

    def settle(self, kind: type[c.Command], *transfers: Incoming, **settings: Any) -> int:
        """message.accept, release, reject or acquire of transfers."""
        from qpid_messaging.amqp.ranges import RangeSet

        ids = RangeSet()
        for transfer in transfers:
            ids.add(transfer.id)
        return self.do(kind(transfers=ids, **settings))
