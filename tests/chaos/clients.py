"""The applications: four that send and four that receive, each in its own way, and none with a line about fail-over.

All write down what they do and what comes of it, for the checker. The content of a message is its name.
"""

from __future__ import annotations

import random
import threading
import time
import traceback
from collections.abc import Sequence

from qpid_messaging import (
    Connection,
    Empty,
    Message,
    Receiver,
    Sender,
    Session,
    TransactionError,
    TransactionUnknown,
)
from tests.simulation.checker import Acknowledged, Acknowledging, Confirmed, Decided, Event, Outcome, Received, Sent

EXCHANGE = "events"
SUBSCRIPTIONS = {"events.all": "#", "events.some": "some.#"}
"""Queues that are bound to the exchange, and the keys that they are bound with."""
SHARED = "shared"
"""A queue that two consumers take from."""
SOLE = ("sync", "async", "tx.1", "tx.2", "forwarded", *SUBSCRIPTIONS, "archive")
"""Queues of one consumer each."""
ARCHIVED = 200
"""Messages that stay on the queue `archive` from the beginning to the end."""
HEARTBEAT = 1
"""Seconds."""

_REPLICATED = "arguments: {'qpid.replicate': all}"


class History:
    """What the clients did and saw, in the order in which it happened."""

    def __init__(self) -> None:
        self.events: list[tuple[float, Event]] = []

    def note(self, event: Event) -> None:
        """Write down an event; any thread may."""
        self.events.append((time.monotonic(), event))

    def confirmed(self, producer: str) -> list[float]:
        """When the sends of a producer completed."""
        return [
            at for at, event in self.events if isinstance(event, Confirmed) and event.message.startswith(f"{producer}-")
        ]


class Client(threading.Thread):
    """An application with one connection.

    Args:
        name: who it is.
        history: where it writes down what it does.
        urls: the brokers.
        seed: of its dice.

    Attributes:
        enough: set when it shall come to an end.
        steps: how often it has done what it does; it stands still while there is no primary.
        failure: why it stopped, where it was not told to.
    """

    def __init__(self, name: str, history: History, urls: Sequence[str], seed: int) -> None:
        super().__init__(name=name, daemon=True)
        self.history = history
        self.random = random.Random(f"{name} {seed}")
        self.enough = threading.Event()
        self.steps = 0
        self.failure = ""
        self.connection = Connection(
            urls[0], reconnect=True, reconnect_urls=list(urls), reconnect_log=False, heartbeat=HEARTBEAT
        )
        self._sent = 0
        self._transactions = 0
        self._held: set[tuple[str, str]] = set()

    def run(self) -> None:
        try:
            self.connection.open()
            self.play()
            self.connection.close()
        except BaseException:  # noqa: BLE001 - told by whoever started it
            self.failure = traceback.format_exc()
            self.connection._abandon()

    def play(self) -> None:
        """What it does, until it is enough."""
        raise NotImplementedError

    def abandon(self) -> None:
        """End it, whatever it is at."""
        self.enough.set()
        if self.is_alive():
            self.connection._abandon()
            self.join()

    def pause(self, longest: float) -> None:
        """What an application does between two messages."""
        time.sleep(self.random.uniform(0, longest))

    @property
    def reconnected(self) -> int:
        """How often it lost its connection and got another one."""
        return self.connection.stats.fail_overs

    # -- sending

    def compose(self, *queues: str, subject: str | None = None, transaction: str = "") -> Message:
        """The next message, which is about to be sent and has to arrive on these queues."""
        self._sent += 1
        name = f"{self.name}-{self._sent}"
        self.history.note(Sent(self.name, name, queues, transaction))
        return Message(name, subject=subject)

    def confirm(self, *messages: Message) -> None:
        """These are safe."""
        for message in messages:
            self.history.note(Confirmed(message.content))

    # -- receiving

    def receive(self, session: Session) -> tuple[str, Message] | None:
        """The next message of any receiver, and its queue; None where there is none for a moment."""
        try:
            return self.take(session.next_receiver(timeout=0.2))
        except Empty:
            return None

    def take(self, receiver: Receiver) -> tuple[str, Message] | None:
        """The next message of a receiver, and its queue; None where there is none."""
        try:
            message = receiver.fetch(timeout=0)
        except Empty:
            return None
        queue = receiver.source.partition(";")[0]
        assert message._delivery is not None
        stored_as = message._delivery.resume_id() or ""
        self.history.note(Received(self.name, queue, message.content, self.reconnected, stored_as))
        assert (queue, message.content) not in self._held, f"{message.content} was handed over twice"
        self._held.add((queue, message.content))
        return queue, message

    def acknowledging(self, queue: str, message: Message, transaction: str = "") -> None:
        """Is about to be acknowledged."""
        self._held.remove((queue, message.content))
        self.history.note(Acknowledging(self.name, queue, message.content, transaction))

    def acknowledged(self, queue: str, message: Message) -> None:
        """Its acknowledge returned."""
        self.history.note(Acknowledged(self.name, queue, message.content, self.reconnected))

    # -- transactions

    def transaction(self) -> str:
        """The name of the next one."""
        self._transactions += 1
        return f"{self.name}:{self._transactions}"

    def end(self, session: Session, transaction: str) -> None:
        """Commit, or sometimes roll back.

        Raises:
            TransactionError: it did not come to that.
        """
        if self.random.random() < 0.1:
            session.rollback()
            self.decided(transaction, Outcome.ABORTED)
        else:
            session.commit()
            self.decided(transaction, Outcome.COMMITTED)

    def failed(self, transaction: str, error: TransactionError) -> None:
        """The session said what became of it."""
        self.decided(transaction, Outcome.UNKNOWN if isinstance(error, TransactionUnknown) else Outcome.ABORTED)

    def decided(self, transaction: str, outcome: Outcome) -> None:
        """Nothing that was received in it and not acknowledged is held any more, unless it was committed."""
        if outcome is not Outcome.COMMITTED:
            self._held.clear()
        self.history.note(Decided(transaction, outcome, self.name, self.reconnected))


