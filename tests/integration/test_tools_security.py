"""The tools where not everybody may come in: passwords and certificates on their command lines."""

from __future__ import annotations

import io
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import trustme

import qpid_server
from qpid_server.security.users import UsersFile
from tests.integration.tool_runner import ToolRunner

Run = Callable[..., tuple[int, str]]


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    """Runs a tool; returns exit status and output."""
    runner = ToolRunner(monkeypatch, capsys)
    monkeypatch.setattr(sys, "stdin", io.StringIO())

    def run(name: str, *arguments: str) -> tuple[int, str]:
        ended = runner.run(name, *arguments)
        assert ended.err == ""
        return ended.status, ended.out

    return run


class Files:
    """A broker's users, and PEM files of an authority, of a broker and of a client."""

    def __init__(self, folder: Path) -> None:
        authority = trustme.CA()
        self.users, self.ca, self.server, self.client, self.client_key = (
            str(folder / name) for name in ("users", "ca.pem", "server.pem", "client.pem", "client.key")
        )
        UsersFile(Path(self.users)).add("ann", "secret", cram_md5=True)
        authority.cert_pem.write_to_path(self.ca)
        authority.issue_cert("localhost").private_key_and_cert_chain_pem.write_to_path(self.server)
        client = authority.issue_cert(common_name="carl")
        client.cert_chain_pems[0].write_to_path(self.client)
        client.private_key_pem.write_to_path(self.client_key)


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Files:
    return Files(tmp_path_factory.mktemp("files"))


@pytest.fixture(scope="module")
def broker(files: Files) -> Iterator[qpid_server.Running]:
    options = {"ssl_port": (0,), "ssl_cert_file": files.server, "ssl_key_file": files.server, "ssl_ca_file": files.ca}
    with qpid_server.running(auth=True, users_file=files.users, interface=("127.0.0.1",), **options) as running:
        yield running


@pytest.mark.parametrize(("tool", "arguments"), [("qpid-config", ["queues"]), ("qpid-stat", ["-q"]), ("qpid-tool", [])])
def test_a_password(run: Run, broker: qpid_server.Running, tool: str, arguments: list[str]) -> None:
    address = broker.url.rpartition("@")[2]
    assert run(tool, *arguments, "-b", f"ann/secret@{address}")[0] == 0
    status, out = run(tool, *arguments, "-b", f"ann/wrong@{address}")
    assert (status, out[:29]) == (1, "Failed: AuthenticationFailure")
    assert run(tool, *arguments, "-b", address)[0] == 1


@pytest.mark.parametrize(("mechanism", "status"), [("CRAM-MD5", 0), ("PLAIN", 0), ("ANONYMOUS", 1), ("NOSUCH", 1)])
def test_a_mechanism(run: Run, broker: qpid_server.Running, mechanism: str, status: int) -> None:
    address = broker.url.rpartition("@")[2]
    found, out = run("qpid-stat", "-c", "-b", f"ann/secret@{address}", "--sasl-mechanism", mechanism)
    assert found == status
    assert mechanism in out


def tls_address(broker: qpid_server.Running) -> str:
    assert broker.tls_url is not None
    return f"amqps://localhost:{broker.tls_url.rpartition(':')[2]}"


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--ssl-trustfile", "{ca}"], " ann "),
        (["--ssl-skip-hostname-check"], " ann "),
        ([], "certificate"),
        (["--ssl-trustfile", "{users}"], "ssl_trustfile"),
    ],
)
def test_a_broker_to_trust(run: Run, broker: qpid_server.Running, files: Files, options: list[str], said: str) -> None:
    options = [option.format_map(vars(files)) for option in options]
    url = tls_address(broker).replace("//", "//ann/secret@")
    status, out = run("qpid-stat", "-c", "-b", url, *options)
    assert said in out
    assert status == (0 if said == " ann " else 1)


def test_a_certificate_to_show(run: Run, broker: qpid_server.Running, files: Files) -> None:
    shown = ["--ssl-trustfile", files.ca, "--ssl-certificate", files.client, "--ssl-key", files.client_key]
    status, out = run("qpid-stat", "-c", "-b", tls_address(broker), *shown, "--sasl-mechanism", "EXTERNAL")
    assert status == 0, out
    assert " EXTERNAL " in out
    assert " carl " in out
