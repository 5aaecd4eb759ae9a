"""The broker's log: which messages are written (``--log-enable`` and ``--log-disable``), where to, and in what form.

A rule is ``LEVEL[+|-][:PATTERN]``: that level, with + those above it too, with - those below. The pattern is one of the
C++ broker's categories, or a part of the name of a module or function (``ha``, ``connection.open``; a C++ broker's
``ha::`` is read as ``ha.``). What one rule disables no other enables; critical messages are always written. As in that
broker, rules can be changed while it runs, with those that disable marked by an exclamation mark: ``info+,!debug-:HA``.
"""

from __future__ import annotations

import logging
import logging.handlers
import re
import sys
import syslog
from collections.abc import Iterable
from datetime import datetime, timezone

from .options import OptionError, Options

__all__ = ["CATEGORIES", "LEVELS", "NOTICE", "BrokerLog", "broker_log", "configure_logging", "log"]

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
_LEVEL_NAMES = {number: name for name, number in LEVELS.items()}

#: The C++ broker's categories. Ours come of the name of the logger; the first that it begins with decides.
CATEGORIES = {
    "qpid_server.security": "Security",
    "qpid_server.management": "Management",
    "qpid_server.ha": "HA",
    "qpid_server.store": "Store",
    "qpid_server.http": "Network",
    "qpid_server.server": "Network",
    "qpid_server.connection": "Protocol",
    "qpid_server.session": "Protocol",
    "qpid_server": "Broker",
    "qpid_messaging.amqp": "Protocol",
    "qpid_messaging": "Messaging",
    "asyncio": "System",
}
_UNSPECIFIED = "Unspecified"
_CATEGORY_NAMES = {*CATEGORIES.values(), _UNSPECIFIED, "Client", "Test", "Application", "Model"}
_PRIORITIES = {
    LEVELS["trace"]: syslog.LOG_DEBUG,
    logging.DEBUG: syslog.LOG_DEBUG,
    logging.INFO: syslog.LOG_INFO,
    NOTICE: syslog.LOG_NOTICE,
    logging.WARNING: syslog.LOG_WARNING,
    logging.ERROR: syslog.LOG_ERR,
    logging.CRITICAL: syslog.LOG_CRIT,
}
_LOCAL = tuple(f"LOCAL{number}" for number in range(8))
_FACILITIES = ("AUTH", "AUTHPRIV", "CRON", "DAEMON", "KERN", "LPR", "MAIL", "NEWS", "SYSLOG", "USER", "UUCP", *_LOCAL)
#: What would let a client's text write lines, or colours, into the log.
_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")

log = logging.getLogger("qpid_server")
_LOGGERS = (log, logging.getLogger("qpid_messaging"))


def _category(name: str) -> str:
    while name and name not in CATEGORIES:
        name = name.rpartition(".")[0]
    return CATEGORIES.get(name, _UNSPECIFIED)


class _Rule:
    def __init__(self, text: str) -> None:
        level, _, self._pattern = text.removeprefix("!").partition(":")
        name = level.rstrip("+-")
        if name not in LEVELS or len(level) > len(name) + 1:
            raise OptionError(f"{text!r} is no rule for the log: {name!r} is none of {', '.join(LEVELS)}")
        at = LEVELS[name]
        lowest = 0 if level.endswith("-") else at
        highest = logging.CRITICAL if level.endswith("+") else at
        self.levels = [number for number in LEVELS.values() if lowest <= number <= highest]
        self._by_category = self._pattern in _CATEGORY_NAMES
        self._pattern = self._pattern.replace("::", ".") if not self._by_category else self._pattern

    def fits(self, record: logging.LogRecord, category: str) -> bool:
        if record.levelno not in self.levels:
            return False
        if self._by_category:
            return category == self._pattern
        return self._pattern in f"{record.name}.{record.funcName}"


class _Rules(logging.Filter):
    """Lets through what the rules say, and notes its category and what the C++ broker calls its level."""

    def __init__(self, texts: Iterable[str]) -> None:
        super().__init__()
        self.texts = [text for text in texts if text]
        self._enabled = [_Rule(text) for text in self.texts if not text.startswith("!")]
        self._disabled = [_Rule(text) for text in self.texts if text.startswith("!")]
        self.lowest = min([logging.CRITICAL, *(level for rule in self._enabled for level in rule.levels)])

    def filter(self, record: logging.LogRecord) -> bool:
        record.category = category = _category(record.name)
        record.severity = _LEVEL_NAMES.get(record.levelno, record.levelname)
        if record.levelno >= logging.CRITICAL:
            return True
        if any(rule.fits(record, category) for rule in self._disabled):
            return False
        return any(rule.fits(record, category) for rule in self._enabled)


