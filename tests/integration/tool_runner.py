"""A tool's command line, run in this process."""

from __future__ import annotations

import importlib
import sys
from typing import NamedTuple

import pytest


class Ended(NamedTuple):
    """What a tool left behind."""

    status: int
    out: str
    err: str


class ToolRunner:
    """Runs tools."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
        self._monkeypatch = monkeypatch
        self._capsys = capsys

    def run(self, name: str, *arguments: str) -> Ended:
        """Run a tool, by the name of its console script."""
        module = importlib.import_module(f"qpid_server.tools.{name.replace('-', '_')}")
        self._monkeypatch.setattr(sys, "argv", [name, *arguments])
        self._capsys.readouterr()
        with pytest.raises(SystemExit) as caught:
            module.main()
        status = caught.value.code
        assert isinstance(status, int)
        return Ended(status, *self._capsys.readouterr())
