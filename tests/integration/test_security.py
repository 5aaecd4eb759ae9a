"""Coming in, and not coming in: every mechanism, TLS with all kinds of certificates, limits, a crowd at the door."""

from __future__ import annotations

import logging
import os
import socket
import ssl
import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest
import trustme

import qpid_server
from qpid_messaging import (
    AuthenticationFailure,
    ConnectError,
    Connection,
    ConnectionError,
    Message,
    VersionError,
)
from qpid_messaging.amqp.framing import PROTOCOL_HEADER
from qpid_server.options import OptionError
from qpid_server.security.users import UsersFile

TIMEOUT = 10


class Certificates:
    """Two authorities, one of them trusted, and what they issued, in PEM files."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.authority, self.stranger = trustme.CA(), trustme.CA()
        self.ca = self._write("ca", self.authority.cert_pem)
        self.other_ca = self._write("other-ca", self.stranger.cert_pem)
        self.server = self.issue("server", "localhost", "127.0.0.1")
        self.client = self.issue("client", common_name="carl")

    def issue(self, file: str, *names: str, stranger: bool = False, **settings: Any) -> tuple[str, str]:
        """Files of a certificate and of its key."""
        issued = (self.stranger if stranger else self.authority).issue_cert(*names, **settings)
        certificate = b"".join(blob.bytes() for blob in issued.cert_chain_pems)
        (self._folder / f"{file}.pem").write_bytes(certificate)
        return str(self._folder / f"{file}.pem"), self._write(f"{file}.key", issued.private_key_pem)

    def _write(self, name: str, blob: trustme.Blob) -> str:
        path = self._folder / name
        blob.write_to_path(str(path))
        return str(path)


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    return Certificates(tmp_path_factory.mktemp("certificates"))


@pytest.fixture(scope="module")
def users_file(tmp_path_factory: pytest.TempPathFactory) -> str:
    users = UsersFile(tmp_path_factory.mktemp("users") / "users")
    users.add("bob", "sécret", digest_md5=True, cram_md5=True)
    return str(users.path)


@contextmanager
def tls_broker(certificates: Certificates, **options: Any) -> Iterator[qpid_server.Running]:
    certificate, key = certificates.server
    defaults = {"ssl_port": (0,), "ssl_cert_file": certificate, "ssl_key_file": key}
    with qpid_server.running(**{**defaults, **options}) as broker:
        assert broker.tls_url is not None
        yield broker


def send_and_fetch(connection: Connection, size: int = 10) -> None:
    session = connection.session()
    sender = session.sender("q; {create: always, delete: always}")
    receiver = session.receiver("q")
    sender.send(Message(content=b"x" * size))
    assert receiver.fetch(timeout=TIMEOUT).content == b"x" * size
    session.acknowledge()


def user_of(broker: qpid_server.Running) -> list[str]:
    return broker.call(lambda: [connection.user for connection in broker.broker.connections])


# -- mechanisms


@pytest.mark.parametrize("mechanism", ["SCRAM-SHA-256", "DIGEST-MD5", "CRAM-MD5", "PLAIN", None])
def test_every_mechanism(users_file: str, mechanism: str | None) -> None:
    with qpid_server.running(auth=True, users_file=users_file) as broker:
        credentials = {"username": "bob", "sasl_mechanisms": mechanism}
        with Connection.establish(broker.url, password="sécret", timeout=TIMEOUT, **credentials) as connection:
            send_and_fetch(connection)
            assert user_of(broker) == ["bob"]
            assert connection.auth_username == "bob"
            chosen = broker.call(lambda: next(iter(broker.broker.connections)).machine.mechanism)
            assert chosen == (mechanism or "SCRAM-SHA-256")
        said = []
        for name, password in (("bob", "wrong"), ("eve", "sécret")):
            with pytest.raises(AuthenticationFailure) as caught:
                Connection.establish(
                    broker.url, username=name, password=password, sasl_mechanisms=mechanism, timeout=TIMEOUT
                )
            said.append(str(caught.value))
        assert said[0] == said[1]
        assert broker.url in said[0]


def test_anonymous_only_where_it_is_wanted(users_file: str) -> None:
    with (
        qpid_server.running(auth=True, users_file=users_file) as broker,
        pytest.raises(AuthenticationFailure, match="missing credentials"),
    ):
        Connection.establish(broker.url, timeout=TIMEOUT)
    with (
        qpid_server.running(auth=True, users_file=users_file, sasl_mechanisms="ANONYMOUS") as broker,
        Connection.establish(broker.url, timeout=TIMEOUT),
    ):
        assert user_of(broker) == ["anonymous"]


def test_users_come_and_go_without_a_restart(tmp_path: Path) -> None:
    users = UsersFile(tmp_path / "users")
    with qpid_server.running(auth=True, users_file=str(users.path)) as broker:
        options = {"username": "ann", "password": "x", "timeout": TIMEOUT}
        with pytest.raises(AuthenticationFailure):
            Connection.establish(broker.url, **options)
        users.add("ann", "x")
        Connection.establish(broker.url, **options).close()
        users.delete("ann")
        with pytest.raises(AuthenticationFailure):
            Connection.establish(broker.url, **options)


def test_a_wrong_password_is_no_reason_to_try_again(users_file: str) -> None:
    with qpid_server.running(auth=True, users_file=users_file) as broker, pytest.raises(AuthenticationFailure):
        Connection.establish(broker.url, username="bob", password="x", reconnect=True, timeout=TIMEOUT)


@pytest.mark.parametrize("local", [True, False])
def test_plain_warns_where_somebody_may_read_along(
    users_file: str, local: bool, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("qpid_messaging.transports.SocketTransport.local", property(lambda self: local))
    with qpid_server.running(auth=True, users_file=users_file) as broker:
        for mechanism in ("PLAIN", "SCRAM-SHA-256"):
            caplog.clear()
            with caplog.at_level(logging.WARNING, "qpid_messaging"):
                Connection.establish(
                    broker.url, username="bob", password="sécret", sasl_mechanisms=mechanism, timeout=TIMEOUT
                ).close()
            warned = "not encrypted" in caplog.text
            assert warned == (mechanism == "PLAIN" and not local)
            assert "sécret" not in caplog.text


def test_a_minimal_strength_is_heeded(certificates: Certificates) -> None:
    with tls_broker(certificates) as broker:
        with pytest.raises(AuthenticationFailure, match="sasl_min_ssf"):
            Connection.establish(broker.url, sasl_min_ssf=56, timeout=TIMEOUT)
        Connection.establish(broker.tls_url, ssl_trustfile=certificates.ca, sasl_min_ssf=56, timeout=TIMEOUT).close()


# -- TLS


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
@pytest.mark.parametrize("form", ["amqps", "ssl", "tcp+tls"])
def test_over_tls(certificates: Certificates, backend: str, form: str) -> None:
    with tls_broker(certificates, backend=backend) as broker:
        assert broker.tls_url is not None
        options = {} if form == "amqps" else {"transport": form}
        url = broker.tls_url if form == "amqps" else broker.tls_url.removeprefix("amqps://")
        with Connection.establish(url, ssl_trustfile=certificates.ca, timeout=TIMEOUT, **options) as connection:
            send_and_fetch(connection)
            send_and_fetch(connection, 3_000_000)


def test_many_messages_both_ways_over_tls(certificates: Certificates) -> None:
    with (
        tls_broker(certificates) as broker,
        Connection.establish(broker.tls_url, ssl_trustfile=certificates.ca, timeout=TIMEOUT) as connection,
    ):
        session = connection.session()
        sender = session.sender("q; {create: always, delete: always}", capacity=1000)
        receiver = session.receiver("q", capacity=1000)
        for n in range(3000):
            sender.send(Message(content=f"{n}" + "x" * 500), sync=False)
        for n in range(3000):
            assert receiver.fetch(timeout=TIMEOUT).content.startswith(f"{n}x")
        session.acknowledge()


def test_several_tls_ports(certificates: Certificates) -> None:
    with tls_broker(certificates, ssl_port=(0, 0)) as broker:
        assert len(broker.server.tls_addresses) == 2
        for host, port in broker.server.tls_addresses:
            Connection.establish(f"amqps://{host}:{port}", ssl_trustfile=certificates.ca, timeout=TIMEOUT).close()


def test_a_certificate_for_another_host(certificates: Certificates) -> None:
    certificate, key = certificates.issue("elsewhere", "elsewhere.example.org")
    with tls_broker(certificates, ssl_cert_file=certificate, ssl_key_file=key) as broker:
        assert broker.tls_url is not None
        where = broker.tls_url.removeprefix("amqps://")
        with pytest.raises(ConnectError, match=rf"^{where}: .*certificate is not good.*mismatch"):
            Connection.establish(broker.tls_url, ssl_trustfile=certificates.ca, timeout=TIMEOUT)
        lax = {"ssl_skip_hostname_check": True, "timeout": TIMEOUT}
        Connection.establish(broker.tls_url, ssl_trustfile=certificates.ca, **lax).close()
        with pytest.raises(ConnectError, match="certificate is not good"):
            Connection.establish(broker.tls_url, ssl_trustfile=certificates.other_ca, **lax)
        Connection.establish(broker.tls_url, **lax).close()


def test_an_expired_certificate(certificates: Certificates) -> None:
    past = datetime.now(timezone.utc) - timedelta(days=2)
    certificate, key = certificates.issue("expired", "127.0.0.1", not_before=past, not_after=past + timedelta(days=1))
    with (
        tls_broker(certificates, ssl_cert_file=certificate, ssl_key_file=key) as broker,
        pytest.raises(ConnectError, match="expired"),
    ):
        Connection.establish(broker.tls_url, ssl_trustfile=certificates.ca, timeout=TIMEOUT)


@pytest.mark.parametrize("trusting", ["another", "the system's"])
def test_a_certificate_of_an_unknown_authority(certificates: Certificates, trusting: str) -> None:
    trust = certificates.other_ca if trusting == "another" else None
    with tls_broker(certificates) as broker, pytest.raises(ConnectError, match="certificate is not good"):
        Connection.establish(broker.tls_url, ssl_trustfile=trust, timeout=TIMEOUT)


def test_files_that_the_client_cannot_read(certificates: Certificates, tmp_path: Path) -> None:
    with tls_broker(certificates) as broker:
        for option in ("ssl_trustfile", "ssl_certfile"):
            file = str(tmp_path / "missing.pem")
            with pytest.raises(ConnectError, match=rf"{option}.*missing\.pem.*No such file"):
                Connection.establish(broker.tls_url, timeout=TIMEOUT, **{option: file})


def test_a_plain_client_on_the_tls_port(certificates: Certificates) -> None:
    with tls_broker(certificates) as broker:
        assert broker.tls_url is not None
        where = broker.tls_url.removeprefix("amqps://")
        with pytest.raises((VersionError, ConnectionError), match=f"^{where}: (the broker speaks TLS|.*abort|.*reset)"):
            Connection.establish(where, timeout=TIMEOUT)
        Connection.establish(broker.tls_url, ssl_trustfile=certificates.ca, timeout=TIMEOUT).close()


def test_a_tls_client_on_the_plain_port(certificates: Certificates) -> None:
    with tls_broker(certificates) as broker:
        with pytest.raises(ConnectError, match=f"^{broker.url}: .*does not speak TLS"):
            Connection.establish(broker.url, transport="ssl", ssl_trustfile=certificates.ca, timeout=TIMEOUT)
        Connection.establish(broker.url, timeout=TIMEOUT).close()


def test_who_does_not_shake_hands_is_closed(certificates: Certificates) -> None:
    with tls_broker(certificates, max_negotiate_time=300, max_connections=1) as broker:
        address = broker.server.tls_addresses[0]
        with socket.create_connection(address, TIMEOUT) as idle:
            began = time.monotonic()
            with pytest.raises((ConnectError, ConnectionError)):  # the idle one counts
                Connection.establish(broker.tls_url, ssl_trustfile=certificates.ca, timeout=TIMEOUT)
            assert idle.recv(100) == b""
            assert 0.2 < time.monotonic() - began < 3
        Connection.establish(broker.tls_url, ssl_trustfile=certificates.ca, timeout=TIMEOUT).close()


def test_encryption_demanded(certificates: Certificates, users_file: str) -> None:
    options = {"username": "bob", "password": "sécret", "timeout": TIMEOUT}
    with tls_broker(certificates, require_encryption=True, auth=True, users_file=users_file) as broker:
        with pytest.raises(ConnectionError, match="must be encrypted"):
            Connection.establish(broker.url, **options)
        Connection.establish(broker.tls_url, ssl_trustfile=certificates.ca, **options).close()


# -- certificates of clients


def test_external(certificates: Certificates, users_file: str) -> None:
    certificate, key = certificates.client
    shown = {"ssl_certfile": certificate, "ssl_keyfile": key, "ssl_trustfile": certificates.ca, "timeout": TIMEOUT}
    with tls_broker(certificates, ssl_ca_file=certificates.ca, auth=True, users_file=users_file) as broker:
        for options in ({}, {"username": "carl"}, {"sasl_mechanisms": "EXTERNAL PLAIN"}):
            with Connection.establish(broker.tls_url, **shown, **options):
                assert user_of(broker) == ["carl"]
        with Connection.establish(broker.tls_url, username="bob", password="sécret", **shown):
            assert user_of(broker) == ["bob"], "a password goes before a certificate"
        with pytest.raises(AuthenticationFailure):
            Connection.establish(broker.tls_url, username="root", **shown)
        with pytest.raises(AuthenticationFailure, match="missing credentials"):
            Connection.establish(broker.tls_url, ssl_trustfile=certificates.ca, timeout=TIMEOUT)


def test_certificates_demanded(certificates: Certificates) -> None:
    options = {"ssl_ca_file": certificates.ca, "ssl_require_client_authentication": True, "auth": True}
    strange = certificates.issue("strange", common_name="carl", stranger=True)
    with tls_broker(certificates, ssl_sasl_no_dict=True, **options) as broker:
        trusting = {"ssl_trustfile": certificates.ca, "timeout": TIMEOUT}
        for certificate, key in ((None, None), strange):
            with pytest.raises((ConnectError, ConnectionError), match=r"(certificate required|unknown ca|abort|reset)"):
                Connection.establish(broker.tls_url, ssl_certfile=certificate, ssl_keyfile=key, **trusting)
        certificate, key = certificates.client
        with Connection.establish(broker.tls_url, ssl_certfile=certificate, ssl_keyfile=key, **trusting) as connection:
            send_and_fetch(connection)
            assert user_of(broker) == ["carl"]


def test_an_encrypted_key(certificates: Certificates, tmp_path: Path) -> None:
    from cryptography.hazmat.primitives.serialization import (
        BestAvailableEncryption,
        Encoding,
        PrivateFormat,
        load_pem_private_key,
    )

    certificate, key = certificates.server
    private = load_pem_private_key(Path(key).read_bytes(), None)
    locked = tmp_path / "locked.pem"
    locked.write_bytes(private.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(b"opensesame")))
    (tmp_path / "password").write_text("opensesame\n")
    (tmp_path / "wrong").write_text("wrong\n")
    files = {"ssl_cert_file": certificate, "ssl_key_file": str(locked)}
    for password, hint in (("", "ssl-cert-password-file"), (str(tmp_path / "wrong"), str(locked))):
        with pytest.raises(OptionError, match=hint), tls_broker(certificates, ssl_cert_password_file=password, **files):
            pass
    with tls_broker(certificates, ssl_cert_password_file=str(tmp_path / "password"), **files) as broker:
        Connection.establish(broker.tls_url, ssl_trustfile=certificates.ca, timeout=TIMEOUT).close()


# -- limits


def test_connections_in_all_and_of_one_host() -> None:
    for options in ({"max_connections": 2}, {"connection_limit_per_ip": 2}):
        with qpid_server.running(**options) as broker, ExitStack() as stack:
            opened = [stack.enter_context(Connection.establish(broker.url, timeout=TIMEOUT)) for _ in range(2)]
            with pytest.raises(ConnectionError):
                Connection.establish(broker.url, timeout=TIMEOUT)
            opened[0].close()
            stack.enter_context(Connection.establish(broker.url, timeout=TIMEOUT, reconnect=True))


def test_connections_of_one_user() -> None:
    with qpid_server.running(connection_limit_per_user=1) as broker:
        bob = {"username": "bob", "password": "x", "timeout": TIMEOUT}
        with Connection.establish(broker.url, **bob):
            with pytest.raises(ConnectionError, match="limit"):
                Connection.establish(broker.url, **bob)
            Connection.establish(broker.url, timeout=TIMEOUT).close()
        Connection.establish(broker.url, **bob).close()


def test_messages_that_are_too_large() -> None:
    with qpid_server.running(max_message_size=100_000) as broker:
        with Connection.establish(broker.url, timeout=TIMEOUT) as connection:
            send_and_fetch(connection, 90_000)
        connection = Connection.establish(broker.url, timeout=TIMEOUT)
        with pytest.raises(ConnectionError, match="100000 bytes"):
            send_and_fetch(connection, 200_000)


def test_much_before_the_door_is_not_held() -> None:
    """A segment of many frames, none of them the last, from somebody who has not said who it is."""
    rest = b"\0" + (65535).to_bytes(2, "big") + b"\0" * 8 + b"x" * (65535 - 12)
    with qpid_server.running() as broker, socket.create_connection((broker.host, broker.port), TIMEOUT) as sock:
        sock.sendall(PROTOCOL_HEADER + b"\x0a" + rest)  # the first frame of the first segment
        with pytest.raises(OSError, match=r".*"):  # noqa: PT012
            for _ in range(1000):
                sock.sendall(b"\x08" + rest)
            raise AssertionError("64 MB were taken")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--ssl-cert-db", "/x"], "ssl-cert-file"),
        (["--ssl-cert-file", "/does/not/exist"], "/does/not/exist"),
        (["--acl-file", "/does/not/exist"], "acl-file"),
        (
            ["--ssl-port", "5699", "--listen-disable", "tcp"],
            "nobody listens on ssl-port 5699",
        ),
        (["--ha-cluster", "yes", "--ha-brokers-url", "amqp:["], "ha-brokers-url"),
        (["--ha-cluster", "yes", "--ha-brokers-url", "a,b", "--ha-min-replicas", "2"], "ha-min-replicas is 2, and"),
    ],
)
def test_the_broker_says_what_it_does_not_do(arguments: list[str], said: str) -> None:
    command = [sys.executable, "-m", "qpid_server", "--port", "0", "--no-data-dir", *arguments]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    result = subprocess.run(command, capture_output=True, text=True, timeout=TIMEOUT, env=environment, check=False)
    assert result.returncode == 1
    assert said in result.stderr
    assert "Traceback" not in result.stderr


# -- a crowd


def test_who_tries_passwords_does_not_hold_up_others(tmp_path: Path) -> None:
    """Others' messages, and others' logins, beside clients that do nothing but guess, where a guess takes long."""
    users = UsersFile(tmp_path / "users")
    users.add("bob", "sécret", iterations=500_000)
    with qpid_server.running(auth=True, users_file=str(users.path)) as broker, ExitStack() as stack:
        credentials = {"username": "bob", "password": "sécret", "timeout": TIMEOUT}
        connection = stack.enter_context(Connection.establish(broker.url, **credentials))
        stop = threading.Event()
        tried = [0]

        def guess(n: int) -> None:
            while not stop.is_set():
                with pytest.raises(ConnectionError):
                    Connection.establish(
                        broker.url, username=f"bob{n}", password="guess", sasl_mechanisms="PLAIN", timeout=TIMEOUT
                    )
                tried[0] += 1

        guessers = [threading.Thread(target=guess, args=(n,)) for n in range(4)]
        for guesser in guessers:
            guesser.start()
        try:
            session = connection.session()
            sender, receiver = session.sender("q; {create: always, delete: always}"), session.receiver("q")
            times, logins = [], []
            for n in range(100):
                began = time.monotonic()
                sender.send(Message(content="x"))
                receiver.fetch(timeout=TIMEOUT)
                session.acknowledge()
                times.append(time.monotonic() - began)
                if n % 20 == 0:
                    began = time.monotonic()
                    mechanism = "PLAIN" if n % 40 else "SCRAM-SHA-256"
                    Connection.establish(broker.url, sasl_mechanisms=mechanism, **credentials).close()
                    logins.append(time.monotonic() - began)
        finally:
            stop.set()
            for guesser in guessers:
                guesser.join()
        assert tried[0] > 1
        # Generous: client, broker and guessers share this process and its interpreter lock.
        assert statistics.median(times) < 0.2
        assert max(logins) < 5


# -- a cluster


def test_brokers_of_a_cluster_speak_tls_to_each_other(certificates: Certificates, users_file: str) -> None:
    with ExitStack() as held:
        ports = []
        for _ in range(2):
            sock = held.enter_context(socket.socket())
            sock.bind(("127.0.0.1", 0))
            ports.append(sock.getsockname()[1])
    url = ",".join(f"ssl:127.0.0.1:{port}" for port in ports)
    options = {
        "auth": True,
        "users_file": users_file,
        "require_encryption": True,
        "ssl_ca_file": certificates.ca,
        "ha_cluster": True,
        "ha_brokers_url": url,
        "ha_replicate": "all",
        "ha_username": "bob",
        "ha_password": "sécret",
    }
    client = {"username": "bob", "password": "sécret", "ssl_trustfile": certificates.ca, "timeout": TIMEOUT}
    with (
        tls_broker(certificates, ssl_port=(ports[0],), **options) as one,
        tls_broker(certificates, ssl_port=(ports[1],), **options) as other,
    ):
        promoted: list[Exception | None] = []
        one.call(lambda: one.broker.ha.promote(force=False, done=promoted.append))
        wait_until(lambda: promoted == [None] and other.broker.role == "ready")
        with Connection.establish(f"amqp:{url}", reconnect=True, **client) as connection:
            send_and_fetch(connection)
            session = connection.session()
            session.sender("kept; {create: always}").send(Message(content="x"))
            assert "kept" in other.broker.queues
        assert one.broker.known_hosts() == [f"amqp:ssl:127.0.0.1:{port}" for port in ports]


def wait_until(condition: Callable[[], bool]) -> None:
    """Wait for something in another thread that nobody tells us of."""
    deadline = time.monotonic() + TIMEOUT
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_a_cluster_over_tls_needs_a_certificate() -> None:
    options = {"ha_cluster": True, "ha_brokers_url": "ssl:127.0.0.1:5671"}
    with pytest.raises(OptionError, match="ssl-cert-file"), qpid_server.running(**options):
        pass
    options["ha_brokers_url"] = "ssl:127.0.0.1:5671,tcp:127.0.0.1:5672"
    with pytest.raises(OptionError, match="over the same"), qpid_server.running(**options):
        pass


def test_the_end_of_tls_is_told(certificates: Certificates) -> None:
    """A connection that the broker ends does not look like one that was cut off."""
    with tls_broker(certificates) as broker:
        trusting = ssl.create_default_context(cafile=certificates.ca)
        with (
            socket.create_connection(("127.0.0.1", broker.server.tls_addresses[0][1]), TIMEOUT) as plain,
            trusting.wrap_socket(plain, server_hostname="localhost", suppress_ragged_eofs=False) as client,
        ):
            client.sendall(b"HTTP is not spoken here\r\n\r\n")
            assert client.recv(8) == PROTOCOL_HEADER
            assert client.recv(8) == b""
