"""The original client's suite for itself: every test of it, on Python 3, with our client and our broker."""

from __future__ import annotations

import pytest

from interop.client_suite import AT_ONCE, CLIENT_SUITE, EXCLUDED, client_suite, surprises
from interop.peers import QpidPython
from interop.suites import run_on_brokers

#: What the suite of qpid-python 1.36.0.post1 has: fewer would mean that some were not found.
TESTS = 182


@pytest.mark.timeout(600)
def test_all_pass_but_those_that_use_what_is_private(qpid_python: QpidPython) -> None:
    with client_suite(qpid_python) as suite:
        names = suite.tests()
        assert len(names) == TESTS
        results = list(run_on_brokers(suite, names, most=AT_ONCE))
    assert sorted(result.name for result in results) == sorted(names)
    assert {f"{CLIENT_SUITE}.{name}" for name in EXCLUDED} <= set(names)
    assert surprises(results) == []
