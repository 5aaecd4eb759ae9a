"""Sessions: names, take-over, and those that outlive their connections."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from qpid_messaging.amqp import commands as c
from qpid_messaging.amqp.codec import encode_header
from qpid_messaging.amqp.events import Expected
from qpid_messaging.amqp.session import Session
from qpid_server.broker import Broker
from qpid_server.journal import Entry, Journal

from .driver import Link, Peer, advance, make_broker


@pytest.fixture
def broker() -> Broker:
    return make_broker()


def test_a_busy_name_is_refused(broker: Broker) -> None:
    first = Link(broker).session(b"name")
    second = Link(broker)
    peer = second.session(b"name")
    peer.update()
    assert peer.detached == c.DetachCode.SESSION_BUSY
    first.declare("q")
    assert "q" in broker.queues
    other_user = Link(broker, username="bob").session(b"name")
    other_user.declare("bobs")
    assert "bobs" in broker.queues, "names belong to users"


def test_force_takes_a_session_over(broker: Broker) -> None:
    first = Link(broker).session(b"name")
    first.declare("mine", exclusive=True, auto_delete=True)
    second = Link(broker).session(b"name", force=True)
    first.update()
    assert first.detached == c.DetachCode.SESSION_BUSY
    assert "mine" not in broker.queues
    second.declare("q")
    assert "q" in broker.queues


def test_detach_gives_everything_back(broker: Broker) -> None:
    peer = Link(broker).session(b"name")
    peer.declare("q")
    peer.send(b"x")
    peer.subscribe()
    assert peer.receive() == [b"x"]
    peer.session.detach()
    peer.update()
    assert peer.detached == c.DetachCode.NORMAL
    assert broker.queues["q"].acquired == 0
    assert not broker.queues["q"].subscriptions
    assert not broker.sessions


def surviving(broker: Broker, session: Session, timeout: int = 300) -> Peer:
    """Attach as a client that asks where it stands."""
    link = Link(broker)
    link.client.attach(session)
    peer = Peer(link, session)
    session.request_timeout(timeout)
    session.flush(expected=True)
    peer.update()
    return peer


def expected(peer: Peer) -> int | None:
    (event,) = [event for event in peer.link.take() if isinstance(event, Expected)]
    return event.id


def transfer(peer: Peer, body: bytes, queue: str = "q") -> int:
    header = encode_header(c.DeliveryProperties(routing_key=queue))
    return peer.session.send(c.MessageTransfer(destination=""), header, body, token=True, replay=True)


def bodies(broker: Broker) -> list[bytes | None]:
    return [entry.message.body for entry in broker.queues["q"].after(0)]


def test_a_session_that_survives(broker: Broker) -> None:
    session = Session(b"name")
    peer = surviving(broker, session)
    assert expected(peer) is None
    assert session.timeout == 300
    session.resume(None)
    peer.declare("q")
    transfer(peer, b"1")
    transfer(peer, b"2")
    peer.update()
    # The third arrives, but its completion does not; the fourth does not arrive.
    transfer(peer, b"3")
    peer.link.handler.receive(peer.link.client.data_to_send())
    transfer(peer, b"4")
    peer.link.lose()
    session.suspend()
    assert bodies(broker) == [b"1", b"2", b"3"]
    peer = surviving(broker, session)
    stands = expected(peer)
    assert stands == 4, "after the declare (0) and three transfers"
    session.resume(stands)
    assert session.replay() == 1
    peer.update()
    assert bodies(broker) == [b"1", b"2", b"3", b"4"]
    assert session.is_completed(3)
    assert session.is_completed(4)


def test_a_client_that_replays_too_much_doubles_nothing(broker: Broker) -> None:
    session = Session(b"name")
    peer = surviving(broker, session)
    peer.declare("q")
    transfer(peer, b"1")
    transfer(peer, b"2")
    peer.update()
    peer.link.lose()
    session.suspend()
    again = Session(b"name")
    again.next_id = 1
    peer = surviving(broker, again)
    peer.completed.clear()
    transfer(peer, b"1")
    transfer(peer, b"2")
    transfer(peer, b"3")
    peer.update()
    assert bodies(broker) == [b"1", b"2", b"3"]
    assert peer.completed >= {1, 2, 3}


def test_a_session_without_timeout_leaves_no_record(broker: Broker) -> None:
    session = Session(b"name")
    peer = surviving(broker, session, timeout=0)
    assert session.timeout == 0
    peer.declare("q")
    transfer(peer, b"1")
    peer.update()
    peer.link.lose()
    assert len(broker.session_records) == 0


@pytest.mark.parametrize("ending", ["detach", "expiry"])
def test_the_record_ends(broker: Broker, ending: str) -> None:
    session = Session(b"name")
    peer = surviving(broker, session, timeout=60)
    peer.declare("q")
    transfer(peer, b"1")
    peer.update()
    assert broker.session_records.last("anonymous", b"name") == 1
    if ending == "detach":
        session.detach()
        peer.update()
    else:
        advance(broker, 1000)
        peer.link.lose()
        advance(broker, 59)
        assert broker.session_records.last("anonymous", b"name") == 1
        advance(broker, 2)
    assert broker.session_records.last("anonymous", b"name") is None


def test_the_granted_timeout_is_capped() -> None:
    broker = make_broker(session_max_timeout=100)
    session = Session(b"name")
    surviving(broker, session, timeout=5000)
    assert session.timeout == 100


def test_only_transfers_and_commits_move_the_record(broker: Broker) -> None:
    session = Session(b"name")
    peer = surviving(broker, session)
    peer.declare("q")
    peer.subscribe()
    assert broker.session_records.last("anonymous", b"name") is None
    # A transaction's beginning is on record, so that a commit that never came is known not to have come.
    select = peer.do(c.TxSelect())
    assert broker.session_records.last("anonymous", b"name") == select
    peer.send(b"x")
    assert broker.session_records.last("anonymous", b"name") == select
    commit = peer.do(c.TxCommit())
    assert broker.session_records.last("anonymous", b"name") == commit


class SlowJournal(Journal):
    """Confirms when it is told to."""

    def __init__(self, broker: Broker) -> None:
        super().__init__(broker)
        self.entries: list[tuple[Entry, Callable[[Entry], None] | None]] = []
        self.waiting: list[Callable[[], None]] = []

    def commit(self, entry: Entry, on_confirmed: Callable[[Entry], None] | None = None) -> None:
        self.entries.append((entry, on_confirmed))

    def when_confirmed(self, callback: Callable[[], None]) -> None:
        if self.entries:
            self.waiting.append(callback)
        else:
            callback()

    def when_configured(self, callback: Callable[[], None]) -> None:
        self.when_confirmed(callback)

    def confirm(self) -> None:
        entries, self.entries = self.entries, []
        for entry, on_confirmed in entries:
            entry.confirmed(self.broker)
            if on_confirmed is not None:
                on_confirmed(entry)
        waiting, self.waiting = self.waiting, []
        for callback in waiting:
            callback()
        self.broker.settle()


def test_nothing_is_offered_or_completed_before_it_is_confirmed(broker: Broker) -> None:
    journal = SlowJournal(broker)
    broker.journal = journal
    peer = Link(broker).session(b"name")
    declared = peer.do(c.QueueDeclare(queue="q", arguments={"qpid.replicate": "all"}))
    assert declared not in peer.completed
    peer.subscribe()
    query = peer.do(c.QueueQuery(queue="q"))
    sent = peer.send(b"x")
    assert query not in peer.results
    assert peer.receive() == []
    sync = peer.session.send(c.ExecutionSync(sync=True), token=True)
    peer.update()
    assert not {declared, sent, sync} & peer.completed
    journal.confirm()
    (event,) = peer.receive_all()
    assert peer.completed >= {declared, query, sent, sync}
    accepted = peer.settle(c.MessageAccept, event)
    assert accepted not in peer.completed
    journal.confirm()
    peer.update()
    assert accepted in peer.completed


def test_a_duplicate_completes_when_the_first_one_is_confirmed(broker: Broker) -> None:
    session = Session(b"name")
    peer = surviving(broker, session)
    peer.declare("q")
    journal = SlowJournal(broker)
    broker.journal = journal
    transfer(peer, b"1")
    peer.update()
    peer.link.lose()
    session.suspend()
    peer = surviving(broker, session)
    assert expected(peer) == 2
    session.resume(2)
    assert not session.is_completed(1)
    journal.confirm()
    peer.update()
    assert session.is_completed(1)
    assert bodies(broker) == [b"1"]


def test_confirmation_after_the_connection_is_gone(broker: Broker) -> None:
    journal = SlowJournal(broker)
    peer = Link(broker).session(b"name")
    peer.declare("q")
    broker.journal = journal
    peer.send(b"x")
    peer.link.lose()
    journal.confirm()
    assert len(broker.queues["q"].available()) == 1
