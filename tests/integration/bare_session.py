"""A session on a socket, command by command: for what the client has no verbs for, such as distributed transactions."""

from __future__ import annotations

import socket
from collections.abc import Callable
from typing import Any

from typing_extensions import Self

from qpid_messaging.amqp import commands as c
from qpid_messaging.amqp import sasl
from qpid_messaging.amqp.codec import encode_header
from qpid_messaging.amqp.connection import ClientConnection
from qpid_messaging.amqp.events import Attached, Event, Failed, Opened, Result
from qpid_messaging.amqp.session import Session

_SIZE = 1 << 16


class BareSession:
    """An attached session; used as a context manager it closes its socket.

    Args:
        host, port: the broker.
        timeout: seconds that any answer may take.

    Raises:
        OSError: there is no broker, or no answer.
    """

    def __init__(self, host: str, port: int, timeout: float = 20) -> None:
        self._socket = socket.create_connection((host, port), timeout)
        self._machine = ClientConnection(lambda offered: sasl.choose(offered, None, None))
        self.session = Session(b"bare")
        self._until(lambda event: type(event) is Opened)
        self._machine.attach(self.session)
        self._until(lambda event: type(event) is Attached)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self._socket.close()

    def do(self, command: c.Command, header: bytes | None = None, body: bytes | None = None) -> Any:
        """Send a command and wait until it is completed. Returns its result, None where it has none.

        Raises:
            AssertionError: the broker ended the session.
        """
        results: dict[int, Any] = {}
        id = self.session.send(command, header, body, token=True)
        synced = self.session.sync()

        def done(event: Event) -> bool:
            assert not isinstance(event, Failed), event
            if isinstance(event, Result):
                results[event.id] = event.value
            return self.session.is_completed(synced)

        self._until(done)
        return results.get(id)

    def send(self, queue: str, text: str) -> None:
        """A message, acknowledged."""
        self.do(
            c.MessageTransfer(destination=""), encode_header(c.DeliveryProperties(routing_key=queue)), text.encode()
        )

    def _until(self, found: Callable[[Event], bool]) -> None:
        while True:
            data = self._machine.data_to_send()
            if data:
                self._socket.sendall(data)
            received = self._socket.recv(_SIZE)
            assert received, "the broker closed the connection"
            over = False
            for event in self._machine.receive(received):
                over = found(event) or over
            if over:
                return
