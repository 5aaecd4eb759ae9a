"""A world from its seed, exactly as any other time.

trio shuffles the tasks that can go on in the same moment, with a random source of its own; that is pinned here, with
the two others that the code draws from, as are the few orders that would be by address in memory. The shuffling is
welcome: it finds orders of events that nobody thought of.
"""

from __future__ import annotations

import gc
import os
import random
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import trio
from trio._core import _run

from tests.simulation.clock import Clock
from tests.simulation.world import World


def live(seed: int) -> World:
    """Live the life of a seed."""
    folder = Path(tempfile.mkdtemp(prefix="simulation-", dir=_memory()))
    try:
        with _pinned(seed):
            clock = Clock()
            world = World(seed, folder, clock)
            # The collector would take a quarter of the time, for what a world leaves behind in the end.
            gc.disable()
            trio.run(world.live, clock=clock)
        return world
    finally:
        gc.enable()
        shutil.rmtree(folder)


class Verdict(NamedTuple):
    """What is worth telling of a life that is over.

    Attributes:
        seed: whose.
        violations: what was not as promised.
        counts: what happened how often.
    """

    seed: int
    violations: list[str]
    counts: dict[str, int]


def judge(seed: int) -> Verdict:
    """Live the life of a seed, and give the verdict only."""
    world = live(seed)
    counts = {"promotions": world.manager.promotions}
    if world.findings is not None:
        counts |= {what: count for what, count in world.findings._asdict().items() if what != "violations"}
    return Verdict(seed, world.violations, counts | world.misfortunes.counts)


def _memory() -> str | None:
    """Where files cost no disk, if there is such a place: members sync what they promise."""
    return "/dev/shm" if os.access("/dev/shm", os.W_OK) else None


@contextmanager
def _pinned(seed: int) -> Iterator[None]:
    source = random.Random(seed)
    urandom, state = os.urandom, random.getstate()
    deterministic = _run._ALLOW_DETERMINISTIC_SCHEDULING
    try:
        _run._ALLOW_DETERMINISTIC_SCHEDULING = True  # type: ignore[misc]
        _run._r.seed(source.random())
        random.seed(source.random())
        os.urandom = source.randbytes  # type: ignore[assignment]
        yield
    finally:
        os.urandom = urandom
        random.setstate(state)
        _run._ALLOW_DETERMINISTIC_SCHEDULING = deterministic  # type: ignore[misc]
