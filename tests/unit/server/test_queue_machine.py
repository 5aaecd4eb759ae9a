"""The queue against a plain model: nothing lost, nothing given to two at once, order kept, counters equal a recount."""

from __future__ import annotations

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from qpid_messaging.amqp import commands as c
from qpid_messaging.amqp.codec import decode_header
from qpid_messaging.amqp.events import Incoming
from qpid_server.line import AVAILABLE

from .driver import UNLIMITED, Link, Peer, advance, make_broker


class QueueMachine(RuleBasedStateMachine):
    """One queue, a publisher, two consumers and a browser; the model is a list of (body, state)."""

    def __init__(self) -> None:
        super().__init__()
        self.broker = make_broker()
        self.clock = self.broker.clock
        self.publisher = Link(self.broker).session(b"publisher")
        self.publisher.declare("q")
        self.publisher.declare("dead", alternate_exchange=None)
        self.publisher.do(c.ExchangeBind(exchange="amq.fanout", queue="dead"))
        self.publisher.declare("q2", alternate_exchange="amq.fanout")
        self.queue = self.broker.queues["q2"]
        self.links = {n: Link(self.broker) for n in (1, 2)}
        self.consumers: dict[int, Peer] = {}
        self.held: dict[int, dict[bytes, Incoming]] = {1: {}, 2: {}}
        for n in (1, 2):
            self._connect(n)
        self.browser = Link(self.broker).session(b"browser")
        self.browser.subscribe("q2", acquire_mode=1, accept_mode=1)
        self.browsed: list[bytes] = []
        self.number = 0
        # body -> expiry or None, in order of the queue; those held by nobody are free
        self.model: dict[bytes, float | None] = {}
        self.redelivered: set[bytes] = set()
        self.dead: list[bytes] = []
        self.credit = {1: 0, 2: 0}

    def _connect(self, n: int) -> None:
        peer = self.links[n].session(b"consumer-%d" % n)
        peer.do(c.MessageSubscribe(queue="q2", destination="d"))
        peer.do(c.MessageSetFlowMode(destination="d", flow_mode=c.FlowMode.CREDIT))
        peer.do(c.MessageFlow(destination="d", unit=c.CreditUnit.BYTE, value=UNLIMITED))
        self.consumers[n] = peer
        self.held[n] = {}

    def _free(self) -> list[bytes]:
        held = {body for some in self.held.values() for body in some}
        return [body for body in self.model if body not in held]

    def _expire(self) -> None:
        """Free messages whose time is over may be gone, whenever the broker came across them."""
        present = {entry.message.body for entry in self.queue.entries.values()}
        now = self.broker.clock()
        for body in self._free():
            expires = self.model[body]
            if body not in present and expires is not None and expires <= now:
                del self.model[body]

    def _collect(self) -> None:
        """Take what the broker delivered, and compare it with what it should have been."""
        got = {n: peer.receive_all() for n, peer in self.consumers.items()}
        delivered = {(event.body or b""): (n, event) for n, events in got.items() for event in events}
        assert len(delivered) == sum(len(events) for events in got.values()), "one message, two deliveries"
        self._expire()
        free = self._free()
        expected = free[: sum(self.credit.values())]
        assert set(delivered) == set(expected)
        for n, events in got.items():
            bodies = [event.body or b"" for event in events]
            assert bodies == [body for body in expected if body in set(bodies)], "order"
            assert len(events) <= self.credit[n]
            self.credit[n] -= len(events)
        for body, (n, event) in delivered.items():
            properties = next(s for s in decode_header(event.header or b"") if isinstance(s, c.DeliveryProperties))
            assert properties.redelivered == (body in self.redelivered)
            self.held[n][body] = event
        self.browsed += self.browser.receive()

    @rule(ttl=st.sampled_from([None, None, 5]))
    def publish(self, ttl: int | None) -> None:
        self.number += 1
        body = b"%d" % self.number
        self.publisher.send(body, "q2", ttl=ttl * 1000 if ttl else None)
        self.model[body] = None if ttl is None else self.broker.clock() + ttl
        self._collect()

    @rule(n=st.sampled_from([1, 2]), credit=st.integers(1, 4))
    def flow(self, n: int, credit: int) -> None:
        self.consumers[n].do(c.MessageFlow(destination="d", unit=c.CreditUnit.MESSAGE, value=credit))
        self.credit[n] += credit
        self._collect()

    @precondition(lambda self: any(self.held.values()))
    @rule(data=st.data(), what=st.sampled_from(["accept", "release", "redeliver", "reject"]))
    def settle(self, data: st.DataObject, what: str) -> None:
        n = data.draw(st.sampled_from([n for n in (1, 2) if self.held[n]]))
        bodies = data.draw(st.lists(st.sampled_from(sorted(self.held[n])), min_size=1, unique=True))
        events = [self.held[n].pop(body) for body in bodies]
        peer = self.consumers[n]
        if what == "accept":
            peer.settle(c.MessageAccept, *events)
        elif what == "reject":
            peer.settle(c.MessageReject, *events)
            self.dead += [event.body or b"" for event in sorted(events, key=lambda event: event.id)]
        else:
            peer.settle(c.MessageRelease, *events, set_redelivered=what == "redeliver")
        for body in bodies:
            if what in ("accept", "reject"):
                del self.model[body]
            elif what == "redeliver":
                self.redelivered.add(body)
        self._collect()

    @rule(n=st.sampled_from([1, 2]))
    def lose(self, n: int) -> None:
        """A consumer's connection goes: what it held comes again, marked."""
        self.links[n].lose()
        self.redelivered |= set(self.held[n])
        self.held[n] = {}
        self.credit[n] = 0
        self.links[n] = Link(self.broker)
        self._connect(n)
        self._collect()

    @rule(seconds=st.sampled_from([1, 6]))
    def wait(self, seconds: int) -> None:
        advance(self.broker, seconds)
        self._collect()

    @rule()
    def purge(self) -> None:
        self.publisher.do(c.QueuePurge(queue="q2"))
        for body in self._free():
            del self.model[body]
        self._collect()

    @precondition(lambda self: self.browsed)
    @rule(data=st.data())
    def acquire_browsed(self, data: st.DataObject) -> None:
        """A browser takes a message that it saw, if nobody has it; then gives it back."""
        peer = Link(self.broker).session(b"acquirer")
        peer.subscribe("q2", acquire_mode=1)
        seen = peer.receive_all()
        self._expire()
        assert [event.body for event in seen] == self._free()
        if seen:
            chosen = data.draw(st.sampled_from(seen))
            command_id = peer.settle(c.MessageAcquire, chosen)
            result = peer.results[command_id]
            assert isinstance(result, c.Acquired)
            assert list(result.transfers or ()) == [(chosen.id, chosen.id)]
            assert len(self.queue.available()) == len(self._free()) - 1
            peer.settle(c.MessageRelease, chosen)
        peer.link.lose()
        self._collect()

    @invariant()
    def recount(self) -> None:
        queue = self.queue
        assert len(queue.entries) == queue.depth == len(self.model)
        assert queue.depth == queue.enqueued - queue.dequeued
        assert queue.byte_depth == sum(entry.message.size for entry in queue.entries.values())
        assert queue.acquired == sum(entry.state != AVAILABLE for entry in queue.entries.values())
        assert queue.acquired == sum(len(some) for some in self.held.values())
        assert [entry.message.body for entry in queue.after(0)] == list(self.model)
        assert [entry.message.body for entry in self.broker.queues["dead"].after(0)] == self.dead
        assert self.browsed == sorted(self.browsed, key=int), "a browser sees each message once, in order"


TestQueueMachine = QueueMachine.TestCase
TestQueueMachine.settings = settings(max_examples=40, stateful_step_count=30, deadline=None)
