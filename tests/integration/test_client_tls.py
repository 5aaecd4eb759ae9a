"""TLS as the client meets it, in each shell: whom it trusts, what it shows, and that a fail-over is encrypted again."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import trustme
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    PrivateFormat,
    load_pem_private_key,
)

import qpid_server
from qpid_messaging import ConnectError, Connection
from tests.integration.relay import Relay
from tests.integration.shells import SHELLS, Shell

TIMEOUT = 20


class Files:
    """An authority, and what it issued, as PEM files."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.authority = trustme.CA()
        self.trust = self.write("trust", self.authority.cert_pem.bytes())
        self.broker = self.issue("broker", "localhost")
        self.client = self.issue("client", common_name="carl")

    def issue(self, name: str, *hosts: str, **settings: Any) -> tuple[str, str]:
        issued = self.authority.issue_cert(*hosts, **settings)
        chain = b"".join(blob.bytes() for blob in issued.cert_chain_pems)
        return self.write(name, chain), self.write(f"{name}-key", issued.private_key_pem.bytes())

    def write(self, name: str, data: bytes) -> str:
        path = self.folder / f"{name}.pem"
        path.write_bytes(data)
        return str(path)


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Files:
    return Files(tmp_path_factory.mktemp("tls"))


@pytest.fixture(scope="module")
def broker(files: Files) -> Iterator[qpid_server.Running]:
    """It lets in who shows a certificate, and nobody else."""
    certificate, key = files.broker
    tls = {"ssl_port": (0,), "ssl_cert_file": certificate, "ssl_key_file": key, "ssl_ca_file": files.trust}
    with qpid_server.running(auth=True, **tls) as broker:
        yield broker


@pytest.fixture
def shown(files: Files) -> dict[str, Any]:
    certificate, key = files.client
    return {"ssl_trustfile": files.trust, "ssl_certfile": certificate, "ssl_keyfile": key}


def port(broker: qpid_server.Running) -> int:
    assert broker.tls_url is not None
    return int(broker.tls_url.rpartition(":")[2])


@pytest.mark.parametrize("shell", SHELLS, ids=lambda shell: shell.name)
def test_a_fail_over(shell: Shell, broker: qpid_server.Running, shown: dict[str, Any]) -> None:
    """More than sockets hold, both ways, and the connection cut in between."""

    async def scenario(relay: Relay) -> None:
        connection = shell.connection(f"amqps://localhost:{relay.port}", reconnect=True, heartbeat=5, **shown)
        await connection.open(timeout=TIMEOUT)
        assert connection.transport == "ssl"
        session = connection.session()
        sender = await session.sender(f"{shell.name}; {{create: always, delete: always}}", capacity=100)
        receiver = await session.receiver(shell.name, capacity=100)
        for number in range(200):
            if number == 100:
                relay.cut()
            await sender.send(b"%d " % number + b"x" * 20_000, sync=False)
        await sender.sync(timeout=TIMEOUT)
        seen: set[bytes] = set()
        while len(seen) < 200:
            content = (await receiver.fetch(timeout=TIMEOUT)).content
            assert len(content) > 20_000
            seen.add(content.partition(b" ")[0])
            await session.acknowledge(sync=False)
        assert connection.stats.fail_overs == 1
        await connection.close(timeout=TIMEOUT)

    with Relay(port(broker)) as relay:
        shell.run(scenario, relay)


@pytest.mark.parametrize("shell", SHELLS, ids=lambda shell: shell.name)
def test_whom_not_to_trust(shell: Shell, broker: qpid_server.Running, shown: dict[str, Any]) -> None:
    async def refused(url: str, match: str, **options: Any) -> None:
        connection = shell.connection(url, **options)
        with pytest.raises(ConnectError, match=match):
            await connection.open(timeout=TIMEOUT)
        await connection.close()

    async def scenario() -> None:
        nobody = {name: value for name, value in shown.items() if name != "ssl_trustfile"}
        await refused(f"amqps://localhost:{port(broker)}", f"localhost:{port(broker)}.*certificate", **nobody)
        await refused(f"amqps://127.0.0.1:{port(broker)}", "certificate is not good.*127.0.0.1", **shown)
        connection = shell.connection(f"amqps://127.0.0.1:{port(broker)}", ssl_skip_hostname_check=True, **shown)
        await connection.open(timeout=TIMEOUT)
        await connection.close(timeout=TIMEOUT)

    shell.run(scenario)


def test_external_by_each_way_in(broker: qpid_server.Running, files: Files, shown: dict[str, Any]) -> None:
    certificate, key = files.client
    jms = (
        f"amqp:///test?brokerlist='tcp://localhost:{port(broker)}?ssl='true'&sasl_mechs='EXTERNAL'"
        f"&trusted_certs_path='{files.trust}'&client_cert_path='{certificate}'&client_cert_priv_key_path='{key}''"
    )
    ways = [
        (f"amqps://localhost:{port(broker)}", shown),
        (f"localhost:{port(broker)}", {"transport": "ssl", **shown}),
        (f"amqp:tcp+tls:localhost:{port(broker)}", shown),
        (f"amqp:tcp:localhost:1,ssl:localhost:{port(broker)}", shown),
        (jms, {}),
    ]
    for url, options in ways:
        with Connection.establish(url, timeout=TIMEOUT, **options):
            users = broker.call(lambda: [connection.user for connection in broker.broker.connections])
        assert users == ["carl"], url


def test_an_encrypted_key(broker: qpid_server.Running, files: Files, shown: dict[str, Any]) -> None:
    key = load_pem_private_key(Path(shown["ssl_keyfile"]).read_bytes(), None)
    locked = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(b"opensesame"))
    options = {**shown, "ssl_keyfile": files.write("locked", locked), "timeout": TIMEOUT}
    url = f"amqps://localhost:{port(broker)}"
    with pytest.raises(ConnectError, match=r"ssl_keyfile .*locked.pem.*: the key is encrypted: give ssl_key_password"):
        Connection.establish(url, **options)
    with pytest.raises(ConnectError, match=r"ssl_keyfile .*locked.pem") as caught:
        Connection.establish(url, ssl_key_password="wrong secret", **options)
    assert "wrong secret" not in str(caught.value)
    Connection.establish(url, ssl_key_password="opensesame", **options).close(timeout=TIMEOUT)


def test_files_that_do_not_load() -> None:
    with pytest.raises(ConnectError, match=r"ssl_trustfile .*/no/such/file.*No such file"):
        Connection.establish("localhost:1", transport="ssl", ssl_trustfile="/no/such/file", timeout=TIMEOUT)
