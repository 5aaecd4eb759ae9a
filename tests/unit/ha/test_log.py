"""The replicated log: when an entry is safe, who is waited for, and what a backup takes."""

from __future__ import annotations

from typing import Any

import pytest

from qpid_server.effects import Dequeue, Enqueue
from qpid_server.errors import NotAllowed
from qpid_server.ha import log as log_module
from qpid_server.ha.cluster import CLIENT_PATIENCE
from qpid_server.ha.epoch import START, Epoch, Position
from qpid_server.ha.follower import Follower
from qpid_server.ha.log import Log
from qpid_server.ha.promotion import ACTIVE, JOINING, READY, RECOVERING
from qpid_server.ha.records import Record, ReplicationError, pack_index, unpack_records
from qpid_server.journal import Entry
from qpid_server.queue import Replicate
from tests.unit.ha.members import (
    E1,
    E2,
    E3,
    Member,
    Wire,
    Writer,
    follow,
    new_log,
    offered,
    replicated_state,
    text_message,
    texts,
)
from tests.unit.server.driver import Link


class Backup:
    """A follower whose confirmations the test gives."""

    def __init__(self, log: Log, name: str = "x", **settings: Any) -> None:
        self.log = log
        self.sent: list[bytes] = []
        self.follower = Follower(name, f"{name}:5672", self.sent.append, **settings)
        log.followers[name] = self.follower

    def confirm(self, index: int | None = None) -> None:
        self.log.confirm_follower(self.follower, self.log.last.index if index is None else index)

    def records(self) -> list[int]:
        """The kinds of what was sent since the last time."""
        kinds = [kind for batch in self.sent for kind, _ in unpack_records(batch)]
        self.sent.clear()
        return kinds


def primary(k: int = 0) -> tuple[Log, Writer]:
    log = new_log(min_replicas=k)
    log.promote(E1, inherited=True)
    return log, Writer(log.broker)


# -- completion --------------------------------------------------------------------------------------------------------


def test_alone_everything_is_safe_at_once() -> None:
    log, writer = primary()
    writer.declare()
    writer.send("1")
    assert writer.confirmed == ["declare q", "1"]
    assert offered(log.broker) == ["1"]


def test_every_backup_in_sync_has_to_confirm() -> None:
    log, writer = primary()
    one, two = Backup(log, "one"), Backup(log, "two")
    one.confirm()
    two.confirm()
    writer.declare()
    writer.send("1")
    one.confirm()
    assert (writer.confirmed, offered(log.broker), texts(log.broker)) == ([], [], ["1"])
    two.confirm(log.last.index - 1)
    assert (writer.confirmed, offered(log.broker)) == (["declare q"], [])
    two.confirm()
    assert (writer.confirmed, offered(log.broker)) == (["declare q", "1"], ["1"])


def test_nobody_is_waited_for_who_is_not_in_sync() -> None:
    log, writer = primary()
    writer.declare()
    Backup(log, "joining")
    Backup(log, "far", asynchronous=True).confirm()
    writer.send("1")
    assert writer.confirmed == ["declare q", "1"]
    assert not any(follower.in_sync for follower in log.followers.values())


def test_enough_backups_have_to_hold_an_entry() -> None:
    log, writer = primary(k=2)
    one, two = Backup(log, "one"), Backup(log, "two")
    writer.declare()
    one.confirm()
    assert writer.confirmed == []
    two.confirm()
    assert writer.confirmed == ["declare q"]
    log.drop_follower(two.follower)
    writer.send("1")
    one.confirm()
    assert writer.confirmed == ["declare q"], "one of two is not enough"
    again = Backup(log, "two")
    again.confirm()
    assert writer.confirmed == ["declare q", "1"]


