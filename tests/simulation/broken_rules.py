"""Rules of the cluster, each broken on purpose: a simulation that does not see that is worth nothing.

Each is a function that patches the code that keeps the rule.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from qpid_messaging.core.link import LinkState
from qpid_messaging.core.session import SessionCore, SessionState
from qpid_messaging.core.settlement import Settled, settlement
from qpid_server.broker import Broker
from qpid_server.ha import reign
from qpid_server.ha.difference import Joining
from qpid_server.ha.epoch import Epoch, Position
from qpid_server.ha.log import Log
from qpid_server.ha.records import ReplicationError
from qpid_server.journal import Entry
from tests.simulation.replay import Verdict, judge

Patch = pytest.MonkeyPatch


def complete_before_the_backups_confirm(patch: Patch) -> None:
    patch.setattr(Log, "_safe", lambda log: log.last.index)


def skip_the_promise(patch: Patch) -> None:
    """A candidate takes what members say of themselves for their promise."""

    async def ask(cluster: Any, asked: Any, epoch: Any, *, force: bool) -> Any:
        return [status for _, status in asked]

    patch.setattr(reign, "_ask_promises", ask)


def two_entries_for_one_command(patch: Patch) -> None:
    """Its first effect, and the others once that is safe."""
    commit = Broker.commit

    def halve(broker: Broker, entry: Entry, on_confirmed: Callable[[Entry], None] | None = None) -> None:
        if len(entry.effects) < 2:
            commit(broker, entry, on_confirmed)
            return
        rest = Entry(entry.effects[1:], entry.mark, entry.command_id, decisive=entry.decisive)
        commit(broker, Entry(entry.effects[:1]), lambda _: commit(broker, rest, on_confirmed))

    patch.setattr(Broker, "commit", halve)


def a_foreign_tail_is_given_the_rest_of_the_log(patch: Patch) -> None:
    """By index, whatever its epoch; and the joiner makes the best of what does not fit what it holds."""

    def suffix(log: Log, position: Position) -> list[Any] | None:
        kept = log._retained
        if not kept or not kept[0][0] <= position.index <= log.last.index:
            return None
        return [entry for entry in kept if entry[0] > position.index]

    follow = Log.follow

    def loose(log: Log, index: int, epoch: Epoch, data: bytes) -> None:
        try:
            follow(log, index, epoch, data)
        except ReplicationError:
            log.whole, log.last = True, Position(epoch, index)

    patch.setattr(Log, "suffix", suffix)
    patch.setattr(Log, "follow", loose)


def session_records_are_left_out_of_the_difference(patch: Patch) -> None:
    patch.setattr(Joining, "_sessions", lambda joining, records: None)


def an_accept_is_replayed(patch: Patch) -> None:
    """Once its receivers are linked again, a client repeats what it accepted of the lost broker's deliveries."""

    def tell(session: SessionCore, deliveries: Any) -> None:
        if session.state is not SessionState.ATTACHED:
            return
        for delivery in deliveries:
            command = settlement([delivery])
            command.sync = delivery.told = True
            session.wire.send(command, token=Settled(session, [delivery]), replay=not session.transactional)
        if session.transactional:
            session._transacted += deliveries

    reconcile = SessionCore._reconcile

    def and_replay(session: SessionCore) -> None:
        reconcile(session)
        linked = all(receiver.state is LinkState.LINKED for receiver in session.receivers)
        if session.state is SessionState.ATTACHED and linked and not session.recovering:
            session.wire.replay()

    patch.setattr(SessionCore, "tell", tell)
    patch.setattr(SessionCore, "_reconcile", and_replay)


BROKEN: dict[Callable[[Patch], None], int] = {
    complete_before_the_backups_confirm: 1,
    skip_the_promise: 6,
    two_entries_for_one_command: 1,
    a_foreign_tail_is_given_the_rest_of_the_log: 17,
    session_records_are_left_out_of_the_difference: 1,
    an_accept_is_replayed: 12,
}
"""With a seed that shows it, where the search had better begin: in which worlds it shows changes with the code."""

ENOUGH = 100
"""Seeds within which it has to show."""


def first_seen(rule: Callable[[Patch], None], begin: int = 1) -> Verdict | None:
    """The first world in which a broken rule shows, of the worlds from `begin` on and then those before; None: none."""
    with Patch.context() as patch:
        rule(patch)
        for seed in (*range(begin, ENOUGH + 1), *range(1, begin)):
            verdict = judge(seed)
            if verdict.violations:
                return verdict
    return None
