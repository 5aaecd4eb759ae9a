"""The broker without I/O: queues, exchanges, bindings and session records, and the rules between them.

Connections drive it: each read is turned into commands, commands into entries of the journal, and :meth:`Broker.settle`
then hands out everything that became available, once a read and not once a message. Clock and time-outs are the
caller's (:mod:`qpid_server.timers`).
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Protocol
from uuid import uuid4

from .dispatch import dispatch
from .dtx import Branches
from .effects import (
    Bound,
    Dequeue,
    Enqueue,
    ExchangeDeclared,
    ExchangeDeleted,
    Passed,
    QueueDeclared,
    QueueDeleted,
    SessionEnded,
    Unbound,
)
from .errors import NotAllowed, NotFound, UnauthorizedAccess
from .exchange import DirectExchange, Exchange, FanoutExchange, HeadersExchange, TopicExchange, exchange_class
from .expiry import start_purging
from .journal import Effect, Entry, Journal
from .limits import make_room
from .observer import Observer
from .options import Options
from .queue import Queue, QueueEntry
from .queue_arguments import auto_delete_timeout, check_binding_arguments
from .queue_levels import Ratios
from .queue_operations import delete, forget
from .queue_settings import queue_settings
from .queues import queue_type
from .replication_rules import ReplicationRules
from .session_records import SessionRecords
from .timers import Timer, Timers

if TYPE_CHECKING:
    from .connection import ConnectionHandler
    from .ha.queue_replication import QueueReplication
    from .management.ha import HighAvailability
    from .message import Message
    from .session import SessionHandler

__all__ = ["Broker", "InternalService"]


class InternalService(Protocol):
    """Something in the broker that takes transfers and subscriptions of its own name, such as the replicated log."""

    def transfer(self, session: SessionHandler, command_id: int, header: bytes | None, body: bytes | None) -> None:
        """A message.transfer to the service's name; the service completes the command."""

    def subscribe(self, session: SessionHandler, command_id: int, command: Any) -> None:
        """A message.subscribe to the service's name; the service completes the command."""

    def flow(self, session: SessionHandler, destination: str, unit: int, value: int) -> None:
        """A message.flow for one of its subscriptions."""

    def cancel(self, session: SessionHandler, destination: str) -> None:
        """One of its subscriptions ends."""

    def refresh(self, session: SessionHandler) -> None:
        """The connection of a session that uses it is congested no more."""

    def detached(self, session: SessionHandler) -> None:
        """A session that used it is gone."""


