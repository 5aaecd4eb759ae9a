"""Class 0x7: exchanges and bindings."""

from __future__ import annotations

from typing import Any

from qpid_messaging.amqp.schema import Command, Struct, bit, field
from qpid_messaging.amqp.types import map_, str8


class ExchangeQueryResult(Struct, code=(0x7, 0x1), size=4):
    """The result of exchange.query."""

    type: str | None = field(str8)
    durable: bool = bit()
    not_found: bool = bit()
    arguments: dict[str, Any] | None = field(map_)


class ExchangeBoundResult(Struct, code=(0x7, 0x2), size=4):
    """The result of exchange.bound; all False: there is such a binding."""

    exchange_not_found: bool = bit()
    queue_not_found: bool = bit()
    queue_not_matched: bool = bit()
    key_not_matched: bool = bit()
    args_not_matched: bool = bit()


class ExchangeDeclare(Command, code=(0x7, 0x1)):
    """Make an exchange, or (passive) check that it is there."""

    exchange: str | None = field(str8)
    type: str | None = field(str8)
    alternate_exchange: str | None = field(str8)
    passive: bool = bit()
    durable: bool = bit()
    auto_delete: bool = bit()
    arguments: dict[str, Any] | None = field(map_)


class ExchangeDelete(Command, code=(0x7, 0x2)):
    """Delete an exchange."""

    exchange: str | None = field(str8)
    if_unused: bool = bit()


class ExchangeQuery(Command, code=(0x7, 0x3), result=ExchangeQueryResult):
    """Ask what an exchange is."""

    name: str | None = field(str8)


class ExchangeBind(Command, code=(0x7, 0x4)):
    """Bind a queue to an exchange."""

    queue: str | None = field(str8)
    exchange: str | None = field(str8)
    binding_key: str | None = field(str8)
    arguments: dict[str, Any] | None = field(map_)


class ExchangeUnbind(Command, code=(0x7, 0x5)):
    """Take a binding back."""

    queue: str | None = field(str8)
    exchange: str | None = field(str8)
    binding_key: str | None = field(str8)


class ExchangeBound(Command, code=(0x7, 0x6), result=ExchangeBoundResult):
    """Ask whether a binding exists."""

    exchange: str | None = field(str8)
    queue: str | None = field(str8)
    binding_key: str | None = field(str8)
    arguments: dict[str, Any] | None = field(map_)
