"""What the broker answers over HTTP, on real sockets."""

from __future__ import annotations

import asyncio
import base64
import http.client
import json
import re
import socket
from collections.abc import Iterator
from contextlib import suppress
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import qpid_server
from qpid_messaging import Connection
from qpid_server.effects import Bound, QueueDeclared
from qpid_server.embedded import Running
from qpid_server.http.metrics import escaped
from qpid_server.http.responses import Response
from qpid_server.security.users import UsersFile
from tests.integration.cluster import BrokerProcess, ClusterOfProcesses

PATIENCE = 10.0  # seconds for one answer
SAMPLE = re.compile(r'^([a-zA-Z_:][a-zA-Z0-9_:]*)(\{(?:[a-z_]+="(?:[^"\\\n]|\\["\\n])*",?)*\})? (-?[0-9.e+-]+)$')


def port_of(broker: Running) -> int:
    assert broker.server.http is not None
    return broker.server.http.port


def ask(port: int, path: str, method: str = "GET", **headers: str) -> tuple[int, dict[str, str], str]:
    """Status, headers and content."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=PATIENCE)
    try:
        connection.request(method, path, headers=headers)
        answer = connection.getresponse()
        return answer.status, {name.lower(): value for name, value in answer.getheaders()}, answer.read().decode()
    finally:
        connection.close()


def basic(name: str, password: str) -> str:
    return "Basic " + base64.b64encode(f"{name}:{password}".encode()).decode()


@pytest.fixture(scope="module", params=["asyncio", "trio"])
def broker(request: pytest.FixtureRequest) -> Iterator[Running]:
    with qpid_server.running(backend=request.param, http_port=0) as running:
        yield running


@pytest.fixture(scope="module")
def guarded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    users = tmp_path_factory.mktemp("users") / "users"
    UsersFile(users).add("bob", "s€cret")
    with qpid_server.running(http_port=0, auth=True, users_file=str(users)) as running:
        yield running


def test_a_broker_that_stands_alone_is_healthy_and_ready(broker: Running) -> None:
    assert ask(port_of(broker), "/health")[::2] == (200, "alive\n")
    assert ask(port_of(broker), "/ready")[::2] == (200, "stand-alone\n")


def test_metrics_are_what_prometheus_reads(broker: Running) -> None:
    awkward = 'a "queue"\\with\nall'
    with Connection.establish(broker.url) as connection:
        session = connection.session()
        sender = session.sender("counted; {create: always}")
        for _ in range(3):
            sender.send("four")
        session.receiver("counted").fetch(timeout=PATIENCE)
        session.acknowledge()
        broker.call(lambda: setattr(broker.broker.queues["counted"], "name", awkward))
        try:
            status, headers, text = ask(port_of(broker), "/metrics?x=y")
        finally:
            broker.call(lambda: setattr(broker.broker.queues["counted"], "name", "counted"))
    assert status == 200
    assert headers["content-type"] == "text/plain; version=0.0.4; charset=utf-8"
    samples: dict[str, str] = {}
    families: list[str] = []
    for line in text.splitlines():
        if line.startswith("# TYPE "):
            families.append(line.split()[2])
        elif not line.startswith("# HELP "):
            found = SAMPLE.match(line)
            assert found is not None, line
            assert found[1] == families[-1], "the samples of a metric stand together"
            samples[found[1] + (found[2] or "")] = found[3]
    assert len(families) == len(set(families))
    label = f'{{queue="{escaped(awkward)}"}}'
    assert samples[f"qpid_queue_messages{label}"] == "2"
    assert samples[f"qpid_queue_messages_enqueued_total{label}"] == "3"
    assert samples[f"qpid_queue_messages_dequeued_total{label}"] == "1"
    assert samples["qpid_connections"] == "1"
    assert samples["qpid_broker_serving"] == "1"
    assert samples['qpid_ha_role{role="stand-alone"}'] == "1"


def test_the_page_and_what_it_shows(broker: Running) -> None:
    status, headers, page = ask(port_of(broker), "/")
    assert status == 200
    assert headers["content-type"].startswith("text/html")
    assert not re.search(r"(src|href)=\"(https?:)?//", page), "it asks nobody but the broker"
    with Connection.establish(broker.url) as connection:
        connection.session().sender("shown; {create: always}").send("x")
        status, headers, text = ask(port_of(broker), "/status.json")
    told = json.loads(text)
    assert (status, headers["content-type"], told["role"], told["serving"]) == (
        200,
        "application/json",
        "stand-alone",
        True,
    )
    assert next(queue for queue in told["queues"] if queue["name"] == "shown")["messages"] == 1
    assert [connection["user"] for connection in told["connections"]] == ["anonymous"]


def test_a_queue_is_found_among_many_whatever_is_on_it() -> None:
    """The page shows the fullest queues; whoever looks for another finds it all the same."""
    with qpid_server.running(http_port=0) as running:
        names = [*(f"full-{number}" for number in range(300)), "empty ü&=", "empty"]
        running.call(lambda: running.broker.do(*map(QueueDeclared, names)))
        with Connection.establish(running.url) as connection:
            sender = connection.session().sender("amq.fanout")
            running.call(
                lambda: running.broker.do(
                    *(
                        Bound(running.broker.queues[name], running.broker.exchanges["amq.fanout"], "")
                        for name in names[:300]
                    )
                )
            )
            sender.send("x")

        def told(query: str = "") -> tuple[int, int, list[str]]:
            found = json.loads(ask(port_of(running), f"/status.json{query}")[2])
            return found["totals"]["queues"], found["matching"], [queue["name"] for queue in found["queues"]]

        total, matching, shown = told()
        assert (total, matching, len(shown)) == (302, 302, 200)
        assert all(name.startswith("full") for name in shown)
        assert told("?contains=empty") == (302, 2, ["empty ü&=", "empty"])
        assert told("?x=%FF&contains=%C3%BC%26=&&=") == (302, 1, ["empty ü&="])
        assert told("?contains=nowhere") == (302, 0, [])


def test_a_head_has_no_content(broker: Running) -> None:
    status, headers, text = ask(port_of(broker), "/metrics", "HEAD")
    assert (status, text) == (200, "")
    assert headers["content-type"].startswith("text/plain")


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [("GET", "/nothing", 404), ("POST", "/", 405), ("DELETE", "/metrics", 405), ("GET", "/../etc/passwd", 404)],
)
def test_what_there_is_not(broker: Running, method: str, path: str, status: int) -> None:
    assert ask(port_of(broker), path, method)[0] == status


def test_several_requests_on_one_connection(broker: Running) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", port_of(broker), timeout=PATIENCE)
    for path, status in (("/health", 200), ("/none", 404), ("/metrics", 200)):
        connection.request("GET", path)
        answer = connection.getresponse()
        assert (answer.status, bool(answer.read())) == (status, True)
    connection.close()


@pytest.mark.parametrize("path", ["/metrics", "/status.json", "/"])
def test_who_may_see_it(guarded: Running, path: str) -> None:
    port = port_of(guarded)
    status, headers, _ = ask(port, path)
    assert status == 401
    assert headers["www-authenticate"].startswith("Basic ")
    for authorization in (
        basic("bob", "wrong"),
        basic("eve", "s€cret"),
        "Basic ???",
        "Basic",
        "Bearer x",
        "Basic Ym9i",
    ):
        assert ask(port, path, Authorization=authorization)[0] == 401, authorization
    assert ask(port, path, Authorization=basic("bob", "s€cret"))[0] == 200


def test_a_load_balancer_needs_no_password(guarded: Running) -> None:
    assert ask(port_of(guarded), "/health")[0] == 200
    assert ask(port_of(guarded), "/ready")[0] == 200


@pytest.mark.parametrize("options", [{"require_encryption": True}, {"sasl_mechanisms": "SCRAM-SHA-256"}], ids=str)
def test_http_is_no_way_round_a_rule(options: dict[str, object], tmp_path: Path) -> None:
    UsersFile(tmp_path / "users").add("bob", "secret")
    with qpid_server.running(http_port=0, auth=True, users_file=str(tmp_path / "users"), **options) as running:
        assert ask(port_of(running), "/metrics", Authorization=basic("bob", "secret"))[0] == 403
        assert ask(port_of(running), "/ready")[0] == 200


def raw(port: int, data: bytes) -> bytes:
    """All that comes back for some bytes, until the broker closes."""
    with socket.create_connection(("127.0.0.1", port), PATIENCE) as client:
        client.sendall(data)
        client.shutdown(socket.SHUT_WR)
        answer = b""
        while part := client.recv(65536):
            answer += part
        return answer


@pytest.mark.parametrize(
    ("data", "status"),
    [
        (b"nonsense\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\n\r\n", 400),
        (b"GET / AMQP/0.10\r\nHost: x\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nHost: x\r\nX: " + b"y" * 70_000 + b"\r\n\r\n", 431),
        (b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 100000\r\n\r\n" + b"y" * 100_000, 413),
        (b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nExpect: 100-continue\r\n\r\n", 417),
        (b"\x01AMQP\x01\x01\x00\x0a", 400),
    ],
)
def test_bad_requests(broker: Running, data: bytes, status: int) -> None:
    answer = raw(port_of(broker), data)
    assert answer.startswith(b"HTTP/1.1 %d " % status), answer[:200]


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.binary(max_size=300), st.sampled_from([b"", b"GET / HTTP/1.1\r\nHost: x\r\n"]))
def test_whatever_comes_the_broker_goes_on(broker: Running, data: bytes, before: bytes) -> None:
    raw(port_of(broker), before + data)
    assert ask(port_of(broker), "/health")[0] == 200


def test_so_many_connections_and_no_more(broker: Running) -> None:
    port = port_of(broker)
    idle = [socket.create_connection(("127.0.0.1", port), PATIENCE) for _ in range(100)]
    try:
        with socket.create_connection(("127.0.0.1", port), PATIENCE) as last:
            last.settimeout(PATIENCE)
            with suppress(ConnectionResetError):
                assert last.recv(1) == b""
    finally:
        for client in idle:
            client.close()
    with Connection.establish(broker.url) as connection:
        connection.session().sender("q; {create: always}").send("AMQP is not held up")


def test_a_scrape_of_many_queues_holds_nobody_up(monkeypatch: pytest.MonkeyPatch) -> None:
    """Everybody else has a turn between two pieces of it."""
    turns = 0
    over = False
    turns_at: list[int] = []
    whole = Response.pieces

    def turn() -> None:
        nonlocal turns
        turns += 1
        if not over:
            asyncio.get_running_loop().call_soon(turn)

    def pieces(response: Response) -> Iterator[bytes]:
        for piece in whole(response):
            turns_at.append(turns)
            yield piece

    monkeypatch.setattr(Response, "pieces", pieces)
    with qpid_server.running(backend="asyncio", http_port=0) as running:

        def declare() -> None:
            running.broker.do(*(QueueDeclared(f"queue-{number}") for number in range(5000)))
            turn()

        running.call(declare)
        text = ask(port_of(running), "/metrics")[2]
        over = True
    assert text.count("qpid_queue_messages{") == 5000
    assert len(turns_at) > 50
    assert all(later > earlier for earlier, later in pairwise(turns_at))


def http_port(member: BrokerProcess) -> int:
    found = re.search(r"listening for HTTP on \S+ port (\d+)", member.log)
    assert found is not None
    return int(found[1])


def test_only_the_primary_is_ready() -> None:
    options = ["--http-port", "0"]
    with ClusterOfProcesses(options=options) as cluster:
        cluster.promote(0)
        cluster.wait_for_backups()
        ports = [http_port(member) for member in cluster.members]
        answers = [ask(port, "/ready")[::2] for port in ports]
        assert answers[0][0] == 200
        assert answers[1:] == [(503, "ready\n")] * (len(answers) - 1)
        told = json.loads(ask(ports[0], "/status.json")[2])["cluster"]
        assert sorted(backup["inSync"] for backup in told["backups"]) == [True] * (len(answers) - 1)
        metrics = ask(ports[0], "/metrics")[2]
        assert metrics.count("qpid_ha_backup_lag_entries{") == len(answers) - 1
        assert 'qpid_ha_role{role="active"} 1' in metrics
