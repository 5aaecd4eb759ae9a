"""A tool that runs until it is told to end."""

from __future__ import annotations

from interop.running_program import RunningProgram
from interop.tools import Side


class RunningTool(RunningProgram):
    """A tool as a process.

    Args:
        side: which tools, and on which broker.
        command: the command line.
        at: the option that names the broker; without one it is the last argument.
    """

    def __init__(self, side: Side, command: str, *, at: str = "") -> None:
        super().__init__(side.start(command, at=at))
