"""Every type of queue against a plain model of it: nothing lost, nothing given to two, order as promised, counts right.

Consumers get credit one after the other, so that who gets what is known to the message.
"""

from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule, run_state_machine_as_test

from qpid_messaging.amqp import commands as c
from qpid_messaging.amqp.codec import encode_header
from qpid_messaging.amqp.events import Incoming
from qpid_server import queue_operations
from qpid_server.line import ACQUIRED, AVAILABLE
from qpid_server.message import Message

from .driver import UNLIMITED, Link, Peer, advance, make_broker
from .queue_models import MODELS, BrowseOnly, Full, Kept, Model, RingBySize, SelfDestruct


class QueueTypeMachine(RuleBasedStateMachine):
    """One queue with a publisher, two consumers and a browser."""

    model_class: type[Model] = Model

    def __init__(self) -> None:
        super().__init__()
        self.broker = make_broker(queue_purge_interval=1.0)
        self.publisher = Link(self.broker).session(b"publisher")
        self.publisher.declare("dead")
        self.publisher.declare("moved")
        self.publisher.do(c.ExchangeBind(exchange="amq.fanout", queue="dead"))
        self.number = 0
        self.mortal: set[bytes] = set()
        self.dead: list[bytes] = []
        self.moved: list[bytes] = []
        self._begin()

    def _begin(self) -> None:
        """An empty queue, and its clients."""
        self.model = self.model_class()
        self.publisher.declare("q", alternate_exchange="amq.fanout", arguments=self.model.arguments)
        self.queue = self.broker.queues["q"]
        self.links = {n: Link(self.broker) for n in (1, 2)}
        self.consumers = {n: self._connect(n) for n in (1, 2)}
        self.held: dict[int, dict[bytes, Incoming]] = {1: {}, 2: {}}
        self.browser = Link(self.broker).session(b"browser")
        self.browser.subscribe("q", acquire_mode=1, accept_mode=1)
        self.seen_by_browser: list[bytes] = []
        self.published: list[bytes] = []
        self.gone: Counter[str] = Counter()

    def _connect(self, n: int) -> Peer:
        peer = self.links[n].session(b"consumer-%d" % n)
        peer.do(c.MessageSubscribe(queue="q", destination="d"))
        peer.do(c.MessageSetFlowMode(destination="d", flow_mode=c.FlowMode.CREDIT))
        return peer

    def _find(self, body: bytes) -> Kept | None:
        return next((message for message in self.model.kept if message.body == body), None)

    def _expire(self) -> None:
        """Let the search for expired messages have found them all."""
        advance(self.broker, 1.5)
        now = self.broker.clock()
        expired = [m for m in self.model.free() if m.expires is not None and m.expires <= now]
        self.model.remove(expired)
        self.gone["expired"] += len(expired)

    def _destroyed(self) -> None:
        """The queue went: what was on it, also what somebody had, went to the alternate exchange; begin anew."""
        assert "q" not in self.broker.queues
        assert self.queue.deleted
        self.dead += [message.body for message in self.model.kept]
        for link in (*self.links.values(), self.browser.link):
            link.lose()
        self._begin()

    @rule(
        priority=st.integers(0, 9),
        key=st.sampled_from(["", "a", "b", "c"]),
        ttl=st.sampled_from([None, None, None, 5]),
        transaction=st.booleans(),
        count=st.integers(1, 3),
    )
    def publish(self, priority: int, key: str, ttl: int | None, transaction: bool, count: int) -> None:
        """Messages one by one, or all in one entry."""
        publisher = Link(self.broker).session(b"tx")
        if transaction:
            publisher.do(c.TxSelect())
        fits = True
        coming: list[Kept] = []
        for _ in range(count):
            self.number += 1
            body = b"%d" % self.number
            properties = {"priority": priority, "ttl": ttl * 1000 if ttl else None}
            headers = {self.model.header: key} if key else {}
            publisher.send(body, "q", **properties, headers=headers)
            if ttl:
                self.mortal.add(body)
            header = encode_header(
                c.DeliveryProperties(routing_key="q", **properties), c.MessageProperties(application_headers=headers)
            )
            expires = self.broker.clock() + ttl if ttl else None
            coming.append(Kept(body, priority, key, expires, size=Message("", header, body).size))
            if not transaction:
                if self.model.publish(coming[-1]):
                    self.published.append(body)
                if publisher.failure is not None:
                    break
        if transaction and isinstance(self.model, SelfDestruct):
            publisher.do(c.TxCommit())
            if len(self.model.kept) + count > 4:
                self.model.destroyed = True
            else:
                self.published += [message.body for message in coming if self.model.publish(message)]
        elif transaction:
            limit = self.model.arguments.get("qpid.max_count", 99)
            fits = "qpid.policy_type" in self.model.arguments or len(self.model.kept) + count <= limit
            publisher.do(c.TxCommit())
            kept_before = list(self.model.kept)
            for message in coming if fits else []:
                if self.model.publish(message):
                    self.published.append(message.body)
            # What the same entry brings and drops is never seen.
            present = {message.body for message in (*self.model.kept, *kept_before)}
            self.published = [
                body for body in self.published if body in present or body not in {m.body for m in coming}
            ]
        refused = publisher.failure is not None
        assert refused == (not fits or (coming[-1] not in self.model.kept and isinstance(self.model, Full)))
        publisher.link.lose()
        if self.model.destroyed:
            self._destroyed()
        self._expire()

    @rule(n=st.sampled_from([1, 2]), count=st.integers(1, 4))
    def take(self, n: int, count: int) -> None:
        """A consumer gets as many as it asks for, or as there are for it, in the order of the type."""
        expected = []
        for _ in range(count):
            message = self.model.take(n)
            if message is None:
                break
            expected.append(message.body)
        peer = self.consumers[n]
        peer.do(c.MessageFlow(destination="d", unit=c.CreditUnit.BYTE, value=UNLIMITED))
        peer.do(c.MessageFlow(destination="d", unit=c.CreditUnit.MESSAGE, value=count))
        peer.do(c.MessageStop(destination="d"))
        got = peer.receive_all()
        assert [event.body for event in got] == expected
        self.held[n].update({event.body or b"": event for event in got})

    @precondition(lambda self: any(self.held.values()))
    @rule(data=st.data(), what=st.sampled_from(["accept", "release", "reject"]))
    def settle(self, data: st.DataObject, what: str) -> None:
        """What was dropped or replaced while it was held is gone, whatever the consumer says of it."""
        n = data.draw(st.sampled_from([n for n in (1, 2) if self.held[n]]))
        bodies = data.draw(st.lists(st.sampled_from(sorted(self.held[n])), min_size=1, unique=True))
        events = sorted((self.held[n].pop(body) for body in bodies), key=lambda event: event.id)
        self.consumers[n].settle(
            {"accept": c.MessageAccept, "reject": c.MessageReject, "release": c.MessageRelease}[what], *events
        )
        for event in events:
            message = self._find(event.body or b"")
            if message is None or message.holder is None:
                continue
            if what == "release":
                message.holder = None
            else:
                self.model.remove([message])
            if what == "reject":
                self.dead.append(message.body)
            self.gone[what] += what != "release"
        self._expire()

    @rule(n=st.sampled_from([1, 2]))
    def lose(self, n: int) -> None:
        self.links[n].lose()
        self.model.lost(n)
        self.held[n] = {}
        self.links[n] = Link(self.broker)
        self.consumers[n] = self._connect(n)
        self._expire()

    @rule(seconds=st.sampled_from([2, 6]))
    def wait(self, seconds: int) -> None:
        advance(self.broker, seconds)
        self._expire()

    @rule(count=st.integers(0, 3), odd=st.booleans())
    def purge(self, count: int, odd: bool) -> None:
        done: list[int] = []
        queue_operations.purge(self.broker, self.queue, done.append, count=count, matches=self._odd if odd else None)
        gone = self._first(count, odd)
        assert done == [len(gone)]
        self.model.remove(gone)
        self.gone["purge"] += len(gone)

    @rule(count=st.integers(0, 3), odd=st.booleans())
    def move(self, count: int, odd: bool) -> None:
        done: list[int] = []
        queue_operations.move(
            self.broker, self.queue, self.broker.queues["moved"], done.append, lambda error: done.append(-1),
            count=count, matches=self._odd if odd else None,
        )  # fmt: skip
        gone = self._first(count, odd)
        assert done == [len(gone)]
        self.model.remove(gone)
        self.moved += [message.body for message in gone]

    @rule(count=st.integers(0, 3))
    def reroute(self, count: int) -> None:
        done: list[int] = []
        queue_operations.reroute(self.broker, self.queue, self.broker.exchanges["amq.fanout"], done.append, count=count)
        gone = self._first(count, odd=False)
        assert done == [len(gone)]
        self.model.remove(gone)
        self.gone["reroute"] += len(gone)
        self.dead += [message.body for message in gone]

    @staticmethod
    def _odd(message: Message) -> bool:
        return bool(int(message.body or b"0") % 2)

    def _first(self, count: int, odd: bool) -> list[Kept]:
        found = [message for message in self.model.free() if not odd or int(message.body) % 2]
        return found[:count] if count else found

    @rule(data=st.data(), what=st.sampled_from(["accept", "release"]))
    def acquire_browsed(self, data: st.DataObject, what: str) -> None:
        """A browser sees what is free in the order of the type; it may take what nobody else has a right to."""
        peer = Link(self.broker).session(b"acquirer")
        peer.subscribe("q", acquire_mode=1)
        seen = peer.receive_all()
        free = self.model.free()
        assert [event.body for event in seen] == [message.body for message in free]
        if seen:
            number = data.draw(st.integers(0, len(seen) - 1))
            command_id = peer.settle(c.MessageAcquire, seen[number])
            result = peer.results[command_id]
            assert isinstance(result, c.Acquired)
            taken = list(result.transfers or ())
            assert taken == ([(seen[number].id, seen[number].id)] if self.model.may_acquire(free[number]) else [])
            self.taken_by_browser(peer, seen[number], free[number], what if taken else "")
        peer.link.lose()

    def taken_by_browser(self, peer: Peer, event: Incoming, message: Kept, taken: str) -> None:
        """It has the message now as a consumer would, or not at all."""
        entry = next(entry for entry in self.queue.entries.values() if entry.message.body == event.body)
        assert entry.state == (ACQUIRED if taken else AVAILABLE)
        peer.settle(c.MessageAccept if taken == "accept" else c.MessageRelease, event)
        if taken == "accept":
            self.model.remove([message])
            self.gone["accept"] += 1
        else:
            assert entry.state == AVAILABLE
        if hasattr(self.model, "level_now") and taken:
            # What a browser takes counts as its level's share.
            line = self.queue.line
            self.model.level_now, self.model.in_a_row = line._level, line._given  # type: ignore[attr-defined]

    @invariant()
    def recount(self) -> None:
        queue = self.queue
        entries = list(queue.after(0))
        assert [entry.message.body for entry in entries] == self.model.in_order()
        assert len(queue.entries) == queue.depth == queue.enqueued - queue.dequeued
        assert queue.byte_depth == sum(entry.message.size for entry in entries)
        held = {message.body for message in self.model.kept if message.holder is not None}
        assert {entry.message.body for entry in entries if entry.state == ACQUIRED} == held
        assert queue.acquired == len(held)
        for name, expected in (("dead", self.dead), ("moved", self.moved)):
            there = [entry.message.body for entry in self.broker.queues[name].after(0)]
            # Messages outlive their time on other queues, too.
            assert there == [body for body in expected if body in there or body not in self.mortal]
        assert queue.enqueued == len(self.published)
        assert queue.expired == self.gone["expired"]
        assert queue.purged == self.gone["purge"]
        assert queue.rerouted == self.gone["reroute"]
        assert queue.rejects == self.gone["reject"]

    @invariant()
    def browsed(self) -> None:
        """A browser that is always there sees every message once."""
        self.seen_by_browser += self.browser.receive()
        assert self.seen_by_browser == self.published


@pytest.mark.parametrize("model", [*MODELS, RingBySize, SelfDestruct, BrowseOnly], ids=lambda model: model.__name__)
def test_queue_type(model: type[Model]) -> None:
    machine = type(model.__name__, (QueueTypeMachine,), {"model_class": model})
    run_state_machine_as_test(
        machine,
        settings=settings(max_examples=50, stateful_step_count=30, deadline=None),  # type: ignore[arg-type]
    )
