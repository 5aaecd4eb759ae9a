"""Members of a cluster without sockets, tasks and time: real brokers, logs and decisions, joined by function calls."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Any

from qpid_messaging.amqp import commands as c
from qpid_messaging.amqp.codec import encode_header
from qpid_server.broker import Broker
from qpid_server.effects import Bound, Dequeue, Enqueue, ExchangeDeclared, QueueDeclared
from qpid_server.ha.cluster import Cluster
from qpid_server.ha.epoch import Epoch, Position
from qpid_server.ha.follower import Follower
from qpid_server.ha.log import Log
from qpid_server.ha.messages import Wall
from qpid_server.ha.records import ReplicationError, unpack_index, unpack_map, unpack_records
from qpid_server.ha.replica import Refusal, Replica
from qpid_server.journal import Effect, Entry, Mark
from qpid_server.message import Message
from qpid_server.options import Options
from qpid_server.queue import Replicate
from qpid_server.session_records import SessionRecords

E1, E2, E3 = Epoch(1, "a"), Epoch(2, "b"), Epoch(3, "c")


class Clock:
    """A clock that moves when it is told to."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def new_broker(clock: Clock | None = None, **options: Any) -> Broker:
    return Broker(Options(auth=False, no_data_dir=True, **options), clock=clock or Clock())


def new_log(broker: Broker | None = None, **settings: Any) -> Log:
    """A log that is the journal of a broker of its own."""
    broker = broker or new_broker()
    log = Log(broker, wall=Wall(lambda: 1e9), **settings)
    broker.journal = log
    return log


def text_message(text: str, key: str = "q") -> Message:
    return Message("", encode_header(c.DeliveryProperties(routing_key=key)), text.encode())


class Writer:
    """Commits to a broker what clients' commands would."""

    def __init__(self, broker: Broker) -> None:
        self.broker = broker
        self.confirmed: list[str] = []

    def do(self, name: str, *effects: Effect, mark: Mark | None = None) -> None:
        """One entry; `name` is among the confirmed ones once it is."""
        self.broker.commit(Entry(list(effects), mark), lambda entry: self.confirmed.append(name))

    def declare(self, name: str = "q", replicate: Replicate = Replicate.ALL, **settings: Any) -> None:
        self.do(f"declare {name}", QueueDeclared(name, replicate=replicate, **settings))

    def send(self, text: str, *queues: str, mark: Mark | None = None) -> None:
        message = text_message(text)
        effects = [Enqueue(self.broker.queues[name], message) for name in queues or ("q",)]
        self.do(text, *effects, mark=mark)

    def remove(self, text: str, queue: str = "q") -> None:
        found = self.broker.queues[queue]
        entries = [entry for entry in found.entries.values() if entry.message.body == text.encode()]
        self.do(f"remove {text}", Dequeue(found, entries[:1]))

    def exchange(self, name: str, type: str = "topic", replicate: Replicate = Replicate.CONFIGURATION) -> None:
        self.do(f"exchange {name}", ExchangeDeclared(name, type, replicate=replicate))

    def bind(self, queue: str, exchange: str, key: str, arguments: dict[str, Any] | None = None) -> None:
        self.do(f"bind {queue}", Bound(self.broker.queues[queue], self.broker.exchanges[exchange], key, arguments))


def texts(broker: Broker, queue: str = "q") -> list[str]:
    """What is on a queue, in order."""
    return [(entry.message.body or b"").decode() for entry in broker.queues[queue].after(0)]


def offered(broker: Broker, queue: str = "q") -> list[str]:
    """What consumers of the queue could have."""
    return [(entry.message.body or b"").decode() for entry in broker.queues[queue].available()]


def replicated_state(broker: Broker) -> dict[str, Any]:
    """Everything that members of a cluster have in common, in a form that compares."""
    queues = {
        name: (
            queue.durable,
            queue.exclusive,
            queue.auto_delete,
            queue.used,
            queue.alternate_exchange.name if queue.alternate_exchange else None,
            queue.arguments,
            queue.replicate,
            queue.creator,
            queue.position if queue.replicate is Replicate.ALL else None,
            [
                (entry.position, entry.message.replication_id, entry.message.header, entry.message.body)
                for entry in queue.after(0)
            ]
            if queue.replicate is Replicate.ALL
            else None,
            sorted((id, entry.position) for id, entry in queue.by_id.items()),
        )
        for name, queue in broker.queues.items()
        if queue.replicate is not Replicate.NONE
    }
    exchanges = {
        name: (exchange.type, exchange.arguments)
        for name, exchange in broker.exchanges.items()
        if exchange.replicate is not Replicate.NONE
    }
    bindings = sorted(
        (queue.name, binding.exchange.name, binding.key, repr(dict(binding.arguments)))
        for queue in broker.queues.values()
        for binding in queue.bindings
        if queue.replicate is not Replicate.NONE and binding.exchange.replicate is not Replicate.NONE
    )
    records: SessionRecords = broker.session_records
    return {"queues": queues, "exchanges": exchanges, "bindings": bindings, "sessions": dict(records.items())}


