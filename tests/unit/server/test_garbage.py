"""What is done with goes at once, and what has come to stay is looked at by no collection."""

from __future__ import annotations

import gc
import weakref
from collections.abc import Iterator

import pytest

from qpid_messaging.amqp import commands as c
from qpid_server import garbage
from qpid_server.broker import Broker
from qpid_server.garbage import GarbageKeeper
from tests.unit.server.driver import Link, advance, make_broker


@pytest.fixture
def broker() -> Broker:
    return make_broker()


@pytest.fixture
def _no_collections() -> Iterator[None]:
    gc.collect()
    gc.disable()
    yield
    gc.enable()


@pytest.fixture
def _collector() -> Iterator[None]:
    thresholds = gc.get_threshold()
    yield
    gc.unfreeze()
    gc.set_threshold(*thresholds)


@pytest.mark.usefixtures("_no_collections")
def test_a_closed_connection_leaves_no_cycle(broker: Broker) -> None:
    link = Link(broker)
    peer = link.session()
    peer.declare("q")
    peer.declare("own", exclusive=True, auto_delete=True)
    peer.subscribe()
    peer.do(c.TxSelect())
    peer.send(b"x")
    peer.do(c.TxCommit())
    transfers = peer.receive_all()
    peer.complete(*transfers)
    remains = [
        weakref.ref(link.handler),
        weakref.ref(link.handler.machine),
        *map(weakref.ref, link.handler.sessions.values()),
    ]
    link.lose()
    # The client's side may be what it likes.
    vars(link).clear()
    vars(peer).clear()
    del transfers
    assert [type(found()).__name__ for found in remains if found() is not None] == []


@pytest.mark.usefixtures("_collector")
def test_messages_that_wait_are_set_aside(broker: Broker, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(garbage, "MANY", 10)
    monkeypatch.setattr(garbage, "CLOSED", 2)
    seen: list[str] = []
    for name in ("collect", "freeze", "unfreeze"):
        monkeypatch.setattr(garbage.gc, name, lambda name=name: seen.append(name))

    def passed() -> list[str]:
        seen.clear()
        advance(broker, garbage.INTERVAL)
        return list(seen)

    GarbageKeeper(broker).start()
    assert seen[:2] == ["collect", "freeze"]
    peer = Link(broker).session()
    peer.declare("q")
    for _ in range(5):
        peer.send(b"x")
    passed()
    assert passed() == [], "few of them are looked at quickly"
    for _ in range(20):
        peer.send(b"x")
    assert passed() == ["freeze"]
    assert passed() == []
    opened(Link(broker)).lose()
    assert passed() == [], "one connection may wait for the next"
    opened(Link(broker)).lose()
    assert passed() == ["unfreeze", "collect", "freeze"]
    peer.do(c.QueuePurge(queue="q"))
    passed()
    opened(Link(broker)).lose()
    assert passed()[:2] == ["unfreeze", "collect"], "with few messages it is quick"


def opened(link: Link) -> Link:
    link.session()
    return link
