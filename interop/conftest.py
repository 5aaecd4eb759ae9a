"""Fixtures: peers, and our broker as a process."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TypeVar

import pytest

from interop import peers
from interop.broker_process import BrokerProcess, running_broker
from interop.clients import Client

T = TypeVar("T")


def require(find: Callable[[], T]) -> T:
    """The peer; where it is absent the test is skipped, and fails in CI: a peer that nobody met proves nothing."""
    try:
        return find()
    except peers.PeerAbsent as absent:
        if os.environ.get("CI"):
            pytest.fail(f"peer absent: {absent}", pytrace=False)
        pytest.skip(f"peer absent: {absent}")


@pytest.fixture(scope="session")
def qpid_python() -> peers.QpidPython:
    """The original client on Python 2.7."""
    return require(peers.qpid_python)


@pytest.fixture(scope="session")
def celery() -> peers.Celery:
    """Celery and Kombu."""
    return require(peers.celery)


@pytest.fixture(scope="session")
def tshark() -> Path:
    """tshark's path."""
    return require(peers.tshark)


@pytest.fixture
def broker() -> Iterator[BrokerProcess]:
    """A fresh broker, stand-alone, without authentication; it must survive the test and end in order."""
    with running_broker() as process:
        yield process


@pytest.fixture(params=["original", "ours"])
def client(request: pytest.FixtureRequest) -> Client:
    """Each client library in turn."""
    return Client.ours() if request.param == "ours" else Client.original(request.getfixturevalue("qpid_python"))
