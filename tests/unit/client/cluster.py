"""A scripted peer: a replicated broker in a few lines, on the server's end of the protocol machine, without I/O.

All "brokers" of a `Cluster` share what is replicated: queues, messages, and the last transfer of each session. A
connection is lost whenever a test says so, and the next one finds everything that was stored.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from qpid_messaging.amqp.codec import decode_header, encode_header
from qpid_messaging.amqp.commands import (
    AcquireMode,
    Command,
    DeliveryProperties,
    ErrorCode,
    ExchangeBind,
    ExchangeDeclare,
    ExchangeQuery,
    ExchangeQueryResult,
    MessageAccept,
    MessageCancel,
    MessageFlow,
    MessageFlush,
    MessageProperties,
    MessageReject,
    MessageRelease,
    MessageStop,
    MessageSubscribe,
    MessageTransfer,
    QueueDeclare,
    QueueDelete,
    QueueQuery,
    QueueQueryResult,
    TxCommit,
    TxRollback,
)
from qpid_messaging.amqp.connection import ServerConnection
from qpid_messaging.amqp.events import (
    AttachRequested,
    Authenticate,
    DetachRequested,
    ExpectedRequested,
    Incoming,
    OpenRequested,
    TimeoutRequested,
)
from qpid_messaging.amqp.session import Session


@dataclass
class Stored:
    """A message on a queue."""

    id: str
    header: bytes
    body: bytes | None
    owner: Any = None
    redelivered: bool = False


@dataclass
class Cluster:
    """What all brokers have.

    Attributes:
        surviving: whether they keep sessions and claims, as ours do.
        queues: messages by queue.
        records: id of the last transfer of each session.
        transfers: bodies of all transfers that came, repeated ones included.
        commands: names of all commands that came.
    """

    surviving: bool = True
    queues: dict[str, list[Stored]] = field(default_factory=dict)
    records: dict[bytes, int] = field(default_factory=dict)
    transfers: list[bytes | None] = field(default_factory=list)
    commands: list[Command] = field(default_factory=list)
    known_hosts: list[str] = field(default_factory=list)
    counter: int = 0

    def connect(self) -> Peer:
        return Peer(self)

    def bodies(self, queue: str) -> list[bytes | None]:
        return [message.body for message in self.queues.get(queue, [])]


class Subscription:
    def __init__(self, peer: Peer, session: Session, command: MessageSubscribe) -> None:
        self.peer = peer
        self.session = session
        self.queue = command.queue or ""
        self.destination = command.destination or ""
        self.browses = command.acquire_mode == AcquireMode.NOT_ACQUIRED
        arguments = command.arguments or {}
        self.resume_ids = bool(arguments.get("qpid.resume-ids")) and peer.cluster.surviving
        self.claim: list[str] = list(arguments.get("qpid.claim", [])) if peer.cluster.surviving else []
        self.credit = 0
        self.seen: set[str] = set()

    def deliver(self) -> None:
        messages = self.peer.cluster.queues.get(self.queue, [])
        claimed = [message for message in messages if message.id in self.claim]
        for message in claimed + messages:
            if self.credit <= 0:
                return
            if message.owner is not None or message.id in self.seen or message not in messages:
                continue
            self.seen.add(message.id)
            if not self.browses:
                message.owner = self
            if self.credit != 0xFFFFFFFF:
                self.credit -= 1
            self._transfer(message)

    def _transfer(self, message: Stored) -> None:
        structs = {type(struct): struct for struct in decode_header(message.header)}
        delivery = structs.get(DeliveryProperties) or DeliveryProperties()
        delivery.redelivered = message.redelivered
        if self.resume_ids:
            delivery.resume_id = message.id
        header = encode_header(delivery, structs.get(MessageProperties) or MessageProperties())
        id = self.session.send(MessageTransfer(destination=self.destination), header, message.body)
        self.peer.unaccepted[id] = (self, message)


class Peer:
    """One broker, as one connection sees it."""

    def __init__(self, cluster: Cluster) -> None:
        self.cluster = cluster
        self.wire = ServerConnection(
            server_properties={"product": "scripted" if cluster.surviving else "qpid-cpp"}, mechanisms=["ANONYMOUS"]
        )
        self.subscriptions: dict[str, Subscription] = {}
        self.unaccepted: dict[int, tuple[Subscription, Stored]] = {}
        self.transacted: list[tuple[str, Any]] = []
        self.transactional: set[bytes] = set()
        self.holding: list[tuple[Session, int]] | None = None
        self.refuse: dict[type[Command], tuple[int, str]] = {}

    # -- bytes

    def receive(self, data: bytes) -> None:
        for event in self.wire.receive(data):
            if isinstance(event, Incoming):
                self._execute(event)
            elif isinstance(event, Authenticate):
                self.wire.authenticated()
            elif isinstance(event, OpenRequested):
                self.wire.open_ok(self.cluster.known_hosts)
            elif isinstance(event, AttachRequested):
                self.wire.attached(event.session)
            elif isinstance(event, TimeoutRequested):
                event.session.grant_timeout(event.timeout if self.cluster.surviving else 0)
            elif isinstance(event, ExpectedRequested):
                record = self.cluster.records.get(event.session.name)
                event.session.send_expected(None if record is None else record + 1)
                if record is not None and self.holding is None:
                    event.session.complete_range(0, record)
            elif isinstance(event, DetachRequested):
                self.cluster.records.pop(event.session.name, None)
                self.wire.detach(event.session)
        for subscription in self.subscriptions.values():
            subscription.deliver()

    def data_to_send(self) -> bytes:
        return self.wire.data_to_send()

    def lost(self) -> None:
        """The connection is gone: what it held goes back."""
        for subscription, message in self.unaccepted.values():
            if message.owner is subscription:
                message.owner = None
                message.redelivered = True
        self.unaccepted.clear()
        self.subscriptions.clear()

    # -- commands

    def complete(self, session: Session, id: int) -> None:
        if self.holding is not None:
            self.holding.append((session, id))
        else:
            session.complete(id)

    def _execute(self, event: Incoming) -> None:
        session, id, command = event.session, event.id, event.command
        self.cluster.commands.append(command)
        if type(command) in self.refuse:
            code, text = self.refuse[type(command)]
            session.exception(code, id, command, text)
            self.wire.detach(session)
            return
        handle = getattr(self, "_" + command.NAME.replace(".", "_").replace("-", "_"), None)
        if isinstance(command, MessageTransfer):
            self._transferred(event)
        elif handle is not None:
            handle(session, id, command)
        self.complete(session, id)

    def _transferred(self, event: Incoming) -> None:
        cluster = self.cluster
        cluster.transfers.append(event.body)
        name = event.session.name
        if cluster.surviving and event.session.timeout and event.id <= cluster.records.get(name, -1):
            return
        structs = {type(struct): struct for struct in decode_header(event.header or b"")}
        key = structs[DeliveryProperties].routing_key or ""
        if name in self.transactional:
            self.transacted.append((key, event))
            return
        if event.session.timeout:
            cluster.records[name] = event.id
        self._store(key, event)

    def _store(self, key: str, event: Incoming) -> None:
        if key in self.cluster.queues:
            self.cluster.counter += 1
            self.cluster.queues[key].append(Stored(f"m{self.cluster.counter}", event.header or b"", event.body))

    def _queue_declare(self, session: Session, id: int, command: QueueDeclare) -> None:
        self.cluster.queues.setdefault(command.queue or "", [])

    def _queue_delete(self, session: Session, id: int, command: QueueDelete) -> None:
        self.cluster.queues.pop(command.queue or "", None)

    def _queue_query(self, session: Session, id: int, command: QueueQuery) -> None:
        found = command.queue if command.queue in self.cluster.queues else None
        session.result(id, QueueQueryResult(queue=found))

    def _exchange_query(self, session: Session, id: int, command: ExchangeQuery) -> None:
        if (command.name or "").startswith("amq."):
            session.result(id, ExchangeQueryResult(type=(command.name or "").removeprefix("amq."), not_found=False))
        else:
            session.result(id, ExchangeQueryResult(not_found=True))

    def _exchange_declare(self, session: Session, id: int, command: ExchangeDeclare) -> None:
        """Exchanges route nothing here."""

    def _exchange_bind(self, session: Session, id: int, command: ExchangeBind) -> None:
        """Exchanges route nothing here."""

    def _message_subscribe(self, session: Session, id: int, command: MessageSubscribe) -> None:
        self.subscriptions[command.destination or ""] = Subscription(self, session, command)

    def _message_flow(self, session: Session, id: int, command: MessageFlow) -> None:
        if command.unit == 0:
            self.subscriptions[command.destination or ""].credit += command.value or 0

    def _message_flush(self, session: Session, id: int, command: MessageFlush) -> None:
        subscription = self.subscriptions[command.destination or ""]
        subscription.deliver()
        subscription.credit = 0

    def _message_stop(self, session: Session, id: int, command: MessageStop) -> None:
        self.subscriptions[command.destination or ""].credit = 0

    def _message_cancel(self, session: Session, id: int, command: MessageCancel) -> None:
        self.subscriptions.pop(command.destination or "", None)

    def _settle(self, command: Any) -> list[tuple[Subscription, Stored]]:
        numbers = command.transfers.numbers()
        return [self.unaccepted.pop(number) for number in numbers if number in self.unaccepted]

    def _message_accept(self, session: Session, id: int, command: MessageAccept) -> None:
        for subscription, message in self._settle(command):
            if session.name in self.transactional:
                self.transacted.append(("", (subscription, message)))
            else:
                self._remove(subscription, message)

    def _remove(self, subscription: Subscription, message: Stored) -> None:
        messages = self.cluster.queues.get(subscription.queue, [])
        if message in messages:
            messages.remove(message)

    def _message_release(self, session: Session, id: int, command: MessageRelease) -> None:
        for subscription, message in self._settle(command):
            message.owner = None
            message.redelivered |= bool(command.set_redelivered)
            subscription.seen.discard(message.id)

    def _message_reject(self, session: Session, id: int, command: MessageReject) -> None:
        for subscription, message in self._settle(command):
            self._remove(subscription, message)

    def _tx_select(self, session: Session, id: int, command: Command) -> None:
        self.transactional.add(session.name)

    def _tx_commit(self, session: Session, id: int, command: TxCommit) -> None:
        for key, work in self.transacted:
            if isinstance(work, Incoming):
                self._store(key, work)
            else:
                self._remove(*work)
        self.transacted.clear()
        if session.timeout:
            self.cluster.records[session.name] = id

    def _tx_rollback(self, session: Session, id: int, command: TxRollback) -> None:
        for _, work in self.transacted:
            if not isinstance(work, Incoming):
                work[1].owner = None
        self.transacted.clear()


NOT_FOUND = (ErrorCode.NOT_FOUND, "no such queue")