class _Format(logging.Formatter):
    """Writes a line as the options say, in the order of the C++ broker."""

    def __init__(self, options: Options) -> None:
        places = ":".join(
            (["%(filename)s:%(lineno)d"] if options.log_source else [])
            + (["%(funcName)s"] if options.log_function else [])
        )
        parts = [
            f"{options.log_prefix}:".replace("%", "%%") if options.log_prefix else "",
            "%(asctime)s" if options.log_time else "",
            "[%(category)s]" if options.log_category else "",
            "%(severity)s" if options.log_level else "",
            "[0x%(thread)x]" if options.log_thread else "",
            f"{places}:" if places else "",
            "%(message)s",
        ]
        super().__init__(" ".join(part for part in parts if part))
        self.fine = options.log_hires_timestamp

    def formatTime(self, record: logging.LogRecord, datefmt: str | None = None) -> str:  # noqa: N802
        moment = datetime.fromtimestamp(record.created, timezone.utc).astimezone()
        return moment.isoformat(" ", "microseconds") if self.fine else moment.strftime("%Y-%m-%d %H:%M:%S")

    def format(self, record: logging.LogRecord) -> str:
        return _CONTROL.sub(lambda found: f"\\x{ord(found[0]):02X}", super().format(record))


class _Syslog(logging.Handler):
    def __init__(self, name: str, facility: str) -> None:
        super().__init__()
        short = facility.upper().removeprefix("LOG_")
        number: int | None = getattr(syslog, f"LOG_{short}", None)
        if short not in _FACILITIES or number is None:
            raise OptionError(f"syslog-facility: {facility!r} is none of {', '.join(_FACILITIES)}")
        syslog.openlog(name, syslog.LOG_PID, number)

    def emit(self, record: logging.LogRecord) -> None:
        syslog.syslog(_PRIORITIES.get(record.levelno, syslog.LOG_INFO), self.format(record))


class BrokerLog:
    """Where the broker's messages go.

    Args:
        options: the broker's.

    Raises:
        OptionError: a rule or facility that is none, or a file that cannot be written.
    """

    def __init__(self, options: Options) -> None:
        self._format = _Format(options)
        enabled = (*options.log_enable, "trace+") if options.trace else options.log_enable
        self._rules = _Rules([*enabled, *(f"!{rule}" for rule in options.log_disable)])
        self.handlers: list[logging.Handler] = []
        if options.log_to_stderr:
            self.handlers.append(logging.StreamHandler(sys.stderr))
        if options.log_to_stdout:
            self.handlers.append(logging.StreamHandler(sys.stdout))
        if options.log_to_file:
            try:
                self.handlers.append(logging.handlers.WatchedFileHandler(options.log_to_file, encoding="utf-8"))
            except OSError as error:
                raise OptionError(f"log-to-file: {error}") from error
        if options.log_to_syslog:
            self.handlers.append(_Syslog(options.syslog_name, options.syslog_facility))
        if not self.handlers:
            # Without any, the logging module would write to standard error after all.
            self.handlers.append(logging.NullHandler())
        for handler in self.handlers:
            handler.setFormatter(self._format)
            handler.addFilter(self._rules)

    @property
    def rules(self) -> str:
        """What is written: rules, with commas between. Raises OptionError when it is set to what is none."""
        return ",".join(self._rules.texts)

    @rules.setter
    def rules(self, text: str) -> None:
        chosen = _Rules(re.split(r"[,\s]+", text))
        for handler in self.handlers:
            handler.removeFilter(self._rules)
            handler.addFilter(chosen)
        self._rules = chosen
        self.attach()

    @property
    def fine_times(self) -> bool:
        """Whether times are written to the microsecond."""
        return self._format.fine

    @fine_times.setter
    def fine_times(self, fine: bool) -> None:
        self._format.fine = fine

    def attach(self) -> None:
        """Let the broker's loggers, and those of the library below it, write here and nowhere else."""
        for logger in _LOGGERS:
            logger.handlers[:] = self.handlers
            logger.propagate = False
            logger.setLevel(self._rules.lowest)


_current: list[BrokerLog] = []


def broker_log() -> BrokerLog | None:
    """What writes the broker's log; None where the program around it does."""
    return next((candidate for candidate in _current if {*candidate.handlers} <= {*log.handlers}), None)


def configure_logging(options: Options) -> BrokerLog:
    """Log what the options say, where they say.

    Raises:
        OptionError: they say what cannot be done.
    """
    chosen = BrokerLog(options)
    for old in _current:
        for handler in old.handlers:
            handler.close()
    _current[:] = [chosen]
    _current[0].attach()
    return _current[0]