# -- producers ---------------------------------------------------------------------------------------------------------


class SyncProducer(Client):
    """Sends one message after the other, each when the one before is safe."""

    def play(self) -> None:
        sender = self.connection.session().sender("sync")
        while not self.enough.is_set():
            message = self.compose("sync")
            sender.send(message)
            self.confirm(message)
            self.steps += 1
            self.pause(0.03)


class AsyncProducer(Client):
    """Sends to two queues without waiting, and now and then waits until all of it is safe."""

    def play(self) -> None:
        session = self.connection.session()
        senders = {queue: session.sender(queue, capacity=60) for queue in ("async", SHARED)}
        while not self.enough.is_set():
            messages = []
            for _ in range(self.random.randint(1, 40)):
                queue = self.random.choice(list(senders))
                messages.append(self.compose(queue))
                senders[queue].send(messages[-1], sync=False)
                self.pause(0.015)
            session.sync()
            self.confirm(*messages)
            self.steps += 1


class TransactionalProducer(Client):
    """Sends to two queues in transactions."""

    def play(self) -> None:
        while not self.enough.is_set():
            transaction = self.transaction()
            try:
                session = self.connection.session(transactional=True)
                senders = {queue: session.sender(queue) for queue in ("tx.1", "tx.2")}
                while not self.enough.is_set():
                    self.send(senders, transaction)
                    self.end(session, transaction)
                    transaction = self.transaction()
            except TransactionError as error:
                self.failed(transaction, error)

    def send(self, senders: dict[str, Sender], transaction: str) -> None:
        for _ in range(self.random.randint(1, 6)):
            queue = self.random.choice(list(senders))
            senders[queue].send(self.compose(queue, transaction=transaction), sync=False)
            self.pause(0.03)
        self.steps += 1


class TopicProducer(Client):
    """Sends to a topic exchange, from where a message comes to one queue or to two."""

    def play(self) -> None:
        sender = self.connection.session().sender(EXCHANGE)
        while not self.enough.is_set():
            if self.random.random() < 0.5:
                message = self.compose("events.all", subject="other.thing")
            else:
                message = self.compose("events.all", "events.some", subject="some.thing")
            sender.send(message)
            self.confirm(message)
            self.steps += 1
            self.pause(0.04)


# -- consumers ---------------------------------------------------------------------------------------------------------


class SyncConsumer(Client):
    """Receives one message after the other and waits for the acknowledgement of each."""

    def play(self) -> None:
        session = self.connection.session()
        session.receiver("sync", capacity=10)
        while not self.enough.is_set():
            received = self.receive(session)
            if received is not None:
                self.acknowledging(*received)
                session.acknowledge(received[1])
                self.acknowledged(*received)
                self.steps += 1


