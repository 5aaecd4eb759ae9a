"""The commands of the message, tx and execution classes, except message.transfer (AMQP 0-10)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from qpid_messaging.amqp import commands as c
from qpid_messaging.amqp.ranges import RangeSet

from .arguments import text
from .effects import Dequeue, QueueUsed
from .errors import CommandInvalid, IllegalArgument, NotAllowed, NotImplementedFeature, ResourceLocked
from .journal import Effect, Entry
from .line import GONE
from .node_commands import owned_queue
from .queue import Queue
from .selector import Selector
from .session import HANDLERS, SessionHandler
from .subscription import Delivery, Subscription
from .transaction import Transaction, dequeues

__all__ = ["subscribe"]

_MASK = 0xFFFFFFFF

#: By these brokers of the C++ kind ask to be told of all that happens to a queue; ours do it in their own way (`ha`).
_SUBSCRIBE_REFUSED = frozenset({"qpid.ha-repsub", "qpid.replicating-subscription"})


def subscribe(session: SessionHandler, command_id: int, command: c.MessageSubscribe) -> None:
    """message.subscribe.

    Raises:
        SessionError: no such queue (404), the destination is in use (530), the queue is locked (405).
    """
    broker = session.broker
    destination = command.destination or ""
    if destination in session.subscriptions or destination in session.services:
        raise NotAllowed(f"Consumer tags must be unique: {destination}")
    service = broker.internal.get(command.queue or "")
    if service is not None:
        session.services[destination] = service
        service.subscribe(session, command_id, command)
        return
    if command.acquire_mode == c.AcquireMode.NOT_ACQUIRED and command.queue:
        queue = broker.queue(command.queue)  # who owns it need not mind a browser
    else:
        queue = owned_queue(session, command.queue)
        _check_may_dequeue(session, queue)
    arguments: dict[str, Any] = command.arguments or {}
    for name, value in arguments.items():
        if name in _SUBSCRIBE_REFUSED and value not in (None, False, 0, ""):
            raise NotImplementedFeature(f"message.subscribe argument {name}")
    if command.resume_id:
        raise NotImplementedFeature("message.subscribe with resume-id")
    if queue.exclusive_subscription is not None:
        raise ResourceLocked(f"Queue {queue.name} has an exclusive consumer. No more consumers allowed.")
    if command.exclusive and queue.subscriptions:
        raise ResourceLocked(f"Queue {queue.name} already has consumers. Exclusive access denied.")
    claim = arguments.get("qpid.claim")
    if claim is not None and not (isinstance(claim, list) and all(isinstance(text, str) for text in claim)):
        raise IllegalArgument("qpid.claim is not a list of resume ids")
    selector = text(arguments, "x-apache-selector")
    subscription = Subscription(
        session,
        queue,
        destination,
        accept=command.accept_mode != c.AcceptMode.NONE,
        # As on the C++ broker, who wants to consume from a queue that is for browsing browses.
        acquire=command.acquire_mode != c.AcquireMode.NOT_ACQUIRED and not queue.settings.browse_only,
        exclusive=command.exclusive,
        arguments=arguments,
        resume_ids=bool(arguments.get("qpid.resume-ids")),
        claim=claim or None,
        selector=Selector(selector) if selector else None,
    )
    session.subscriptions[destination] = subscription
    queue.subscriptions[subscription] = None
    if subscription.sieve is not None:
        queue.sieves[subscription.sieve] = None
    if command.exclusive:
        queue.exclusive_subscription = subscription
    if queue.auto_delete and not queue.used:
        broker.do(QueueUsed(queue))
    for observer in broker.observers:
        observer.subscribed(subscription)
    session.complete(command_id)


def _check_may_dequeue(session: SessionHandler, queue: Queue) -> None:
    if not session.broker.may_dequeue(queue):
        raise NotAllowed(f"Messages of replicated queue {queue.name} are taken from the primary, not from a backup")


def cancel(session: SessionHandler, command_id: int, command: c.MessageCancel) -> None:
    """message.cancel: NotFound where there is no such subscription."""
    service = session.services.pop(command.destination or "", None)
    if service is not None:
        service.cancel(session, command.destination or "")
    else:
        session.cancel(session.subscription(command.destination))
    session.complete(command_id)


def set_flow_mode(session: SessionHandler, command_id: int, command: c.MessageSetFlowMode) -> None:
    """message.set-flow-mode: window or credit."""
    if (command.destination or "") not in session.services:
        session.subscription(command.destination).set_window(command.flow_mode == c.FlowMode.WINDOW)
    session.complete(command_id)


def flow(session: SessionHandler, command_id: int, command: c.MessageFlow) -> None:
    """message.flow: more credit."""
    unit, value = command.unit or 0, command.value or 0
    if unit not in (c.CreditUnit.MESSAGE, c.CreditUnit.BYTE):
        raise IllegalArgument(f"Invalid value for unit {unit}")
    service = session.services.get(command.destination or "")
    if service is not None:
        service.flow(session, command.destination or "", unit, value)
    else:
        session.subscription(command.destination).add_credit(unit, value)
    session.complete(command_id)


def flush(session: SessionHandler, command_id: int, command: c.MessageFlush) -> None:
    """message.flush: send what there is, then take the credit away.

    With a claim it waits until everything in the journal is confirmed: what is not there then does not come back later.
    """
    if (command.destination or "") in session.services:
        session.complete(command_id)
        return
    subscription = session.subscription(command.destination)
    if subscription.claim is None:
        subscription.flush()
        session.complete(command_id)
    else:

        def settled() -> None:
            if not subscription.cancelled:
                subscription.flush()
                session.complete(command_id)

        session.broker.journal.when_confirmed(settled)


def stop(session: SessionHandler, command_id: int, command: c.MessageStop) -> None:
    """message.stop: no more credit."""
    if (command.destination or "") not in session.services:
        session.subscription(command.destination).stop()
    session.complete(command_id)


def accept(session: SessionHandler, command_id: int, command: c.MessageAccept) -> None:
    """message.accept: the messages leave their queues, in a transaction at its commit."""
    found = session.deliveries(command.transfers)
    if session.transaction is not None:
        session.transaction.accepted.update(found)
        session.complete(command_id)
    else:
        _take_away(session, command_id, dequeues(delivery.entry for _, delivery in found if _holds(delivery)))
    for transfer_id, _ in found:
        del session.unsettled[transfer_id]


def _holds(delivery: Delivery) -> bool:
    return delivery.entry.owner is delivery.subscription


def _take_away(session: SessionHandler, command_id: int, effects: Sequence[Effect]) -> None:
    """Where this broker may not do that, the messages have to be with the session still, whose end gives them back."""
    if effects:
        session.commit(Entry(effects, None, command_id))
    else:
        session.complete(command_id)


def release(session: SessionHandler, command_id: int, command: c.MessageRelease) -> None:
    """message.release: acquired messages go back to their places.

    Also those that an open transaction accepted: clients release all that they hold just before tx.rollback.
    """
    held = [session.unsettled]
    if session.transaction is not None:
        held.append(session.transaction.accepted)
    for among in held:
        for transfer_id, delivery in session.deliveries(command.transfers, among):
            del among[transfer_id]
            entry = delivery.entry
            if entry.owner is delivery.subscription:
                entry.queue.release(entry, redelivered=command.set_redelivered)
                session.broker.dirty[entry.queue] = None
    session.complete(command_id)


def reject(session: SessionHandler, command_id: int, command: c.MessageReject) -> None:
    """message.reject: acquired messages go to the alternate exchange of their queue, or nowhere."""
    found = session.deliveries(command.transfers)
    rejected = [delivery.entry for _, delivery in found if _holds(delivery) and delivery.entry.state != GONE]
    effects: list[Effect] = []
    for entry in rejected:
        effects += session.broker.reject_effects(entry.queue, [entry])
    _take_away(session, command_id, effects)
    for entry in rejected:
        entry.queue.rejects += 1
    for transfer_id, _ in found:
        del session.unsettled[transfer_id]


def acquire(session: SessionHandler, command_id: int, command: c.MessageAcquire) -> None:
    """message.acquire: a browser takes what it saw; the result names those that nobody else had."""
    acquired = RangeSet()
    taken: list[Effect] = []
    for transfer_id, delivery in session.deliveries(command.transfers):
        entry, subscription = delivery.entry, delivery.subscription
        _check_may_dequeue(session, entry.queue)
        queue = entry.queue
        if queue.holds(entry) and not queue.settings.browse_only and queue.acquire(entry, subscription):
            acquired.add(transfer_id & _MASK)
            if not subscription.accept:
                del session.unsettled[transfer_id]
                taken.append(Dequeue(queue, (entry,)))
    session.broker.do(*taken)
    session.result(command_id, c.Acquired(transfers=acquired))


def tx_select(session: SessionHandler, command_id: int, command: c.TxSelect) -> None:
    """tx.select: from now on the session is transactional."""
    if session.dtx is not None:
        raise CommandInvalid("Session has been selected for use with dtx")
    if session.transaction is None:
        session.transaction = Transaction(session)
        session.transaction.begin(command_id)
    else:
        session.complete(command_id)


def tx_commit(session: SessionHandler, command_id: int, command: c.TxCommit) -> None:
    """tx.commit: all that was published and accepted, in one entry."""
    _transaction(session).commit(command_id)


def tx_rollback(session: SessionHandler, command_id: int, command: c.TxRollback) -> None:
    """tx.rollback: nothing of it; what was accepted can be accepted or released again."""
    _transaction(session).rollback()
    session.complete(command_id)


def _transaction(session: SessionHandler) -> Transaction:
    if not isinstance(session.transaction, Transaction):
        raise CommandInvalid("Session has not been selected for use with transactions")
    return session.transaction


HANDLERS.update(
    {
        c.MessageSubscribe: subscribe,
        c.MessageCancel: cancel,
        c.MessageSetFlowMode: set_flow_mode,
        c.MessageFlow: flow,
        c.MessageFlush: flush,
        c.MessageStop: stop,
        c.MessageAccept: accept,
        c.MessageRelease: release,
        c.MessageReject: reject,
        c.MessageAcquire: acquire,
        c.TxSelect: tx_select,
        c.TxCommit: tx_commit,
        c.TxRollback: tx_rollback,
    }
)
