"""Clients of a cluster that is killed, stopped, parted and promoted at random keep what they were promised.

No acknowledged send is lost, nothing is stored twice, no message comes back after its acknowledgement was completed.
And this test sees it when a rule is broken: each of those that are taken away below costs a message in some world.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from qpid_server.ha import cluster as cluster_module
from qpid_server.ha.difference import Joining
from qpid_server.ha.epoch import Promises
from qpid_server.ha.follower import Follower
from qpid_server.ha.log import Log
from qpid_server.ha.promotion import Candidacy
from qpid_server.journal import Entry
from tests.unit.ha.world import Lost, live

SEEDS = 120
"""Worlds that each run of the tests lives through."""
ENOUGH = 150
"""Worlds within which a broken rule has to show."""


def live_through(seeds: range) -> None:
    for seed in seeds:
        live(seed)


@pytest.mark.parametrize("part", range(6))
def test_clients_keep_what_they_were_promised(part: int) -> None:
    live_through(range(part * SEEDS // 6, (part + 1) * SEEDS // 6))


def test_the_worlds_are_eventful() -> None:
    worlds = [live(seed) for seed in range(12)]
    told = "\n".join(line for world in worlds for line in world.log)
    for event in ("kill", "restart", "stop", "reigns under", "not promoted"):
        assert told.count(event) > 5, event
    assert sum(len(world.consumer.accepted) for world in worlds) > 300


def test_a_world_is_its_seed() -> None:
    one, again = live(7), live(7)
    assert one.log == again.log
    assert one.consumer.seen == again.consumer.seen


# -- a test of the test ------------------------------------------------------------------------------------------------


def confirm_before_followers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Log, "_safe", lambda log: log.last.index)


def too_few_replicas(monkeypatch: pytest.MonkeyPatch) -> None:
    def safe(log: Log) -> int:
        held = [follower.confirmed for follower in log.followers.values() if follower.in_sync]
        return min(held, default=log.last.index)

    monkeypatch.setattr(Log, "_safe", safe)


def promises_are_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    """It promises, and goes on confirming what the old primary sends."""

    def promise(promises: Promises, epoch: Any) -> bool:
        return True

    monkeypatch.setattr(Promises, "promise", promise)
    monkeypatch.setattr(cluster_module.Cluster, "promise_given", lambda cluster: None)


def promises_are_not_needed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tests.unit.ha.world.check_promises", lambda *arguments, **settings: True)


def the_difference_leaves_out_session_records(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Joining, "_sessions", lambda joining, records: None)


def a_foreign_tail_is_given_the_rest_of_the_log(monkeypatch: pytest.MonkeyPatch) -> None:
    def suffix(log: Log, position: Any) -> Any:
        if not log._retained or position.index < log._retained[0][0]:
            return None
        return [entry for entry in log._retained if entry[0] > position.index]

    monkeypatch.setattr(Log, "suffix", suffix)
    follow = Log.follow

    def loose(log: Log, index: int, epoch: Any, data: bytes) -> None:
        if index > log.last.index:
            follow(log, index, epoch, data)

    monkeypatch.setattr(Log, "follow", loose)


def in_sync_before_it_has_caught_up(monkeypatch: pytest.MonkeyPatch) -> None:
    """A backup counts as one that holds what it was merely sent."""
    confirm = Log.confirm_follower

    def early(log: Log, follower: Follower, index: int) -> None:
        confirm(log, follower, log.last.index)

    monkeypatch.setattr(Log, "confirm_follower", early)


def who_is_behind_is_promoted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tests.unit.ha.world.check_candidate", lambda *arguments, **settings: None)
    answer = cluster_module.Cluster.answer_promise

    def willing(cluster: cluster_module.Cluster, candidacy: Candidacy) -> str | None:
        return answer(cluster, candidacy._replace(position=cluster.member_status().position))

    monkeypatch.setattr(cluster_module.Cluster, "answer_promise", willing)


def completion_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """The command completes, and only its message waits."""
    append = Log._append

    def eager(log: Log, data: bytes, entry: Entry, callback: Callable[[Entry], None] | None, *settings: Any) -> None:
        append(log, data, entry, None, *settings)
        if callback is not None:
            callback(entry)

    monkeypatch.setattr(Log, "_append", eager)


BROKEN = [
    confirm_before_followers,
    too_few_replicas,
    promises_are_forgotten,
    promises_are_not_needed,
    the_difference_leaves_out_session_records,
    a_foreign_tail_is_given_the_rest_of_the_log,
    in_sync_before_it_has_caught_up,
    who_is_behind_is_promoted,
    completion_at_once,
]


@pytest.mark.parametrize("rule", BROKEN, ids=lambda rule: rule.__name__)
def test_a_broken_rule_is_seen(rule: Callable[[pytest.MonkeyPatch], None], monkeypatch: pytest.MonkeyPatch) -> None:
    rule(monkeypatch)
    with pytest.raises(Lost):
        live_through(range(ENOUGH))
