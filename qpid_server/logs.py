"""The broker's log on standard error, and the rules of ``--log-enable``.

A rule is ``LEVEL[+][:PATTERN]``: what is logged at that level (or above it, with +) by modules whose name contains the
pattern. The levels are the C++ broker's.
"""

from __future__ import annotations

import logging
import sys
from collections.abc import Sequence
from datetime import datetime, timezone

from .options import OptionError

__all__ = ["LEVELS", "NOTICE", "LogHandler", "configure_logging", "log", "log_handler"]

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
        self.text = ",".join(rules)
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


class _Format(logging.Formatter):
    def __init__(self, *, fine: bool) -> None:
        super().__init__("%(asctime)s [%(name)s] %(levelname)s %(message)s")
        self.fine = fine

    def formatTime(self, record: logging.LogRecord, datefmt: str | None = None) -> str:  # noqa: N802
        if self.fine:
            return datetime.fromtimestamp(record.created, timezone.utc).astimezone().isoformat(" ", "microseconds")
        return super().formatTime(record, datefmt)


class LogHandler(logging.StreamHandler):  # type: ignore[type-arg]  # subscriptable since Python 3.11 only
    """Writes the broker's log to standard error.

    Args:
        rules: what is written.
    """

    def __init__(self, rules: Sequence[str]) -> None:
        super().__init__(sys.stderr)
        self._rules = _Rules(())
        self.rules = ",".join(rules)
        self.fine_times = False

    @property
    def rules(self) -> str:
        """What is written: rules, with commas between. Raises OptionError when it is set to what is none."""
        return self._rules.text

    @rules.setter
    def rules(self, text: str) -> None:
        chosen = _Rules([rule.strip() for rule in text.split(",")])
        self.removeFilter(self._rules)
        self.addFilter(chosen)
        self._rules = chosen
        log.setLevel(chosen.lowest)

    @property
    def fine_times(self) -> bool:
        """Whether times are written to the microsecond."""
        return self._fine_times

    @fine_times.setter
    def fine_times(self, fine: bool) -> None:
        self._fine_times = fine
        self.setFormatter(_Format(fine=fine))


def log_handler() -> LogHandler | None:
    """What writes the broker's log; None where the program around it does."""
    return next((handler for handler in log.handlers if isinstance(handler, LogHandler)), None)


def configure_logging(rules: Sequence[str]) -> None:
    """Log to standard error what the rules say.

    Raises:
        OptionError: a rule that is none.
    """
    log.handlers[:] = [LogHandler(rules)]
    log.propagate = False
