"""A cluster in memory under random misfortune, with clients that know what they were promised.

Members, links and clients are objects; what happens next is drawn from a seeded source: a batch arrives, a link breaks,
a member is killed, stopped, restarted, promoted (in steps, with everything else between them), a client sends, takes or
acknowledges. `World.check` and the clients' own checks say what must hold whatever happens.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from typing import Any

from qpid_messaging.amqp import commands as c
from qpid_messaging.amqp.codec import decode_header, encode_header
from qpid_messaging.amqp.events import Completed, Expected
from qpid_messaging.amqp.session import Session
from qpid_server.ha.epoch import NO_EPOCH, Epoch
from qpid_server.ha.promotion import (
    READY,
    Candidacy,
    MemberStatus,
    Refused,
    check_candidate,
    check_promises,
    next_epoch,
)
from tests.unit.ha.members import Clock, Member, Wire, Writer
from tests.unit.server.driver import Link, Peer

QUEUE = "q"


class Lost(AssertionError):
    """What the cluster promised does not hold."""


class Node(Member):
    """A member that can be stopped, and whose links break at one end first."""

    paused = False
    world: World

    def look_for_primary(self) -> None:
        """What it sent before it left still arrives, and then the end of it: at once, where the primary can see it."""
        wire = self.wire
        if wire is not None:
            wire.closing = True
            wire.to_backup.clear()
            self.wire = None
            self.world.close(wire)


class Producer:
    """Sends numbered messages in a session that survives, and remembers which were acknowledged."""

    def __init__(self, world: World, name: str) -> None:
        self.world, self.name = world, name
        self.session = Session(name.encode())
        self.link: Link | None = None
        self.node: Node | None = None
        self.resuming = False
        self.count = 0
        self.acknowledged: set[str] = set()

    def connect(self, node: Node) -> None:
        link = Link(node.broker)
        if not link.handler.opened:
            link.handler.lost()
            return
        self.link, self.node = link, node
        self.resuming = True
        link.client.attach(self.session)
        self.session.request_timeout(3000)
        self.session.flush(expected=True)
        self.update()

    def send(self) -> None:
        """One more, where there is a connection, and the broker has said where it stands."""
        if self.link is None or self.resuming:
            return
        body = f"{self.name}{self.count}"
        self.count += 1
        header = encode_header(c.DeliveryProperties(routing_key=QUEUE))
        self.session.send(c.MessageTransfer(destination=""), header, body.encode(), token=body, replay=True)
        self.update()

    def update(self) -> None:
        """Take in what has come."""
        link = self.link
        if link is None or self.node is None or self.node.paused:
            return
        link.pump()
        for event in link.take():
            if isinstance(event, Completed):
                self.acknowledged.update(event.tokens)
            elif isinstance(event, Expected):
                self.resuming = False
                self.acknowledged.update(self.session.resume(event.id))
                self.session.replay()
                link.pump()
        if link.handler.finished:
            self.lose()

    def lose(self) -> None:
        """The connection is gone."""
        if self.link is not None:
            self.link.lose()
            self.session.suspend()
            self.link = self.node = None


class Consumer:
    """Takes messages and acknowledges them, and watches what may never be seen."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.link: Link | None = None
        self.node: Node | None = None
        self.peer: Peer | None = None
        self.held: list[tuple[str, Any]] = []
        self.accepting: dict[int, list[str]] = {}
        self.accepted: set[str] = set()
        self.settled: set[str] = set()
        """Acknowledged, whether that was ever completed or not: all of these may be gone."""
        self.seen: dict[str, str] = {}
        self.sessions = 0

    def connect(self, node: Node) -> None:
        link = Link(node.broker)
        if not link.handler.opened:
            link.handler.lost()
            return
        self.sessions += 1
        self.link, self.node = link, node
        self.peer = link.session(f"consumer {self.sessions}".encode())
        self.peer.subscribe(QUEUE, arguments={"qpid.resume-ids": 1})
        self.update()

    def update(self) -> None:
        """Take in what has come."""
        if self.peer is None or self.link is None or self.node is None or self.node.paused:
            return
        for transfer in self.peer.receive_all():
            body = (transfer.body or b"").decode()
            (properties,) = (s for s in decode_header(transfer.header or b"") if isinstance(s, c.DeliveryProperties))
            if body in self.accepted:
                raise Lost(f"{body} came again after its acknowledgement was completed")
            if self.seen.setdefault(body, properties.resume_id or "") != properties.resume_id:
                raise Lost(f"{body} is stored twice: as {self.seen[body]} and as {properties.resume_id}")
            self.held.append((body, transfer))
        for command_id in [id for id in self.accepting if id in self.peer.completed]:
            self.accepted.update(self.accepting.pop(command_id))
        if self.link.handler.finished:
            self.lose()

    def accept(self, count: int) -> None:
        """Acknowledge some of what was taken."""
        self.update()
        if self.peer is not None and self.node is not None and not self.node.paused and self.held:
            taken, self.held = self.held[:count], self.held[count:]
            command_id = self.peer.settle(c.MessageAccept, *(transfer for _, transfer in taken))
            self.accepting[command_id] = [body for body, _ in taken]
            self.settled.update(self.accepting[command_id])
            self.update()

    def lose(self) -> None:
        """The connection is gone, with all that it held."""
        if self.link is not None:
            self.link.lose()
            self.link = self.peer = self.node = None
            self.held.clear()
            self.accepting.clear()


