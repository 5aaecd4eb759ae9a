"""Options: their sources, and what becomes of each that the C++ broker has."""

from __future__ import annotations

from dataclasses import fields
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qpid_server.broker_urls import known_hosts, member_addresses
from qpid_server.option_sources import parse_options
from qpid_server.option_table import ALIASES, REFUSED, UNNEEDED
from qpid_server.options import OptionError, Options
from qpid_server.replication_rules import ReplicationRule, ReplicationRules

#: The options of the C++ broker 1.39 with all of its modules, and of the stores and plugins of earlier ones.
_ORIGINAL = """
    config client-config data-dir no-data-dir paging-dir port interface listen-disable protocols worker-threads
    connection-backlog mgmt-enable mgmt-publish mgmt-qmf2 mgmt-qmf1 mgmt-pub-interval queue-purge-interval
    max-purge-batch auth realm sasl-service-name default-queue-limit tcp-nodelay require-encryption known-hosts-url
    sasl-config default-flow-stop-threshold default-flow-resume-threshold default-event-threshold-ratio
    default-message-group enable-timestamp link-maintenance-interval link-heartbeat-interval dtx-default-timeout
    dtx-max-timeout max-negotiate-time federation-tag session-max-unacked
    load-module module-dir no-module-dir
    trace log-enable log-disable log-time log-level log-source log-thread log-function log-hires-timestamp log-category
    log-prefix log-to-stderr log-to-stdout log-to-file log-to-syslog syslog-name syslog-facility
    daemon transport pid-dir close-fd wait check quit kill
    socket-fd watchdog-interval
    acl-file connection-limit-per-user max-connections connection-limit-per-ip max-queues-per-user
    ssl-port ssl-require-client-authentication ssl-sasl-no-dict ssl-use-export-policy ssl-cert-password-file ssl-cert-db
    ssl-cert-name
    ha-cluster ha-queue-replication ha-brokers-url ha-public-url ha-replicate ha-username ha-password ha-mechanism
    ha-backup-timeout ha-flow-messages ha-flow-bytes ha-brokers ha-public-brokers
    domain queue-patterns topic-patterns
    store-dir truncate wcache-page-size tpl-wcache-page-size efp-partition efp-file-size overwrite-before-return
    journal-flush-timeout num-jfiles jfile-size-pgs tpl-num-jfiles tpl-jfile-size-pgs
    replication-queue replication-exchange-name replication-listener-name create-replication-queue
"""
ORIGINAL = _ORIGINAL.split()
OWN = {entry.name.replace("_", "-") for entry in fields(Options)}


def test_every_option_of_the_original_has_its_answer() -> None:
    answers = [OWN, set(UNNEEDED), set(REFUSED), set(ALIASES)]
    assert [name for name in ORIGINAL if not any(name in answer for answer in answers)] == []
    assert sum(map(len, answers)) == len(set().union(*answers)), "and no more than one"


@pytest.mark.parametrize("name", sorted(REFUSED))
def test_what_is_refused_says_so_whatever_it_comes_from(name: str, tmp_path: Path) -> None:
    file = tmp_path / "qpidd.conf"
    file.write_text(f"{name}=7\n")
    reason = f"{name} is not supported: "
    for arguments, environment, origin in (
        ([f"--{name}", "7"], {}, "command line: "),
        ([f"--{name}=7"], {}, "command line: "),
        ([], {f"QPID_{name.upper().replace('-', '_')}": "7"}, "QPID_"),
        (["--config", str(file)], {}, f"{file}:1: "),
    ):
        with pytest.raises(OptionError) as caught:
            parse_options(arguments, environment)
        assert str(caught.value).startswith(origin)
        assert reason in str(caught.value)
    for harmless in REFUSED[name].harmless:
        assert parse_options([f"--{name}={harmless}"], {}) == (Options(), {})


def test_what_is_not_needed_is_named_with_a_reason() -> None:
    options, unneeded = parse_options(["--worker-threads", "4", "--no-module-dir"], {"QPID_LOAD_MODULE": "ha.so"})
    assert options == Options()
    assert unneeded == {name: UNNEEDED[name] for name in ("worker-threads", "no-module-dir", "load-module")}


def test_other_spellings() -> None:
    options, _ = parse_options(["--ha-brokers", "a,b", "-p", "3", "-t", "-m", "no"], {"QPID_HA_PUBLIC_BROKERS": "vip"})
    assert (options.ha_brokers_url, options.ha_public_url, options.port) == ("a,b", "vip", 3)
    assert (options.trace, options.mgmt_enable) == (True, False)


