"""The commands of the queue and exchange classes (AMQP 0-10), with the C++ broker's error codes."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from qpid_messaging.amqp import commands as c

from .effects import Effect, ExchangeDeclared, ExchangeDeleted, QueueDeclared, Unbound
from .errors import IllegalArgument, InvalidArgument, NotAllowed, PreconditionFailed, ResourceLocked
from .exchange import Exchange, exchange_class
from .journal import Entry
from .queue import Queue, Replicate
from .queue_arguments import auto_deleted, check_exchange_arguments, check_queue_arguments, replication
from .queue_operations import delete, purge
from .session import HANDLERS, SessionHandler

__all__ = ["owned_queue"]

_RESERVED = ("amq.", "qpid.")
_STANDARD = frozenset({"amq.direct", "amq.topic", "amq.fanout", "amq.match"})


def owned_queue(session: SessionHandler, name: str | None) -> Queue:
    """The queue that a command names, if this session may use it.

    Raises:
        IllegalArgument: no name was given.
        NotFound: no such queue.
        ResourceLocked: it belongs to another session.
    """
    if not name:
        raise IllegalArgument("No queue name specified.")
    queue = session.broker.queue(name)
    if queue.owner is not None and queue.owner is not session:
        raise ResourceLocked(f"Cannot grant access to exclusive queue {name}")
    return queue


def _when_safe(session: SessionHandler, found: Queue | Exchange | None, callback: Callable[[], None]) -> None:
    """Call back once what a client is about to be told cannot be taken back; at once for what no backup holds."""
    if found is not None and found.replicate is Replicate.NONE:
        callback()
    else:
        session.broker.journal.when_configured(callback)


def _done(session: SessionHandler, command_id: int, effects: list[Effect]) -> None:
    if effects:
        session.commit(Entry(effects, None, command_id))
    else:
        session.complete(command_id)


# -- queue


def queue_declare(session: SessionHandler, command_id: int, command: c.QueueDeclare) -> None:
    """queue.declare: create a queue, or see that it is there and this session may have it as it asks for it."""
    broker = session.broker
    name = command.queue or ""
    if not name:
        raise IllegalArgument("No queue name specified.")
    if command.alternate_exchange:
        broker.exchange(command.alternate_exchange)
    queue = broker.queues.get(name)
    if command.passive or queue is not None:
        queue = broker.queue(name)
        if command.exclusive and queue.owner is not session:
            if command.passive or queue.owner is not None or queue.subscriptions:
                raise ResourceLocked(f"Cannot grant exclusive access to queue {name}")
            _own(session, queue)
        if not command.passive:
            for observer in broker.observers:
                observer.queue_declared_again(queue)
        # What an earlier command is still to be confirmed for may be what the client relies on.
        _when_safe(session, queue, lambda: session.complete(command_id))
        return
    arguments: Mapping[str, Any] = command.arguments or {}
    check_queue_arguments(arguments)
    broker.check_quota(session.user)
    auto_delete = auto_deleted(arguments, command.auto_delete)
    declared = QueueDeclared(
        name,
        durable=command.durable,
        exclusive=command.exclusive,
        auto_delete=auto_delete,
        alternate_exchange=command.alternate_exchange or None,
        arguments=arguments,
        replicate=replication(
            arguments,
            broker.replication_rules.level("queue", name),
            exclusive=command.exclusive,
            auto_delete=auto_delete,
        ),
        creator=session.user,
    )
    session.commit(Entry([declared], None, command_id))
    if command.exclusive:
        _own(session, declared.queue)


def _own(session: SessionHandler, queue: Queue) -> None:
    queue.owner = session
    session.exclusive_queues[queue] = None


def queue_delete(session: SessionHandler, command_id: int, command: c.QueueDelete) -> None:
    """queue.delete: with its bindings; messages on it go to its alternate exchange."""
    queue = owned_queue(session, command.queue)
    if command.if_empty and queue.depth:
        raise PreconditionFailed(f"Cannot delete queue {queue.name}; queue not empty")
    if command.if_unused and queue.subscriptions:
        raise PreconditionFailed(f"Cannot delete queue {queue.name}; queue in use")
    session.exclusive_queues.pop(queue, None)
    delete(session.broker, queue, lambda: session.complete(command_id))


def queue_purge(session: SessionHandler, command_id: int, command: c.QueuePurge) -> None:
    """queue.purge: every message that nobody has acquired is dropped."""
    queue = owned_queue(session, command.queue)
    purge(session.broker, queue, lambda number: session.complete(command_id))


def queue_query(session: SessionHandler, command_id: int, command: c.QueueQuery) -> None:
    """queue.query: an empty result where there is no such queue."""

    def answer() -> None:
        queue = session.broker.queues.get(command.queue or "")
        if queue is None:
            session.result(command_id, c.QueueQueryResult())
            return
        alternate = queue.alternate_exchange
        session.result(
            command_id,
            c.QueueQueryResult(
                queue=queue.name,
                alternate_exchange="" if alternate is None else alternate.name,
                durable=queue.durable,
                exclusive=queue.owner is not None,
                auto_delete=queue.auto_delete,
                arguments=queue.arguments,
                message_count=queue.depth - queue.acquired,
                subscriber_count=len(queue.subscriptions),
            ),
        )

    _when_safe(session, session.broker.queues.get(command.queue or ""), answer)


# -- exchange


def exchange_declare(session: SessionHandler, command_id: int, command: c.ExchangeDeclare) -> None:
    """exchange.declare: create an exchange, or see that it is there and of the type asked for."""
    broker = session.broker
    name = command.exchange or ""
    alternate = broker.exchange(command.alternate_exchange) if command.alternate_exchange else None
    exchange = broker.exchanges.get(name)
    if command.passive or exchange is not None:
        exchange = broker.exchange(name)
        _check_declared(exchange, command.type, alternate)
        if not command.passive:
            for observer in broker.observers:
                observer.exchange_declared_again(exchange)
        _when_safe(session, exchange, lambda: session.complete(command_id))
        return
    if name.startswith(_RESERVED):
        raise NotAllowed(f'Exchange names beginning with "amq." or "qpid." are reserved. (exchange="{name}")')
    exchange_class(command.type or "")
    arguments: Mapping[str, Any] = command.arguments or {}
    check_exchange_arguments(arguments)
    declared = ExchangeDeclared(
        name,
        command.type or "",
        durable=command.durable,
        auto_delete=command.auto_delete,
        alternate_exchange=command.alternate_exchange or None,
        arguments=arguments,
        replicate=replication(arguments, broker.replication_rules.level("exchange", name)),
    )
    session.commit(Entry([declared], None, command_id))


def _check_declared(exchange: Exchange, type: str | None, alternate: Exchange | None) -> None:
    if type and exchange.type != type:
        raise NotAllowed(f"Exchange declared to be of type {exchange.type}, requested {type}")
    if alternate is not None and exchange.alternate_exchange is not alternate:
        present = "none" if exchange.alternate_exchange is None else exchange.alternate_exchange.name
        raise NotAllowed(f"Exchange declared with alternate-exchange {present}, requested {alternate.name}")


def exchange_delete(session: SessionHandler, command_id: int, command: c.ExchangeDelete) -> None:
    """exchange.delete: not while it is somebody's alternate exchange."""
    name = command.exchange or ""
    if not name:
        raise InvalidArgument("Delete not allowed for default exchange")
    exchange = session.broker.exchange(name)
    if name in _STANDARD or name.startswith(_RESERVED):
        raise NotAllowed(f"Cannot delete standard exchange {name}")
    if exchange.alternate_users:
        raise NotAllowed(f"Exchange in use as alternate-exchange: {name}")
    if command.if_unused and exchange.bindings:
        raise PreconditionFailed(f"Exchange has bindings: {name}")
    _done(session, command_id, [ExchangeDeleted(exchange)])


