"""Run a program that imports `qpid.messaging`: like `python`, with the old names installed."""

from __future__ import annotations

import importlib.util
import runpy
import sys
from pathlib import Path
from types import ModuleType

from . import PACKAGES, install

USAGE = """\
usage: python -m qpid_messaging.compat script.py [argument ...]
       python -m qpid_messaging.compat -m module [argument ...]
       python -m qpid_messaging.compat -c code [argument ...]
       python -m qpid_messaging.compat --path

Runs a program for which `import qpid.messaging` gives qpid_messaging. With --path it prints the folder that has to be
in PYTHONPATH for the same, where the program is started by somebody else.
"""


def main(arguments: list[str]) -> int:
    """Run what the command line says. Returns the exit status where the program itself gives none."""
    match arguments:
        case ["-h" | "--help", *_]:
            print(USAGE, end="")
        case ["--path"]:
            print(PACKAGES)
        case ["-m", module, *rest]:
            _prepare(["-m", *rest], None)
            if not _is_there(module):
                print(f"no module named {module}", file=sys.stderr)
                return 1
            runpy.run_module(module, run_name="__main__", alter_sys=True)
        case ["-c", code, *rest]:
            _prepare(["-c", *rest], None)
            main = sys.modules["__main__"] = ModuleType("__main__")
            exec(compile(code, "<string>", "exec"), main.__dict__)
        case [script, *rest] if not script.startswith("-"):
            if not Path(script).exists():
                print(f"can't open {script!r}: there is no such file", file=sys.stderr)
                return 2
            _prepare([script, *rest], Path(script).parent.resolve())
            runpy.run_path(script, run_name="__main__")
        case _:
            print(USAGE, end="", file=sys.stderr)
            return 2
    return 0


def _is_there(module: str) -> bool:
    try:
        return importlib.util.find_spec(module) is not None
    except ModuleNotFoundError as error:
        if error.name is None or not f"{module}.".startswith(f"{error.name}."):
            raise  # its package is there, and imports what is not
        return False


def _prepare(argv: list[str], folder: Path | None) -> None:
    """Leave things as the program would find them without us."""
    sys.argv = argv
    if folder is not None and not getattr(sys.flags, "safe_path", False):
        sys.path[0] = str(folder)  # that of the script, where `python -m` has put the current one
    install()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
