"""qpidd in the background, and what init scripts and test harnesses ask of it."""

from __future__ import annotations

import os
import select
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from qpid_messaging import Connection, ConnectionError, MessagingError
from qpid_messaging.management import BrokerAgent

ROOT = Path(__file__).resolve().parents[2]


class Harness:
    """Runs `qpidd` with a folder of its own, and leaves no daemon behind."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.ports: list[int] = []
        self.environment = {
            **{name: value for name, value in os.environ.items() if not name.startswith("QPID_")},
            "PYTHONPATH": os.pathsep.join((str(ROOT), str(ROOT / "address"))),
            "QPID_PID_DIR": str(folder / "pids"),
            "QPID_LOG_TO_FILE": str(folder / "log"),
        }
        self.options = ("--auth", "no", "--no-data-dir", "--interface", "127.0.0.1")

    def __call__(self, *arguments: str, fds: tuple[int, ...] = ()) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "qpid_server", *self.options, *arguments],
            env=self.environment,
            cwd=self.folder,
            capture_output=True,
            text=True,
            timeout=30,
            check=False,
            pass_fds=fds,
        )

    def start(self, *arguments: str, fds: tuple[int, ...] = ()) -> int:
        done = self("--port", "0", "--daemon", *arguments, fds=fds)
        assert (done.returncode, done.stderr) == (0, "")
        self.ports.append(int(done.stdout))
        return self.ports[-1]

    def pid(self, port: int) -> int:
        return int((self.folder / "pids" / f"qpidd.{port}.pid").read_text())

    @property
    def log(self) -> str:
        return (self.folder / "log").read_text()


def ended(process: int, *, within: float) -> bool:
    """Whether the process of a file descriptor is gone; closes that."""
    readable, _, _ = select.select([process], [], [], within)
    os.close(process)
    return bool(readable)


@pytest.fixture
def qpidd(tmp_path: Path) -> Iterator[Harness]:
    harness = Harness(tmp_path)
    yield harness
    for port in harness.ports:
        harness("-k", "-p", str(port))


def test_start_check_quit(qpidd: Harness) -> None:
    port = qpidd.start()
    pid = qpidd.pid(port)
    checked = qpidd("--check", "--port", str(port))
    assert (checked.returncode, checked.stdout) == (0, f"{pid}\n")
    assert os.getsid(pid) == pid, "no signal of a terminal reaches it"
    with Connection.establish(f"127.0.0.1:{port}", timeout=5) as connection:
        assert BrokerAgent(connection).getBroker().port == port
    os.kill(pid, signal.SIGHUP)
    process = os.pidfd_open(pid)
    assert qpidd("-q", "-p", str(port)).returncode == 0
    assert not (qpidd.folder / "pids" / f"qpidd.{port}.pid").exists()
    assert ended(process, within=0)
    gone = qpidd("-c", "-p", str(port))
    assert (gone.returncode, gone.stdout, gone.stderr) == (1, "", "")
    assert qpidd("-q", "-p", str(port)).returncode == 1
    assert "SIGINT: shutting down" in qpidd.log
    assert "SIGHUP" not in qpidd.log
    assert "Traceback" not in qpidd.log


def test_a_killed_daemon_is_not_taken_for_another_process(qpidd: Harness) -> None:
    port = qpidd.start()
    assert qpidd("-k", "-p", str(port)).returncode == 0
    stale = qpidd.folder / "pids" / f"qpidd.{port}.pid"
    stale.write_text(f"{os.getpid()}\n")
    assert qpidd("-c", "-p", str(port)).returncode == 1
    assert qpidd("-k", "-p", str(port)).returncode == 1, "this test is still there to see it"
    assert qpidd("-d", "-p", str(port)).returncode == 0
    assert qpidd.pid(port) != os.getpid()


def test_what_goes_wrong_is_said_in_the_foreground(qpidd: Harness) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        done = qpidd("-d", "-p", str(taken.getsockname()[1]))
    assert (done.returncode, done.stdout) == (1, "")
    assert "did not start: cannot listen on port" in done.stderr
    assert "Traceback" not in done.stderr
    (qpidd.folder / "file").touch()
    done = qpidd("-d", "-p", "0", "--pid-dir", str(qpidd.folder / "file"))
    assert done.returncode == 1
    assert "pid-dir: " in done.stderr


def test_inherited_sockets(qpidd: Harness) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        fd = str(listener.fileno())
        assert qpidd.start("--socket-fd", fd, "--listen-disable", "tcp", fds=(listener.fileno(),)) == port
    with Connection.establish(f"127.0.0.1:{port}", timeout=5) as connection:
        connection.session().sender("q; {create: always}").send("over the inherited socket")
    assert f"listening on port {port}" in qpidd.log


def test_wrong_sockets(qpidd: Harness) -> None:
    with socket.socket() as idle:
        done = qpidd("--socket-fd", str(idle.fileno()), "-p", "0", fds=(idle.fileno(),))
        assert "is no TCP socket that listens" in done.stderr
    assert "socket-fd: 99: " in qpidd("--socket-fd", "99", "-p", "0").stderr
    assert "no transport left" in qpidd("--listen-disable", "tcp").stderr


def test_interfaces(qpidd: Harness) -> None:
    qpidd.options = ("--auth", "no", "--no-data-dir")
    port = qpidd.start("--interface", "lo", "--interface", "127.0.0.2")
    for host in ("127.0.0.1", "127.0.0.2"):
        with socket.create_connection((host, port), 5):
            pass
    assert "everybody who reaches lo 127.0.0.2 may come in" in qpidd.log


def test_shut_down_by_management(qpidd: Harness) -> None:
    port = qpidd.start()
    process = os.pidfd_open(qpidd.pid(port))
    connection = Connection.establish(f"127.0.0.1:{port}", timeout=5)
    agent = BrokerAgent(connection)
    agent.setLogLevel("debug+:Network,!trace+:HA")
    assert agent.getLogLevel() == {"level": "debug+:Network,!trace+:HA"}
    broker = agent.getBroker()
    assert broker is not None
    with suppress(ConnectionError):  # the end may come together with the answer, and is what counts then
        broker.call("shutdown", {})
    assert ended(process, within=20)
    with pytest.raises(MessagingError):
        connection.close()
    assert qpidd("-c", "-p", str(port)).returncode == 1
