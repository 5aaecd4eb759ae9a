"""The conformance suite for brokers that comes with the original client: every test of it, against our broker."""

from __future__ import annotations

import pytest

from interop.conformance import broker_suite
from interop.peers import QpidPython
from interop.suites import run_on_brokers

#: What the suite of qpid-python 1.36.0.post1 has: fewer would mean that some were not found.
TESTS = 233


@pytest.mark.timeout(600)
def test_every_test_of_the_suite_passes(qpid_python: QpidPython) -> None:
    suite = broker_suite(qpid_python)
    names = suite.tests()
    assert len(names) == TESTS
    results = list(run_on_brokers(suite, names))
    assert [f"{result.outcome}: {result.name}\n{result.text}" for result in results if result.outcome != "pass"] == []
    assert sorted(result.name for result in results) == sorted(names)
