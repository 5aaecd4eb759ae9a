"""The log: rules, categories, where it goes, and the form of a line."""

from __future__ import annotations

import logging
import os
import syslog
from pathlib import Path
from typing import Any

import pytest

from qpid_server import logs
from qpid_server.options import OptionError, Options

pytestmark = pytest.mark.usefixtures("own_log")


def written(capsys: pytest.CaptureFixture[str], rules: str = "", **options: Any) -> list[str]:
    """What is written of one message at each level by each of four loggers."""
    log = logs.configure_logging(Options(log_time=False, **options))
    if rules:
        log.rules = rules
    for name in ("qpid_server", "qpid_server.ha", "qpid_server.security.users", "qpid_messaging.amqp"):
        for level, number in logs.LEVELS.items():
            logging.getLogger(name).log(number, "%s", level)
    return [line.rpartition(" ")[0] for line in capsys.readouterr().err.splitlines()]


ABOVE_NOTICE = ["notice", "warning", "error", "critical"]


@pytest.mark.parametrize(
    ("enable", "disable", "ha"),
    [
        ("notice+", "", ABOVE_NOTICE),
        ("info", "", ["info", "critical"]),
        ("debug-", "", ["trace", "debug", "critical"]),
        ("trace+:HA", "", list(logs.LEVELS)),
        ("trace+:Security", "", ["critical"]),
        ("trace+:ha", "", list(logs.LEVELS)),
        ("info+:ha::", "", ["info", *ABOVE_NOTICE]),
        ("info+:written", "", ["info", *ABOVE_NOTICE]),
        ("trace+:Ha", "", ["critical"]),
        ("notice+", "warning-:HA", ["error", "critical"]),
        ("notice+", "trace+", ["critical"]),
        ("error:HA", "warning", ["error", "critical"]),
    ],
)
def test_rules(enable: str, disable: str, ha: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    lines = written(capsys, log_enable=(enable,), log_disable=(disable,) if disable else ())
    assert [line.split()[1] for line in lines if line.startswith("[HA]")] == ha
    both = f"{enable}, !{disable}" if disable else enable
    assert written(capsys, both) == lines, "the same at run time"


def test_categories(capsys: pytest.CaptureFixture[str]) -> None:
    lines = written(capsys, log_enable=("error",))
    assert [line.split()[0] for line in lines if " error" in line] == ["[Broker]", "[HA]", "[Security]", "[Protocol]"]


def test_trace_is_everything(capsys: pytest.CaptureFixture[str]) -> None:
    assert len(written(capsys, trace=True)) == 4 * len(logs.LEVELS)


def test_rules_are_told_as_they_are_set() -> None:
    log = logs.configure_logging(Options(log_enable=("notice+", "debug:HA"), log_disable=("info-:Broker",)))
    assert log.rules == "notice+,debug:HA,!info-:Broker"
    log.rules = log.rules
    assert log.rules == "notice+,debug:HA,!info-:Broker"
    with pytest.raises(OptionError, match="loud"):
        log.rules = "loud+"
    assert log.rules == "notice+,debug:HA,!info-:Broker"
    log.rules = ""
    assert log.rules == ""


@pytest.mark.parametrize("rule", ["loud", "+", "info++", "info+-", ":HA", "Info"])
def test_wrong_rules(rule: str) -> None:
    with pytest.raises(OptionError, match="rule"):
        logs.configure_logging(Options(log_enable=(rule,)))


def test_the_form_of_a_line(capsys: pytest.CaptureFixture[str]) -> None:
    logs.configure_logging(
        Options(log_source=True, log_thread=True, log_function=True, log_prefix="100%", log_hires_timestamp=True)
    )
    logging.getLogger("qpid_server.ha").warning("a client's text\x1b[31m")
    line = capsys.readouterr().err
    start, _, rest = line.partition(" [HA] warning [0x")
    assert start.startswith("100%: 2")
    assert "." in start
    assert rest.partition("] ")[2].startswith("test_logs.py:")
    assert rest.endswith(":test_the_form_of_a_line: a client's text\\x1B[31m\n")
    logs.configure_logging(Options(log_time=False, log_category=False, log_level=False))
    logs.log.error("bare")
    assert capsys.readouterr().err == "bare\n"


def test_where_it_goes(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[tuple[Any, ...]] = []
    monkeypatch.setattr(syslog, "openlog", lambda *arguments: told.append(arguments))
    monkeypatch.setattr(syslog, "syslog", lambda *arguments: told.append(arguments))
    file = tmp_path / "log"
    logs.configure_logging(
        Options(
            log_to_stdout=True, log_to_stderr=False, log_to_file=str(file), log_to_syslog=True, log_time=False,
            syslog_name="broker-7", syslog_facility="local3",
        )
    )  # fmt: skip
    logs.log.log(logs.NOTICE, "one")
    os.rename(file, tmp_path / "rotated")
    logs.log.error("two")
    assert capsys.readouterr() == ("[Broker] notice one\n[Broker] error two\n", "")
    assert (tmp_path / "rotated").read_text() == "[Broker] notice one\n"
    assert file.read_text() == "[Broker] error two\n"
    assert told == [
        ("broker-7", syslog.LOG_PID, syslog.LOG_LOCAL3),
        (syslog.LOG_NOTICE, "[Broker] notice one"),
        (syslog.LOG_ERR, "[Broker] error two"),
    ]
    logs.configure_logging(Options(log_to_stderr=False))
    logs.log.critical("nowhere")
    assert capsys.readouterr() == ("", "")


@pytest.mark.parametrize(
    "options", [{"log_to_syslog": True, "syslog_facility": "LOG_PID"}, {"log_to_file": "/does/not/exist"}]
)
def test_where_it_cannot_go(options: dict[str, Any]) -> None:
    with pytest.raises(OptionError, match=r"syslog-facility|log-to-file"):
        logs.configure_logging(Options(**options))


def test_other_programs_keep_their_names_of_levels() -> None:
    assert [logging.getLevelName(level) for level in (logging.DEBUG, logging.CRITICAL)] == ["DEBUG", "CRITICAL"]