def test_who_lacks_what_is_confirmed_is_not_in_sync() -> None:
    log, writer = primary()
    writer.declare()
    late = Backup(log, "late")
    late.confirm(log.confirmed - 1)
    assert not late.follower.in_sync
    writer.send("1")
    late.confirm(log.confirmed - 1)
    assert not late.follower.in_sync
    late.confirm()
    assert late.follower.in_sync
    log.broker.settle()
    assert Record.READY in late.records()


def test_no_backup_confirms_what_it_was_never_sent() -> None:
    log, writer = primary()
    writer.declare()
    backup = Backup(log)
    for lie in (log.last.index + 1, -2):
        with pytest.raises(ReplicationError):
            backup.confirm(lie)
    backup.confirm()
    with pytest.raises(ReplicationError):
        backup.confirm(log.last.index - 1)


def test_a_backup_that_leaves_is_not_waited_for() -> None:
    log, writer = primary()
    one, two = Backup(log, "one"), Backup(log, "two")
    one.confirm()
    two.confirm()
    changes: list[int] = []
    log.on_change = lambda: changes.append(sum(follower.in_sync for follower in log.followers.values()))
    writer.declare()
    one.confirm()
    assert writer.confirmed == []
    log.drop_follower(two.follower)
    assert writer.confirmed == ["declare q"]
    assert changes == [1]


def test_what_only_this_broker_holds_waits_for_nobody() -> None:
    log, writer = primary(k=1)
    writer.declare("local", Replicate.NONE)
    writer.send("1", "local")
    writer.remove("1", "local")
    assert writer.confirmed == ["declare local", "1", "remove 1"]
    assert log.last.index == 1, "none of it is in the log"


def test_a_queue_with_replicated_configuration_keeps_its_messages() -> None:
    log, writer = primary()
    writer.declare("q", Replicate.CONFIGURATION)
    before = log.last
    writer.send("1")
    assert log.last == before


def test_callbacks_come_in_order_and_may_commit() -> None:
    log, writer = primary()
    writer.declare()
    seen: list[str] = []

    def again(entry: Entry) -> None:
        seen.append("first")
        writer.broker.commit(Entry([Enqueue(writer.broker.queues["q"], text_message("2"))]), lambda _: seen.append("2"))
        seen.append("first done")

    log.hold("x", configuration=True)
    writer.broker.commit(Entry([Enqueue(writer.broker.queues["q"], text_message("1"))]), again)
    log.when_confirmed(lambda: seen.append("asked"))
    log.release("x")
    assert seen == ["first", "first done", "asked", "2"]


# -- holds -------------------------------------------------------------------------------------------------------------


def test_each_hold_holds_on_its_own() -> None:
    log, writer = primary()
    log.hold("one", configuration=True)
    log.hold("two", configuration=True)
    writer.declare()
    log.release("one")
    log.release("unknown")
    assert writer.confirmed == []
    log.release("two")
    assert writer.confirmed == ["declare q"]


def test_configuration_does_not_wait_for_backups_that_are_merely_expected() -> None:
    log, writer = primary()
    writer.declare()
    writer.send("1")
    log.hold("recovering", configuration=False)
    writer.confirmed.clear()
    writer.send("2")
    writer.declare("r")
    writer.exchange("e")
    writer.bind("r", "e", "key")
    writer.remove("1")
    assert writer.confirmed == ["declare r", "exchange e", "bind r"], "but sends and accepts do"
    asked: list[str] = []
    log.when_configured(lambda: asked.append("configured"))
    log.when_confirmed(lambda: asked.append("confirmed"))
    assert asked == ["configured"]
    log.release("recovering")
    assert writer.confirmed == ["declare r", "exchange e", "bind r", "2", "remove 1"]
    assert asked == ["configured", "confirmed"]


def test_configuration_waits_for_the_backups_that_are_there_all_the_same() -> None:
    log, writer = primary()
    backup = Backup(log)
    backup.confirm()
    log.hold("recovering", configuration=False)
    writer.declare()
    asked: list[str] = []
    log.when_configured(lambda: asked.append("configured"))
    assert (writer.confirmed, asked) == ([], [])
    backup.confirm()
    assert (writer.confirmed, asked) == (["declare q"], ["configured"])
    log.release("recovering")
    assert writer.confirmed == ["declare q"], "once"


