"""What a cluster promised its clients, checked against what they saw: a history of events in, violations out.

Whoever drives clients writes down what they did and what came of it, in the order in which it came: a list of the
events below. `check` knows nothing of brokers, time and tasks, so that the simulation and the chaos test share it.

The rules, for queues that are replicated, whatever happened to the brokers meanwhile:

LOST        a send that completed, or was committed, is on each of its queues until it is acknowledged
TWICE       it is there once
AGAIN       nobody is given it after its acknowledge returned
ATOMIC      of a transaction everything takes effect, or nothing
ORDER       what one producer sends to a queue comes in the order in which it was sent
UNSENT      nothing comes that was never sent there

Two things look like a violation of AGAIN and are none:

- A primary that was deposed and does not know it yet (stopped, cut off) may still give away what was acknowledged under
  its successor, but can complete nothing any more. A receipt on a connection on which nothing is ever acknowledged
  afterwards is such a *stale* one; they are counted.
- Where consumers share a queue, one of them may have been given a message while the connection of another one, who
  held it, was lost. An acknowledge on another connection than that of the receipt then returns, without effect.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from enum import Enum
from typing import NamedTuple

# -- events ------------------------------------------------------------------------------------------------------------


class Outcome(Enum):
    """What became of a transaction, as far as its client was told."""

    COMMITTED = "committed"
    ABORTED = "aborted"
    UNKNOWN = "unknown"


class Sent(NamedTuple):
    """A producer is about to send a message. To be written down before it does.

    Attributes:
        producer: whose session: it sends one message after the other.
        message: its name: no two messages of a history have the same.
        queues: where it has to arrive; several for one that goes through an exchange.
        transaction: name of the transaction that it belongs to.
    """

    producer: str
    message: str
    queues: tuple[str, ...]
    transaction: str = ""


class Confirmed(NamedTuple):
    """The send of a message, outside of transactions, completed."""

    message: str


class Received(NamedTuple):
    """A consumer was given a message.

    Attributes:
        consumer: who.
        queue: from where.
        message: its name.
        connection: which of the consumer's connections it came by: another number after each fail-over.
        stored_as: the broker's own name for the message on that queue, where it told one.
    """

    consumer: str
    queue: str
    message: str
    connection: int
    stored_as: str = ""


class Acknowledging(NamedTuple):
    """A consumer is about to acknowledge a message. To be written down before it does.

    Attributes:
        consumer, queue, message: as in the receipt.
        transaction: name of the transaction that it belongs to.
    """

    consumer: str
    queue: str
    message: str
    transaction: str = ""


class Acknowledged(NamedTuple):
    """The acknowledge of a message, outside of transactions, returned.

    Attributes:
        consumer, queue, message: as in the receipt.
        connection: the consumer's connection by then.
    """

    consumer: str
    queue: str
    message: str
    connection: int


class Decided(NamedTuple):
    """A transaction ended.

    Attributes:
        transaction: its name. One that never ended is taken for one whose outcome is unknown.
        outcome: what became of it.
        consumer, connection: whose connection it was, where messages were acknowledged in it.
    """

    transaction: str
    outcome: Outcome
    consumer: str = ""
    connection: int = 0


Event = Sent | Confirmed | Received | Acknowledging | Acknowledged | Decided


# -- findings ----------------------------------------------------------------------------------------------------------


class Rule(Enum):
    """What can be broken."""

    LOST = "lost"
    TWICE = "stored twice"
    AGAIN = "delivered again"
    ATOMIC = "not atomic"
    ORDER = "out of order"
    UNSENT = "never sent"


class Violation(NamedTuple):
    """A promise that was broken."""

    rule: Rule
    text: str

    def __str__(self) -> str:
        return f"{self.rule.value}: {self.text}"


class Findings(NamedTuple):
    """What a history shows.

    Attributes:
        violations: empty where everything is as promised.
        sent: messages that were sent.
        confirmed: those whose send completed or was committed.
        received: receipts.
        acknowledged: messages whose acknowledge completed or was committed, counted for each queue.
        committed, aborted, unknown: transactions.
        stale: receipts from deposed primaries of what was acknowledged already.
    """

    violations: list[Violation]
    sent: int
    confirmed: int
    received: int
    acknowledged: int
    committed: int
    aborted: int
    unknown: int
    stale: int


def check(history: Iterable[Event], *, sole: Collection[str] = (), drained: bool = True) -> Findings:
    """Check a history.

    Args:
        history: the events, in the order in which they happened.
        sole: queues that were received from by one consumer at a time: for these ORDER is checked, and an acknowledge
            counts also where the connection was another one by the time.
        drained: in the end somebody received and acknowledged whatever was left on the queues, until they were empty,
            and all clients had ended before; without that, what did not come yet is not lost.
    """
    checker = _Checker(frozenset(sole))
    for event in history:
        checker.take(event)
    return checker.findings(drained)


class _Copy:
    """A message on one of its queues.

    Attributes:
        gone: its acknowledge completed.
        acknowledging: somebody acknowledged it outside of transactions, with whatever result.
        transactions: those that it was acknowledged in.
    """

    __slots__ = ("acknowledging", "connections", "gone", "message", "queue", "received", "stored_as", "transactions")

    def __init__(self, queue: str, message: _Message) -> None:
        self.queue = queue
        self.message = message
        self.received = 0
        self.stored_as = ""
        self.connections: dict[str, int] = {}
        self.acknowledging = False
        self.gone = False
        self.transactions: list[_Transaction] = []

    def __str__(self) -> str:
        return f"{self.message.name} on {self.queue}"


class _Message:
    __slots__ = ("confirmed", "copies", "name", "number", "producer", "transaction")

    def __init__(self, event: Sent, number: int, transaction: _Transaction | None) -> None:
        self.name = event.message
        self.producer = event.producer
        self.number = number
        self.transaction = transaction
        self.confirmed = False
        self.copies = {queue: _Copy(queue, self) for queue in event.queues}


class _Transaction:
    """A transaction.

    Attributes:
        effects: what shows that it took effect.
        undone: what shows that it did not.
    """

    __slots__ = ("acknowledged", "effects", "name", "outcome", "sent", "undone")

    def __init__(self, name: str) -> None:
        self.name = name
        self.outcome: Outcome | None = None
        self.sent: list[_Message] = []
        self.acknowledged: list[_Copy] = []
        self.effects: list[str] = []
        self.undone: list[str] = []

    @property
    def open(self) -> bool:
        return self.outcome in (None, Outcome.UNKNOWN)


class _Checker:
    def __init__(self, sole: frozenset[str]) -> None:
        self._sole = sole
        self._violations: list[Violation] = []
        self._messages: dict[str, _Message] = {}
        self._transactions: dict[str, _Transaction] = {}
        self._suspicious: dict[tuple[str, int], list[tuple[_Copy, _Transaction | None]]] = {}
        """Receipts of what was gone, or is if that transaction took effect, by the connection that they came by: stale,
        unless something is acknowledged on it yet."""
        self._last: dict[tuple[str, str], _Message] = {}
        """The message received last for the first time, by queue and producer."""
        self._received = 0

    def take(self, event: Event) -> None:
        if isinstance(event, Received):
            self._receive(event)
        elif isinstance(event, Acknowledged):
            self._acknowledge(event)
        elif isinstance(event, Acknowledging):
            copy = self._copy(event.queue, event.message)
            if copy is not None and event.transaction:
                transaction = self._transaction(event.transaction)
                transaction.acknowledged.append(copy)
                copy.transactions.append(transaction)
            elif copy is not None:
                copy.acknowledging = True
        elif isinstance(event, Sent):
            assert event.message not in self._messages, event
            transaction = self._transaction(event.transaction) if event.transaction else None
            message = self._messages[event.message] = _Message(event, len(self._messages), transaction)
            if transaction is not None:
                transaction.sent.append(message)
        elif isinstance(event, Confirmed):
            self._messages[event.message].confirmed = True
        else:
            self._decide(event)

    def _break(self, rule: Rule, text: str) -> None:
        self._violations.append(Violation(rule, text))

    def _copy(self, queue: str, message: str) -> _Copy | None:
        known = self._messages.get(message)
        return None if known is None else known.copies.get(queue)

    def _transaction(self, name: str) -> _Transaction:
        return self._transactions.setdefault(name, _Transaction(name))

    def _receive(self, event: Received) -> None:
        self._received += 1
        copy = self._copy(event.queue, event.message)
        if copy is None:
            self._break(Rule.UNSENT, f"{event.consumer} was given {event.message} on {event.queue}")
            return
        copy.received += 1
        copy.connections[event.consumer] = event.connection
        if event.stored_as and copy.stored_as not in ("", event.stored_as):
            self._break(Rule.TWICE, f"{copy}, as {copy.stored_as} and as {event.stored_as}")
        copy.stored_as = event.stored_as or copy.stored_as
        suspicions: list[tuple[_Copy, _Transaction | None]] = [(copy, None)] if copy.gone else []
        suspicions += ((copy, taken) for taken in copy.transactions if taken.outcome is Outcome.UNKNOWN)
        if suspicions:
            self._suspicious.setdefault((event.consumer, event.connection), []).extend(suspicions)
        transaction = copy.message.transaction
        if transaction is not None:
            transaction.effects.append(f"{copy} came")
        if event.queue in self._sole and copy.received == 1:
            self._check_order(copy)

    def _check_order(self, copy: _Copy) -> None:
        key = (copy.queue, copy.message.producer)
        before = self._last.get(key)
        if before is not None and before.number > copy.message.number:
            self._break(Rule.ORDER, f"{copy} came behind {before.name}")
        self._last[key] = copy.message

    def _acknowledge(self, event: Acknowledged) -> None:
        copy = self._copy(event.queue, event.message)
        if copy is None:
            return
        same = copy.connections.get(event.consumer) == event.connection
        if same:
            self._completed(event.consumer, event.connection)
        if same or event.queue in self._sole:
            copy.gone = True

    def _completed(self, consumer: str, connection: int) -> None:
        """Something was acknowledged on that connection: its broker was no deposed one."""
        for copy, transaction in self._suspicious.pop((consumer, connection), ()):
            if transaction is None:
                self._break(Rule.AGAIN, f"{copy}, to {consumer} after its acknowledge had returned")
            else:
                transaction.undone.append(f"{copy} came again")

    def _decide(self, event: Decided) -> None:
        transaction = self._transaction(event.transaction)
        assert transaction.outcome is None, event
        transaction.outcome = event.outcome
        if event.outcome is Outcome.COMMITTED:
            if event.consumer:
                self._completed(event.consumer, event.connection)
            for copy in transaction.acknowledged:
                copy.gone = True
            for message in transaction.sent:
                message.confirmed = True

    # -- in the end ----------------------------------------------------------------------------------------------------

    def findings(self, drained: bool) -> Findings:
        if drained:
            for message in self._messages.values():
                for copy in message.copies.values():
                    self._check_end(copy)
        for transaction in self._transactions.values():
            self._check_atomic(transaction)
        outcomes = [transaction.outcome for transaction in self._transactions.values()]
        copies = [copy for message in self._messages.values() for copy in message.copies.values()]
        return Findings(
            violations=self._violations,
            sent=len(self._messages),
            confirmed=sum(message.confirmed for message in self._messages.values()),
            received=self._received,
            acknowledged=sum(copy.gone for copy in copies),
            committed=outcomes.count(Outcome.COMMITTED),
            aborted=outcomes.count(Outcome.ABORTED),
            unknown=outcomes.count(Outcome.UNKNOWN) + outcomes.count(None),
            stale=sum(taken is None for suspicions in self._suspicious.values() for _, taken in suspicions),
        )

    def _check_end(self, copy: _Copy) -> None:
        """All queues are empty: whatever was stored there was received, and somebody acknowledged it."""
        if not copy.received:
            if copy.message.confirmed:
                self._break(Rule.LOST, f"{copy} never came")
            elif copy.message.transaction is not None:
                copy.message.transaction.undone.append(f"{copy} never came")
            elif any(other.received for other in copy.message.copies.values()):
                # One message, one command: to all of its queues, or to none.
                self._break(Rule.ATOMIC, f"{copy} never came, though elsewhere it did")
        elif not copy.gone and not copy.acknowledging:
            # By default whoever acknowledged it last did so with effect.
            maybe = [transaction for transaction in copy.transactions if transaction.open]
            if not maybe:
                self._break(Rule.LOST, f"{copy} is gone, and nobody acknowledged it")
            elif len(maybe) == 1:
                maybe[0].effects.append(f"{copy} is gone")

    def _check_atomic(self, transaction: _Transaction) -> None:
        effects, undone = transaction.effects, transaction.undone
        if transaction.outcome is Outcome.ABORTED and effects:
            self._break(Rule.ATOMIC, f"transaction {transaction.name} was aborted, and yet {effects[0]}")
        elif transaction.open and effects and undone:
            self._break(Rule.ATOMIC, f"transaction {transaction.name}: {effects[0]}, but {undone[0]}")
