"""The original's test suites, run against our broker: each test's outcome, and no hang that ends the run."""

from __future__ import annotations

import os
import re
import select
import subprocess
from collections import Counter
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass
from fnmatch import fnmatchcase
from itertools import groupby
from math import ceil
from threading import Lock

from interop.broker_process import running_broker

BROKERS = 4
HANG = 30.0  # seconds without a word from the suite; some tests sleep for eight
OUTCOME = re.compile(r"^(\S+) \.* ?(pass|fail|skip)$")


@dataclass(frozen=True)
class Suite:
    """A test suite, as a program.

    Attributes:
        module: The package that its tests are found in.
        program: The command line of `qpid-python-test`, or of what takes the same options and prints the same lines.
        environment: What it runs in.
    """

    module: str
    program: list[str]
    environment: dict[str, str]

    def tests(self, patterns: Iterable[str] = ("",)) -> list[str]:
        """The names of its tests, of those that hold one of the patterns."""
        command = [*self.program, "-m", self.module, "-l"]
        done = subprocess.run(command, env=self.environment, capture_output=True, text=True, check=False, timeout=60)
        if done.returncode:
            raise RuntimeError(f"the suite does not list its tests:\n{done.stderr}")
        names = [name for name in done.stdout.split() if name.startswith(self.module + ".")]
        return [name for name in names if any(fnmatchcase(name, f"*{pattern}*") for pattern in patterns)]


@dataclass(frozen=True)
class Result:
    """How one test of a suite ended.

    Attributes:
        name: The test's dotted name.
        outcome: `pass`, `fail`, `skip` or `hang`.
        text: What the suite printed about it.
    """

    name: str
    outcome: str
    text: str = ""


def run_on_brokers(suite: Suite, names: list[str], number: int = BROKERS, most: int | None = None) -> Iterator[Result]:
    """Runs the tests named, spread over fresh brokers: most of their time is waiting.

    Args:
        suite: The suite.
        names: Its tests.
        number: How many brokers there are at a time.
        most: How many tests of one test case (class) one of them gets at once; all by default.
    """
    cases: dict[str, list[str]] = {}
    for name in names:
        cases.setdefault(name.rpartition(".")[0], []).append(name)
    waiting: list[list[str]] = []
    for case in cases.values():
        parts = ceil(len(case) / (most or len(case)))
        # Neighbours are alike: those that take their time are spread.
        waiting += [case[part::parts] for part in range(parts)]
    waiting.sort(key=len)
    lock = Lock()

    def work() -> list[Result]:
        results: list[Result] = []
        with running_broker() as broker:
            while True:
                with lock:
                    if not waiting:
                        return results
                    case = waiting.pop()
                results += run_suite(suite, broker.url, case)

    with ThreadPoolExecutor(number) as pool:
        for done in as_completed([pool.submit(work) for _ in range(number)]):
            yield from done.result()


def run_suite(suite: Suite, url: str, names: list[str]) -> Iterator[Result]:
    """Runs the tests named against the broker at `url`, each test case (class) in a process of its own.

    The suite matches every test with every name that it is given, which takes minutes for all at once. A test that
    says nothing for `HANG` seconds is ended with its process; another process goes on after it.
    """
    for _, case in groupby(names, lambda name: name.rpartition(".")[0]):
        left = list(case)
        while left:
            before = len(left)
            for result in _run(suite, url, left):
                left.remove(result.name)
                yield result
            if len(left) == before:
                raise RuntimeError(f"the suite did not begin {left[0]}")


def _run(suite: Suite, url: str, names: list[str]) -> Iterator[Result]:
    """One process of the suite: its results, the last of them perhaps a hang."""
    command = [*suite.program, "-m", suite.module, "-b", url, *names]
    environment = {**suite.environment, "COLUMNS": "250"}  # a name in two lines would be no name
    with subprocess.Popen(
        command, env=environment, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    ) as process:
        assert process.stdout is not None
        result: Result | None = None
        for line in _lines(process.stdout.fileno()):
            name = line.split(" ", 1)[0]
            found = OUTCOME.match(line)
            if name in names or line.startswith("Totals:"):
                # A test that prints is named twice: when it starts, and with its outcome.
                if result is not None and result.name != name:
                    yield result
                result = Result(name, found[2] if found else "hang") if name in names else None
            elif result is not None:
                result = Result(result.name, result.outcome, f"{result.text}{line}\n")
        process.kill()
        if result is not None:
            yield result


def _lines(descriptor: int) -> Iterator[str]:
    """Lines as they come, until the end or until nothing has come for too long; the last may be without its end."""
    pending = b""
    while select.select([descriptor], [], [], HANG)[0] and (data := os.read(descriptor, 65_536)):
        *lines, pending = (pending + data).split(b"\n")
        for line in lines:
            yield line.decode("utf-8", "replace").rstrip()
    if pending:
        yield pending.decode("utf-8", "replace").rstrip()


def report(results: Iterable[Result], lines: int) -> Counter[str]:
    """Prints each result that is no pass, with the last lines of its text, and the sums. Returns the sums."""
    count: Counter[str] = Counter()
    for result in results:
        count[result.outcome] += 1
        if result.outcome != "pass":
            print(f"{result.outcome}: {result.name}")
            for line in result.text.splitlines()[-lines:]:
                print(f"      {line.rstrip()}", flush=True)
    print(f"{count['pass']} passed, {count['fail'] + count['hang']} failed, {count['skip']} skipped")
    return count