def test_a_backup_answers_from_what_it_holds() -> None:
    a, b = Member("a"), Member("b")
    a.reign_under(E1)
    wire = follow(b, a)
    Writer(a.broker).declare()
    a.broker.settle()
    wire.deliver_to_backup()
    assert b.log.confirmed < b.log.last.index
    asked: list[int] = []
    b.log.when_confirmed(lambda: asked.append(1))
    b.log.when_configured(lambda: asked.append(2))
    assert asked == [1, 2], "nobody would ever tell it while there is no primary"


def test_replicated_state_is_changed_on_the_primary_only() -> None:
    log = new_log()
    writer = Writer(log.broker)
    with pytest.raises(NotAllowed):
        writer.declare()
    assert not log.broker.queues
    writer.declare("local", Replicate.NONE)
    assert writer.confirmed == ["declare local"]
    assert log.last == START


# -- what a backup takes -----------------------------------------------------------------------------------------------


def test_a_backup_takes_the_next_entry_only() -> None:
    a, b = Member("a"), Member("b")
    a.reign_under(E1)
    follow(b, a)
    index = b.log.last.index
    for wrong in (index, index + 2, 0):
        with pytest.raises(ReplicationError, match="cannot follow"):
            b.log.follow(wrong, E1, b"\0\0")
    with pytest.raises(ReplicationError, match="cannot follow"):
        b.log.follow(index + 1, Epoch(0, ""), b"\0\0")
    assert b.log.whole
    b.log.follow(index + 1, E1, b"\0\0")


def test_a_backup_offers_what_its_primary_says_is_safe() -> None:
    a, b, c = Member("a"), Member("b"), Member("c")
    a.reign_under(E1)
    to_b, to_c = follow(b, a), follow(c, a)
    writer = Writer(a.broker)
    writer.declare()
    to_b.settle()
    to_c.settle()
    to_b.settle()
    writer.send("1")
    to_b.settle()
    assert (texts(b.broker), offered(b.broker), writer.confirmed) == (["1"], [], ["declare q"])
    to_c.settle()
    to_b.settle()
    assert (offered(b.broker), writer.confirmed) == (["1"], ["declare q", "1"])
    assert b.log.confirmed == a.log.confirmed == a.log.last.index


def test_an_entry_applied_in_part_is_never_applied_again() -> None:
    a, b = Member("a"), Member("b")
    a.reign_under(E1)
    wire = follow(b, a)
    writer = Writer(a.broker)
    writer.declare("q")
    writer.declare("r")
    wire.settle()
    b.broker.destroy_queue(b.broker.queues["r"])  # it lost it, whyever
    writer.send("1", "q", "r")
    wire.settle()
    assert "no queue 'r'" in str(wire.failure)
    assert texts(b.broker) == ["1"], "the first half is done"
    status = b.member_status()
    assert (status.position, status.lost_state) == (START, True)
    with pytest.raises(ReplicationError):
        b.log.follow(b.log.last.index + 1, E1, b"\0\0")
    follow(b, a)
    assert (texts(b.broker, "q"), texts(b.broker, "r")) == (["1"], ["1"])
    assert replicated_state(b.broker) == replicated_state(a.broker)
    assert b.member_status().position == a.log.last


def test_by_force_what_is_not_whole_leads_nobody_on() -> None:
    """The entries before are not what its state comes from, so nobody may be given the rest of them."""
    a, b, c = Member("a"), Member("b"), Member("c")
    a.reign_under(E1)
    follow(b, a)
    follow(c, a)
    b.log.whole = False
    at = c.log.last
    b.reign_under(E2, legitimate=False)
    assert b.log.suffix(at) is None
    assert b.log.whole


