"""One attached session: its commands, its subscriptions, and what it was given and has not settled.

The session layer itself (ids, completions, replay) is :class:`qpid_messaging.amqp.session.Session`; here is what the
commands mean. A handler either completes its command, or leaves that to the journal; it raises a
:class:`~qpid_server.errors.SessionError` to end the session with execution.exception (AMQP 0-10, execution class).
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

from qpid_messaging.amqp import commands as c
from qpid_messaging.amqp.ranges import RangeSet
from qpid_messaging.amqp.session import Session, expand

from .effects import Enqueue
from .errors import NotFound, NotImplementedFeature, SessionError, UnauthorizedAccess
from .journal import Effect, Entry, Mark
from .line import ACQUIRED, GONE
from .message import Message
from .queue import Queue
from .subscription import Delivery, Subscription
from .transaction import Work

if TYPE_CHECKING:
    from .broker import InternalService
    from .connection import ConnectionHandler
    from .dtx_commands import DtxSession

__all__ = ["HANDLERS", "Handler", "SessionHandler"]

log = logging.getLogger(__name__)

Handler = Callable[["SessionHandler", int, Any], None]

_SWEEP_FROM = 1024


class SessionHandler:
    """What the broker does for one attached session.

    Args:
        connection: the connection that it is attached to.
        machine: its session machine.

    Attributes:
        subscriptions: by destination.
        unsettled: deliveries that the client may still accept, release, reject or acquire, by command id.
        incomplete: deliveries whose credit comes back when the client completes them, by command id.
        transaction: set once tx.select came, and while the session works for a branch of a distributed transaction.
        dtx: set once dtx.select came.
        tx_commits: local transactions that were committed.
        tx_rejects: local transactions that were rolled back, by the client or because the session ended.
        surviving: seconds that the session was granted to outlive its connection; 0: it does not.
        last_marked: the last command of a surviving session whose effect the broker holds; -1: none.
        ended: nothing that it sends is carried out any more.
    """

    def __init__(self, connection: ConnectionHandler, machine: Session) -> None:
        self.connection = connection
        self.broker = connection.broker
        self.machine = machine
        self.name = machine.name
        self.channel = machine.channel
        self.user = connection.user
        self.subscriptions: dict[str, Subscription] = {}
        self.unsettled: dict[int, Delivery] = {}
        self.incomplete: dict[int, Delivery] = {}
        self.exclusive_queues: dict[Queue, None] = {}
        self.services: dict[str, InternalService] = {}
        self.transaction: Work | None = None
        self.dtx: DtxSession | None = None
        self.tx_commits = 0
        self.tx_rejects = 0
        self.surviving = 0
        self.last_marked = -1
        self.ended = False
        self._sweep_at = _SWEEP_FROM
        self._knows_record = False

    # -- what the connection tells

    def execute(self, command_id: int, command: c.Command, header: bytes | None, body: bytes | None) -> None:
        """Carry out one command."""
        if self.ended:
            return
        try:
            if type(command) is c.MessageTransfer:
                self.transfer(command_id, command, header, body)
                return
            handler = HANDLERS.get(type(command))
            if handler is None:
                raise NotImplementedFeature(command.NAME)
            handler(self, command_id, command)
        except SessionError as error:
            self.fail(error, command_id, command)

    def completed(self, ranges: list[tuple[int, int]]) -> None:
        """The client has completed deliveries: credit comes back in window mode."""
        incomplete = self.incomplete
        if not incomplete:
            return
        touched: dict[Subscription, None] = {}
        for lower, upper in ranges:
            for command_id in _held(incomplete, lower, upper):
                delivery = incomplete.pop(command_id)
                delivery.subscription.restore(delivery.size)
                touched[delivery.subscription] = None
        for subscription in touched:
            subscription.refresh()

    def grant_timeout(self, timeout: int) -> None:
        """Answer session.request-timeout: at most what the broker's options allow."""
        self.surviving = min(timeout, self.broker.options.session_max_timeout)
        self.machine.grant_timeout(self.surviving)
        if self.surviving:
            self.broker.session_records.timeouts[self.user, self.name] = self.surviving

    def tell_expected(self) -> None:
        """Answer session.flush(expected): the command after the last one whose effect is held, none for a new session.

        The client concludes from it what never took effect, so the answer waits until it is sure that no other broker
        reigns by now, who may have carried out more. Once all that is held is also confirmed, the completions that the
        client may have missed are announced.
        """
        self._knows_record = True
        self.last_marked = max(self.last_marked, self._last_held())
        self.broker.journal.when_primary(self._tell_expected)

    def _last_held(self) -> int:
        last = self.broker.session_records.last(self.user, self.name) if self.surviving else None
        return -1 if last is None else last

    def _tell_expected(self) -> None:
        machine = self.machine
        if self.ended or not machine.attached:
            return
        self.broker.pending[self.connection] = None
        last = self._last_held()
        if last < 0:
            machine.send_expected(machine.next_incoming or None)
            return
        if machine.next_incoming <= last:
            machine.next_incoming = last + 1
        machine.send_expected(last + 1)
        self.broker.journal.when_confirmed(lambda: self.complete_range(0, last))

    # -- completion

    def complete(self, command_id: int) -> None:
        """The command has been carried out, and its effect is safe."""
        self.machine.complete(command_id)
        self.broker.pending[self.connection] = None

    def complete_range(self, lower: int, upper: int) -> None:
        """The same for several commands."""
        self.machine.complete_range(lower, upper)
        self.broker.pending[self.connection] = None

    def commit(self, entry: Entry) -> None:
        """Commit a command's entry; the command completes when it is confirmed."""
        self.broker.commit(entry, self._confirmed)

    def _confirmed(self, entry: Entry) -> None:
        self.machine.complete(entry.command_id)
        self.broker.pending[self.connection] = None

    def _transferred(self, entry: Entry) -> None:
        """A transfer's entry is confirmed: it completes unless a queue that it went to has more than enough."""
        for effect in entry.effects:
            if type(effect) is Enqueue:
                flow = effect.queue.flow
                if flow is not None and flow.stopped and effect.entry.state != GONE:
                    flow.hold(effect.entry, lambda: self._transferred(entry))
                    return
        self._confirmed(entry)

    def result(self, command_id: int, value: c.Struct) -> None:
        """Answer a command with execution.result, and complete it."""
        self.machine.result(command_id, value)
        self.complete(command_id)

    # -- publishing

    def transfer(self, command_id: int, command: c.MessageTransfer, header: bytes | None, body: bytes | None) -> None:
        """A message for an exchange (message.transfer).

        Raises:
            SessionError: no such exchange; the message claims to be another user's.
        """
        broker = self.broker
        destination = command.destination or ""
        exchange = broker.exchanges.get(destination)
        if exchange is None:
            service = broker.internal.get(destination)
            if service is None:
                raise NotFound(f"Exchange not found: {destination}")
            self.services[destination] = service
            service.transfer(self, command_id, header, body)
            return
        mark: Mark | None = None
        if self.surviving:
            if not self._knows_record:
                self._start_anew()
            if command_id <= self.last_marked:
                broker.journal.when_confirmed(lambda: self.complete(command_id))
                return
            if self.transaction is None:
                mark = (self.user, self.name, command_id)
        connection = self.connection
        connection.messages_in += 1
        message = Message(destination, header, body)
        if broker.timestamps:
            message = Message(destination, message.header_for(timestamp=int(broker.wall_clock())), body)
        ttl = message.delivery_properties.ttl
        if ttl:
            message.expires = broker.clock() + ttl / 1000
        message.publisher = connection.number
        if connection.checks_user_id:
            self._check_user(message)
        if self.transaction is None:
            effects: Sequence[Effect] = (coming := broker.route(message, exchange, connection))
            for effect in coming:
                if type(effect) is Enqueue and not effect.queue.takes(effect.message):
                    effects = broker.admit(coming)
                    break
            if mark is not None:
                self.last_marked = command_id
            entry = Entry(effects, mark, command_id)
            broker.commit(entry, self._transferred)
        else:
            self.transaction.effects += broker.route(message, exchange, connection)
            self.complete(command_id)

    def mark(self, command_id: int) -> Mark | None:
        """The mark of a command of the transaction, where the session survives its connection."""
        if not self.surviving:
            return None
        if not self._knows_record:
            self._start_anew()
        self.last_marked = max(self.last_marked, command_id)
        return (self.user, self.name, command_id)

    def _start_anew(self) -> None:
        """The client numbers from where it likes, without asking what is expected: an older record means nothing."""
        self._knows_record = True
        timeout = self.surviving
        self.broker.end_record(self.user, self.name)
        self.broker.session_records.timeouts[self.user, self.name] = timeout

    def _check_user(self, message: Message) -> None:
        user_id = message.user_id
        if user_id and user_id != self.user.encode():
            declared = user_id.decode(errors="replace")
            raise UnauthorizedAccess(f"authorised user id: {self.user} but message declares user id {declared}")

    # -- settling

    def deliveries(
        self, transfers: RangeSet | None, among: dict[int, Delivery] | None = None
    ) -> list[tuple[int, Delivery]]:
        """The deliveries among transfers that a command of the client names, in order; by default unsettled ones."""
        unsettled = self.unsettled if among is None else among
        near = self.machine.next_id
        found: list[tuple[int, Delivery]] = []
        for first, last in transfers or ():
            lower, upper = expand(first, near), min(expand(last, near), near - 1)
            found += [(command_id, unsettled[command_id]) for command_id in _held(unsettled, lower, upper)]
        return found

    def sweep(self) -> None:
        """Forget browsed messages that have left their queue, now and then: browsers need not settle."""
        if len(self.unsettled) >= self._sweep_at:
            self.unsettled = {
                command_id: delivery
                for command_id, delivery in self.unsettled.items()
                if delivery.subscription.acquire or delivery.entry.state <= ACQUIRED
            }
            self._sweep_at = max(_SWEEP_FROM, 2 * len(self.unsettled))

    # -- subscriptions

    def subscription(self, destination: str | None) -> Subscription:
        """The subscription of that name.

        Raises:
            NotFound: there is none.
        """
        found = self.subscriptions.get(destination or "")
        if found is None:
            raise NotFound(f"Unknown destination {destination or ''} session={self.name.decode(errors='replace')}")
        return found

    def cancel(self, subscription: Subscription) -> None:
        """End a subscription; what it delivered stays with the session."""
        del self.subscriptions[subscription.destination]
        subscription.cancelled = True
        subscription.stop()
        queue = subscription.queue
        queue.subscriptions.pop(subscription, None)
        if subscription.sieve is not None:
            queue.sieves.pop(subscription.sieve, None)
        if queue.exclusive_subscription is subscription:
            queue.exclusive_subscription = None
        for observer in self.broker.observers:
            observer.unsubscribed(subscription)
        self.broker.queue_unused(queue)

    # -- the end

    def fail(self, error: SessionError, command_id: int, command: c.Command | None) -> None:
        """End the session with execution.exception, and ask the client to detach."""
        log.info("session %s of %s: %s", self.name.decode(errors="replace"), self.connection.peer, error.description)
        if self.machine.attached:
            self.machine.exception(error.code, command_id, command, error.description[:250])
            self.machine.detach()
            self.broker.pending[self.connection] = None
        self.end()

    def end(self) -> None:
        """Give everything back: unsettled messages to their queues, exclusive queues to everybody."""
        if self.ended:
            return
        self.ended = True
        broker = self.broker
        if broker.sessions.get((self.user, self.name)) is self:
            del broker.sessions[self.user, self.name]
        for service in dict.fromkeys(self.services.values()):
            service.detached(self)
        if self.transaction is not None:
            self.transaction.abort()
            self.transaction = None
        if self.dtx is not None:
            self.dtx.abort()
        for delivery in self.unsettled.values():
            entry = delivery.entry
            if entry.owner is delivery.subscription:
                entry.queue.release(entry, redelivered=True)
                broker.dirty[entry.queue] = None
        self.unsettled.clear()
        self.incomplete.clear()
        for queue in self.exclusive_queues:
            queue.owner = None
        for subscription in list(self.subscriptions.values()):
            self.cancel(subscription)
        for queue in self.exclusive_queues:
            broker.queue_unused(queue)
        self.exclusive_queues.clear()
        for observer in broker.observers:
            observer.detached(self)

    def __repr__(self) -> str:
        return f"<SessionHandler {self.name!r} of {self.user}>"


def _held(deliveries: dict[int, Delivery], lower: int, upper: int) -> Iterator[int]:
    """The ids from lower to upper that are held; the dictionary may lose the one just given."""
    if upper - lower > 2 * len(deliveries):
        return iter([command_id for command_id in deliveries if lower <= command_id <= upper])
    return iter([command_id for command_id in range(lower, upper + 1) if command_id in deliveries])


HANDLERS: dict[type[c.Command], Handler] = {}
"""What carries out each command; filled by :mod:`qpid_server.commands`."""