class World:
    """Three members, two producers and a consumer.

    Args:
        seed: decides all that happens.
        k: `ha-min-replicas`.
    """

    def __init__(self, seed: int, *, k: int = 1) -> None:
        self.random = random.Random(seed)
        self.clock = Clock()
        self.k = k
        self.nodes = {name: self._new(name) for name in "abc"}
        self.dead: dict[str, Epoch] = {}
        self.wires: list[Wire] = []
        self.promotions: dict[str, Iterator[None]] = {}
        self.cut: set[frozenset[str]] = set()
        self.log: list[str] = []
        first = self.nodes["a"]
        first.reign_under(Epoch(1, "a"))
        for name in "bc":
            self._join(self.nodes[name], first)
        self.settle()
        Writer(first.broker).declare(QUEUE)
        self.settle()
        self.producers = [Producer(self, "x"), Producer(self, "y")]
        self.consumer = Consumer(self)

    def _new(self, name: str) -> Node:
        node = Node(name, clock=self.clock, ha_min_replicas=self.k)
        node.world = self
        return node

    # -- what there is

    def running(self) -> list[Node]:
        return [node for node in self.nodes.values() if not node.paused]

    def reaches(self, one: Node, other: Node) -> bool:
        """Both are there, do something, and nothing is between them."""
        there = self.nodes.get(one.name) is one and self.nodes.get(other.name) is other
        return there and not one.paused and not other.paused and frozenset((one.name, other.name)) not in self.cut

    def others(self, node: Node) -> list[Node]:
        return [other for other in self.nodes.values() if other is not node and self.reaches(node, other)]

    # -- what happens

    def step(self) -> None:
        """One thing happens."""
        happenings = [
            (30, self.deliver),
            (12, self.send),
            (8, self.take),
            (6, self.connect),
            (5, self.find_primary),
            (6, self.go_on_promoting),
            (2, self.look_after),
            (2, self.break_wire),
            (1, self.time_passes),
            (1, self.promote),
            (0.6, self.kill),
            (1.5, self.restart),
            (0.6, self.stop),
            (1.5, self.resume),
            (0.4, self.part),
            (1, self.mend),
        ]
        weights, actions = zip(*happenings, strict=True)
        (action,) = self.random.choices(actions, weights)
        action()

    def deliver(self) -> None:
        """A batch arrives."""
        moving = [wire for wire in self.wires if wire.alive and (wire.to_primary or wire.to_backup or wire.closing)]
        if not moving:
            return
        wire = self.random.choice(moving)
        ends = [end for end in ("primary", "backup") if self.random.random() < 0.7]
        if "primary" in ends:
            self._to_primary(wire)
        if "backup" in ends and wire.alive and wire.to_backup and not self._stuck(wire, wire.backup):
            wire.deliver_to_backup()
            if not wire.alive:
                self.wires.remove(wire)
        self._clients()

    def _stuck(self, wire: Wire, at: Member) -> bool:
        return self._stopped(at) or frozenset((wire.backup.name, wire.primary.name)) in self.cut

    def _to_primary(self, wire: Wire) -> None:
        if self._stuck(wire, wire.primary):
            return
        if wire.to_primary:
            refused = wire._request is not None and wire.primary.log.primary
            wire.deliver_to_primary()
            if refused and not wire.alive and self.nodes.get(wire.primary.name) is wire.primary:
                # What it promised is above this reign: a new one heals that.
                self.promotions.setdefault(wire.primary.name, self._promotion(wire.primary))  # type: ignore[arg-type]
        elif wire.closing:
            wire.cut()
        if not wire.alive and wire in self.wires:
            self.wires.remove(wire)

    def close(self, wire: Wire) -> None:
        """The backup's end is closed. A primary sees that before it serves clients again.

        (Where it does not, for as long as it takes to see it, it could give away what was acknowledged elsewhere.)
        """
        while wire.alive and not self._stuck(wire, wire.primary):
            self._to_primary(wire)

    def _clients(self) -> None:
        for client in (*self.producers, self.consumer):
            client.update()

    def send(self) -> None:
        self.random.choice(self.producers).send()

    def take(self) -> None:
        self.consumer.accept(self.random.randint(1, 4))

    def connect(self) -> None:
        """Clients look for a primary, and may find one that was deposed."""
        for client in (*self.producers, self.consumer):
            client.update()
            primaries = [node for node in self.running() if node.log.primary]
            if client.link is None and primaries:
                client.connect(self.random.choice(primaries))
            elif client.node is not None and client.node.paused and self.random.random() < 0.5:
                client.lose()  # a heartbeat is missing

    def _join(self, node: Node, primary: Node) -> None:
        node.look_for_primary()
        wire = node.join(primary)
        self.wires.append(wire)

    def find_primary(self) -> None:
        """Members without a link look for the primary of the latest epoch."""
        for node in self.running():
            if not node.log.primary and node.wire is None and node.name not in self.promotions:
                primaries = [other for other in self.others(node) if other.log.primary]
                if primaries:
                    self._join(node, max(primaries, key=lambda other: other.epoch))

    def look_after(self) -> None:
        """Primaries ask after the others."""
        for node in self.running():
            if node.log.primary:
                node.deposed_by([other.member_status() for other in self.others(node)])
        self._clients()

    def break_wire(self) -> None:
        """A link breaks: the one end sees it, and the other one when it comes to it."""
        if self.wires:
            wire = self.random.choice(self.wires)
            if wire.backup.wire is wire:
                wire.backup.look_for_primary()
            if self.random.random() < 0.5:
                wire.to_primary.clear()

    def time_passes(self) -> None:
        self.clock.now += self.random.choice([0.1, 3.0, 12.0])
        for node in self.running():
            node.broker.timers.run(self.clock())
            node.broker.settle()
        # Whose other end does nothing is given up.
        for wire in list(self.wires):
            if self._stuck(wire, wire.primary) and not self._stopped(wire.backup):
                if wire.backup.wire is wire:
                    wire.backup.look_for_primary()
            elif self._stuck(wire, wire.backup) and not self._stopped(wire.primary):
                wire.cut()
                self.wires.remove(wire)
        self._clients()

    @staticmethod
    def _stopped(node: Member) -> bool:
        return isinstance(node, Node) and node.paused

    def kill(self) -> None:
        """A member dies with all that it held; never so many that nobody holds what was acknowledged."""
        name = self.random.choice("abc")
        node = self.nodes.get(name)
        others = [other for key, other in self.nodes.items() if key != name]
        if node is None or self.dead or any(other.member_status().lost_state for other in others):
            return
        self.log.append(f"kill {name}")
        self.promotions.pop(name, None)
        del self.nodes[name]
        self.dead[name] = node.promises.promised
        for client in (*self.producers, self.consumer):
            if client.node is node:
                client.lose()
        for wire in list(self.wires):
            if wire.backup is node:
                wire.closing = True
                wire.to_backup.clear()
                self.close(wire)
            elif wire.primary is node:
                self.wires.remove(wire)
                wire.alive = False
                if wire.backup.wire is wire:
                    wire.backup.wire = None

    def restart(self) -> None:
        for name, promised in list(self.dead.items()):
            self.log.append(f"restart {name}")
            del self.dead[name]
            node = self.nodes[name] = self._new(name)
            node.promises.promised = promised
            node.lost_state = promised > NO_EPOCH

    def stop(self) -> None:
        node = self.random.choice(list(self.nodes.values()))
        if not any(other.paused for other in self.nodes.values()) and not self.dead:
            self.log.append(f"stop {node.name}")
            node.paused = True

    def resume(self) -> None:
        for node in self.nodes.values():
            node.paused = False
        for wire in list(self.wires):
            if wire.closing:
                self.close(wire)
        self._clients()

    def part(self) -> None:
        """Two members do not reach each other any more."""
        if not self.cut:
            self.cut.add(frozenset(self.random.sample("abc", 2)))

    def mend(self) -> None:
        self.cut.clear()
        self.resume()

    # -- promotion

    def promote(self) -> None:
        """Somebody is told to become the primary, whether that is wise or not."""
        node = self.random.choice(self.running() or list(self.nodes.values()))
        if not node.paused and not node.log.primary and node.name not in self.promotions:
            self.log.append(f"promote {node.name}")
            self.promotions[node.name] = self._promotion(node)

    def go_on_promoting(self) -> None:
        for name in list(self.promotions):
            if name in self.nodes and not self.nodes[name].paused:
                try:
                    next(self.promotions[name])
                except StopIteration:
                    self.promotions.pop(name, None)
                except Refused as refusal:
                    self.log.append(f"{name} not promoted: {refusal}")
                    self.promotions.pop(name, None)
        self._clients()

    def _promotion(self, node: Node) -> Iterator[None]:
        """What `qpid_server.ha.reign.promote` does, with a pause wherever it waits."""
        answers = [(other, other.member_status()) for other in self.others(node)]
        yield
        statuses = [status for _, status in answers]
        check_candidate(node.member_status(), statuses, force=False)
        epoch = next_epoch(node.member_status(), statuses)
        promised: list[MemberStatus] = []
        for reigning in (True, False):
            for other, status in answers:
                if status.primary is reigning and self.reaches(node, other):
                    promised += self._ask(node, other, epoch)
                    yield
            if reigning and not node.promises.promise(epoch):
                raise Refused("promised another one meanwhile")
            if not node.log.primary:
                node.look_for_primary()
            yield
        own = node.member_status()
        check_candidate(own, promised, force=False, promised=True)
        legitimate = check_promises([own, *promised], node.membership.count, self.k, force=False)
        if node.promises.promised != epoch:
            raise Refused("promised another one meanwhile")
        self.log.append(f"{node.name} reigns under {epoch}")
        expected = {status.broker for status in statuses if status.status == READY}
        node.become_primary(epoch, legitimate=legitimate, expected=expected)

    def _ask(self, node: Node, other: Node, epoch: Epoch) -> list[MemberStatus]:
        position = node.member_status().position
        refusal = other.answer_promise(Candidacy(epoch, position, f"{node.name}:5672", False))
        if refusal is not None:
            raise Refused(refusal)
        status = other.member_status()
        other.promise_given()
        return [status]

    # -- the end

    def settle(self) -> None:
        """Everything that is on its way arrives."""
        for _ in range(10_000):
            moving = False
            for node in self.nodes.values():
                node.broker.timers.run(self.clock())
                node.broker.settle()
            for wire in list(self.wires):
                while wire.alive and (wire.to_primary or wire.to_backup or wire.closing):
                    moving = True
                    self._to_primary(wire)
                    if wire.alive and wire.to_backup:
                        wire.deliver_to_backup()
                        if not wire.alive:
                            self.wires.remove(wire)
            if not moving:
                return
        raise Lost("the members talk without end")

    def heal(self) -> None:
        """Everything that is broken is mended, and everybody finds each other again."""
        self.mend()
        self.resume()
        self.restart()
        for _ in range(40):
            self.look_after()
            for _ in range(8):
                self.go_on_promoting()
            self.find_primary()
            self.settle()
            self.clock.now += 1
            if not any(node.log.primary for node in self.nodes.values()) and not self.promotions:
                best = max(self.nodes.values(), key=lambda node: (node.member_status().position, node.status == READY))
                self.promotions[best.name] = self._promotion(best)
        self._clients()
        self.connect()

    def check(self) -> None:
        """What must hold in the end.

        Raises:
            Lost: it does not.
        """
        self.heal()
        primaries = [node for node in self.nodes.values() if node.log.primary]
        if len(primaries) != 1:
            raise Lost(f"{len(primaries)} primaries")
        for _ in range(50):
            self.settle()
            self._clients()
            self.consumer.accept(1000)
        sent = {f"{producer.name}{number}" for producer in self.producers for number in range(producer.count)}
        acknowledged = set().union(*(producer.acknowledged for producer in self.producers))
        if acknowledged - self.consumer.settled:
            raise Lost(f"acknowledged and never received: {sorted(acknowledged - self.consumer.settled)}")
        if sent - acknowledged:
            raise Lost(f"never acknowledged: {sorted(sent - acknowledged)}")
        for producer in self.producers:
            order = [int(body[1:]) for body in self.consumer.seen if body[0] == producer.name]
            if order != sorted(order):
                raise Lost(f"out of order: {order}")
        for node in self.nodes.values():
            if node.log.last != primaries[0].log.last:
                raise Lost(f"{node.name} is at {node.log.last}, the primary at {primaries[0].log.last}")
            left = [entry.message.body for entry in node.broker.queues[QUEUE].entries.values()]
            if left:
                raise Lost(f"{node.name} holds what was acknowledged: {left}")


def live(seed: int, steps: int = 400, *, k: int = 1) -> World:
    """A world from beginning to end.

    Raises:
        Lost: the cluster broke its word.
    """
    world = World(seed, k=k)
    try:
        for _ in range(steps):
            world.step()
        world.check()
    except Lost as lost:
        raise Lost(f"seed {seed}: {lost}\n" + "\n".join(world.log)) from lost
    return world
