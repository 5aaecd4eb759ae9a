"""How a tool runs: what is written when something is wrong, and its exit status."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from typing import NoReturn

from qpid_messaging.management import AgentError

__all__ = ["ToolError", "error_name", "error_text", "run_tool"]


class ToolError(Exception):
    """The user is told what is wrong; the exit status is 1. Shown as `Exception`, as the original tools' are."""


def error_name(error: Exception) -> str:
    """The class that the user reads of an exception; the original tools have none of their own."""
    return "Exception" if isinstance(error, (ToolError, AgentError)) else type(error).__name__


def error_text(error: Exception) -> str:
    """What the user reads of an exception."""
    if isinstance(error, AgentError):
        values = {"error_code": int(error.status), "error_text": error.text}
        return f"Exception from Agent: {values!r}"
    return str(error)


def run_tool(run: Callable[[list[str]], int], explain: Callable[[Exception], str], interrupted: int = 130) -> NoReturn:
    """Run a tool's command line, and end the process with its status.

    Args:
        run: does what the arguments (without the program's name) say, and returns the exit status.
        explain: what is printed of an exception; the status is 1 then.
        interrupted: the status where the user ends the tool with Ctrl-C.
    """
    try:
        try:
            status = run(sys.argv[1:])
        except KeyboardInterrupt:
            print()
            status = interrupted
        except BrokenPipeError:
            raise
        except Exception as error:  # noqa: BLE001 - the one place where a user is told
            print(explain(error))
            status = 1
        sys.stdout.flush()
    except BrokenPipeError:
        # Whoever read the output has enough; the interpreter must not complain of it when it ends.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        status = 1
    sys.exit(status)
