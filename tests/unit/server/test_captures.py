"""Recorded clients at our broker: every command is answered, and nothing fails that did not fail in the recording."""

from __future__ import annotations

import pytest

from qpid_messaging.amqp import commands as c
from qpid_messaging.amqp.framing import PROTOCOL_HEADER, Decoder, Unit
from qpid_messaging.amqp.schema import Command
from qpid_server.connection import ConnectionHandler
from qpid_server.effects import ExchangeDeclared, QueueDeclared
from qpid_server.security.authenticator import Authenticator
from tests.captures import capture_names, read_reads, units

from .driver import make_broker

# What was on the recorded broker before.
QUEUES = {"qpid-python-hello": "cap-hello", "qpid-cpp-receive": "cap-cpp"}
CLIENTS = [name for name in capture_names() if name.startswith("qpid-")]


def _commands(recorded: list[Unit]) -> dict[int, int]:
    """How many commands (not controls) there are on each channel."""
    found: dict[int, int] = {}
    for channel, command, _, _ in recorded:
        if not command.IS_CONTROL:
            found[channel] = found.get(channel, 0) + 1
    return found


def _failures(recorded: list[Unit]) -> list[Command]:
    return [
        command
        for _, command, _, _ in recorded
        if isinstance(command, (c.ExecutionException, c.SessionDetach))
        or (isinstance(command, c.ConnectionClose) and command.reply_code != c.CloseCode.NORMAL)
    ]


@pytest.mark.parametrize("name", CLIENTS)
def test_every_command_is_answered(name: str) -> None:
    broker = make_broker()
    management = {"qmf.default.direct": "direct", "qmf.default.topic": "topic", "qpid.management": "topic"}
    for exchange, kind in management.items():
        if exchange not in broker.exchanges:
            broker.do(ExchangeDeclared(exchange, kind))
    if name in QUEUES:
        broker.do(QueueDeclared(QUEUES[name]))
    handlers: dict[int, ConnectionHandler] = {}
    written: dict[int, bytearray] = {}
    sent: dict[int, bytearray] = {}
    recorded: dict[int, bytearray] = {}
    for _, connection, side, data in read_reads(name):
        if side == "server":
            recorded.setdefault(connection, bytearray()).extend(data)
            continue
        if connection not in handlers:
            handlers[connection] = ConnectionHandler(broker, f"capture:{connection}", Authenticator())
        handlers[connection].receive(data)
        sent.setdefault(connection, bytearray()).extend(data)
        for number, handler in handlers.items():
            written.setdefault(number, bytearray()).extend(handler.data_to_send())
            handler.sent()
    for connection, data in written.items():
        ours = units(bytes(data))
        theirs = units(bytes(recorded[connection]))
        assert _failures(ours) == _failures(theirs)
        commands = _commands(units(bytes(sent[connection])))
        completed: dict[int, set[int]] = {}
        for channel, command, _, _ in ours:
            if isinstance(command, c.SessionCompleted):
                for lower, upper in command.commands or ():
                    completed.setdefault(channel, set()).update(range(lower, upper + 1))
        for channel, count in commands.items():
            assert completed[channel] == set(range(count))
        assert [type(command) for _, command, _, _ in ours if isinstance(command, c.ConnectionCloseOk)] == [
            type(command) for _, command, _, _ in theirs if isinstance(command, c.ConnectionCloseOk)
        ]


@pytest.mark.parametrize("name", ["qpid-python-hello", "qpid-python-dispositions", "qpid-python-addresses"])
def test_results_are_those_of_the_recorded_broker(name: str) -> None:
    """Queries and deliveries, but for what only the recorded broker adds to a delivery's header."""
    broker = make_broker()
    if name in QUEUES:
        broker.do(QueueDeclared(QUEUES[name]))
    handler = ConnectionHandler(broker, "capture", Authenticator())
    ours, theirs = Decoder(), Decoder()
    answered: list[Unit] = []
    recorded: list[Unit] = []
    for _, connection, side, data in read_reads(name):
        assert connection == 1
        if side == "server":
            recorded += theirs.feed(data.removeprefix(PROTOCOL_HEADER))
        else:
            handler.receive(data)
            answered += ours.feed(handler.data_to_send().removeprefix(PROTOCOL_HEADER))
            handler.sent()

    def results(units: list[Unit]) -> list[Command]:
        return [command for _, command, _, _ in units if isinstance(command, c.ExecutionResult)]

    def bodies(units: list[Unit]) -> list[bytes | None]:
        return [body for _, command, _, body in units if isinstance(command, c.MessageTransfer)]

    assert results(answered) == results(recorded)
    assert bodies(answered) == bodies(recorded)