class Scope:
    """In place of the cancel scope of a task that no test runs."""

    def cancel(self) -> None:
        """There is nothing to cancel."""


class Member(Cluster):
    """A member whose links are `Wire`s, and whose tasks the test carries out itself."""

    def __init__(self, name: str, names: str = "abc", *, clock: Clock | None = None, **options: Any) -> None:
        self.name = name
        self.wire: Wire | None = None
        self.wires: list[Wire] = []
        self.started: list[Callable[..., Any]] = []
        url = ",".join(f"{other}:5672" for other in names)
        broker = new_broker(clock, ha_cluster=True, ha_brokers_url=url, mgmt_enable=False, **options)
        super().__init__(broker, wall=lambda: broker.clock() + 1e9)
        self.promises.broker_id = name
        self.lost_state = False
        self.membership.own_addresses.add(f"{name}:5672")

    def start_soon(self, task: Callable[..., Any], *arguments: Any) -> Any:
        self.started.append(task)
        return Scope()

    def look_for_primary(self) -> None:
        if self.wire is not None:
            self.wire.cut()

    def cut_off(self, follower: Follower) -> None:
        for wire in list(self.wires):
            if wire.follower is follower:
                wire.cut()

    def join(self, primary: Member) -> Wire:
        """Dial a primary and ask to follow it."""
        self.look_for_primary()
        self.wire = Wire(self, primary)
        return self.wire

    def reign_under(self, epoch: Epoch, *, legitimate: bool = True, expected: set[str] | None = None) -> None:
        """Be promoted, without asking anybody."""
        self.promises.promise(epoch)
        self.become_primary(epoch, legitimate=legitimate, expected=expected or set())

    def advance(self, seconds: float) -> None:
        """Let time pass here."""
        self.broker.clock.now += seconds  # type: ignore[attr-defined]
        self.broker.timers.run(self.broker.clock())
        self.broker.settle()


class Wire:
    """A backup's link to its primary: what was sent and has not arrived yet, either way."""

    def __init__(self, backup: Member, primary: Member) -> None:
        self.backup, self.primary = backup, primary
        self.to_backup: deque[bytes] = deque()
        self.to_primary: deque[bytes] = deque()
        self.alive = True
        self.closing = False
        """The backup has closed its end, which the primary has not seen yet."""
        self.bytes_to_backup = 0
        self.failure: Exception | None = None
        self.replica = Replica(backup.broker, backup.log, backup)
        own = backup.member_status()
        request = self.replica.request(
            own.broker, f"{backup.name}:5672", own.position, backup.promises.promised, asynchronous=False
        )
        self.follower: Follower | None = None
        self._request: dict[str, Any] | None = unpack_map(next(iter(unpack_records(request)))[1])
        self.to_primary.append(b"")
        primary.wires.append(self)

    def _send(self, batch: bytes) -> None:
        self.bytes_to_backup += len(batch)
        self.to_backup.append(batch)

    def cut(self) -> None:
        """The link is gone, with all that was on its way."""
        if not self.alive:
            return
        self.alive = False
        self.to_backup.clear()
        self.to_primary.clear()
        if self.backup.wire is self:
            self.backup.wire = None
        self.primary.wires.remove(self)
        if self.follower is not None:
            self.primary.follower_lost(self.follower)
            self.primary.broker.settle()

    def deliver_to_primary(self) -> None:
        """One batch arrives at the primary."""
        batch = self.to_primary.popleft()
        if self._request is not None:
            request, self._request = self._request, None
            if self.primary.refuse_join(request) is not None:
                self.cut()
                return
            self.follower = Follower(self.backup.promises.broker_id, f"{self.backup.name}:5672", self._send)
            self.primary.follower_joined(self.follower, request)
        else:
            assert self.follower is not None
            ((_, payload),) = unpack_records(batch)
            try:
                self.primary.log.confirm_follower(self.follower, unpack_index(payload))
            except ReplicationError as error:
                self.failure = error
                self.cut()
                return
        self.primary.broker.settle()

    def deliver_to_backup(self) -> None:
        """One batch arrives at the backup, which confirms."""
        batch = self.to_backup.popleft()
        try:
            self.replica.take(batch)
            while self.replica.catch_up():
                pass
        except (ReplicationError, Refusal) as error:
            self.failure = error
            self.cut()
            return
        self.backup.broker.settle()
        confirmation = self.replica.confirmation()
        if confirmation is not None:
            self.to_primary.append(confirmation)

    def settle(self) -> None:
        """Everything arrives, until nothing is on its way any more."""
        while self.alive:
            self.primary.broker.timers.run(self.primary.broker.clock())
            self.primary.broker.settle()
            if self.to_primary:
                self.deliver_to_primary()
            elif self.to_backup:
                self.deliver_to_backup()
            else:
                return


def follow(backup: Member, primary: Member) -> Wire:
    """Join, catch up and be ready."""
    wire = backup.join(primary)
    wire.settle()
    assert wire.failure is None, wire.failure
    assert wire.alive
    return wire


def position(member: Member) -> Position:
    return member.log.last
