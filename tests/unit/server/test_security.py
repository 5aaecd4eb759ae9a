"""Who may come in: users and their file, mechanisms, TLS identities, ACL files, options, and the queue of logins."""

from __future__ import annotations

import contextlib
import io
import os
import stat
import threading
from base64 import b64encode
from pathlib import Path
from typing import Any

import anyio
import pytest
from hypothesis import given
from hypothesis import strategies as st

from qpid_messaging.amqp import commands as c
from qpid_messaging.amqp.connection import ClientConnection
from qpid_messaging.amqp.events import Closed, Opened
from qpid_messaging.amqp.sasl import Accepted, Challenge, Mechanism, SASLError, choose
from qpid_messaging.amqp.sasl.scram import ScramSHA256
from qpid_messaging.management.qmf import Opcode
from qpid_server.connection import ConnectionHandler
from qpid_server.option_sources import parse_options
from qpid_server.options import OptionError, Options
from qpid_server.security import users as users_module
from qpid_server.security.acl import demand_allow_all
from qpid_server.security.authenticator import NOWHERE, Authenticator, Origin, Outcome, Refused, Slow
from qpid_server.security.login_queue import LoginQueue
from qpid_server.security.tls import identity, server_context
from qpid_server.security.users import User, UsersError, UsersFile
from qpid_server.tools.qpid_passwd import main as qpid_passwd
from tests.unit.management.console import Console

from .driver import Link, Peer, make_broker

QUICK = 4096
ENCRYPTED = Origin("192.0.2.1", encrypted=True)
PASSWORD_MECHANISMS = ["SCRAM-SHA-256", "DIGEST-MD5", "CRAM-MD5", "PLAIN"]


@pytest.fixture
def users(tmp_path: Path) -> UsersFile:
    users = UsersFile(tmp_path / "users")
    users.add("bob", "sécret", iterations=QUICK)
    return users


@pytest.fixture
def old_style(users: UsersFile) -> UsersFile:
    users.add("ann", "sécret", iterations=QUICK, digest_md5=True, cram_md5=True)
    return users


def authenticate(
    authenticator: Authenticator, client: Mechanism, name: str | None = None, origin: Origin = NOWHERE
) -> Outcome:
    exchange = authenticator.begin(name or client.name, origin)
    outcome = exchange.respond(client.initial())
    while isinstance(outcome, Challenge):
        outcome = exchange.respond(client.respond(outcome.data))
    return outcome.find() if isinstance(outcome, Slow) else outcome


def log_in(authenticator: Authenticator, mechanism: str, name: str, password: str) -> Outcome:
    return authenticate(authenticator, choose([mechanism], name, password, host="localhost"))


# -- mechanisms


@pytest.mark.parametrize("mechanism", PASSWORD_MECHANISMS)
def test_the_right_password(old_style: UsersFile, mechanism: str) -> None:
    assert log_in(Authenticator(old_style), mechanism, "ann", "sécret") == Accepted("ann")


@pytest.mark.parametrize("mechanism", PASSWORD_MECHANISMS)
@pytest.mark.parametrize(("name", "password"), [("ann", "wrong"), ("ann", ""), ("eve", "sécret")])
def test_a_wrong_password_and_an_unknown_user(old_style: UsersFile, mechanism: str, name: str, password: str) -> None:
    refused = log_in(Authenticator(old_style), mechanism, name, password)
    assert isinstance(refused, Refused)
    assert refused.text == "Authentication failed"
    assert "sécret" not in refused.reason


@pytest.mark.parametrize("mechanism", ["DIGEST-MD5", "CRAM-MD5"])
def test_weaker_secrets_are_kept_for_those_only_who_asked(old_style: UsersFile, mechanism: str) -> None:
    assert isinstance(log_in(Authenticator(old_style), mechanism, "bob", "sécret"), Refused)
    assert old_style.path is not None
    bob, ann = old_style.path.read_text().splitlines()
    assert "MD5" not in bob
    assert b64encode("sécret".encode()).decode() in ann
    assert "sécret" not in ann


