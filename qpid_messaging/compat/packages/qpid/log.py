"""Logging to the terminal or to a file, in one call."""

from __future__ import annotations

from logging import CRITICAL, DEBUG, ERROR, INFO, WARN, Formatter, StreamHandler, getLogger
from typing import TextIO

__all__ = ["CRITICAL", "DEBUG", "ERROR", "INFO", "WARN", "enable"]


def enable(
    name: str | None = None,
    level: int = WARN,  # noqa: LOG009 - the original's name
    file: TextIO | None = None,
) -> None:
    """Write what a logger says.

    Args:
        name: the logger; that of the client is `qpid.messaging`. By default the root of all.
        level: from which level on.
        file: where to; by default to stderr.
    """
    logger = getLogger(name)
    handler = StreamHandler(file)
    handler.setFormatter(Formatter("%(asctime)s %(levelname)s %(message)s"))
    logger.addHandler(handler)
    logger.setLevel(level)
