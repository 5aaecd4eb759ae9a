"""The simulation: some worlds, that they are what they claim to be, and that it sees when a rule is broken.

`make simulation` lives a thousand worlds, and breaks the rules from the first seed on.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.simulation.broken_rules import BROKEN, Patch, first_seen
from tests.simulation.replay import judge, live

SEEDS = range(1, 9)
ROOT = Path(__file__).parents[2]


@pytest.mark.timeout(300)
def test_clients_keep_what_they_were_promised_and_much_happens_meanwhile() -> None:
    verdicts = [judge(seed) for seed in SEEDS]
    assert {verdict.seed: verdict.violations for verdict in verdicts} == {seed: [] for seed in SEEDS}
    total: Counter[str] = Counter()
    for verdict in verdicts:
        total.update(verdict.counts)
    for happening in ("kill", "stop", "cut_two", "isolate", "slow_down", "lose_connections", "promote_somebody"):
        assert total[happening], happening
    assert total["promotions"] > 2 * len(SEEDS)
    assert total["confirmed"] > 50 * len(SEEDS)
    assert total["acknowledged"] > 50 * len(SEEDS)
    assert total["committed"] > 10 * len(SEEDS)
    assert total["aborted"] > len(SEEDS)


@pytest.mark.timeout(300)
def test_a_world_is_its_seed() -> None:
    """Also in a process in which hashes, and so the order of sets, are others."""
    command = [sys.executable, "-m", "tests.simulation", "--seed", "7", "--trace"]
    environment = {**os.environ, "PYTHONPATH": f"{ROOT}:{ROOT / 'address'}", "PYTHONHASHSEED": "1"}
    again = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, check=True, text=True).stdout
    assert again.splitlines()[:-1] == live(7).log


@pytest.mark.timeout(600)
@pytest.mark.parametrize(("rule", "begin"), BROKEN.items(), ids=lambda rule: getattr(rule, "__name__", ""))
def test_a_broken_rule_is_seen(rule: Callable[[Patch], None], begin: int) -> None:
    verdict = first_seen(rule, begin)
    assert verdict is not None
    assert judge(verdict.seed).violations == [], "it is the broken rule that shows"
