"""Kombu's `qpid://` and Celery on top of it, where that has never run: worker, tasks, results, a broker's restart."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from interop.peers import Celery
from interop.running_program import RunningProgram
from qpid_messaging import compat
from tests.integration.cluster import BrokerProcess, ClusterOfProcesses, free_ports, wait_until

PROGRAMS = Path(__file__).parent / "programs"
NAMES_INSTALLED = [sys.executable, "-m", "qpid_messaging.compat"]


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[BrokerProcess]:
    """A broker that can be killed and started again."""
    [port] = free_ports(1)
    broker = BrokerProcess("broker", port, tmp_path, ())
    try:
        listening(broker, 1)
        yield broker
        assert "Traceback" not in broker.log, broker.log
    finally:
        broker.end()


def listening(broker: BrokerProcess, times: int) -> None:
    """Wait until the broker has begun to listen so many times."""
    wait_until(lambda: broker.log.count("listening on port") == times, lambda: broker.log)


def started(command: list[str], environment: dict[str, str]) -> RunningProgram:
    return RunningProgram(
        subprocess.Popen(
            command,
            env=environment,
            cwd=PROGRAMS,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
    )


@contextmanager
def application(celery: Celery, *brokers: str) -> Iterator[tuple[RunningProgram, RunningProgram]]:
    """A worker that is ready, and a program that asks it for five results for each line that it is given.

    One of them is run by `python -m qpid_messaging.compat`, the other has the old names in its environment.
    """
    variables = {"BROKERS": ",".join(brokers)}
    worker = ["-m", "celery", "-A", "celery_application", "worker", "-c", "2", "-l", "INFO", "--without-mingle"]
    with (
        started([*NAMES_INSTALLED, *worker], celery.environment() | variables) as working,
        started([sys.executable, "celery_application.py"], celery.environment(compat.PACKAGES) | variables) as asking,
    ):
        working.until(r" ready\.$")
        yield working, asking
        assert working.terminate() == 0, working.text
        assert "Traceback" not in working.text


def squares(asking: RunningProgram) -> list[int]:
    """The next five results."""
    asking.type("five")
    asking.until("results ")
    return list(map(int, re.findall(r"\d+", asking.until(r"\]\n"))))


def test_an_application_survives_the_restart_of_its_broker(celery: Celery, broker: BrokerProcess) -> None:
    with application(celery, broker.url) as (working, asking):
        assert squares(asking) == [0, 1, 4, 9, 16]
        broker.kill()
        working.until("Connection to broker lost")
        broker.start()
        listening(broker, 2)
        assert squares(asking) == [25, 36, 49, 64, 81]


def test_an_application_goes_with_its_cluster_to_the_next_primary(celery: Celery) -> None:
    with ClusterOfProcesses(options=["--ha-replicate", "all"]) as cluster:
        cluster.ready()
        with application(celery, *(member.url for member in cluster.members)) as (working, asking):
            assert squares(asking) == [0, 1, 4, 9, 16]
            cluster[0].kill()
            cluster.promote(1)
            assert squares(asking) == [25, 36, 49, 64, 81]
            assert "Connection to broker lost" not in working.text


def test_kombu_alone(celery: Celery, broker: BrokerProcess) -> None:
    program = [sys.executable, "kombu_messages.py", f"qpid://{broker.url}//"]
    with started(program, celery.environment(compat.PACKAGES)) as running:
        assert running.end() == 0, running.text


def test_a_user_who_is_not_let_in_is_no_reason_to_try_again(celery: Celery, tmp_path: Path) -> None:
    code = (
        "import kombu, sys\n"
        "from kombu.transport.qpid import AuthenticationFailure\n"
        "for user in '', 'ann:secret@':\n"
        "    try: kombu.Connection(f'qpid://{user}{sys.argv[1]}//').connect()\n"
        "    except AuthenticationFailure as failure: print(failure)\n"
    )
    [port] = free_ports(1)
    broker = BrokerProcess("broker", port, tmp_path, ["--auth", "yes"])
    try:
        listening(broker, 1)
        with started([sys.executable, "-c", code, broker.url], celery.environment(compat.PACKAGES)) as running:
            assert running.end() == 0, running.text
        assert [line.partition(": ")[0] for line in running.text.splitlines()] == [broker.url] * 2, running.text
    finally:
        broker.end()
