"""Management methods that configure the broker: create and delete queues, exchanges and bindings.

Each becomes one entry of the journal, like the command that does the same in a session, and is answered when that entry
is confirmed.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from qpid_messaging.management.qmf import Status

from .. import queue_operations
from ..effects import (
    ExchangeDeclared,
    ExchangeDeleted,
    QueueDeclared,
    QueueDeleted,
    Unbound,
)
from ..errors import NotAllowed, NotFound, PreconditionFailed, ResourceLocked
from ..exchange import exchange_class
from ..journal import Effect, Entry
from ..queue_arguments import auto_deleted, check_exchange_arguments, check_queue_arguments, replication
from .schema import MethodCall, MethodError, as_flag

if TYPE_CHECKING:
    from ..broker import Broker
    from ..queue import Queue

__all__ = ["check_admitted", "create", "delete", "queue_named"]

_NAME_LIMIT = 255  # octets of a str8, in which AMQP 0-10 sends names

#: Arguments of declarations and bindings that mean something here begin so; `strict` refuses others.
_KNOWN_PREFIXES = ("qpid.", "x-qpid", "x-match", "no-local")

#: What Kombu's transport says of every queue, strictly, and no broker has ever looked at.
_KOMBU_PROPERTIES = ("arguments", "passive")


def create(broker: Broker, call: MethodCall) -> None:
    """Method create of the broker: a queue, an exchange or a binding."""
    _by_type({"queue": _create_queue, "exchange": _create_exchange, "binding": _create_binding}, broker, call)


def delete(broker: Broker, call: MethodCall) -> None:
    """Method delete of the broker: a queue, an exchange or a binding."""
    _by_type({"queue": _delete_queue, "exchange": _delete_exchange, "binding": _delete_binding}, broker, call)


def _by_type(methods: dict[str, Callable[[Broker, str, MethodCall], None]], broker: Broker, call: MethodCall) -> None:
    kind = call.text("type")
    name = call.text("name")
    method = methods.get(kind)
    if method is None:
        raise MethodError(Status.INVALID_PARAMETER, f"Unknown object type: {kind} (there are {', '.join(methods)})")
    method(broker, name, call)


def queue_named(broker: Broker, name: str) -> Queue:
    """The queue that an argument of a method names.

    Raises:
        MethodError: there is none.
    """
    queue = broker.queues.get(name)
    if queue is None:
        raise MethodError(Status.INVALID_PARAMETER, f"no such queue: {name}")
    return queue


def check_admitted(broker: Broker, call: MethodCall, effects: Sequence[Effect]) -> None:
    """Raise where this broker is a backup and a method would change what is replicated.

    Raises:
        MethodError: that is so.
    """
    if not broker.journal.admits(effects):
        raise MethodError(Status.FORBIDDEN, f"{call.method}: what is replicated changes on the primary only")


def _commit(broker: Broker, call: MethodCall, effects: Sequence[Effect]) -> None:
    check_admitted(broker, call, effects)
    broker.commit(Entry(effects), lambda entry: call.done())


# -- create


def _flag(properties: dict[str, Any], name: str) -> bool:
    return as_flag(properties.pop(name, False), f"property {name!r}")


def _name(properties: dict[str, Any], name: str) -> str | None:
    value = properties.pop(name, None)
    if isinstance(value, bytes):
        value = value.decode("utf-8", "surrogateescape")
    if value is not None and not isinstance(value, str):
        raise MethodError(Status.INVALID_PARAMETER, f"property {name!r} must be text, not {value!r}")
    return value or None


def _check_name(name: str) -> None:
    if not 0 < len(name.encode("utf-8", "surrogateescape")) <= _NAME_LIMIT:
        raise MethodError(Status.INVALID_PARAMETER, f"a name must have 1 to {_NAME_LIMIT} bytes: {name!r}")


def _check_strict(call: MethodCall, arguments: dict[str, Any]) -> None:
    if call.flag("strict"):
        unknown = sorted(name for name in arguments if not name.startswith(_KNOWN_PREFIXES))
        if unknown:
            raise MethodError(Status.INVALID_PARAMETER, f"Unrecognised properties: {', '.join(unknown)}")


def _create_queue(broker: Broker, name: str, call: MethodCall) -> None:
    _check_name(name)
    arguments = call.mapping("properties")
    durable, auto_delete = _flag(arguments, "durable"), _flag(arguments, "auto-delete")
    if _flag(arguments, "exclusive"):
        raise MethodError(Status.INVALID_PARAMETER, "an exclusive queue belongs to the session that declares it")
    alternate = _name(arguments, "alternate-exchange")
    for of_kombu in _KOMBU_PROPERTIES:
        arguments.pop(of_kombu, None)
    _check_strict(call, arguments)
    check_queue_arguments(arguments)
    auto_delete = auto_deleted(arguments, auto_delete)
    if alternate is not None:
        broker.exchange(alternate)
    if name in broker.queues:
        raise MethodError(Status.EXCEPTION, f"object already exists: {name}")
    creator = "" if call.publisher is None else call.publisher.user
    broker.check_quota(creator)
    declared = QueueDeclared(
        name,
        durable=durable,
        auto_delete=auto_delete,
        alternate_exchange=alternate,
        arguments=arguments,
        replicate=replication(arguments, broker.replication_rules.level("queue", name), auto_delete=auto_delete),
        creator=creator,
    )
    _commit(broker, call, [declared])


def _create_exchange(broker: Broker, name: str, call: MethodCall) -> None:
    _check_name(name)
    arguments = call.mapping("properties")
    durable, auto_delete = _flag(arguments, "durable"), _flag(arguments, "auto-delete")
    alternate = _name(arguments, "alternate-exchange")
    kind = _name(arguments, "exchange-type") or "topic"
    _check_strict(call, arguments)
    exchange_class(kind)
    check_exchange_arguments(arguments)
    if name.startswith(("amq.", "qpid.")):
        raise NotAllowed(f"Exchange names beginning with amq. or qpid. are reserved: {name}")
    if alternate is not None:
        broker.exchange(alternate)
    if name in broker.exchanges:
        raise MethodError(Status.EXCEPTION, f"object already exists: {name}")
    declared = ExchangeDeclared(
        name,
        kind,
        durable=durable,
        auto_delete=auto_delete,
        alternate_exchange=alternate,
        arguments=arguments,
        replicate=replication(arguments, broker.replication_rules.level("exchange", name)),
    )
    _commit(broker, call, [declared])


def _binding(broker: Broker, identifier: str) -> tuple[str, str, str]:
    """Exchange, queue and key of a binding's name `exchange/queue/key`; names may have slashes of their own."""
    parts = identifier.split("/")
    for first in range(1, len(parts) - 1):
        for second in range(first + 1, len(parts)):
            exchange, queue = "/".join(parts[:first]), "/".join(parts[first:second])
            if exchange in broker.exchanges and queue in broker.queues:
                return exchange, queue, "/".join(parts[second:])
    exchange, _, rest = identifier.partition("/")
    queue, slash, key = rest.partition("/")
    if not slash:
        raise MethodError(Status.INVALID_PARAMETER, f"a binding is named exchange/queue/key, not {identifier!r}")
    return exchange, queue, key


