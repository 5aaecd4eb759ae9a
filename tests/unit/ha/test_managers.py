"""Which broker a manager asks first, how long it relies on a lease, and what it makes of etcd's answers."""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable
from typing import Any

import anyio
import pytest
from anyio.abc import SocketAttribute, SocketStream

from qpid_server.ha.managers.etcd import Etcd, EtcdError
from qpid_server.ha.managers.etcd_manager import EtcdManager
from qpid_server.ha.managers.lease import Lease
from qpid_server.ha.managers.managed_broker import ManagedBroker
from qpid_server.ha.managers.standing import Standing, best
from qpid_server.tools.qpid_ha_manage import add_manage_options, manage
from qpid_server.tools.running import ToolError


def standing(status: str, epoch: int, index: int, *, willing: bool = True) -> Standing:
    return Standing("id", status, epoch, index, willing)


@pytest.mark.parametrize(
    ("standings", "chosen"),
    [
        ({}, None),
        ({"a": standing("joining", 0, 0), "b": standing("joining", 0, 0)}, "b"),
        ({"a": standing("ready", 1, 7), "b": standing("ready", 1, 6)}, "a"),
        ({"a": standing("ready", 1, 7), "b": standing("ready", 2, 3)}, "b"),
        ({"a": standing("active", 1, 7), "b": standing("ready", 1, 8)}, "a"),
        ({"a": standing("ready", 1, 7), "b": standing("joining", 1, 8)}, "b"),  # demoted: it holds all that a does
        ({"a": standing("ready", 1, 7), "b": standing("joining", 1, 7)}, "a"),
        ({"a": standing("ready", 1, 7), "b": standing("joining", 0, 0)}, "a"),
        ({"a": standing("catchup", 1, 9), "b": standing("ready", 1, 7)}, "b"),
        ({"a": standing("ready", 1, 9, willing=False), "b": standing("ready", 1, 7)}, "b"),
        ({"a": standing("catchup", 1, 9)}, None),
    ],
)
def test_the_best_broker(standings: dict[str, Standing], chosen: str | None) -> None:
    assert best(standings) == chosen


def test_standings_travel_as_json() -> None:
    one = standing("ready", 3, 9, willing=False)
    assert Standing.from_json(one.to_json()) == one
    for text in ("", "[]", "{}", '{"broker": 1}', json.dumps({"broker": "b", "status": "x", "epoch": "y"})):
        with pytest.raises(ValueError, match=r".+"):
            Standing.from_json(text)


@pytest.mark.parametrize(
    "url",
    [
        "",
        "host:2379",
        "ftp://host",
        "http://",
        "http://host/path",
        "http://user:x@host",
        "http://host:port",
        "http://host:99999",
        "http://[::1",
    ],
)
def test_urls_that_name_no_member_of_etcd(url: str) -> None:
    with pytest.raises(ValueError, match="etcd member"):
        Etcd([url])


@pytest.mark.parametrize(
    ("options", "why"),
    [
        (["--ttl", "1"], "--ttl at least 2"),
        (["--interval", "0"], "--interval must be more than 0"),
        (["--etcd", "http://host:port"], "'http://host:port' is no URL of an etcd member"),
        (["--etcd", "https://host", "--etcd-trustfile", "/no/such/file"], "--etcd-trustfile /no/such/file: .*No such"),
    ],
)
def test_options_that_make_no_sense(options: list[str], why: str) -> None:
    parser = argparse.ArgumentParser()
    add_manage_options(parser)
    with pytest.raises(ToolError, match=why):
        manage(parser.parse_args(options))


class StandInEtcd(Etcd):
    """Leases of which one is renewed for as long as somebody lets it."""

    def __init__(self) -> None:
        super().__init__(["http://nowhere"])
        self.seconds: int | None = 6

    async def grant(self, ttl: int) -> tuple[str, int]:
        return "7", await self.keep_alive("7")

    async def keep_alive(self, lease: str) -> int:
        if self.seconds is None:
            raise EtcdError("it was cut off")
        return self.seconds


async def _renew(lease: Lease) -> None:
    try:
        await lease._renew()
    except EtcdError:
        return


def on_virtual_time(test: Callable[[Any], Any]) -> None:
    import trio
    import trio.testing

    clock = trio.testing.MockClock(autojump_threshold=0)
    trio.run(test, clock, clock=clock)


