"""What `tests/unit/client/test_parity.py` takes for the public names of `qpid.messaging` are those that it has."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

from interop.broker_process import ROOT
from interop.peers import QpidPython

PROGRAM = Path(__file__).parent / "programs" / "public_names.py"
NAMES = ROOT / "tests" / "data" / "public-names.json"


def test_the_names_are_those_of_the_original(qpid_python: QpidPython) -> None:
    command = [str(qpid_python.python), str(PROGRAM)]
    done = subprocess.run(command, env=qpid_python.environment, capture_output=True, text=True, check=True, timeout=60)
    assert json.loads(done.stdout) == json.loads(NAMES.read_text("utf-8"))
