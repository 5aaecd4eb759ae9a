"""Management methods that take messages off a queue: purge, reroute, move (see :mod:`qpid_server.queue_operations`)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from qpid_messaging.amqp.codec import decode_header, encode_header
from qpid_messaging.amqp.commands import MessageProperties
from qpid_messaging.management.qmf import Status, as_text

from .. import queue_operations
from ..effects import Dequeue
from ..errors import SessionError
from ..message import Message
from ..queue_operations import Matches
from .configuration import check_admitted, queue_named
from .schema import MethodCall, MethodError

if TYPE_CHECKING:
    from ..broker import Broker
    from ..queue import Queue

__all__ = ["move", "purge", "reroute"]

_TRACE = "x-qpid.trace"


def purge(broker: Broker, queue: Queue, call: MethodCall) -> None:
    """Method purge of a queue: the first messages, or all of them, go."""
    _check(broker, queue, call)
    queue_operations.purge(
        broker,
        queue,
        lambda number: call.done(),
        count=call.number("request", 0),
        matches=_matches(call.mapping("filter")),
    )


def reroute(broker: Broker, queue: Queue, call: MethodCall) -> None:
    """Method reroute of a queue: its first messages, or all of them, go through another exchange."""
    _check(broker, queue, call)
    if call.flag("useAltExchange"):
        exchange = queue.alternate_exchange
        if exchange is None:
            raise MethodError(Status.INVALID_PARAMETER, f"queue {queue.name} has no alternate exchange")
    else:
        name = call.text("exchange")
        exchange = broker.exchanges.get(name)
        if exchange is None:
            raise MethodError(Status.INVALID_PARAMETER, f"no such exchange: {name}")
    queue_operations.reroute(
        broker,
        queue,
        exchange,
        lambda number: call.done(),
        count=call.number("request", 0),
        matches=_matches(call.mapping("filter")),
        renew=_without_trace,
    )


def move(broker: Broker, call: MethodCall) -> None:
    """Method queueMoveMessages of the broker: the first messages of a queue, or all of them, go to another one."""
    source, target = queue_named(broker, call.text("srcQueue")), queue_named(broker, call.text("destQueue"))
    _check(broker, source, call)

    def failed(error: SessionError) -> None:
        call.failed(error.description)

    queue_operations.move(
        broker,
        source,
        target,
        lambda number: call.done(),
        failed,
        count=call.number("qty", 0),
        matches=_matches(call.mapping("filter")),
    )


def _check(broker: Broker, queue: Queue, call: MethodCall) -> None:
    check_admitted(broker, call, [Dequeue(queue, ())])


def _without_trace(message: Message) -> Message:
    """The message as it begins a new way: the brokers that it passed are forgotten."""
    structs = decode_header(message.header or b"")
    for struct in structs:
        if isinstance(struct, MessageProperties) and _TRACE in (struct.application_headers or {}):
            struct.application_headers = {**(struct.application_headers or {}), _TRACE: ""}
            changed = Message(message.destination, encode_header(*structs), message.body)
            changed.expires = message.expires
            return changed
    return message.anew()


def _matches(wanted: Mapping[str, Any]) -> Matches | None:
    """Which messages a filter lets through: those with a certain header; None: all."""
    if not wanted:
        return None
    kind, parameters = as_text(wanted.get("filter_type")), as_text(wanted.get("filter_params"))
    if kind != "header_match_str" or not isinstance(parameters, dict):
        raise MethodError(Status.INVALID_PARAMETER, f"a filter needs filter_type header_match_str, not {kind!r}")
    name, value = parameters.get("header_key"), parameters.get("header_value")
    if not isinstance(name, str) or not isinstance(value, str):
        raise MethodError(Status.INVALID_PARAMETER, "a filter needs filter_params header_key and header_value, as text")
    return lambda message: bool(as_text(message.application_headers.get(name)) == value)