class Broker:
    """What a broker holds and does.

    Args:
        options: how it is configured; the defaults where not given.
        clock: monotonic seconds.

    Attributes:
        journal: where entries are committed; a cluster puts its own here.
        role: "stand-alone", or the state of a cluster's member.
        admission: asked when a connection is opened; returns None, or a close-code and text to turn it away; code 0
            drops the connection without a word, as the C++ broker's backups do: clients that reconnect then go on.
        internal: services that take transfers and subscriptions instead of an exchange or queue, by name.
        observers: told of what happens to queues, exchanges, bindings, subscriptions, sessions and connections.
        dirty: queues that may have something to hand out.
        pending: connections with output to be written.
    """

    def __init__(self, options: Options | None = None, *, clock: Callable[[], float] = time.monotonic) -> None:
        self.options = options if options is not None else Options()
        self.clock = clock
        self.started = clock()
        self._ratios = Ratios(
            self.options.default_event_threshold_ratio,
            self.options.default_flow_stop_threshold,
            self.options.default_flow_resume_threshold,
        )
        self.replication_rules = ReplicationRules(self.options.ha_replicate_rule, self.options.ha_replicate)
        """What is replicated of queues and exchanges that do not say."""
        self.federation_tag = self.options.federation_tag or str(uuid4())
        self.role = "stand-alone"
        self.journal: Journal = Journal(self)
        self.timers = Timers()
        self.session_records = SessionRecords()
        self.dtx = Branches(self)
        self.record_timers: dict[tuple[str, bytes], Timer] = {}
        self.sessions: dict[tuple[str, bytes], SessionHandler] = {}
        """The attached sessions, by user and name."""
        self.connections: dict[ConnectionHandler, None] = {}
        self.internal: dict[str, InternalService] = {}
        self.ha: HighAvailability | None = None
        """The broker's part in a cluster; None when it stands alone."""
        self.queue_replication: QueueReplication | None = None
        """Queues that follow queues of other brokers; None where that is not enabled."""
        self.admission: Callable[[ConnectionHandler], tuple[int, str] | None] = lambda connection: None
        self.known_hosts: Callable[[], list[str]] = list
        """What connection.open-ok tells clients of other brokers to turn to."""
        self.observers: list[Observer] = []
        self.dirty: dict[Queue, None] = {}
        self.pending: dict[ConnectionHandler, None] = {}
        self.queues: dict[str, Queue] = {}
        self.queues_by_user: Counter[str] = Counter()
        """How many of them each user declared."""
        self.abandoned = 0
        """Messages that went with their queues."""
        self.abandoned_via_alternate = 0
        """Messages that their queues, when they were deleted, left to an alternate exchange."""
        self.timestamps = self.options.enable_timestamp
        """Write the time of arrival into messages."""
        self.wall_clock: Callable[[], float] = time.time
        """Seconds since 1970."""
        self.shut_down: Callable[[], None] | None = None
        """Ends the server around this broker, where there is one."""
        self.actor: ConnectionHandler | None = None
        """The connection whose bytes or loss are being dealt with."""
        self.default_exchange = DirectExchange("")
        self.exchanges: dict[str, Exchange] = {"": self.default_exchange}
        for name, kind in (
            ("amq.direct", DirectExchange),
            ("amq.topic", TopicExchange),
            ("amq.fanout", FanoutExchange),
            ("amq.match", HeadersExchange),
        ):
            self.exchanges[name] = kind(name, durable=True)
        start_purging(self)

    @property
    def uptime(self) -> float:
        """Seconds since it was started."""
        return self.clock() - self.started

    @property
    def serves_clients(self) -> bool:
        """It stands alone, or is the primary of its cluster."""
        return self.ha is None or self.ha.primary

    # -- look-up

    def queue(self, name: str) -> Queue:
        """The queue of that name.

        Raises:
            NotFound: there is none.
        """
        queue = self.queues.get(name)
        if queue is None:
            raise NotFound(f"Queue not found: {name}")
        return queue

    def exchange(self, name: str) -> Exchange:
        """The exchange of that name.

        Raises:
            NotFound: there is none.
        """
        exchange = self.exchanges.get(name)
        if exchange is None:
            raise NotFound(f"Exchange not found: {name}")
        return exchange

    def check_quota(self, user: str) -> None:
        """Ask whether a user may declare one queue more.

        Raises:
            UnauthorizedAccess: there are ``max-queues-per-user`` of theirs.
        """
        limit = self.options.max_queues_per_user
        if limit and self.queues_by_user[user] >= limit:
            raise UnauthorizedAccess(f"user {user} has {limit} queues, and may not have more (max-queues-per-user)")

    # -- entries

    def commit(self, entry: Entry, on_confirmed: Callable[[Entry], None] | None = None) -> None:
        """Apply an entry and give it to the journal.

        Args:
            entry: the effects of one command.
            on_confirmed: called with the entry once it is safe.

        Raises:
            NotAllowed: this broker is a backup, and the entry changes what is replicated.
        """
        if not self.journal.admits(entry.effects):
            raise NotAllowed(f"replicated state is changed on the primary, this broker is {self.role}")
        entry.apply(self)
        self.journal.commit(entry, on_confirmed)

    def do(self, *effects: Effect) -> None:
        """Commit effects that no command asked for; what is replicated, only the primary decides."""
        if effects and self.journal.admits(effects):
            self.commit(Entry(effects))

    def may_dequeue(self, queue: Queue) -> bool:
        """Whether this broker decides what leaves the queue: a backup does not where its primary replicates that."""
        return self.journal.admits((Dequeue(queue, ()),))

    def dispatch(self, queue: Queue) -> None:
        """Hand out what one queue holds, now."""
        dispatch(self, queue)

    def settle(self) -> None:
        """Hand out what became available, and let connections with output write.

        To be called after every read, timer or confirmation.
        """
        dirty = self.dirty
        while dirty:
            queue, _ = dirty.popitem()
            dispatch(self, queue)
        self.journal.flush()
        pending = self.pending
        if pending:
            self.pending = {}
            for connection in pending:
                connection.notify()

    # -- what commands come to

    def route(
        self, message: Message, exchange: Exchange, publisher: ConnectionHandler | None = None
    ) -> list[Enqueue | Passed]:
        """What sending a message to an exchange does; internal receivers get it at once.

        Where nothing matches, the alternate exchange is asked (once: its own alternate is not).
        """
        passed: list[Enqueue | Passed] = []
        if exchange.memory is not None:
            message = self._remembered(exchange, message, passed)
        route = exchange.route(message)
        route.messages += 1
        route.bytes += message.size
        if not route.bindings:
            alternate = exchange.alternate_exchange
            if alternate is None:
                return passed
            if alternate.memory is not None:
                message = self._remembered(alternate, message, passed)
            route = alternate.route(message)
            route.messages += 1
            route.bytes += message.size
        if route.receivers:
            for receiver in route.receivers:
                receiver.deliver(message, publisher)
        if passed or route.selective:
            return [*passed, *self.enqueues(route.queues, message)]
        return [Enqueue(queue, message) for queue in route.queues]

    def _remembered(self, exchange: Exchange, message: Message, passed: list[Enqueue | Passed]) -> Message:
        memory = exchange.memory
        assert memory is not None
        message = memory.numbered(message)
        passed.append(Passed(exchange, memory.number, message if memory.initial_value else None))
        return message

    def enqueues(self, queues: Iterable[Queue], message: Message) -> list[Enqueue]:
        """What sending a message to these queues does: each may drop it, or write into it that it was there."""
        effects: list[Enqueue] = []
        for queue in queues:
            received = queue.receive(message) if queue.selective else message
            if received is not None:
                effects.append(Enqueue(queue, received))
        return effects

    def admit(self, effects: Sequence[Effect], *, strict: bool = True) -> list[Effect]:
        """The effects with what the limits of queues make of them, and without what newer messages replace.

        Args:
            effects: what a command is about to do.
            strict: raise where a queue refuses a message, else that message is dropped.

        Raises:
            ResourceLimitExceeded: a queue is full.
        """
        admitted, destroyed = make_room(effects, strict=strict)
        for queue in destroyed:
            admitted += self.delete_queue_effects(queue)
        return admitted

    def check_room(self, effects: Sequence[Effect]) -> None:
        """Ask whether :meth:`admit` would let these effects pass, without consequences.

        Raises:
            ResourceLimitExceeded: a queue is full.
        """
        make_room(effects, strict=True, counting=False)

    def reroute(self, queue: Queue, entries: Iterable[QueueEntry]) -> list[Effect]:
        """What becomes of messages that their queue does not keep: its alternate exchange has them, if there is one.

        They go as new messages, since the alternate exchange may lead to the same queue again.
        """
        alternate = queue.alternate_exchange
        effects: list[Effect] = []
        if alternate is not None:
            for entry in entries:
                effects += self.route(entry.message.anew(), alternate)
        return self.admit(effects, strict=False)

    def reject_effects(self, queue: Queue, entries: list[QueueEntry]) -> list[Effect]:
        """Messages leave a queue for its alternate exchange, or for good."""
        # The other way round, a message that comes back to its queue would be there twice.
        return [Dequeue(queue, entries), *self.reroute(queue, entries)]

    def delete_queue_effects(self, queue: Queue) -> list[Effect]:
        """What deleting a queue does: its messages go to the alternate exchange, its bindings go with it."""
        effects = self.reroute(queue, queue.entries.values())
        effects = [effect for effect in effects if not (isinstance(effect, Enqueue) and effect.queue is queue)]
        effects.append(QueueDeleted(queue))
        exchanges = dict.fromkeys(binding.exchange for binding in queue.bindings)
        for exchange in exchanges:
            if all(binding in queue.bindings for binding in exchange.bindings.values()):
                effects += self.exchange_unused_effects(exchange)
        return effects

    def binding_effects(self, queue: Queue, exchange: Exchange, key: str, arguments: Mapping[str, Any]) -> list[Effect]:
        """What binding a queue does: nothing where it is bound like that; a queue may get the exchange's last message.

        A binding may take the place of others (see :meth:`Exchange.displaced`): a message finds those or this one.

        Raises:
            SessionError: the arguments make no sense to this type of exchange.
        """
        exchange.check(key, arguments)
        check_binding_arguments(arguments)
        effects: list[Effect] = [
            Unbound(binding.destination, exchange, key)
            for binding in exchange.displaced(queue, key, arguments)
            if isinstance(binding.destination, Queue)
        ]
        if exchange.has_binding(queue, key, arguments):
            return effects
        effects.append(Bound(queue, exchange, key, arguments))
        last = None if exchange.memory is None else exchange.memory.last
        if last is not None and exchange.selects(key, arguments, last):
            effects += self.admit(self.enqueues((queue.redirect or queue,), last.anew()), strict=False)
        return effects

    def exchange_unused_effects(self, exchange: Exchange) -> list[Effect]:
        """What follows when an exchange loses its last binding."""
        if exchange.auto_delete and not exchange.alternate_users and not exchange.deleted:
            return [ExchangeDeleted(exchange)]
        return []

    def queue_unused(self, queue: Queue, patience: float | None = None) -> None:
        """Its users or messages have gone: an auto-delete queue may go too, at once or after its time-out.

        Args:
            queue: the queue.
            patience: seconds that it lives on; its time-out where not given.
        """
        timeout = queue.auto_delete_timeout if patience is None else patience
        timer, queue.lifetime_timer = queue.lifetime_timer, None
        if timer is not None:
            timer.cancel()
        if not queue.outlived:
            return
        if timeout > 0:
            queue.lifetime_timer = self.timers.at(self.clock() + timeout, lambda: self._lifetime_over(queue))
        else:
            self._delete_outlived(queue)

    def _lifetime_over(self, queue: Queue) -> None:
        if queue.outlived:
            self._delete_outlived(queue)
            self.settle()

    def _delete_outlived(self, queue: Queue) -> None:
        with suppress(NotAllowed):  # a backup leaves that to its primary
            delete(self, queue)

    # -- records of sessions that outlive their connections

    def keep_record(self, user: str, name: bytes, timeout: float) -> None:
        """A session is detached: its record lives for so many seconds more."""
        self.session_attached(user, name)
        key = (user, name)
        self.record_timers[key] = self.timers.at(self.clock() + timeout, lambda: self._expire_record(key))

    def session_attached(self, user: str, name: bytes) -> None:
        """Its record does not expire while it is attached."""
        timer = self.record_timers.pop((user, name), None)
        if timer is not None:
            timer.cancel()

    def end_record(self, user: str, name: bytes) -> None:
        """The session is over: drop its record everywhere."""
        self.session_attached(user, name)
        if self.session_records.last(user, name) is not None:
            self.do(SessionEnded(user, name))
        else:
            self.session_records.forget(user, name)

    def _expire_record(self, key: tuple[str, bytes]) -> None:
        self.record_timers.pop(key, None)
        if key not in self.sessions:
            self.end_record(*key)
            self.settle()

    # -- application of effects: nothing else changes queues, exchanges and bindings

    def create_queue(self, declared: QueueDeclared) -> Queue:
        """Make the queue that an effect declares."""
        alternate = self._alternate(declared.alternate_exchange)
        settings = queue_settings(
            declared.arguments,
            size_limit=self.options.default_queue_limit,
            default_group=self.options.default_message_group,
            ratios=self._ratios,
        )
        queue = queue_type(settings)(
            declared.name,
            durable=declared.durable,
            exclusive=declared.exclusive,
            auto_delete=declared.auto_delete,
            alternate_exchange=alternate,
            arguments=declared.arguments,
            replicate=declared.replicate,
            auto_delete_timeout=auto_delete_timeout(declared.arguments),
            settings=settings,
            identity=declared.identity,
        )
        queue.creator = declared.creator
        self.queues_by_user[queue.creator] += 1
        if alternate is not None:
            alternate.alternate_users += 1
        self.queues[queue.name] = queue
        self.default_exchange.bind(queue, queue.name)
        for observer in self.observers:
            observer.queue_created(queue)
        return queue

    def destroy_queue(self, queue: Queue) -> None:
        """Forget a queue, its messages and its bindings."""
        if queue.deleted:
            return
        queue.deleted = True
        if queue.flow is not None:
            queue.flow.release()
        for redirected in (queue, queue.redirected):
            if redirected is not None and redirected.redirect is not None:
                self.redirect(redirected, None)
        for binding in list(queue.bindings):
            binding.exchange.remove(binding)
            if binding.exchange is not self.default_exchange:
                for observer in self.observers:
                    observer.unbound(binding)
        if queue.alternate_exchange is None:
            self.abandoned += queue.depth
        else:
            self.abandoned_via_alternate += queue.depth
        forget(self, queue.abandon())
        if queue.alternate_exchange is not None:
            queue.alternate_exchange.alternate_users -= 1
        if self.queues.get(queue.name) is queue:
            del self.queues[queue.name]
        self.queues_by_user[queue.creator] -= 1
        if not self.queues_by_user[queue.creator]:
            del self.queues_by_user[queue.creator]
        self.dirty.pop(queue, None)
        for subscription in list(queue.subscriptions):
            subscription.queue_deleted()
        for feed in list(queue.feeds):
            feed.queue_deleted()
        for observer in self.observers:
            observer.queue_deleted(queue)

    def redirect(self, source: Queue, target: Queue | None) -> None:
        """Let another queue have what is sent to one; None: no more."""
        former, source.redirect = source.redirect, target
        if former is not None:
            former.redirected = None
        if target is not None:
            target.redirected = source
        for exchange in dict.fromkeys(binding.exchange for binding in source.bindings):
            exchange.forget_routes()
        peer = target or former
        if peer is not None:
            for observer in self.observers:
                observer.redirected(source, peer, active=target is not None)

    def create_exchange(self, declared: ExchangeDeclared) -> Exchange:
        """Make the exchange that an effect declares."""
        alternate = self._alternate(declared.alternate_exchange)
        exchange = exchange_class(declared.type)(
            declared.name,
            durable=declared.durable,
            auto_delete=declared.auto_delete,
            alternate_exchange=alternate,
            arguments=declared.arguments,
            replicate=declared.replicate,
        )
        if alternate is not None:
            alternate.alternate_users += 1
        self.exchanges[exchange.name] = exchange
        for observer in self.observers:
            observer.exchange_created(exchange)
        return exchange

    def destroy_exchange(self, exchange: Exchange) -> None:
        """Forget an exchange and its bindings."""
        if exchange.deleted:
            return
        exchange.deleted = True
        for binding in list(exchange.bindings.values()):
            exchange.remove(binding)
            for observer in self.observers:
                observer.unbound(binding)
        if exchange.alternate_exchange is not None:
            exchange.alternate_exchange.alternate_users -= 1
        self.exchanges.pop(exchange.name, None)
        for observer in self.observers:
            observer.exchange_deleted(exchange)

    def bind(self, queue: Queue, exchange: Exchange, key: str, arguments: Mapping[str, Any]) -> None:
        """Bind a queue to an exchange."""
        binding = exchange.bind(queue, key, arguments)
        if binding is not None:
            for observer in self.observers:
                observer.bound(binding)

    def unbind(self, queue: Queue, exchange: Exchange, key: str) -> None:
        """Take the bindings of that key away."""
        for binding in exchange.find(queue, key):
            exchange.remove(binding)
            for observer in self.observers:
                observer.unbound(binding)

    def _alternate(self, name: str | None) -> Exchange | None:
        return self.exchange(name) if name else None
