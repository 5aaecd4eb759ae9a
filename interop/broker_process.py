"""Our broker as a process of its own, as peers meet it."""

from __future__ import annotations

import os
import select
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
START_TIMEOUT = 60.0  # seconds; a loaded machine, not a slow broker
STOP_TIMEOUT = 10.0


class BrokerProcess:
    """A running broker on a port of its own choice, loopback only.

    Attributes:
        process: The process.
        port: Where it listens.
        url: `127.0.0.1:port`, in a form that every peer reads.
    """

    def __init__(self, process: subprocess.Popen[str], log: Path) -> None:
        self.process = process
        self._log = log
        self.port = self._read_port()
        self.url = f"127.0.0.1:{self.port}"

    def _read_port(self) -> int:
        out = self.process.stdout
        assert out is not None
        ready, _, _ = select.select([out], [], [], START_TIMEOUT)
        line = out.readline().strip() if ready else ""
        if not line.isdigit():
            self.process.kill()
            self.process.wait()
            raise RuntimeError(f"the broker said {line!r} in place of its port:\n{self.log}")
        return int(line)

    @property
    def log(self) -> str:
        """What it wrote to standard error so far."""
        return self._log.read_text("utf-8", "replace")

    def stop(self) -> int:
        """Sends SIGTERM and returns the exit code; a broker that does not end in time is killed."""
        self.process.terminate()
        try:
            return self.process.wait(STOP_TIMEOUT)
        except subprocess.TimeoutExpired:
            self.process.kill()
            return self.process.wait()
        finally:
            assert self.process.stdout is not None
            self.process.stdout.close()


@contextmanager
def running_broker(*options: str) -> Iterator[BrokerProcess]:
    """A broker for the block: started with `options`, and after it required to be alive, to end in order and to have
    logged no traceback."""
    with tempfile.TemporaryDirectory() as folder:
        log = Path(folder) / "log"
        fresh = ["--port", "0", "--auth", "no", "--data-dir", str(Path(folder) / "data")]
        command = [sys.executable, "-m", "qpid_server", *fresh, *options]
        environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT), str(ROOT / "address")])}
        with log.open("wb") as stderr:
            process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=stderr,
                text=True,
                cwd=folder,
                env=environment,
            )
        broker = BrokerProcess(process, log)
        try:
            yield broker
            assert process.poll() is None, f"the broker died:\n{broker.log}"
        finally:
            code = broker.stop()
        assert code == 0, f"the broker ended with {code}:\n{broker.log}"
        assert "Traceback" not in broker.log, broker.log