def test_a_replicated_queue_takes_the_place_of_a_local_one() -> None:
    a, b = Member("a"), Member("b")
    a.reign_under(E1)
    wire = follow(b, a)
    Writer(b.broker).declare("q", Replicate.NONE)
    Writer(b.broker).send("local")
    Writer(b.broker).exchange("e", "direct", Replicate.NONE)
    Writer(a.broker).declare()
    Writer(a.broker).exchange("e", "topic")
    Writer(a.broker).send("replicated")
    wire.settle()
    assert wire.failure is None
    assert texts(b.broker) == ["replicated"]
    assert b.broker.exchanges["e"].type == "topic"
    route = b.broker.default_exchange.route(text_message("x"))
    assert route.queues == (b.broker.queues["q"],), "the local one is bound no more"


# -- the rest of the log, or the difference ----------------------------------------------------------------------------


def cluster() -> tuple[Member, Member, Member, Writer]:
    a, b, c = Member("a"), Member("b"), Member("c")
    a.reign_under(E1)
    follow(b, a)
    follow(c, a)
    writer = Writer(a.broker)
    writer.declare()
    settle(b, c)
    return a, b, c, writer


def settle(*backups: Member) -> None:
    for _ in range(3):
        for backup in backups:
            if backup.wire is not None:
                backup.wire.settle()


def used_difference(wire: Wire) -> bool:
    """Join, and tell how the primary brought the joiner up."""
    before = wire.backup.set_status
    seen: list[str] = []

    def spy(status: str) -> None:
        seen.append(status)
        before(status)

    wire.backup.set_status = spy  # type: ignore[method-assign]
    wire.settle()
    wire.backup.set_status = before  # type: ignore[method-assign]
    assert wire.failure is None
    assert wire.backup.status == READY
    return "catchup" in seen


def test_who_was_away_for_a_moment_gets_the_rest_of_the_log() -> None:
    a, b, c, writer = cluster()
    writer.send("1")
    settle(b, c)
    assert b.wire is not None
    b.wire.cut()
    writer.send("2")
    writer.send("3")
    settle(c)
    assert not used_difference(b.join(a))
    assert texts(b.broker) == offered(b.broker) == ["1", "2", "3"], "and is told how far that is safe"
    assert replicated_state(a.broker) == replicated_state(b.broker)


def test_a_tail_that_nobody_else_had_is_lost_with_the_difference() -> None:
    a, b, c, writer = cluster()
    assert b.wire is not None
    assert c.wire is not None
    b.wire.cut()
    c.wire.cut()
    writer.send("foreign")
    b.reign_under(E2)
    follow(c, b)
    for text in ("1", "2"):
        Writer(b.broker).send(text)
    settle(c)
    a.step_down("deposed")
    assert a.status == JOINING
    assert a.log.last < b.log.last
    assert used_difference(a.join(b))
    assert texts(a.broker) == texts(b.broker) == ["1", "2"]
    assert replicated_state(a.broker) == replicated_state(b.broker)


def test_a_longer_foreign_tail_is_lost_too() -> None:
    a, b, _, writer = cluster()
    assert b.wire is not None
    b.wire.cut()
    for text in "12345":
        writer.send(text)
    b.reign_under(E2)
    a.step_down("deposed")
    assert a.log.last.index > b.log.last.index
    assert used_difference(a.join(b))
    assert texts(a.broker) == []


def test_a_deposed_primary_without_a_tail_follows_on() -> None:
    a, b, c, writer = cluster()
    writer.send("1")
    settle(b, c)
    b.reign_under(E2)
    a.step_down("deposed")
    assert not used_difference(a.join(b))
    assert replicated_state(a.broker) == replicated_state(b.broker)


