"""Worlds by their seeds: many of them, one to be looked at, or those in which a rule is broken.

python -m tests.simulation --seeds 1-1000
python -m tests.simulation --seed 17 --trace
python -m tests.simulation --broken
"""

from __future__ import annotations

import argparse
import multiprocessing
import sys
import time
from collections import Counter

from tests.simulation.broken_rules import BROKEN, ENOUGH, first_seen
from tests.simulation.replay import Verdict, judge, live


def main() -> int:
    """Returns 1 where a promise was broken, or a broken rule was not seen."""
    parser = argparse.ArgumentParser(
        prog="python -m tests.simulation", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    what = parser.add_mutually_exclusive_group(required=True)
    what.add_argument("--seed", type=int, metavar="N", help="one world")
    what.add_argument("--seeds", type=_seeds, metavar="A-B", help="many worlds")
    what.add_argument("--broken", action="store_true", help="break each rule, and tell the first world that shows it")
    parser.add_argument("--trace", action="store_true", help="with --seed: tell all that happens")
    parser.add_argument("--processes", type=int, default=2, help="worlds at a time (%(default)s)")
    arguments = parser.parse_args()
    if arguments.seed is not None:
        return _one(arguments.seed, trace=arguments.trace)
    began = time.monotonic()
    with multiprocessing.Pool(arguments.processes) as pool:
        good = _broken(pool) if arguments.broken else _many(arguments.seeds, pool)
    print(f"{time.monotonic() - began:.0f} s")
    return not good


def _seeds(text: str) -> range:
    first, _, last = text.partition("-")
    return range(int(first), int(last or first) + 1)


def _one(seed: int, *, trace: bool) -> int:
    world = live(seed)
    print(*(world.log if trace else world.violations), sep="\n")
    print(world.findings._replace(violations=[]) if world.findings is not None else "it never came to an end")
    return bool(world.violations)


def _many(seeds: range, pool: multiprocessing.pool.Pool) -> bool:
    total: Counter[str] = Counter()
    bad: list[Verdict] = []
    for verdict in pool.imap_unordered(judge, seeds):
        total.update(verdict.counts)
        if verdict.violations:
            bad.append(verdict)
            print(f"seed {verdict.seed}:", *verdict.violations, sep="\n    ", flush=True)
    print(", ".join(f"{count} {what}" for what, count in total.items()))
    print(f"{len(seeds)} worlds,", f"{len(bad)} broke a promise" if bad else "nothing lost, nothing doubled")
    return not bad


def _broken(pool: multiprocessing.pool.Pool) -> bool:
    good = True
    for rule, verdict in zip(BROKEN, pool.imap(first_seen, BROKEN), strict=True):
        if verdict is None:
            good = False
            print(f"{rule.__name__}: not seen in {ENOUGH} worlds", flush=True)
        else:
            print(f"{rule.__name__}: seed {verdict.seed}, {verdict.violations[0][:200]}", flush=True)
    return good


if __name__ == "__main__":
    sys.exit(main())