def test_a_digest_is_good_in_its_realm_only(old_style: UsersFile) -> None:
    assert isinstance(log_in(Authenticator(old_style, realm="OTHER"), "DIGEST-MD5", "ann", "sécret"), Refused)


def test_what_is_offered(users: UsersFile) -> None:
    certified = Origin("h", encrypted=True, identity="carl")
    assert Authenticator().mechanisms() == ["PLAIN", "ANONYMOUS"]
    assert Authenticator(UsersFile(None)).mechanisms() == ["SCRAM-SHA-256", "PLAIN"]
    assert Authenticator(users).mechanisms() == ["SCRAM-SHA-256", "PLAIN"]
    assert Authenticator(users).mechanisms(certified) == ["EXTERNAL", "SCRAM-SHA-256", "PLAIN"]
    assert Authenticator(users, permitted=["PLAIN", "ANONYMOUS"]).mechanisms() == ["PLAIN", "ANONYMOUS"]
    assert Authenticator(users, no_dictionary=True).mechanisms() == ["SCRAM-SHA-256", "PLAIN"]
    assert Authenticator(users, no_dictionary=True).mechanisms(certified) == ["EXTERNAL"]
    assert Authenticator(users, no_dictionary=True).mechanisms(ENCRYPTED) == []
    users.add("ann", "x", iterations=QUICK, digest_md5=True, cram_md5=True)
    assert Authenticator(users).mechanisms() == PASSWORD_MECHANISMS


def test_external_is_whoever_the_certificate_says() -> None:
    origin = Origin("h", encrypted=True, identity="carl")
    authenticator = Authenticator(UsersFile(None))
    assert authenticator.begin("EXTERNAL", origin).respond(b"") == Accepted("carl")
    assert authenticator.begin("EXTERNAL", origin).respond(b"carl") == Accepted("carl")
    assert isinstance(authenticator.begin("EXTERNAL", origin).respond(b"root"), Refused)
    assert isinstance(authenticator.begin("EXTERNAL", ENCRYPTED).respond(b""), Refused)


def test_plain_without_authentication_and_for_others(users: UsersFile) -> None:
    assert Authenticator().begin("PLAIN").respond(b"\0any\0thing") == Accepted("any")
    for response in (b"alice\0bob\0s\xc3\xa9cret", b"no NUL in it", b"\0\0x", b"\0\x07\0x"):
        assert isinstance(Authenticator(users).begin("PLAIN").respond(response), Refused)
    same = Authenticator(users).begin("PLAIN").respond(b"bob\0bob\0s\xc3\xa9cret")
    assert isinstance(same, Slow)
    assert same.find() == Accepted("bob")


def test_a_good_plain_password_is_slow_once(users: UsersFile) -> None:
    authenticator = Authenticator(users)
    good, bad = b"\0bob\0s\xc3\xa9cret", b"\0bob\0other"
    assert isinstance(authenticator.begin("PLAIN").respond(bad), Slow)
    first = authenticator.begin("PLAIN").respond(good)
    assert isinstance(first, Slow)
    first.find()
    assert authenticator.begin("PLAIN").respond(good) == Accepted("bob")
    assert isinstance(authenticator.begin("PLAIN").respond(bad), Slow)
    users.add("bob", "changed", iterations=QUICK)
    assert isinstance(authenticator.begin("PLAIN").respond(good), Slow)
    users.delete("bob")
    gone = authenticator.begin("PLAIN").respond(b"\0bob\0changed")
    assert isinstance(gone, Slow)
    assert isinstance(gone.find(), Refused)