def test_the_suffix_starts_at_exactly_the_position() -> None:
    log, writer = primary()
    writer.declare()
    for text in "abc":
        writer.send(text)
    at = log.last.index
    assert log.suffix(log.last) == []
    rest = log.suffix(Position(E1, at - 2))
    assert rest is not None
    assert [(index, epoch) for index, epoch, _ in rest] == [(at - 1, E1), (at, E1)]
    assert log.suffix(START) is None
    assert log.suffix(Position(E2, at - 2)) is None, "the same index under another epoch is another entry"
    assert log.suffix(Position(E2, at)) is None
    assert log.suffix(Position(E1, at + 1)) is None


def test_what_is_kept_of_the_log_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(log_module, "RETAINED_BYTES", 10_000)
    log, writer = primary()
    writer.declare()
    early = log.last
    for number in range(200):
        writer.send(f"{number:0100}")
    assert log.suffix(early) is None
    assert log._retained_bytes <= 10_000
    assert len(log._retained) < 40
    for _ in range(2000):
        log._append(b"", [], None, False)
    assert len(log._retained) < 60, "entries without data cost something too"
    assert log.suffix(Position(E1, log.last.index - 10)) is not None


# -- a new primary -----------------------------------------------------------------------------------------------------


def test_what_was_inherited_is_confirmed_anew() -> None:
    _a, b, c, writer = cluster()
    writer.send("1")
    settle(b, c)
    writer.send("2")
    assert b.wire is not None
    b.wire.settle()
    assert (texts(b.broker), offered(b.broker)) == (["1", "2"], ["1"]), (
        "c has not got it: nobody was told that it is safe"
    )
    b.wire.cut()
    c.look_for_primary()
    b.reign_under(E2, expected={"c"})
    assert b.status == RECOVERING
    assert offered(b.broker) == ["1"]
    assert all(entry.redelivered for entry in b.broker.queues["q"].entries.values())
    Writer(b.broker).send("3")
    assert offered(b.broker) == ["1"]
    follow(c, b)
    b.advance(0)
    assert b.status == ACTIVE
    assert offered(b.broker) == texts(b.broker) == ["1", "2", "3"]
    settle(c)
    assert replicated_state(c.broker) == replicated_state(b.broker)


def test_a_send_and_an_accept_wait_for_the_backups_that_were_ready_before() -> None:
    _a, b, c, writer = cluster()
    writer.send("1")
    settle(b, c)
    b.look_for_primary()
    c.look_for_primary()
    b.reign_under(E2, expected={"c"})
    writer = Writer(b.broker)
    queue = b.broker.queues["q"]
    writer.do("accepted", Dequeue(queue, list(queue.entries.values())))
    writer.send("2")
    writer.declare("r")
    assert writer.confirmed == ["declare r"]
    b.advance(b.options.ha_backup_timeout + 1)
    assert b.status == ACTIVE
    assert writer.confirmed == ["declare r", "accepted", "2"]


def test_the_patience_of_one_reign_does_not_end_the_next(monkeypatch: pytest.MonkeyPatch) -> None:
    a = Member("a")
    a.reign_under(E1, expected={"b"})
    a.advance(6)
    a.step_down("deposed")
    a.reign_under(E3, expected={"b"})
    a.advance(6)
    assert a.status == RECOVERING
    a.advance(6)
    assert a.status == ACTIVE


def test_a_new_epoch_of_the_same_primary() -> None:
    a, b, c, writer = cluster()
    a.reign_under(E3)
    assert a.status == ACTIVE
    writer.send("1")
    settle(b, c)
    assert b.log.last == a.log.last
    assert b.log.last.epoch == E3
    ((_, id),) = [(0, entry.message.replication_id) for entry in b.broker.queues["q"].entries.values()]
    assert id == (E3, 1)


def test_stepping_down_tells_no_waiting_client_that_all_is_well() -> None:
    a, b, _c, writer = cluster()
    writer.send("1")
    asked: list[int] = []
    a.log.when_confirmed(lambda: asked.append(1))
    a.step_down("deposed")
    assert "1" not in writer.confirmed
    assert asked == []
    assert a.started.count(a.started[0]) == 1, "it asks after nobody any more"
    b.reign_under(E2)
    follow(a, b)
    assert "1" not in writer.confirmed


