"""A client's and a server's connection machine, joined in memory."""

from __future__ import annotations

import random

from qpid_messaging.amqp import sasl
from qpid_messaging.amqp.connection import ClientConnection, ServerConnection
from qpid_messaging.amqp.events import (
    AttachRequested,
    Authenticate,
    DetachRequested,
    Event,
    ExpectedRequested,
    OpenRequested,
    TimeoutRequested,
)
from qpid_messaging.amqp.session import Session

HEADER = b"AMQP\x01\x01\x00\x0a"


def make_client(**options: object) -> ClientConnection:
    return ClientConnection(sasl.choose, **options)  # type: ignore[arg-type]


def make_server(**options: object) -> ServerConnection:
    return ServerConnection(server_properties={"product": "test"}, mechanisms=["ANONYMOUS", "PLAIN"], **options)  # type: ignore[arg-type]


class Pair:
    """Two ends of a connection. The server says yes to everything, and what it expects is for the test to say.

    Attributes:
        seen_by_client: every event of the client's end.
        seen_by_server: every event of the server's end.
        expected: what the server answers to session.flush(expected).
        chunks: where given, bytes travel in pieces of random sizes.
    """

    def __init__(
        self,
        client: ClientConnection | None = None,
        server: ServerConnection | None = None,
        *,
        chunks: random.Random | None = None,
    ) -> None:
        self.client = client or make_client()
        self.server = server or make_server()
        self.seen_by_client: list[Event] = []
        self.seen_by_server: list[Event] = []
        self.expected: int | None = None
        self.chunks = chunks

    def pump(self) -> None:
        """Carry bytes both ways until none are left."""
        while self.client.has_output or self.server.has_output:
            self.to_server(self.client.data_to_send())
            self.to_client(self.server.data_to_send())

    def to_server(self, data: bytes) -> list[Event]:
        events: list[Event] = []
        for piece in self._pieces(data):
            for event in self.server.receive(piece):
                self._answer(event)
                events.append(event)
        self.seen_by_server += events
        return events

    def to_client(self, data: bytes) -> list[Event]:
        events = [event for piece in self._pieces(data) for event in self.client.receive(piece)]
        self.seen_by_client += events
        return events

    def _pieces(self, data: bytes) -> list[bytes]:
        if self.chunks is None:
            return [data] if data else []
        pieces = []
        while data:
            size = self.chunks.choice((1, 3, 11, 12, 13, 40, 200, len(data)))
            pieces.append(data[:size])
            data = data[size:]
        return pieces

    def _answer(self, event: Event) -> None:
        if isinstance(event, Authenticate):
            self.server.authenticated()
        elif isinstance(event, OpenRequested):
            self.server.open_ok(["h:1"])
        elif isinstance(event, AttachRequested):
            self.server.attached(event.session)
        elif isinstance(event, DetachRequested):
            self.server.detach(event.session)
        elif isinstance(event, TimeoutRequested):
            event.session.grant_timeout(event.timeout)
        elif isinstance(event, ExpectedRequested):
            event.session.send_expected(self.expected)


def opened(**options: object) -> Pair:
    """A pair whose connection is open."""
    pair = Pair(**options)  # type: ignore[arg-type]
    pair.pump()
    pair.seen_by_client.clear()
    pair.seen_by_server.clear()
    return pair


def attach(pair: Pair, session: Session) -> Session:
    """Attach the client's session; the server's end of it."""
    pair.client.attach(session)
    pair.pump()
    return pair.server.sessions[session.channel]
