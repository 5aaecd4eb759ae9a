"""qpidd as a process: how it starts, what it says, how it ends."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from qpid_messaging.amqp import commands as c
from qpid_messaging.amqp.framing import PROTOCOL_HEADER, Decoder

ROOT = Path(__file__).resolve().parents[2]
ENVIRONMENT = {
    **{name: value for name, value in os.environ.items() if not name.startswith("QPID_")},
    "PYTHONPATH": os.pathsep.join((str(ROOT), str(ROOT / "address"))),
}


@contextmanager
def qpidd(*arguments: str, **environment: str) -> Iterator[subprocess.Popen[str]]:
    with subprocess.Popen(
        [sys.executable, "-m", "qpid_server", *arguments],
        env={**ENVIRONMENT, **environment},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        try:
            yield process
        finally:
            if process.poll() is None:
                process.kill()


def port_of(process: subprocess.Popen[str]) -> int:
    assert process.stdout is not None
    return int(process.stdout.readline())


@pytest.mark.parametrize("sent", [signal.SIGTERM, signal.SIGINT])
def test_start_and_orderly_end(sent: signal.Signals) -> None:
    started = time.monotonic()
    with qpidd("--port", "0", "--auth", "no", "--no-data-dir") as process:
        port = port_of(process)
        assert time.monotonic() - started < 3, "the figure is half a second, on a quiet machine"
        with socket.create_connection(("127.0.0.1", port), 5) as sock:
            sock.sendall(PROTOCOL_HEADER)
            data = sock.recv(65536)
            assert data.startswith(PROTOCOL_HEADER)
            process.send_signal(sent)
            data += sock.recv(65536)
            units = Decoder().feed(data[8:])
            assert isinstance(units[0][1], c.ConnectionStart)
            assert isinstance(units[1][1], c.ConnectionClose)
            assert units[1][1].reply_code == 320
        _, log = process.communicate(timeout=10)
        assert process.returncode == 0
        assert "Traceback" not in log
        assert f"listening on port {port}" in log


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--nonsense"], "--nonsense"),
        (["--port", "x"], "port"),
        (["--auth", "maybe"], "maybe"),
        (["--config", "/does/not/exist"], "/does/not/exist"),
        (["--log-enable", "shouting"], "shouting"),
        (["--interface", "256.1.1.1", "--auth", "no"], "256.1.1.1"),
    ],
)
def test_wrong_options_end_with_a_message(arguments: list[str], says: str) -> None:
    with qpidd("--no-data-dir", "--port", "0", *arguments) as process:
        out, error = process.communicate(timeout=10)
    assert process.returncode in (1, 2)
    assert says in error
    assert "Traceback" not in error
    assert out == ""


def test_a_port_in_use() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with qpidd("--no-data-dir", "--auth", "no", "--port", str(port)) as process:
            _, error = process.communicate(timeout=10)
    assert process.returncode == 1
    assert str(port) in error
    assert "Traceback" not in error


def test_help_names_every_option() -> None:
    with qpidd("--help") as process:
        out, _ = process.communicate(timeout=10)
    assert process.returncode == 0
    for name in ("--port", "--auth", "--users-file", "--max-negotiate-time", "--ha-cluster", "--ha-min-replicas"):
        assert name in out


def test_environment_and_users() -> None:
    with qpidd("--no-data-dir", "--interface", "127.0.0.1", QPID_PORT="0", QPID_LOAD_MODULE="x.so") as process:
        port_of(process)
        process.terminate()
        _, log = process.communicate(timeout=10)
    assert "there are no users" in log
    assert "qpid-passwd" in log, "it says how to add one"
    assert "load-module" in log


def test_authentication_off_warns_where_others_can_reach_it() -> None:
    with qpidd("--no-data-dir", "--auth", "no", "--interface", "127.0.0.1", "--port", "0") as process:
        port_of(process)
        process.terminate()
        _, log = process.communicate(timeout=10)
    assert "authentication is off" in log