def test_the_last_backup_leaves_a_primary_without_min_replicas() -> None:
    """It must ask around before it goes on alone: perhaps all the others follow another one by now."""
    a, b = Member("a"), Member("b")
    a.reign_under(E1)
    wire = follow(b, a)
    writer = Writer(a.broker)
    writer.declare()
    wire.cut()
    assert writer.confirmed == []
    writer.send("1")
    assert writer.confirmed == []
    assert [task.__name__ for task in a.started] == ["reign", "check_alone"]
    a.log.release("alone")
    assert writer.confirmed == ["declare q", "1"]


def test_with_min_replicas_nothing_is_confirmed_alone() -> None:
    a, b = Member("a", ha_min_replicas=1), Member("b", ha_min_replicas=1)
    a.reign_under(E1)
    wire = follow(b, a)
    writer = Writer(a.broker)
    writer.declare()
    wire.cut()
    writer.send("1")
    assert writer.confirmed == []
    assert [task.__name__ for task in a.started] == ["reign"]
    follow(b, a)
    assert writer.confirmed == ["declare q", "1"]


def test_a_new_epoch_in_the_middle_of_recovering_does_not_hold_for_ever() -> None:
    a, b, c, _ = cluster()
    b.look_for_primary()
    c.look_for_primary()
    b.reign_under(E2, expected={"c"})
    writer = Writer(b.broker)
    writer.send("1")
    c.join(b).settle()
    assert a.log.primary
    b.promises.promise(E3)
    b.become_primary(E3, legitimate=True, expected=set())  # before the timers ran
    b.advance(0)
    c.join(b).settle()
    assert (b.status, writer.confirmed) == (ACTIVE, ["1"])


def test_the_time_of_an_auto_delete_queue_counts_from_the_fail_over() -> None:
    a, b, c, writer = cluster()
    writer.declare("t", auto_delete=True, arguments={"qpid.auto_delete_timeout": 5})
    for name in ("u", "never", "again"):
        writer.declare(name, auto_delete=True)
    for name in ("t", "u", "again"):
        Link(a.broker).session(name.encode()).subscribe(name)
    settle(b, c)
    late = Member("d", names="abcd")
    follow(late, a)
    assert [name for name, queue in late.broker.queues.items() if queue.used] == ["t", "u", "again"]
    b.reign_under(E2)
    wire = follow(c, b)
    Link(b.broker).session().subscribe("again")
    b.advance(4)
    assert {"t", "u"} <= set(b.broker.queues)
    b.advance(2)
    wire.settle()
    for member in (b, c):
        assert "t" not in member.broker.queues
        assert "u" in member.broker.queues, "its consumers may be on their way"
    b.advance(CLIENT_PATIENCE)
    wire.settle()
    for member in (b, c):
        assert {"u", "never", "again"} & set(member.broker.queues) == {"never", "again"}
    assert {"t", "u"} <= set(a.broker.queues)


def test_an_older_link_that_comes_late_does_not_strand_the_newer_one() -> None:
    a, b, _, writer = cluster()
    first = b.join(a)
    assert b.wire is first
    b.wire = None
    second = b.join(a)
    second.settle()
    first.deliver_to_primary()  # it was on its way all the time
    first.cut()
    assert not second.alive, "its backup sees that, and joins anew"
    follow(b, a)
    writer.send("1")
    settle(b)
    assert texts(b.broker) == ["1"]


