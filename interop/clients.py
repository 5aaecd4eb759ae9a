"""The client libraries that the scenarios are run with: the original, on Python 2.7, and ours."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from interop.broker_process import ROOT
from interop.peers import QpidPython

SCENARIOS = Path(__file__).parent / "scenarios"
PATIENCE = 30  # seconds for a scenario; it says itself, sooner, where it hangs


@dataclass(frozen=True)
class Client:
    """An interpreter and the `qpid.messaging`-like module that it imports."""

    python: Path
    module: str
    environment: dict[str, str]

    @classmethod
    def original(cls, peer: QpidPython) -> Client:
        return cls(peer.python, "qpid.messaging", peer.environment)

    @classmethod
    def ours(cls) -> Client:
        path = os.pathsep.join([str(ROOT), str(ROOT / "address")])
        return cls(Path(sys.executable), "qpid_messaging", {**os.environ, "PYTHONPATH": path})

    def run(self, scenarios: str, url: str, *functions: str) -> None:
        """Runs functions of a file in `scenarios/` against the broker at `url`.

        Raises:
            AssertionError: One of them failed; the text is what the client printed.
        """
        command = [str(self.python), str(SCENARIOS / "run.py"), self.module, scenarios, url, *functions]
        done = subprocess.run(
            command,
            env=self.environment,
            capture_output=True,
            text=True,
            timeout=PATIENCE * len(functions),
            check=False,
        )
        if done.returncode:
            raise AssertionError(f"{self.module} ended with {done.returncode}:\n{done.stdout}{done.stderr}")


def scenarios() -> Iterator[tuple[str, str]]:
    """(file, function) of each scenario, in the order of the files."""
    for path in sorted(SCENARIOS.glob("*.py")):
        for function in re.findall(r"^def (test_\w+)\(", path.read_text("utf-8"), re.MULTILINE):
            yield path.stem, function
