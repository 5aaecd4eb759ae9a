"""The conformance suite that comes with the original client, against our broker: `make conformance`.

Each test that does not pass is named, with the end of what the suite says about it. Exits 0 if all passed, 1 otherwise.
"""

from __future__ import annotations

import argparse
import sys

from interop.peers import PeerAbsent, QpidPython, qpid_python
from interop.suites import BROKERS, Suite, report, run_on_brokers

BROKER_SUITE = "qpid_tests.broker_0_10"


def broker_suite(peer: QpidPython, module: str = BROKER_SUITE) -> Suite:
    """The suite for brokers, with the original client."""
    python, *program = peer.tool("qpid-python-test")
    # Unbuffered, so that the name of a test is seen before the test hangs.
    return Suite(module, [python, "-u", *program], peer.environment)


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m interop.conformance", description=__doc__)
    parser.add_argument("patterns", nargs="*", metavar="PATTERN", help="tests to run, with * (default: all)")
    parser.add_argument("--module", default=BROKER_SUITE, help="the suite (default: %(default)s)")
    parser.add_argument(
        "--lines", type=int, default=1, help="lines of text for a test that does not pass (%(default)s)"
    )
    parser.add_argument("--brokers", type=int, default=BROKERS, help="brokers at a time (default: %(default)s)")
    options = parser.parse_args()
    try:
        suite = broker_suite(qpid_python(), options.module)
    except PeerAbsent as absent:
        print(f"peer absent: {absent}", file=sys.stderr)
        return 1
    names = suite.tests(options.patterns or [""])
    return 0 if report(run_on_brokers(suite, names, options.brokers), options.lines)["pass"] == len(names) else 1


if __name__ == "__main__":
    sys.exit(main())