def test_who_could_not_complete_an_accept_gives_nothing_away() -> None:
    """It may have been deposed, and what it would offer be gone."""
    a, b = Member("a", ha_min_replicas=1), Member("b", ha_min_replicas=1)
    a.reign_under(E1)
    wire = follow(b, a)
    writer = Writer(a.broker)
    writer.declare()
    writer.declare("local", Replicate.NONE)
    wire.settle()
    queue, local = a.broker.queues["q"], a.broker.queues["local"]
    assert a.log.serves(queue)
    wire.cut()
    assert not a.log.serves(queue)
    assert a.log.serves(local)
    a.broker.dirty.clear()
    follow(b, a)
    assert a.log.serves(queue)
    assert not b.log.serves(b.broker.queues["q"]), "a backup serves nobody"
    alone = Member("c")
    alone.reign_under(E2)
    Writer(alone.broker).declare()
    assert alone.log.serves(alone.broker.queues["q"])


# -- batches -----------------------------------------------------------------------------------------------------------


def test_one_batch_a_turn() -> None:
    log, writer = primary()
    backup = Backup(log)
    backup.confirm()
    log.broker.settle()
    backup.records()
    writer.declare()
    for text in "abc":
        writer.send(text)
    assert backup.sent == []
    log.broker.settle()
    assert len(backup.sent) == 1
    assert backup.records() == [Record.EPOCH, *[Record.ENTRY] * 4]
    backup.confirm()
    log.broker.settle()
    assert backup.records() == [Record.CONFIRMED]
    log.broker.settle()
    assert backup.sent == []


def test_a_difference_goes_out_bit_by_bit(monkeypatch: pytest.MonkeyPatch) -> None:
    log, writer = primary()
    congested = False
    backup = Backup(log, congested=lambda: congested)
    pieces = [pack_index(Record.POSITION, number) for number in range(20)]
    backup.follower.catch_up(iter(pieces))
    writer.declare()
    for _ in range(5):
        log.broker.settle()  # many reads in one turn are no reason to send more of it
    assert backup.sent == []
    timers, clock = log.broker.timers, log.broker.clock
    timers.run(clock())
    assert backup.records()[:20] == [Record.POSITION] * 20, "a turn of the timers each, without other work between"
    backup.follower.catch_up(iter(pieces))
    log.broker.settle()
    congested = True
    timers.run(clock())
    log.broker.settle()
    timers.run(clock())
    assert backup.sent == [], "who does not read is not sent more"
    congested = False
    writer.send("1")
    log.broker.settle()
    timers.run(clock())
    log.broker.settle()
    kinds = backup.records()
    assert kinds[:20] == [Record.POSITION] * 20
    assert Record.ENTRY in kinds[20:], "what was appended meanwhile comes after it"


def test_a_primary_calls_only_those_ready_that_it_waits_for() -> None:
    """One that was cut off does not know it, and a manager must not take it for one that holds all."""
    a, b = (Member(name, ha_min_replicas=0) for name in "ab")
    a.reign_under(E1)
    follow(b, a)
    assert a.membership.peers["b"]["status"] == "ready"
    a.met(b.member_status())
    assert a.membership.peers["b"]["status"] == "ready"
    a.log.drop_follower(a.log.followers["b"])
    assert b.status == "ready"
    a.met(b.member_status())
    assert a.membership.peers["b"]["status"] == "joining"


def test_a_virtual_address_is_nobodys_own() -> None:
    """The only address in the URL answers from whoever is the primary: members are told where that one really is."""
    a, b = (Member(name, names="v") for name in "ab")
    a.membership.own_addresses.clear()
    a.reign_under(E1)
    follow(b, a)
    assert not a.met(a.member_status()._replace(address="v:5672"))
    assert "v:5672" not in a.membership.addresses_of_others(a.hint), "it would dial itself"
    a.met(b.member_status(), "10.0.0.1")
    assert b.wire is not None
    b.wire.settle()
    # The port is that of the member, which listens on none here.
    assert b.membership.peers["a"]["address"] == "10.0.0.1:0"
    a.step_down("in this test")
    assert "v:5672" in a.membership.addresses_of_others(a.hint), "it is the next primary's"