class AsyncConsumer(Client):
    """Receives far ahead, acknowledges in any order without waiting, and now and then waits until that arrived."""

    def play(self) -> None:
        session = self.connection.session()
        for queue in ("async", "forwarded", SHARED):
            session.receiver(queue, capacity=50)
        while not self.enough.is_set():
            taken: list[tuple[str, Message]] = []
            kept: list[tuple[str, Message]] = []
            for _ in range(self.random.randint(1, 30)):
                received = self.receive(session)
                if received is None:
                    break
                taken.append(received)
                if self.random.random() < 0.5:
                    kept.append(received)
                else:
                    self.acknowledge(session, received)
            for received in kept:
                self.acknowledge(session, received)
            session.sync()
            for received in taken:
                self.acknowledged(*received)
            self.steps += bool(taken)

    def acknowledge(self, session: Session, received: tuple[str, Message]) -> None:
        self.acknowledging(*received)
        session.acknowledge(received[1], sync=False)


class Forwarder(Client):
    """Receives from two queues and sends to a third one, in transactions."""

    def play(self) -> None:
        while not self.enough.is_set():
            transaction = self.transaction()
            try:
                session = self.connection.session(transactional=True)
                sender = session.sender("forwarded")
                for queue in ("tx.1", "tx.2"):
                    session.receiver(queue, capacity=20)
                while not self.enough.is_set():
                    if self.forward(session, sender, transaction):
                        self.end(session, transaction)
                        transaction = self.transaction()
            except TransactionError as error:
                self.failed(transaction, error)

    def forward(self, session: Session, sender: Sender, transaction: str) -> int:
        """Returns how many messages that were."""
        for number in range(self.random.randint(1, 8)):
            received = self.receive(session)
            if received is None:
                return number
            sender.send(self.compose("forwarded", transaction=transaction), sync=False)
            self.acknowledging(*received, transaction)
            session.acknowledge(received[1], sync=False)
            self.steps += 1
        return number + 1


class TopicConsumer(Client):
    """Receives what came through the exchange, and acknowledges all that it has at once."""

    def play(self) -> None:
        session = self.connection.session()
        for queue in (*SUBSCRIPTIONS, SHARED):
            session.receiver(queue, capacity=30)
        while not self.enough.is_set():
            taken: list[tuple[str, Message]] = []
            while len(taken) < self.random.randint(1, 20):
                received = self.receive(session)
                if received is None:
                    break
                taken.append(received)
            for received in taken:
                self.acknowledging(*received)
            session.acknowledge()
            for received in taken:
                self.acknowledged(*received)
            self.steps += bool(taken)


PRODUCERS = (SyncProducer, AsyncProducer, TransactionalProducer, TopicProducer)
CONSUMERS = (SyncConsumer, AsyncConsumer, Forwarder, TopicConsumer)


# -- before and after --------------------------------------------------------------------------------------------------


class Beginning(Client):
    """Makes the nodes, and sends what is to stay."""

    def play(self) -> None:
        session = self.connection.session()
        for queue in (*SOLE, SHARED):
            key = SUBSCRIPTIONS.get(queue)
            bindings = f", x-bindings: [{{exchange: {EXCHANGE}, key: '{key}'}}]" if key else ""
            if key:
                session.sender(f"{EXCHANGE}; {{create: always, node: {{type: topic, x-declare: {{{_REPLICATED}}}}}}}")
            session.sender(f"{queue}; {{create: always, node: {{x-declare: {{{_REPLICATED}}}{bindings}}}}}")
        sender = session.sender("archive")
        messages = [self.compose("archive") for _ in range(ARCHIVED)]
        for message in messages:
            sender.send(message, sync=False)
        sender.sync()
        self.confirm(*messages)


class Ending(Client):
    """Takes what there is left, when all others have ended."""

    def play(self) -> None:
        session = self.connection.session()
        for queue in (*SOLE, SHARED):
            receiver = session.receiver(queue, capacity=500)
            taken: list[tuple[str, Message]] = []
            while (received := self.take(receiver)) is not None:
                taken.append(received)
                self.acknowledging(*received)
            session.acknowledge()
            for received in taken:
                self.acknowledged(*received)
            receiver.close()
