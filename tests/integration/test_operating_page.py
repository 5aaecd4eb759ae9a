"""The operator's page: its configuration is read, its commands are carried out, its log lines are those there are."""

from __future__ import annotations

import ast
import io
import re
import shlex
from pathlib import Path

import pytest

from qpid_server.option_sources import parse_options
from qpid_server.tools import qpid_passwd
from tests.integration.cluster import ROOT, BrokerProcess, ClusterOfProcesses, free_ports
from tests.integration.tool_runner import ToolRunner

pytestmark = pytest.mark.timeout(120)

PAGE = (ROOT / "qpid_server" / "OPERATING.md").read_text("utf-8")
LEVELS = {"info", "warning", "error"}


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", PAGE, re.DOTALL)


def test_the_configuration_is_read(tmp_path: Path) -> None:
    (text,) = blocks("ini")
    # What is commented out is meant as an option, too.
    file = tmp_path / "qpidd.conf"
    file.write_text(re.sub(r"^#(?=[a-z-]+=)", "", text, flags=re.MULTILINE))
    options, ignored = parse_options(["--config", str(file)], {})
    assert ignored == {}
    assert options.ha_cluster
    assert options.ha_replicate_rule == ("queue:orders.*=all", "tmp.*=none")
    assert (options.ha_min_replicas, options.ha_username, options.http_port) == (1, "ha", 8080)
    assert options.ha_public_url.count("example.com") == 3


def logged() -> set[str]:
    """The lines that brokers log about clusters, with * for what varies."""
    found = set()
    for file in (ROOT / "qpid_server" / "ha").glob("*.py"):
        for node in ast.walk(ast.parse(file.read_text("utf-8"))):
            if (
                isinstance(node, ast.Call)
                and isinstance(node.func, ast.Attribute)
                and node.func.attr in LEVELS
                and isinstance(node.args[0], ast.Constant)
            ):
                found.add(re.sub(r"%[.\d]*\w", "*", str(node.args[0].value)))
    return found


def test_the_log_lines_are_those_there_are() -> None:
    table = PAGE.partition("## Log lines")[2].partition("## ")[0]
    explained = {re.sub(r"\b[A-Z]+\b", "*", line) for line in re.findall(r"^\| `(.*?)` \|", table, re.MULTILINE)}
    assert explained == logged()


def test_its_commands_are_carried_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Everything that the page says to a shell, in its order."""
    runner = ToolRunner(monkeypatch, capsys)
    options = ("--ha-min-replicas", "1", "--ha-replicate-rule", "queue:orders.*=all", "--link-maintenance-interval")
    archive = BrokerProcess("archive", free_ports(1)[0], tmp_path, ["--ha-queue-replication", "yes"])
    try:
        with ClusterOfProcesses(options=(*options, "0.2")) as cluster:
            hosts = {f"host{number}": member.url for number, member in enumerate(cluster.members, 1)}
            hosts["archive"] = archive.url
            monkeypatch.setattr("sys.stdin", io.StringIO("secret\n"))
            for line in "".join(blocks("sh")).split("\n")[:-1]:
                command = re.sub(r"\bhost\d\b|\barchive\b", lambda name: hosts[name.group()], line)
                command = command.replace("/etc/qpid", str(tmp_path))
                name, *arguments = shlex.split(command)
                if "--expect" in arguments:
                    expected, url = arguments[arguments.index("--expect") + 1], arguments[-1]
                    member = next(member for member in cluster.members if member.url == url)
                    member.wait_for(expected)
                if name == "qpid-passwd":
                    assert qpid_passwd.main(arguments) == 0
                    continue
                ended = runner.run(name, *arguments)
                assert (ended.status, ended.err) == (0, ""), f"{line}\n{ended.out}"
                if "promote" in arguments:
                    _settle(cluster)
                if name == "qpid-config":
                    assert "orders.eu" in ended.out or "add" in arguments
    finally:
        archive.end()


def _settle(cluster: ClusterOfProcesses) -> None:
    """The others follow whoever was promoted, and the queue of the page is there."""
    cluster.wait_for_backups()
    client = cluster.connect()
    client.session().sender("orders.eu; {create: always}").send("one")
    client.close()


def test_links_lead_somewhere() -> None:
    for target in re.findall(r"\]\(([^)]*)\)", PAGE):
        assert (ROOT / "qpid_server" / target).exists(), target
