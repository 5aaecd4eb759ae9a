"""What the packages of the old names bring of their own: URLs, serial numbers, timestamps, logging."""

from __future__ import annotations

import io
import logging
from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path

import pytest

from qpid_messaging.amqp.codec import decode_map, encode_map
from qpid_messaging.compat.packages.qpid import log
from qpid_messaging.compat.packages.qpid.datatypes import Serial, serial, timestamp
from qpid_messaging.compat.packages.qpid.util import URL
from qpid_messaging.compat.packages.qpidtoollibs.config import parse_qpidd_conf


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("host", (None, None, None, "host", None)),
        ("host:1", (None, None, None, "host", 1)),
        ("ann@host", (None, "ann", None, "host", None)),
        ("ann/secret@host:1", (None, "ann", "secret", "host", 1)),
        ("amqps://ann/secret@host:1", ("amqps", "ann", "secret", "host", 1)),
        ("amqp://[::1]:1", ("amqp", None, None, "::1", 1)),
    ],
)
def test_a_url_has_parts_and_is_written_as_it_was_read(text: str, parts: tuple[object, ...]) -> None:
    url = URL(text)
    assert (url.scheme, url.user, url.password, url.host, url.port) == parts
    assert str(url) == text
    assert repr(url) == f"URL({text!r})"
    assert url == text
    assert url == URL(url)
    assert hash(url) == hash(URL(text))
    assert url != URL(host="elsewhere")


@pytest.mark.parametrize("text", ["", "a b", "host:port", "amqp:one,two"])
def test_what_is_no_url(text: str) -> None:
    with pytest.raises(ValueError, match=f"^{text}$"):
        URL(text)


def test_a_url_of_parts_needs_a_host() -> None:
    assert str(URL(host="one", user="ann", port=5)) == "ann@one:5"
    with pytest.raises(ValueError, match="host"):
        URL(user="ann")


def test_serial_numbers_begin_again_at_nought() -> None:
    last = Serial(0xFFFFFFFF)
    first = last + 1
    assert first == 0
    assert last < first <= first
    assert Serial(5) - Serial(3) == 2
    assert first - 1 == last
    assert serial(first) is first
    assert max(last, first) is first
    assert (int(first), str(last), repr(last)) == (0, "4294967295", "serial(4294967295)")
    assert first != "0"


def test_timestamps() -> None:
    when = timestamp(datetime(2020, 1, 2, 3, 4, 5))  # noqa: DTZ001 - local time is what the original takes
    assert when.datetime() == datetime(2020, 1, 2, 3, 4, 5)  # noqa: DTZ001
    assert when + 1 - when == 1
    assert 1 + when == when + timedelta(seconds=1)
    assert type(when + 1) is timestamp
    assert abs(timestamp() - datetime.now().timestamp()) < 60  # noqa: DTZ005


def test_a_timestamp_travels_as_a_datetime() -> None:
    packed = encode_map({"when": timestamp(7.5)})
    assert packed[-9:] == b"\x38" + (7).to_bytes(8, "big")
    assert decode_map(packed)["when"] == timestamp(7)


@pytest.fixture
def loggers() -> Iterator[None]:
    """Give loggers back as they were."""
    ours, theirs = logging.getLogger("qpid_messaging"), logging.getLogger("qpid.messaging")
    parent = ours.parent
    yield
    ours.parent = parent
    theirs.handlers.clear()
    theirs.setLevel(logging.NOTSET)


@pytest.mark.usefixtures("loggers")
def test_the_logger_of_the_original_is_ours() -> None:
    logging.getLogger("qpid_messaging").parent = logging.getLogger("qpid.messaging")  # as importing it does
    said = io.StringIO()
    log.enable("qpid.messaging", log.DEBUG, said)
    logging.getLogger("qpid_messaging").debug("found a broker")
    assert said.getvalue().endswith(" DEBUG found a broker\n")


def test_a_broker_s_configuration(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "qpidd.conf").write_text("# a remark\nport = 1 # and one\nha-cluster=yes\n\nurl=a=b\n")
    monkeypatch.setenv("QPID_PORT", "2")
    options = parse_qpidd_conf(str(tmp_path / "qpidd.conf"))
    assert (options["port"], options["ha-cluster"], options["url"]) == ("2", "yes", "a=b")