def _create_binding(broker: Broker, identifier: str, call: MethodCall) -> None:
    exchange_name, queue_name, key = _binding(broker, identifier)
    arguments = call.mapping("properties")
    exchange, queue = broker.exchange(exchange_name), broker.queue(queue_name)
    if exchange is broker.default_exchange:
        raise NotAllowed("The default exchange's bindings follow from the queues")
    _commit(broker, call, broker.binding_effects(queue, exchange, key, arguments))


# -- delete


def _delete_queue(broker: Broker, name: str, call: MethodCall) -> None:
    options = call.mapping("options")
    if_empty, if_unused = _flag(options, "if_empty"), _flag(options, "if_unused")
    queue = broker.queue(name)
    if queue.owner is not None:
        raise ResourceLocked(f"Cannot delete queue {name}: it is exclusive to a session")
    if if_empty and queue.depth:
        raise PreconditionFailed(f"Cannot delete queue {name}; queue not empty")
    if if_unused and queue.subscriptions:
        raise PreconditionFailed(f"Cannot delete queue {name}; queue in use")
    check_admitted(broker, call, [QueueDeleted(queue)])
    queue_operations.delete(broker, queue, call.done)


def _delete_exchange(broker: Broker, name: str, call: MethodCall) -> None:
    exchange = broker.exchange(name)
    if not name or name.startswith(("amq.", "qmf.", "qpid.")):
        raise NotAllowed(f"Cannot delete exchange {name!r}: it is the broker's own")
    if exchange.alternate_users:
        raise NotAllowed(f"Cannot delete exchange {name}: it is in use as alternate exchange")
    _commit(broker, call, [ExchangeDeleted(exchange)])


def _delete_binding(broker: Broker, identifier: str, call: MethodCall) -> None:
    exchange_name, queue_name, key = _binding(broker, identifier)
    exchange, queue = broker.exchange(exchange_name), broker.queue(queue_name)
    if exchange is broker.default_exchange:
        raise NotAllowed("The default exchange's bindings follow from the queues")
    found = exchange.find(queue, key)
    if not found:
        raise NotFound(f"No such binding: {identifier}")
    effects: list[Effect] = [Unbound(queue, exchange, key)]
    if len(found) == len(exchange.bindings):
        effects += broker.exchange_unused_effects(exchange)
    _commit(broker, call, effects)