def test_unknown_users_cost_as_much_and_have_a_salt_of_their_own(
    users: UsersFile, monkeypatch: pytest.MonkeyPatch
) -> None:
    rounds: list[int] = []
    derive = users_module.derive_keys

    def counting(password: str, salt: bytes, iterations: int) -> Any:
        rounds.append(iterations)
        return derive(password, salt, iterations)

    monkeypatch.setattr(users_module, "derive_keys", counting)
    authenticator = Authenticator(users)
    for name in ("bob", "nobody"):
        assert isinstance(log_in(authenticator, "PLAIN", name, "wrong"), Refused)
    assert rounds == [QUICK, QUICK]

    def challenge(name: str) -> bytes:
        outcome = authenticator.begin("SCRAM-SHA-256").respond(ScramSHA256(name, "x", "nonce").initial())
        assert isinstance(outcome, Challenge)
        return outcome.data.partition(b",")[2]

    assert challenge("nobody") == challenge("nobody") != challenge("somebody")
    assert challenge("nobody").endswith(challenge("bob").rpartition(b",")[2])
    assert len(challenge("nobody")) == len(challenge("bob"))


@given(st.sampled_from([*PASSWORD_MECHANISMS, "EXTERNAL"]), st.lists(st.binary(max_size=60), min_size=1, max_size=3))
def test_nonsense_is_refused(mechanism: str, responses: list[bytes]) -> None:
    exchange = Authenticator(UsersFile(None)).begin(mechanism)
    for response in responses:
        outcome = exchange.respond(response)
        if isinstance(outcome, Slow):
            outcome = Refused("not worth the time")
        assert isinstance(outcome, (Challenge, Refused))
        if isinstance(outcome, Refused):
            break


# -- connections


def talk(authenticator: Authenticator, origin: Origin, **options: Any) -> tuple[ConnectionHandler, list[object]]:
    client = ClientConnection(lambda offered: choose(offered, "bob", "sécret"))
    handler = ConnectionHandler(make_broker(**options), "test:1", authenticator, origin=origin)
    events: list[object] = []
    for _ in range(6):
        handler.receive(client.data_to_send())
        events += client.receive(handler.data_to_send())
    return handler, events


def test_encryption_demanded(users: UsersFile) -> None:
    authenticator = Authenticator(users, require_encryption=True)
    handler, events = talk(authenticator, Origin("h"))
    assert events == [Closed(320, "the connection must be encrypted", by_peer=True)]
    assert handler.finished
    assert not handler.user
    _, events = talk(authenticator, ENCRYPTED)
    assert isinstance(events[-1], Opened)


def test_connections_of_one_user(users: UsersFile) -> None:
    broker = make_broker(connection_limit_per_user=2)
    said: list[object] = []
    for name in ("bob", "bob", "bob", "eve"):
        client = ClientConnection(lambda offered, name=name: choose(offered, name, "x"))
        handler = ConnectionHandler(broker, "test:1", Authenticator())
        for _ in range(6):
            handler.receive(client.data_to_send())
            said += client.receive(handler.data_to_send())
    kinds = [type(event) for event in said]
    assert kinds == [Opened, Opened, Closed, Opened]
    assert isinstance(said[2], Closed)
    assert said[2].code == 320
    assert "limit" in said[2].text


def test_queues_of_one_user() -> None:
    """Whoever has as many as may be declares no more, by command or by management; others and old queues go on."""
    console = Console(max_queues_per_user=2)
    broker = console.broker

    def declare(user: str, name: str) -> Peer:
        peer = Link(broker, username=user).session(b"%d" % len(broker.sessions))
        peer.declare(name)
        return peer

    assert declare("bob", "one").failure is None
    assert declare("bob", "two").failure is None
    refused = declare("bob", "three").failure
    assert refused is not None
    assert refused.error_code == 403
    assert "max-queues-per-user" in (refused.description or "")
    assert "three" not in broker.queues
    again = declare("bob", "two")
    assert again.failure is None
    assert declare("eve", "three").failure is None
    again.do(c.QueueDelete(queue="one"))
    assert declare("bob", "four").failure is None
    assert broker.queues_by_user == {"bob": 2, "eve": 1, "": 1}, "the console has one for what it is told"
    created = [console.call("create", {"type": "queue", "name": name}) for name in ("a", "b")]
    assert created[0].opcode == Opcode.METHOD_RESPONSE
    assert "max-queues-per-user" in created[1].error[1]


# -- the file


