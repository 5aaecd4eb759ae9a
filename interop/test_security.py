"""The original client comes in, and does not: passwords, TLS, certificates."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import trustme

from interop.broker_process import BrokerProcess, running_broker
from interop.peers import QpidPython
from qpid_server.security.users import UsersFile

# Python 2.7: python -c CODE URL OPTIONS; prints what came back, or the class of what was raised.
CODE = """
import ast, sys
from qpid.messaging import Connection, Message
from qpid.messaging.exceptions import MessagingError
try:
    connection = Connection.establish(sys.argv[1], **ast.literal_eval(sys.argv[2]))
    session = connection.session()
    sender = session.sender("q; {create: always, delete: always}")
    receiver = session.receiver("q")
    sender.send(Message(content="hello"))
    sys.stdout.write(str(receiver.fetch(timeout=10).content))
    session.acknowledge()
    connection.close()
except MessagingError as error:
    sys.stdout.write("%s: %s" % (type(error).__name__, error))
"""


@pytest.fixture
def users_file(tmp_path: Path) -> str:
    users = UsersFile(tmp_path / "users")
    users.add("bob", "secret", cram_md5=True, digest_md5=True)
    return str(users.path)


@contextmanager
def tls_broker(folder: Path, *options: str) -> Iterator[tuple[BrokerProcess, str, dict[str, str]]]:
    """A broker with TLS; its TLS port; and the files of a client of it, by option."""
    authority = trustme.CA()
    authority.cert_pem.write_to_path(str(folder / "ca.pem"))
    authority.issue_cert("127.0.0.1").private_key_and_cert_chain_pem.write_to_path(str(folder / "server.pem"))
    authority.issue_cert(common_name="carl").private_key_and_cert_chain_pem.write_to_path(str(folder / "client.pem"))
    files = {"ssl-cert-file": "server.pem", "ssl-ca-file": "ca.pem"}
    arguments = [word for name, file in files.items() for word in (f"--{name}", str(folder / file))]
    with running_broker("--ssl-port", "0", *arguments, *options) as broker:
        assert broker.process.stdout is not None
        tls_url = f"127.0.0.1:{int(broker.process.stdout.readline())}"
        shown = {"ssl_trustfile": str(folder / "ca.pem"), "ssl_certfile": str(folder / "client.pem")}
        yield broker, tls_url, shown


def original(peer: QpidPython, url: str, **options: object) -> str:
    """What the original client says of an attempt to send a message and to fetch it."""
    command = [str(peer.python), "-c", CODE, url, repr(options)]
    done = subprocess.run(command, env=peer.environment, capture_output=True, text=True, timeout=30, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def refused(peer: QpidPython, url: str, reason: str, **options: object) -> str:
    """What it says of an attempt for which it is told that reason why it is not let in.

    Its I/O thread overwrites that with its own words for the end of the connection where it sees that before its main
    thread gets a turn: on a busy machine it is asked again.
    """
    for _ in range(10):
        said = original(peer, url, **options)
        if reason in said:
            return said
    pytest.fail(f"{reason!r} was not among its reasons; the last was {said!r}")


def test_passwords(qpid_python: QpidPython, users_file: str) -> None:
    with running_broker("--auth", "yes", "--users-file", users_file) as broker:
        assert original(qpid_python, broker.url, username="bob", password="secret") == "hello"
        for name, password in (("bob", "wrong"), ("eve", "secret")):
            said = refused(qpid_python, broker.url, "Authentication failed", username=name, password=password)
            assert said.startswith(("AuthenticationFailure", "ConnectionError"))
        # It knows no mechanism in common: it has no user name to give.
        assert original(qpid_python, broker.url).startswith("AuthenticationFailure")


def test_anonymous(qpid_python: QpidPython, users_file: str) -> None:
    options = ("--auth", "yes", "--users-file", users_file, "--sasl-mechanisms", "PLAIN ANONYMOUS")
    with running_broker(*options) as broker:
        assert original(qpid_python, broker.url) == "hello"


def test_tls(qpid_python: QpidPython, users_file: str, tmp_path: Path) -> None:
    options = ("--auth", "yes", "--users-file", users_file, "--require-encryption")
    with tls_broker(tmp_path, *options) as (broker, tls_url, files):
        bob = {"username": "bob", "password": "secret"}
        assert original(qpid_python, tls_url, transport="ssl", **bob) == "hello"
        trusting = {"transport": "ssl", "ssl_trustfile": files["ssl_trustfile"], "ssl_skip_hostname_check": True}
        assert original(qpid_python, tls_url, **trusting, **bob) == "hello"
        refused(qpid_python, broker.url, "must be encrypted", **bob)


def test_external(qpid_python: QpidPython, users_file: str, tmp_path: Path) -> None:
    """It says who it is beside the certificate, which has to agree."""
    options = ("--auth", "yes", "--users-file", users_file, "--ssl-require-client-authentication")
    with tls_broker(tmp_path, *options) as (_, tls_url, files):
        certified = {"transport": "ssl", "ssl_skip_hostname_check": True, "sasl_mechanisms": "EXTERNAL", **files}
        assert original(qpid_python, tls_url, username="carl", **certified) == "hello"
        refused(qpid_python, tls_url, "Authentication failed", username="root", **certified)
        del certified["ssl_certfile"]
        assert original(qpid_python, tls_url, username="carl", **certified).startswith("Conn")
