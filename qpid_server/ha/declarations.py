"""What makes a queue or an exchange, as a map: in entries of the log and in differences."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ..effects import ExchangeDeclared, QueueDeclared
from ..queue import Queue, Replicate
from .records import map_in, text_in, uuid_in

if TYPE_CHECKING:
    from ..broker import Broker
    from ..exchange import Exchange


def queue_declaration(queue: QueueDeclared | Queue) -> dict[str, Any]:
    """What makes a queue, as a map."""
    alternate = queue.alternate_exchange
    return {
        "name": queue.name,
        "durable": queue.durable,
        "exclusive": queue.exclusive,
        "auto_delete": queue.auto_delete,
        "alternate_exchange": alternate if alternate is None or isinstance(alternate, str) else alternate.name,
        "arguments": queue.arguments,
        "replicate": queue.replicate.value,
        "creator": queue.creator,
        "identity": queue.identity,
    }


def exchange_declaration(exchange: ExchangeDeclared | Exchange) -> dict[str, Any]:
    """What makes an exchange, as a map."""
    alternate = exchange.alternate_exchange
    return {
        "name": exchange.name,
        "type": exchange.type,
        "durable": exchange.durable,
        "auto_delete": exchange.auto_delete,
        "alternate_exchange": alternate if alternate is None or isinstance(alternate, str) else alternate.name,
        "arguments": exchange.arguments,
        "replicate": exchange.replicate.value,
    }


def queue_declared(values: dict[str, Any], broker: Broker) -> QueueDeclared:
    """The effect that makes the queue of a `queue_declaration`."""
    return QueueDeclared(
        text_in(values, "name"),
        durable=bool(values["durable"]),
        exclusive=bool(values["exclusive"]),
        auto_delete=bool(values["auto_delete"]),
        alternate_exchange=_held(values["alternate_exchange"], broker),
        arguments=map_in(values, "arguments"),
        replicate=Replicate(values["replicate"]),
        creator=text_in(values, "creator"),
        identity=uuid_in(values, "identity"),
    )


def exchange_declared(values: dict[str, Any], broker: Broker) -> ExchangeDeclared:
    """The effect that makes the exchange of an `exchange_declaration`."""
    return ExchangeDeclared(
        text_in(values, "name"),
        text_in(values, "type"),
        durable=bool(values["durable"]),
        auto_delete=bool(values["auto_delete"]),
        alternate_exchange=_held(values["alternate_exchange"], broker),
        arguments=map_in(values, "arguments"),
        replicate=Replicate(values["replicate"]),
    )


def _held(exchange: str | None, broker: Broker) -> str | None:
    """An alternate exchange that is not replicated does not exist here: then there is none."""
    return exchange if exchange is not None and exchange in broker.exchanges else None
