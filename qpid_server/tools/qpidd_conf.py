"""What tools read of a broker's configuration file, to find that broker and be let in."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from pathlib import Path

__all__ = ["find_qpidd_conf", "read_qpidd_conf"]

_PREFIX = "QPID_"


def read_qpidd_conf(path: str, environment: Mapping[str, str] | None = None) -> dict[str, str]:
    """The options in a `qpidd.conf`, as text by name; `QPID_*` variables go before what the file says.

    Args:
        path: the file.
        environment: variables; the process's own where not given.

    Raises:
        OSError: the file cannot be read.
        ValueError: it is not text.
    """
    environment = os.environ if environment is None else environment
    options: dict[str, str] = {}
    for line in Path(path).read_text("utf-8").splitlines():
        name, separator, value = line.split("#", 1)[0].partition("=")
        if separator:
            options[name.strip()] = value.strip()
    for variable, value in environment.items():
        if variable.startswith(_PREFIX):
            options[variable[len(_PREFIX) :].lower().replace("_", "-")] = value
    return options


def find_qpidd_conf(program: str = sys.argv[0]) -> str | None:
    """The configuration file that belongs to this installation: `etc/qpid/qpidd.conf` beside the program's `bin`.

    Args:
        program: path of the running program.

    Returns:
        None where there is none.
    """
    folder = Path(program).absolute().parent
    path = folder.parent / "etc" / "qpid" / "qpidd.conf"
    return str(path) if folder.name == "bin" and path.is_file() else None
