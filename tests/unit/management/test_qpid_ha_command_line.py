"""qpid-ha without a broker: what it makes of its command line and of a configuration file."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest

from qpid_messaging import ConnectError
from qpid_server.tools import qpid_ha
from qpid_server.tools.qpidd_conf import find_qpidd_conf, read_qpidd_conf

NOBODY = "127.0.0.1:1"


def run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], *args: str) -> tuple[int, str, str]:
    """Exit status, output and error output of the tool."""
    monkeypatch.setattr(sys, "argv", ["qpid-ha", *args])
    with pytest.raises(SystemExit) as caught:
        qpid_ha.main()
    out, err = capsys.readouterr()
    assert "Traceback" not in out + err
    return caught.value.code, out, err  # type: ignore[return-value]


@pytest.mark.parametrize(
    ("args", "status", "last"),
    [
        ((), 1, "Exception: No valid command"),
        (("dance",), 1, "Exception: No valid command"),
        (("--broker", NOBODY), 1, "Exception: No valid command"),
        (("status", "extra", "-b", NOBODY), 1, "Exception: Wrong number of arguments"),
        (("replicate", "queue"), 1, "Exception: Wrong number of arguments"),
        (("set", "-b", NOBODY), 1, "Exception: Nothing to set: give --brokers-url, --public-url or --replicate-rule"),
        (("promote",), 1, "To call from a cluster manager use 'promote --cluster-manager'. "),
        (("demote",), 1, "To call from a cluster manager use 'demote --cluster-manager'. "),
        (("promote", "--help"), 1, "To call from a cluster manager use 'promote --cluster-manager'. "),
        (("status", "-b", NOBODY), 1, "ConnectError: 127.0.0.1:1: Connection refused"),
        (("-b", NOBODY, "ping"), 1, "ConnectError: 127.0.0.1:1: Connection refused"),
        (("promote", "-b", NOBODY, "--cluster-manager"), 1, "ConnectError: 127.0.0.1:1: Connection refused"),
    ],
)
def test_what_is_wrong_is_the_last_line(
    args: tuple[str, ...],
    status: int,
    last: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    got, out, err = run(monkeypatch, capsys, *args)
    assert (got, out.splitlines()[-1], err) == (status, last, "")


@pytest.mark.parametrize(
    ("args", "said"),
    [
        (("status", "--bogus"), "--bogus"),
        (("status", "--timeout", "soon"), "soon"),
        (("ping", "--expect", "active"), "--expect"),
        (("status", "--ssl-key", "key.pem", "-b", NOBODY), "--ssl-certificate"),
    ],
)
def test_wrong_options(
    args: tuple[str, ...], said: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    status, out, err = run(monkeypatch, capsys, *args)
    assert (status, out) == (2, "")
    assert "qpid-ha: error: " in err
    assert said in err


@pytest.mark.parametrize("args", [("help",), ("--help",), ("-h",), ("-help",)])
def test_help_leaves_out_what_is_for_cluster_managers(
    args: tuple[str, ...], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    status, out, _ = run(monkeypatch, capsys, *args)
    assert status == 0
    assert [line.split()[0] for line in out.splitlines() if line.startswith("  ")] == [
        *("ping", "status", "replicate", "query", "forget", "set", "manage", "scripts"),
    ]
    assert "  status       Print HA status." in out
    _, out, _ = run(monkeypatch, capsys, *args, "--cluster-manager")
    assert "  promote      Promote a backup broker to primary." in out


def test_help_of_everything(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    status, out, _ = run(monkeypatch, capsys, "help-all", "--cluster-manager")
    assert status == 0
    assert out.count("--sasl-mechanism") >= 6
    assert "[Cluster manager only]" in out


@pytest.mark.parametrize("url", ["foo bar:x", "host:99999", "amqp:", "host:port", "[::1", "user/pass@", "nosuch:h:1"])
def test_bad_urls(url: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    status, out, _ = run(monkeypatch, capsys, "status", "-b", url)
    assert status == 1
    assert out.startswith("ConnectError: ")


def test_a_configuration_file_that_is_not_there(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    status, out, _ = run(monkeypatch, capsys, "status", "--config", str(tmp_path / "none"))
    assert status == 1
    assert out.startswith("FileNotFoundError: ")
    binary = tmp_path / "binary"
    binary.write_bytes(b"\xff\xfe\x00")
    status, out, _ = run(monkeypatch, capsys, "status", "--config", str(binary))
    assert (status, "UnicodeDecodeError" in out) == (1, True)


# -- what it connects with


@pytest.fixture
def established(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, dict[str, Any]]]:
    """The arguments that connections are made with; none comes about."""
    calls: list[tuple[str, dict[str, Any]]] = []

    def establish(url: str, **options: Any) -> None:
        calls.append((url, options))
        raise ConnectError(text="nobody")

    monkeypatch.setattr(qpid_ha.Connection, "establish", establish)
    return calls


def test_defaults(established: list[tuple[str, dict[str, Any]]]) -> None:
    with pytest.raises(ConnectError):
        qpid_ha.run(["ping"])
    assert established == [("0.0.0.0", {"timeout": 10.0, "heartbeat": 5, "client_properties": {"qpid.ha-admin": 1}})]


def test_options(established: list[tuple[str, dict[str, Any]]]) -> None:
    options = [
        "--timeout",
        "3",
        "--sasl-mechanism",
        "PLAIN",
        "--sasl-service-name",
        "q",
        "--ssl-certificate",
        "c",
        "--ssl-key",
        "k",
    ]
    with pytest.raises(ConnectError):
        qpid_ha.run(["status", "-b", "u/p@h:1", *options])
    [(url, given)] = established
    assert (url, given.pop("client_properties")) == ("u/p@h:1", {"qpid.ha-admin": 1})
    assert given == {
        "timeout": 3.0,
        "heartbeat": 2,
        "sasl_mechanisms": "PLAIN",
        "sasl_service": "q",
        "ssl_certfile": "c",
        "ssl_keyfile": "k",
    }


def test_a_timeout_of_zero_is_for_ever(established: list[tuple[str, dict[str, Any]]]) -> None:
    with pytest.raises(ConnectError):
        qpid_ha.run(["ping", "--timeout", "0"])
    assert established[0][1] == {"client_properties": {"qpid.ha-admin": 1}}


CONF = """
# a broker's
port=5801
ha-username = ha   # as in qpidd.users
ha-password=secret
ha-mechanism=PLAIN
ha-brokers-url=amqp:127.0.0.1:1,tcp:127.0.0.1:2
link-heartbeat-interval=7
auth
"""


@pytest.fixture
def conf(tmp_path: Path) -> str:
    path = tmp_path / "qpidd.conf"
    path.write_text(CONF)
    return str(path)


@pytest.mark.parametrize("option", ["--config", "--config-file"])
def test_a_configuration_file_fills_in(option: str, conf: str, established: list[tuple[str, dict[str, Any]]]) -> None:
    with pytest.raises(ConnectError):
        qpid_ha.run(["ping", option, conf])
    [(url, given)] = established
    assert url == "amqp:ha/secret@tcp:0.0.0.0:5801"
    assert (given["sasl_mechanisms"], given["timeout"], given["heartbeat"]) == ("PLAIN", 7.0, 4)


def test_the_command_line_goes_first(conf: str, established: list[tuple[str, dict[str, Any]]]) -> None:
    with pytest.raises(ConnectError):
        qpid_ha.run(["ping", "--config", conf, "-b", "me/mine@h:1", "--timeout", "1", "--sasl-mechanism", "ANONYMOUS"])
    [(url, given)] = established
    assert url == "amqp:me/mine@tcp:h:1"
    assert (given["sasl_mechanisms"], given["timeout"]) == ("ANONYMOUS", 1.0)


@pytest.mark.parametrize(("user", "sent"), [("ha", "ha/secret"), ("me", "me")])
def test_the_configured_password_is_that_of_the_configured_user(
    user: str, sent: str, conf: str, established: list[tuple[str, dict[str, Any]]]
) -> None:
    with pytest.raises(ConnectError):
        qpid_ha.run(["ping", "--config", conf, "-b", f"{user}@h:1"])
    assert established[0][0] == f"amqp:{sent}@tcp:h:1"


def test_all_brokers_of_the_configuration_file_are_asked_where_the_first_does_not_answer(
    conf: str, established: list[tuple[str, dict[str, Any]]], capsys: pytest.CaptureFixture[str]
) -> None:
    assert qpid_ha.run(["status", "--all", "--config", conf, "-b", NOBODY]) == 0
    assert capsys.readouterr().out == "127.0.0.1:1 nobody\n127.0.0.1:2 nobody\n"
    assert {url for url, _ in established[1:]} == {"ha/secret@127.0.0.1:1", "ha/secret@127.0.0.1:2"}


def test_variables_go_before_the_file(conf: str) -> None:
    options = read_qpidd_conf(conf, {"QPID_HA_USERNAME": "other", "HOME": "/"})
    assert (options["ha-username"], options["ha-password"], options["port"]) == ("other", "secret", "5801")
    assert "auth" not in options


def test_the_configuration_file_of_an_installation(tmp_path: Path) -> None:
    program = tmp_path / "bin" / "qpid-ha"
    assert find_qpidd_conf(str(program)) is None
    path = tmp_path / "etc" / "qpid" / "qpidd.conf"
    path.parent.mkdir(parents=True)
    path.write_text(CONF)
    assert find_qpidd_conf(str(program)) == str(path)
    assert find_qpidd_conf(str(tmp_path / "sbin" / "qpid-ha")) is None