def test_secrets_are_salted_and_readable_again() -> None:
    one = User.of("n", "x", iterations=QUICK, digest_md5=True, cram_md5=True, realm="R")
    other = User.of("n", "x", iterations=QUICK)
    assert one.scram.salt != other.scram.salt
    assert User.parse(str(one)) == one
    assert User.parse(str(other)) == other
    assert one.matches("x")
    assert not one.matches("y")
    assert User.of("n", "x").scram.iterations >= 10_000


def test_the_file_is_private_and_replaced_as_a_whole(users: UsersFile, tmp_path: Path) -> None:
    assert users.path is not None
    assert stat.S_IMODE(users.path.stat().st_mode) == 0o600
    before = users.path.stat().st_ino
    with users.path.open() as old:
        users.add("eve", "x", iterations=QUICK)
        assert "eve" not in old.read()
    assert users.path.stat().st_ino != before
    assert os.listdir(tmp_path) == ["users"]


def test_a_link_to_the_file_stays_a_link(users: UsersFile, tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(tmp_path / "users")
    UsersFile(tmp_path / "link").add("eve", "x", iterations=QUICK)
    assert (tmp_path / "link").is_symlink()
    assert list(users.load()) == ["bob", "eve"]


def test_nobody_s_change_is_lost(users: UsersFile) -> None:
    def add(n: int) -> None:
        UsersFile(users.path).add(f"user{n}", "x", iterations=QUICK)

    threads = [threading.Thread(target=add, args=(n,)) for n in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(users.load()) == 9


def test_the_file_is_read_again_when_it_changes(users: UsersFile) -> None:
    authenticator = Authenticator(users)
    other = UsersFile(users.path)
    other.add("eve", "pw", iterations=QUICK)
    assert log_in(authenticator, "SCRAM-SHA-256", "eve", "pw") == Accepted("eve")
    other.delete("eve")
    assert isinstance(log_in(authenticator, "SCRAM-SHA-256", "eve", "pw"), Refused)


@pytest.mark.parametrize(
    "line",
    [
        "bob",
        "bob:secret",
        "bob:scrypt:16384:8:1:AA==:AA==",
        "bob:SCRAM-SHA-256$20000:AA==$AA==:AA==",
        f"bob:SCRAM-SHA-256$1:AA==${b64encode(b'x' * 32).decode()}:{b64encode(b'x' * 32).decode()}",
        "bob:SCRAM-SHA-256$20000:!$x:x",
        "bob:DIGEST-MD5$QPID$00",
        "bob:DIGEST-MD5$QPID$xx",
        "bob:CRAM-MD5$!",
        "bob:CRAM-MD5$eA==",
    ],
)
def test_a_broken_file(users: UsersFile, line: str) -> None:
    authenticator = Authenticator(users)
    assert log_in(authenticator, "PLAIN", "bob", "sécret") == Accepted("bob")
    assert users.path is not None
    users.path.write_text(f"# comment\n\n{line}\n")
    with pytest.raises(UsersError, match="line 3"):
        UsersFile(users.path).load()
    assert log_in(authenticator, "PLAIN", "bob", "sécret") == Accepted("bob"), "those known before still come in"
    with pytest.raises(UsersError):
        users.add("eve", "x", iterations=QUICK)
    assert line in users.path.read_text(), "a broken file is not written over"


@given(st.binary(max_size=80))
def test_any_file_is_read_or_refused(tmp_path_factory: pytest.TempPathFactory, content: bytes) -> None:
    path = tmp_path_factory.getbasetemp() / "damaged"
    path.write_bytes(content)
    with contextlib.suppress(UsersError):
        UsersFile(path).load()


def test_names_and_realms_that_cannot_be(users: UsersFile) -> None:
    for name in ("", "a:b", "#x", " a"):
        with pytest.raises(ValueError, match="cannot be"):
            users.add(name, "x", iterations=QUICK)
    for realm in ("", "a b", "a$b"):
        with pytest.raises(ValueError, match="cannot be"):
            users.add("a", "x", iterations=QUICK, realm=realm)
    with pytest.raises(SASLError):
        users.add("a\nb", "x", iterations=QUICK)


# -- qpid-passwd


def passwd(monkeypatch: pytest.MonkeyPatch, text: str, *arguments: str) -> int:
    monkeypatch.setattr("sys.stdin", io.StringIO(text))
    return qpid_passwd(arguments)


def test_the_tool(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    file = str(tmp_path / "new" / "users")
    quick = ("--iterations", "10000")
    assert passwd(monkeypatch, "one\n", "-f", file, "add", "bob", *quick) == 0
    assert (
        passwd(monkeypatch, "two", "-f", file, "add", "ann", "--digest-md5", "--cram-md5", "--realm", "R", *quick) == 0
    )
    authenticator = Authenticator(UsersFile(Path(file)), realm="R")
    assert log_in(authenticator, "SCRAM-SHA-256", "bob", "one") == Accepted("bob")
    assert log_in(authenticator, "DIGEST-MD5", "ann", "two") == Accepted("ann")
    assert passwd(monkeypatch, "", "-f", file, "list") == 0
    assert capsys.readouterr().out == "ann\nbob\n"
    assert passwd(monkeypatch, "", "-f", file, "list", "-v") == 0
    assert "bob  SCRAM-SHA-256 PLAIN\n" in capsys.readouterr().out
    assert passwd(monkeypatch, "", "-f", file, "delete", "bob") == 0
    assert passwd(monkeypatch, "", "-f", file, "delete", "bob") == 1
    assert "no user 'bob'" in capsys.readouterr().err
    for nothing in ("", "\n"):
        assert passwd(monkeypatch, nothing, "-f", file, "add", "bob") == 1
        assert "no password" in capsys.readouterr().err
    assert passwd(monkeypatch, "x\n", "-f", file, "add", "a:b", *quick) == 1
    with pytest.raises(SystemExit):
        passwd(monkeypatch, "x\n", "-f", file, "add", "bob", "--iterations", "9999")
    with pytest.raises(SystemExit):
        passwd(monkeypatch, "x\n", "-f", file, "add", "bob", "password")


def test_the_tool_finds_the_broker_s_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("QPID_DATA_DIR", str(tmp_path))
    monkeypatch.setenv("QPID_REALM", "THERE")
    assert passwd(monkeypatch, "x\n", "add", "bob", "--digest-md5") == 0
    assert "$THERE$" in (tmp_path / "qpidd.users").read_text()


# -- options


@pytest.mark.parametrize("name", ["ssl-cert-db", "ssl-cert-name", "ssl-use-export-policy"])
def test_certificate_databases_are_refused_with_a_hint(tmp_path: Path, name: str) -> None:
    file = tmp_path / "qpidd.conf"
    file.write_text(f"{name}=/x\n")
    for arguments, environment in (
        ([f"--{name}", "/x"], {}),
        ([f"--{name}=/x"], {}),
        (["--config", str(file)], {}),
        ([], {"QPID_" + name.upper().replace("-", "_"): "/x"}),
    ):
        with pytest.raises(OptionError, match=f"(?i){name.replace('-', '.')} is not supported: "):
            parse_options(arguments, environment)


def test_security_options() -> None:
    options, _ = parse_options(
        ["--require-encryption", "--ssl-port", "1", "--ssl-port", "2", "--sasl-mechanisms", "PLAIN,EXTERNAL"], {}
    )
    assert options.require_encryption
    assert options.ssl_port == (1, 2)
    assert options.sasl_mechanisms.split() == ["PLAIN", "EXTERNAL"]
    with pytest.raises(OptionError, match="GSSAPI"):
        parse_options(["--sasl-mechanisms", "GSSAPI"], {})


@pytest.mark.parametrize(
    "options",
    [
        {"ssl_key_file": "/x"},
        {"ssl_ca_file": "/x"},
        {"ssl_require_client_authentication": True},
        {"ssl_cert_file": "/does/not/exist"},
        {"ssl_cert_file": "/dev/null"},
    ],
)
def test_tls_files_that_do_not_do(options: dict[str, Any]) -> None:
    with pytest.raises(OptionError, match="ssl-"):
        server_context(Options(**options))


def test_no_certificate_no_tls() -> None:
    assert server_context(Options()) is None


@pytest.mark.parametrize(
    ("subject", "name"),
    [
        ([[("commonName", "carl")]], "carl"),
        ([[("domainComponent", "com")], [("domainComponent", "acme")], [("commonName", "bob")]], "bob@acme.com"),
        ([[("organizationName", "acme")]], ""),
        ([[("commonName", "")]], ""),
        ([], ""),
    ],
)
def test_who_a_certificate_speaks_of(subject: Any, name: str) -> None:
    assert identity({"subject": subject}) == name
    assert identity(None) == ""


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("acl allow all all\n", ""),
        ("# all of them\n\n  ACL   Allow all  ALL\n", ""),
        ("acl deny all all\n", ":1: access control lists are not supported"),
        ("acl allow all all\nacl deny eve publish\n", ":2: access"),
        ("group x a b\n", ":1: access"),
        ("acl allow bob@QPID all\n", ":1: access"),
        ("# nothing\n", "no rule"),
    ],
)
def test_acl_files(tmp_path: Path, text: str, said: str) -> None:
    path = tmp_path / "policy.acl"
    path.write_text(text)
    assert Options(acl_file="policy.acl", data_dir=str(tmp_path)).acl_path == path
    if said:
        with pytest.raises(OptionError, match=said):
            demand_allow_all(path)
    else:
        demand_allow_all(path)
    with pytest.raises(OptionError, match="missing"):
        demand_allow_all(tmp_path / "missing")


# -- the queue of logins


def test_several_checks_run_at_a_time() -> None:
    together = threading.Barrier(2, timeout=5)

    def find() -> Accepted:
        together.wait()
        return Accepted("")

    async def main() -> None:
        queue = LoginQueue(threads=2)
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(queue.run)
            for _ in range(3):
                answers: list[object] = []
                arrived = anyio.Event()

                def answer(outcome: object, answers: list[object] = answers, arrived: anyio.Event = arrived) -> None:
                    answers.append(outcome)
                    if len(answers) == 2:
                        arrived.set()

                await anyio.wait_all_tasks_blocked()
                for name in "ab":
                    queue.submit("host", Slow(find, name), lambda: True, answer)
                with anyio.fail_after(10):
                    await arrived.wait()
                assert answers == [Accepted(""), Accepted("")]
            tasks.cancel_scope.cancel()

    anyio.run(main)


def test_hosts_and_users_take_turns() -> None:
    answers: list[str] = []
    refused: list[Refused] = []
    awaited = [8, 9]
    arrived: anyio.Event

    def login(queue: LoginQueue, host: str, name: str, wanted: bool = True) -> None:
        def answer(outcome: Accepted | Refused) -> None:
            if isinstance(outcome, Accepted):
                answers.append(f"{host} {name}")
                if len(answers) == awaited[0]:
                    awaited.pop(0)
                    arrived.set()
            else:
                refused.append(outcome)

        queue.submit(host, Slow(lambda: Accepted(name), name), lambda: wanted, answer)

    async def main() -> None:
        nonlocal arrived
        arrived = anyio.Event()
        queue = LoginQueue(most_of_host=5, most=9, threads=1)
        for _ in range(6):
            login(queue, "attacker", "root")
        assert len(refused) == 1
        assert "too many" in refused[0].text
        login(queue, "honest", "ann")
        login(queue, "honest", "ann", wanted=False)
        login(queue, "honest", "bob")
        login(queue, "other", "carl")
        login(queue, "yet another", "dave")
        assert len(refused) == 2
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(queue.run)
            with anyio.fail_after(5):
                await arrived.wait()
            arrived = anyio.Event()
            login(queue, "late", "eve")
            with anyio.fail_after(5):
                await arrived.wait()
            tasks.cancel_scope.cancel()

    anyio.run(main)
    assert answers == [
        "attacker root", "honest ann", "other carl", "attacker root", "honest bob",
        "attacker root", "attacker root", "attacker root", "late eve",
    ]  # fmt: skip