def test_a_list_comes_from_one_source(tmp_path: Path) -> None:
    file = tmp_path / "qpidd.conf"
    file.write_text("log-enable=info+\nlog-enable=debug:ha\nssl-port=1\nssl-port=2\nlisten-disable=tcp\n")
    options, _ = parse_options(
        ["--config", str(file), "--log-enable", "error+"], {"QPID_LISTEN_DISABLE": "ssl", "QPID_NONSENSE": "x"}
    )
    assert options.log_enable == ("error+",)
    assert options.listen_disable == ("ssl",)
    assert options.ssl_port == (1, 2)


def test_files_are_absolute(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    options, _ = parse_options(["--data-dir", "d", "--log-to-file", "l", "--users-file", "", "--acl-file", "a"], {})
    assert (options.data_dir, options.log_to_file) == (str(tmp_path / "d"), str(tmp_path / "l"))
    assert options.acl_path == tmp_path / "d" / "a"
    assert options.users_path == tmp_path / "d" / "qpidd.users"


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ("auth", "'auth' is not NAME=VALUE"),
        ("config=/x", "unknown option 'config'"),
        ("Port=1", "unknown option 'Port'"),
        ("port = many", "port: "),
        ("protocols=amqp1.0", "amqp0-10 only"),
        ("ha-replicate=some", "'some' is none of none, configuration, all"),
        ("ha-replicate-rule=queue:a=most", "'most'"),
        ("socket-fd=-1", "0 or more"),
    ],
)
def test_wrong_lines(line: str, says: str, tmp_path: Path) -> None:
    file = tmp_path / "qpidd.conf"
    file.write_text(f"# first\n\n{line} # and a comment\n")
    with pytest.raises(OptionError, match=f"{file}:3: ") as caught:
        parse_options(["--config", str(file)], {})
    assert says in str(caught.value)


def test_help_and_version(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        parse_options(["--help"], {})
    out = capsys.readouterr().out
    for name in (*OWN, *UNNEEDED, *REFUSED, *ALIASES):
        assert name in out
    for group in ("Network", "Security", "Logging", "Daemon", "High availability"):
        assert f"\n{group}:\n" in out
    assert "None" not in out, "an option without a default has none to show"
    with pytest.raises(SystemExit):
        parse_options(["-v"], {})
    assert capsys.readouterr().out.startswith("qpidd (qpid-messaging) version ")


# -- URLs of brokers


def test_rdma_is_read() -> None:
    assert member_addresses("amqp:tcp:a:1,rdma:b:2,[::1]:3") == (False, ["a:1", "rdma:b:2", "[::1]:3"])
    assert member_addresses("amqp:ssl:a,rdma:b") == (True, ["a:5671", "rdma:b:5672"])
    assert member_addresses("") == (False, [])
    assert known_hosts("tcp+tls:a,rdma:b:1,c") == ["amqp:ssl:a:5671", "amqp:rdma:b:1", "amqp:tcp:c:5672"]
    with pytest.raises(ValueError, match="all of them over the same"):
        member_addresses("ssl:a,tcp:b")


# -- rules of replication


def test_the_first_rule_that_fits_holds() -> None:
    rules = ReplicationRules(["queue:orders.*=all", "orders.tmp=none", "exchange:*=configuration"], "none")
    assert rules.level("queue", "orders.tmp") == "all"
    assert rules.level("exchange", "orders.tmp") == "none"
    assert rules.level("exchange", "orders.x") == "configuration"
    assert rules.level("queue", "x") == "none"
    assert rules.texts == ["queue:orders.*=all", "orders.tmp=none", "exchange:*=configuration"]


def test_names_with_colons_and_equals() -> None:
    rule = ReplicationRule.parse("topic:a=b:c=all")
    assert (rule.kind, rule.pattern, rule.level) == ("", "topic:a=b:c", "all")


@pytest.mark.parametrize("text", ["", "all", "=all", "queue:=all", "a=", "a=ALL"])
def test_wrong_rules(text: str) -> None:
    with pytest.raises(ValueError, match=r"LEVEL|none of"):
        ReplicationRule.parse(text)


@given(st.text(max_size=20))
def test_a_rule_is_what_it_says(text: str) -> None:
    try:
        rule = ReplicationRule.parse(text)
    except ValueError:
        return
    assert ReplicationRule.parse(str(rule)) == rule
