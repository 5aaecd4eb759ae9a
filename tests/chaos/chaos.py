"""Chaos: a cluster of processes under misfortune, clients that use it meanwhile, and what they were promised.

    python -m tests.chaos.chaos [--seconds S] [--seed N] [--min-replicas 0|1]

Ends with status 1 where a promise was broken; then it tells the seed, the story of each violation, and where the logs
of the brokers are. The seed decides what is done and in which order, but not what the processes make of it: a run
cannot be repeated exactly.
"""

from __future__ import annotations

import argparse
import random
import shutil
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

from tests.chaos.clients import CONSUMERS, PRODUCERS, SOLE, Beginning, Client, Ending, History, SyncProducer
from tests.chaos.members import Members
from tests.chaos.misfortune import Misfortune, Stuck
from tests.chaos.story import end_of, story, whole
from tests.simulation.checker import Findings, check

_END = 60.0
"""Seconds that a client has to come to an end."""
_TOLD = 5
"""Violations that are told with their stories."""


class Report(NamedTuple):
    """What came of it.

    Attributes:
        seed, min_replicas: how to do the like again.
        findings: what the checker makes of what the clients saw.
        troubles: what is not as it should be, with what led to it.
        storms, fail_overs: how much happened.
        seconds: how long it took.
        longest_wait: seconds between two completed sends of the producer that waits for each.
    """

    seed: int
    min_replicas: int
    findings: Findings
    troubles: list[str]
    storms: int
    fail_overs: int
    seconds: float
    longest_wait: float

    def __str__(self) -> str:
        found = self.findings
        happened = (
            f"seed {self.seed}, ha-min-replicas={self.min_replicas}: {len(self.troubles)} violations in"
            f" {self.seconds:.0f} s, {self.storms} storms, {self.fail_overs} fail-overs"
        )
        seen = (
            f"{found.sent} messages sent, {found.confirmed} confirmed, {found.received} received ({found.stale} stale),"
            f" {found.acknowledged} acknowledged; transactions: {found.committed} committed, {found.aborted} aborted,"
            f" {found.unknown} unknown; longest wait for a send: {self.longest_wait:.1f} s"
        )
        return "\n".join([happened, seen, *self.troubles])


def run(seed: int, seconds: float, folder: Path, *, min_replicas: int = 1) -> Report:
    """Let storms and calms take turns, and check. What happened is in `history.txt` in the folder then.

    Args:
        seed: of all dice.
        seconds: how long.
        folder: where the brokers keep their data and logs.
        min_replicas: `ha-min-replicas`; with 0 the manager is the careful one.
    """
    began = time.monotonic()
    history = History()
    troubles: list[str] = []
    with Members(folder, ("--ha-min-replicas", str(min_replicas))) as members:
        urls = members.network.client_urls
        clients = [role(role.__name__, history, urls, seed) for role in (*PRODUCERS, *CONSUMERS)]
        misfortune = Misfortune(members, clients, seed, careful=min_replicas == 0)
        drained = False
        try:
            members.promote(0)
            with _playing(Beginning("Beginning", history, urls, seed)):
                pass
            with _playing(*clients):
                misfortune.calm()
                until = time.monotonic() + seconds
                while time.monotonic() < until:
                    misfortune.storm()
                    misfortune.calm()
            archives = members.archives("archive")
            if archives != 3 * archives[:1]:
                troubles.append(f"the members hold different messages: {[len(archive) for archive in archives]}")
            with _playing(Ending("Ending", history, urls, seed)):
                pass
            drained = True
        except Stuck as stuck:
            troubles.append(f"{stuck}\n{end_of(members.trace, began=began)}")
        troubles += [f"{broker.name} failed: see its log" for broker in members.brokers if "Traceback" in broker.log]
        fail_overs = members.fail_overs
    findings = check((event for _, event in history.events), sole=SOLE, drained=drained)
    for number, violation in enumerate(map(str, findings.violations)):
        if number < _TOLD:
            violation = story(violation, history.events, members.trace, began=began)
        troubles.append(violation)
    (folder / "history.txt").write_text(whole(history.events, members.trace, began=began))
    moments = history.confirmed(SyncProducer.__name__)
    return Report(
        seed=seed,
        min_replicas=min_replicas,
        findings=findings,
        troubles=troubles,
        storms=misfortune.storms,
        fail_overs=fail_overs,
        seconds=time.monotonic() - began,
        longest_wait=max((later - moment for moment, later in pairwise(moments)), default=0.0),
    )


@contextmanager
def _playing(*clients: Client) -> Iterator[None]:
    """Clients that do what they do meanwhile, and then come to an end: first those who send.

    Raises:
        Stuck: they do not, or gave up.
    """
    for client in clients:
        client.start()
    try:
        yield
        for client in clients:
            client.enough.set()
            client.join(_END)
            if client.is_alive():
                raise Stuck(f"{client.name} does not come to an end")
        failures = [f"{client.name} failed:\n{client.failure}" for client in clients if client.failure]
        if failures:
            raise Stuck("\n".join(failures))
    finally:
        for client in clients:
            client.abandon()


def main(arguments: Sequence[str] | None = None) -> int:
    """The command. Returns its exit status."""
    parser = argparse.ArgumentParser(description="Let a cluster of three brokers live through misfortune, and check.")
    parser.add_argument("--seconds", type=float, default=600, help="how long [%(default)s]")
    parser.add_argument("--seed", type=int, default=random.randrange(1_000_000), help="of all dice [a random one]")
    parser.add_argument("--min-replicas", type=int, choices=(0, 1), default=1, help="ha-min-replicas [%(default)s]")
    parser.add_argument("--keep", action="store_true", help="keep logs and history also where all is well")
    options = parser.parse_args(arguments)
    folder = Path(tempfile.mkdtemp(prefix=f"chaos-{options.seed}-"))
    print(f"seed {options.seed}, logs in {folder}", flush=True)
    report = run(options.seed, options.seconds, folder, min_replicas=options.min_replicas)
    print(report, flush=True)
    if not report.troubles and not options.keep:
        shutil.rmtree(folder)
    return 1 if report.troubles else 0


if __name__ == "__main__":
    sys.exit(main())
