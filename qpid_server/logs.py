"""The broker's log on standard error, and the rules of ``--log-enable``.

A rule is ``LEVEL[+][:PATTERN]``: what is logged at that level (or above it, with +) by modules whose name contains the
pattern. The levels are the C++ broker's.
"""

from __future__ import annotations

import logging
import sys
from collections.abc import Sequence

from .options import OptionError

__all__ = ["LEVELS", "NOTICE", "configure_logging", "log"]

NOTICE = 25
LEVELS = {
    "trace": 5,
    "debug": logging.DEBUG,
    "info": logging.INFO,
    "notice": NOTICE,
    "warning": logging.WARNING,
    "error": logging.ERROR,
    "critical": logging.CRITICAL,
}
for _name, _level in LEVELS.items():
    logging.addLevelName(_level, _name)

log = logging.getLogger("qpid_server")


class _Rules(logging.Filter):
    def __init__(self, rules: Sequence[str]) -> None:
        super().__init__()
        self.lowest = logging.CRITICAL
        self._rules: list[tuple[int, bool, str]] = []
        for rule in rules:
            level, _, pattern = rule.partition(":")
            above = level.endswith("+")
            number = LEVELS.get(level.rstrip("+"))
            if number is None:
                raise OptionError(f"log-enable: unknown level {level!r} in {rule!r}")
            self._rules.append((number, above, pattern))
            self.lowest = min(self.lowest, number)

    def filter(self, record: logging.LogRecord) -> bool:
        return any(
            (record.levelno >= number if above else record.levelno == number) and pattern in record.name
            for number, above, pattern in self._rules
        )


def configure_logging(rules: Sequence[str]) -> None:
    """Log to standard error what the rules say.

    Raises:
        OptionError: a rule that is none.
    """
    chosen = _Rules(rules)
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(logging.Formatter("%(asctime)s [%(name)s] %(levelname)s %(message)s"))
    handler.addFilter(chosen)
    logger = logging.getLogger("qpid_server")
    logger.handlers[:] = [handler]
    logger.setLevel(chosen.lowest)
    logger.propagate = False
