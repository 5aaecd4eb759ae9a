"""The broker's configuration, as its tools read it."""

from __future__ import annotations

import os

__all__ = ["parse_qpidd_conf"]

_PREFIX = "QPID_"


def parse_qpidd_conf(config_file: str) -> dict[str, str]:
    """The options of a broker: those of its configuration file, and over them those of the environment.

    Args:
        config_file: lines like `ha-cluster=yes`; what follows a # is a remark.

    Returns:
        Values by name, with hyphens where the file has them, with underscores where the environment does.

    Raises:
        OSError: the file cannot be read.
    """
    found: dict[str, str] = {}
    with open(config_file, encoding="utf-8") as lines:
        for line in lines:
            name, equals, value = line.partition("#")[0].partition("=")
            if equals:
                found[name.strip()] = value.strip()
    for name, value in os.environ.items():
        if name.startswith(_PREFIX):
            found[name.removeprefix(_PREFIX).lower()] = value
    return found
