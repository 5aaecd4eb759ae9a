"""The conformance suite that comes with the original client, against our broker: `make conformance`.

Each test that does not pass is named, with the end of what the suite says about it. Exits 0 if all passed, 1 otherwise.
"""

from __future__ import annotations

import argparse
import os
import re
import select
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from fnmatch import fnmatchcase
from itertools import groupby

from interop.broker_process import running_broker
from interop.peers import PeerAbsent, QpidPython, qpid_python

BROKER_SUITE = "qpid_tests.broker_0_10"
HANG = 15.0  # seconds without a word from the suite
OUTCOME = re.compile(r"^(\S+) \.* ?(pass|fail|skip)$")


@dataclass(frozen=True)
class Result:
    """How one test of the suite ended.

    Attributes:
        name: The test's dotted name.
        outcome: `pass`, `fail`, `skip` or `hang`.
        text: What the suite printed about it.
    """

    name: str
    outcome: str
    text: str = ""


def tests(peer: QpidPython, module: str) -> list[str]:
    """The names of the tests in a suite."""
    command = [*peer.tool("qpid-python-test"), "-m", module, "-l"]
    done = subprocess.run(command, env=peer.environment, capture_output=True, text=True, check=True, timeout=60)
    return [name for name in done.stdout.split() if name.startswith(module + ".")]


def run_suite(peer: QpidPython, url: str, module: str, names: list[str]) -> Iterator[Result]:
    """Runs the tests named against the broker at `url`, each test case (class) in a process of its own.

    The suite matches every test with every name that it is given, which takes minutes for all at once. A test that
    says nothing for `HANG` seconds is ended with its process; another process goes on after it.
    """
    for _, case in groupby(names, lambda name: name.rpartition(".")[0]):
        left = list(case)
        while left:
            before = len(left)
            for result in _run(peer, url, module, left):
                left.remove(result.name)
                yield result
            if len(left) == before:
                raise RuntimeError(f"the suite did not begin {left[0]}")


def _run(peer: QpidPython, url: str, module: str, names: list[str]) -> Iterator[Result]:
    """One process of the suite: its results, the last of them perhaps a hang."""
    suite, *options = peer.tool("qpid-python-test")
    # Unbuffered, so that the name of a test is seen before the test hangs.
    command = [suite, "-u", *options, "-m", module, "-b", url, *names]
    environment = {**peer.environment, "COLUMNS": "250"}  # a name in two lines would be no name
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


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m interop.conformance", description=__doc__)
    parser.add_argument("patterns", nargs="*", metavar="PATTERN", help="tests to run, with * (default: all)")
    parser.add_argument("--module", default=BROKER_SUITE, help="the suite (default: %(default)s)")
    parser.add_argument(
        "--lines", type=int, default=1, help="lines of text for a test that does not pass (%(default)s)"
    )
    options = parser.parse_args()
    try:
        peer = qpid_python()
    except PeerAbsent as absent:
        print(f"peer absent: {absent}", file=sys.stderr)
        return 1
    names = tests(peer, options.module)
    if options.patterns:
        names = [name for name in names if any(fnmatchcase(name, f"*{pattern}*") for pattern in options.patterns)]
    count: Counter[str] = Counter()
    with running_broker() as broker:
        for result in run_suite(peer, broker.url, options.module, names):
            count[result.outcome] += 1
            if result.outcome != "pass":
                print(f"{result.outcome}: {result.name}")
                for line in result.text.splitlines()[-options.lines :]:
                    print(f"      {line.strip()}", flush=True)
    print(f"{count['pass']} passed, {count['fail'] + count['hang']} failed, {count['skip']} skipped")
    return 0 if count["pass"] == len(names) else 1


if __name__ == "__main__":
    sys.exit(main())
