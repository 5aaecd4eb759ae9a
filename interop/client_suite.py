"""The original client's suite for itself, `qpid.tests.messaging`, on Python 3 against our client and our broker.

    python -m interop.client_suite [PATTERN...]

The suite is Python 2. Each run converts it into a temporary folder, with the converter that Python 2.7 carries itself:
`lib2to3` is gone from Python 3.13, Python 2.7 is there where the original client is, and it knows best what it reads.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from interop.broker_process import ROOT
from interop.peers import PeerAbsent, QpidPython, qpid_python
from interop.suites import BROKERS, Result, Suite, report, run_on_brokers

CLIENT_SUITE = "qpid.tests.messaging"
CONVERTER = "import sys; from lib2to3.main import main; sys.exit(main('lib2to3.fixes'))"
RUNNER = Path(__file__).parent / "programs" / "client_suite.py"

AT_ONCE = 10  # tests of a class; some sleep for eight seconds

#: Tests that cannot pass: the private attribute of the original client that each reaches into, and how it fails then.
EXCLUDED = {
    "endpoints.AddressTests.testDeleteSpecial": (
        "calls Connection._remove_session, after all that it tests",
        "'Connection' object has no attribute '_remove_session'",
    ),
    "endpoints.SetupTests.testOpenFailResourceLeaks": (
        "takes Connection._lock and calls Connection._wait, so that the original makes what it might leave open",
        "'Connection' object has no attribute '_lock'",
    ),
    "selector.SelectorTests.test_use_after_stop": (
        "stops qpid.selector.Selector.DEFAULT, the one I/O thread of the original; this client has one a connection",
        "'NoneType' object has no attribute 'stop'",
    ),
}

#: What the tests are made of, beside the client.
FILES = (
    "qpid/compat.py",
    "qpid/harness.py",
    "qpid/selector.py",
    "qpid/tests/__init__.py",
    "qpid/tests/parser.py",
    "qpid/tests/messaging/*.py",
)


@dataclass(frozen=True)
class Correction:
    """What a converter cannot know.

    Attributes:
        file: Where.
        old: The text there.
        new: What is put in its place.
        times: How often it stands there.
    """

    file: str
    old: str
    new: str
    times: int = 1


CORRECTIONS = (
    # Literals that are bytes in Python 2, and have to be: content without a content type, what a socket gives.
    Correction("qpid/tests/messaging/message.py", '"string"', 'b"string"', 4),
    Correction("qpid/tests/messaging/endpoints.py", 'return ""', 'return b""', 2),
    # A division of integers.
    Correction("qpid/tests/messaging/endpoints.py", "capacity/2", "capacity//2"),
    # Suites for other parts of the original, which would be imported with this one.
    Correction("qpid/tests/__init__.py", "\nimport qpid.tests.", "\n#", 11),
)


def convert(peer: QpidPython, folder: Path) -> None:
    """Puts the suite, converted to Python 3, into a folder.

    Raises:
        ValueError: It is not the suite that the corrections are for.
        CalledProcessError: The converter failed.
    """
    for pattern in FILES:
        for path in peer.folder.glob(pattern):
            copy = folder / path.relative_to(peer.folder)
            copy.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(path, copy)
    # The original's own imports its older API, which is not what is tested here.
    (folder / "qpid" / "__init__.py").touch()
    for correction in CORRECTIONS:
        path = folder / correction.file
        text = path.read_text("utf-8")
        if text.count(correction.old) != correction.times:
            raise ValueError(f"{path}: {correction.old!r} does not stand there {correction.times} times")
        path.write_text(text.replace(correction.old, correction.new), "utf-8")
    subprocess.run(
        [str(peer.python), "-c", CONVERTER, "--write", "--nobackups", "--no-diffs", str(folder)],
        env=peer.environment,
        capture_output=True,
        check=True,
        timeout=120,
    )


@contextmanager
def client_suite(peer: QpidPython) -> Iterator[Suite]:
    """The converted suite, for as long as the block lasts."""
    with tempfile.TemporaryDirectory() as folder:
        convert(peer, Path(folder))
        environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT), str(ROOT / "address")])}
        yield Suite(CLIENT_SUITE, [sys.executable, "-u", str(RUNNER), "--suite", folder], environment)


def surprises(results: Iterable[Result]) -> list[str]:
    """What is not as `EXCLUDED` says: tests that do not pass and are not listed, and listed ones that do not fail as
    they should."""
    found: list[str] = []
    for result in results:
        why, error = EXCLUDED.get(result.name.removeprefix(f"{CLIENT_SUITE}."), ("", ""))
        if not why and result.outcome != "pass":
            found.append(f"{result.outcome}: {result.name}\n{result.text}")
        elif why and (result.outcome != "fail" or error not in result.text):
            found.append(f"{result.outcome}, though it {why}: {result.name}\n{result.text}")
    return found


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m interop.client_suite", description=__doc__)
    parser.add_argument("patterns", nargs="*", metavar="PATTERN", help="tests to run, with * (default: all)")
    parser.add_argument(
        "--lines", type=int, default=1, help="lines of text for a test that does not pass (%(default)s)"
    )
    parser.add_argument("--brokers", type=int, default=BROKERS, help="brokers at a time (default: %(default)s)")
    options = parser.parse_args()
    try:
        peer = qpid_python()
    except PeerAbsent as absent:
        print(f"peer absent: {absent}", file=sys.stderr)
        return 1
    with client_suite(peer) as suite:
        results = list(run_on_brokers(suite, suite.tests(options.patterns or [""]), options.brokers, AT_ONCE))
    report(results, options.lines)
    return 1 if surprises(results) else 0


if __name__ == "__main__":
    sys.exit(main())
