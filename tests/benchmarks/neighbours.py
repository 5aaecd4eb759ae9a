"""Clients that behave badly."""

from __future__ import annotations

import socket
from collections.abc import Callable
from threading import Event, Thread

from qpid_messaging import Connection
from qpid_messaging.amqp import commands as c
from qpid_messaging.amqp.connection import ClientConnection
from qpid_messaging.amqp.events import Opened
from qpid_messaging.amqp.sasl import choose
from qpid_messaging.amqp.session import Session
from qpid_messaging.exceptions import UnauthorizedAccess


class NeverReads:
    """A client that asks for all that a queue has and reads nothing of it."""

    def __init__(self, url: str, queue: str) -> None:
        host, _, port = url.rpartition(":")
        self.socket = socket.create_connection((host, int(port)))
        machine = ClientConnection(choose)
        opened = False
        while not opened:
            self.socket.sendall(machine.data_to_send())
            opened = any(isinstance(event, Opened) for event in machine.receive(self.socket.recv(65536)))
        session = Session(b"never reads")
        machine.attach(session)
        session.send(c.MessageSubscribe(queue=queue, destination="d", acquire_mode=c.AcquireMode.NOT_ACQUIRED))
        for unit in (c.CreditUnit.BYTE, c.CreditUnit.MESSAGE):
            session.send(c.MessageFlow(destination="d", unit=unit, value=0xFFFFFFFF))
        self.socket.sendall(machine.data_to_send())

    def close(self) -> None:
        """Leave."""
        self.socket.close()


class NeverAcknowledges:
    """A client that takes all that a queue has and settles nothing."""

    def __init__(self, url: str, queue: str, messages: int) -> None:
        self._connection = Connection.establish(url)
        receiver = self._connection.session().receiver(queue, capacity=1000)
        for _ in range(messages):
            receiver.fetch(30)

    def close(self) -> None:
        """Leave."""
        self._connection.close()


class Hurries:
    """A client that does something as fast as it can, in a thread."""

    def __init__(self, url: str, act: Callable[[Connection, int], None]) -> None:
        self._connection = Connection.establish(url)
        self._ended = Event()
        self._act = act
        self.number = 0
        self._thread = Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self) -> None:
        while not self._ended.is_set():
            self._act(self._connection, self.number)
            self.number += 1

    def close(self) -> None:
        """Stop it."""
        self._ended.set()
        self._thread.join()
        self._connection.close()


def declares_queues(url: str) -> Hurries:
    """A client that declares queues and never deletes one; refused, it tries again."""

    def declare(connection: Connection, number: int) -> None:
        session = connection.session("declares")
        try:
            session.sender(f"declared-{number}; {{create: always}}").close()
        except UnauthorizedAccess:
            session.close()

    return Hurries(url, declare)