def test_a_lease_is_relied_on_for_two_thirds_of_its_time() -> None:
    async def test(clock: Any) -> None:
        etcd = StandInEtcd()
        lease = Lease(etcd, 6)
        assert not lease.good
        await _renew(lease)
        started = anyio.current_time()
        with lease.reliance() as scope:
            await anyio.sleep(3)
            await _renew(lease)  # it moves the end
            etcd.seconds = None
            await _renew(lease)
            await anyio.sleep_forever()
        assert scope.cancelled_caught
        assert anyio.current_time() - started == pytest.approx(7)
        assert not lease.good
        etcd.seconds = 6
        await _renew(lease)
        assert lease.good
        with lease.reliance() as scope:
            etcd.seconds = 0
            await _renew(lease)
            await anyio.sleep_forever()
        assert lease.id is None

    on_virtual_time(test)


@pytest.mark.parametrize(
    ("answer", "what"),
    [
        (b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n[]", "no object"),
        (b"HTTP/1.1 404 No\r\nContent-Length: 26\r\n\r\n" + b'{"error": "no such thing"}', "no such thing"),
        (b"HTTP/1.1 503 No\r\nContent-Length: 2\r\n\r\n{}", "503"),
        (b"AMQP\x00\x00\x0a\x00\r\n\r\n", "no answer of etcd's"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}", "a lease was asked for"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 22\r\n\r\n" + b'{"ID": [], "TTL": {} }', "a lease was asked for"),
        (b"", "no answer of etcd's"),
        (None, "silent"),
    ],
)
def test_answers_that_etcd_does_not_give(answer: bytes | None, what: str) -> None:
    async def serve(stream: SocketStream) -> None:
        async with stream:
            await stream.receive()
            if answer is None:
                await anyio.sleep_forever()
            await stream.send(answer or b"")

    async def test() -> None:
        listener = await anyio.create_tcp_listener(local_host="127.0.0.1")
        port = listener.extra(SocketAttribute.local_port)
        async with listener, anyio.create_task_group() as tasks:
            tasks.start_soon(listener.serve, serve)
            with pytest.raises(EtcdError, match=what):
                await Etcd([f"http://127.0.0.1:{port}"], timeout=5 if answer is not None else 0.2).grant(5)
            tasks.cancel_scope.cancel()

    anyio.run(test)


def test_a_member_of_etcd_without_a_leader_is_passed_over() -> None:
    """It is cut off from the others, and this side need not be."""
    asked: list[str] = []

    def answering(name: str, status: bytes, body: bytes) -> Callable[[SocketStream], Any]:
        async def serve(stream: SocketStream) -> None:
            async with stream:
                await stream.receive()
                asked.append(name)
                await stream.send(b"HTTP/1.1 %s\r\nContent-Length: %d\r\n\r\n%s" % (status, len(body), body))

        return serve

    async def test() -> None:
        lone, other = [await anyio.create_tcp_listener(local_host="127.0.0.1") for _ in range(2)]
        ports = [listener.extra(SocketAttribute.local_port) for listener in (lone, other)]
        async with lone, other, anyio.create_task_group() as tasks:
            tasks.start_soon(lone.serve, answering("lone", b"503 No", b'{"error": "etcdserver: no leader"}'))
            tasks.start_soon(other.serve, answering("other", b"200 OK", b'{"ID": "7", "TTL": "5"}'))
            etcd = Etcd([f"http://127.0.0.1:{port}" for port in ports], timeout=30)
            assert await etcd.grant(5) == ("7", 5)
            assert await etcd.grant(5) == ("7", 5)
            tasks.cancel_scope.cancel()

    anyio.run(test)
    assert asked == ["lone", "other", "other"]


@pytest.mark.parametrize("answer", [{"kvs": [{}]}, {"kvs": 7}, {"kvs": [{"key": "A"}]}, {"result": []}])
def test_answers_of_another_shape(answer: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    async def ask(what: str, request: dict[str, Any]) -> dict[str, Any]:
        return answer

    etcd = Etcd(["http://nowhere"])
    monkeypatch.setattr(etcd, "_ask", ask)
    with pytest.raises(EtcdError, match="the answer is"):
        anyio.run(*((etcd.keep_alive, "7") if "result" in answer else (etcd.below, "/k/")))


def test_a_standing_that_cannot_be_read_stands_for_no_broker(monkeypatch: pytest.MonkeyPatch) -> None:
    etcd = Etcd(["http://nowhere"])
    manager = EtcdManager(ManagedBroker("nowhere", {}, timeout=1), etcd, cluster="c", ttl=5, interval=1)

    async def below(prefix: str) -> dict[str, str]:
        return {"a": standing("ready", 1, 7).to_json(), "b": '{"version": 9}', "c": "?"}

    monkeypatch.setattr(etcd, "below", below)
    assert anyio.run(manager._standings) == {"a": standing("ready", 1, 7)}