def exchange_query(session: SessionHandler, command_id: int, command: c.ExchangeQuery) -> None:
    """exchange.query: not-found is part of the result."""

    def answer() -> None:
        exchange = session.broker.exchanges.get(command.name or "")
        if exchange is None:
            session.result(command_id, c.ExchangeQueryResult(type="", not_found=True, arguments={}))
        else:
            session.result(
                command_id,
                c.ExchangeQueryResult(type=exchange.type, durable=exchange.durable, arguments=exchange.arguments),
            )

    _when_safe(session, session.broker.exchanges.get(command.name or ""), answer)


def exchange_bind(session: SessionHandler, command_id: int, command: c.ExchangeBind) -> None:
    """exchange.bind: binding the same again changes nothing."""
    queue, exchange = _ends(session, command.queue, command.exchange, "Bind")
    key, arguments = command.binding_key or "", command.arguments or {}
    effects = session.broker.binding_effects(queue, exchange, key, arguments)
    if effects:
        session.commit(Entry(effects, None, command_id))
    else:
        _when_safe(session, queue, lambda: session.complete(command_id))


def exchange_unbind(session: SessionHandler, command_id: int, command: c.ExchangeUnbind) -> None:
    """exchange.unbind: an auto-delete exchange goes with its last binding."""
    queue, exchange = _ends(session, command.queue, command.exchange, "Unbind")
    found = exchange.find(queue, command.binding_key or "")
    effects: list[Effect] = []
    if found:
        effects.append(Unbound(queue, exchange, command.binding_key or ""))
        if len(found) == len(exchange.bindings):
            effects += session.broker.exchange_unused_effects(exchange)
    _done(session, command_id, effects)


def _ends(
    session: SessionHandler, queue_name: str | None, exchange_name: str | None, what: str
) -> tuple[Queue, Exchange]:
    if not exchange_name:
        raise InvalidArgument(f"{what} not allowed for default exchange")
    return owned_queue(session, queue_name), session.broker.exchange(exchange_name)


def exchange_bound(session: SessionHandler, command_id: int, command: c.ExchangeBound) -> None:
    """exchange.bound: whether there is a binding with all that is named, and if not, which of it has none."""
    session.broker.journal.when_configured(lambda: session.result(command_id, _bound(session, command)))


def _bound(session: SessionHandler, command: c.ExchangeBound) -> c.ExchangeBoundResult:
    broker = session.broker
    exchange = broker.exchanges.get(command.exchange or "")
    queue = broker.queues.get(command.queue) if command.queue else None
    if exchange is None or (command.queue and queue is None):
        return c.ExchangeBoundResult(
            exchange_not_found=exchange is None, queue_not_found=bool(command.queue) and queue is None
        )
    key = command.binding_key or None
    arguments = command.arguments or None
    if exchange.bound(queue, key, arguments):
        return c.ExchangeBoundResult()
    return c.ExchangeBoundResult(
        queue_not_matched=queue is not None and not exchange.bound(queue, None, None),
        key_not_matched=key is not None and not exchange.bound(None, key, None),
        args_not_matched=arguments is not None and not exchange.bound(None, None, arguments),
    )


HANDLERS.update(
    {
        c.QueueDeclare: queue_declare,
        c.QueueDelete: queue_delete,
        c.QueuePurge: queue_purge,
        c.QueueQuery: queue_query,
        c.ExchangeDeclare: exchange_declare,
        c.ExchangeDelete: exchange_delete,
        c.ExchangeQuery: exchange_query,
        c.ExchangeBind: exchange_bind,
        c.ExchangeUnbind: exchange_unbind,
        c.ExchangeBound: exchange_bound,
    }
)
