"""TLS: a relay that decrypts in front of a broker."""

from __future__ import annotations

import shutil
import socket
import ssl
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

import qpid_server
from qpid_messaging import ConnectError, Connection

pytestmark = pytest.mark.skipif(shutil.which("openssl") is None, reason="openssl makes the certificate")


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    folder = tmp_path_factory.mktemp("tls")
    key, certificate = folder / "key.pem", folder / "certificate.pem"
    subprocess.run(
        [
            *("openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=localhost"),
            *("-addext", "subjectAltName=DNS:localhost", "-keyout", str(key), "-out", str(certificate)),
        ],
        check=True,
        capture_output=True,
    )
    return key, certificate


@pytest.fixture
def port(certificate: tuple[Path, Path]) -> Iterator[int]:
    key, chain = certificate
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(chain, key)
    threads: list[threading.Thread] = []
    with qpid_server.running() as broker, socket.create_server(("127.0.0.1", 0)) as listener:

        def pump(plain: socket.socket, encrypted: ssl.SSLSocket) -> None:
            try:
                while data := plain.recv(65536):
                    encrypted.sendall(data)
            except OSError:
                return

        def serve() -> None:
            while True:
                try:
                    accepted, _ = listener.accept()
                except OSError:
                    return
                with accepted, socket.create_connection((broker.host, broker.port)) as plain:
                    try:
                        with context.wrap_socket(accepted, server_side=True) as encrypted:
                            back = threading.Thread(target=pump, args=(plain, encrypted))
                            back.start()
                            threads.append(back)
                            while data := encrypted.recv(65536):
                                plain.sendall(data)
                            plain.shutdown(socket.SHUT_RDWR)
                            back.join(10)
                    except OSError:
                        continue

        thread = threading.Thread(target=serve)
        thread.start()
        try:
            yield listener.getsockname()[1]
        finally:
            listener.shutdown(socket.SHUT_RDWR)
            thread.join(10)


def test_messages_over_tls(port: int, certificate: tuple[Path, Path]) -> None:
    connection = Connection.establish(f"amqps://localhost:{port}", ssl_trustfile=str(certificate[1]), timeout=10)
    assert connection.transport == "ssl"
    session = connection.session()
    sender = session.sender("q; {create: always}", capacity=100)
    receiver = session.receiver("q", capacity=100)
    for n in range(200):
        sender.send(b"%d" % n + b"x" * 10_000, sync=False)
    for n in range(200):
        assert receiver.fetch(timeout=10).content == b"%d" % n + b"x" * 10_000
        session.acknowledge(sync=False)
    connection.close(timeout=10)


def test_whom_not_to_trust(port: int, certificate: tuple[Path, Path]) -> None:
    with pytest.raises(ConnectError, match=f"localhost:{port}.*(?i:certificate)"):
        Connection.establish(f"localhost:{port}", transport="ssl", timeout=10)
    with pytest.raises(ConnectError, match="127"):
        Connection.establish(f"127.0.0.1:{port}", transport="ssl", ssl_trustfile=str(certificate[1]), timeout=10)
    connection = Connection.establish(
        f"127.0.0.1:{port}",
        transport="ssl",
        ssl_trustfile=str(certificate[1]),
        ssl_skip_hostname_check=True,
        timeout=10,
    )
    connection.close(timeout=10)


def test_trust_files_that_do_not_load() -> None:
    with pytest.raises(ConnectError):
        Connection.establish("localhost:1", transport="ssl", ssl_trustfile="/no/such/file", timeout=10)
