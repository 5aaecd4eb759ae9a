"""etcd, as far as a manager needs it: keys, leases and transactions over its v3 gateway (HTTP and JSON).

A request has a connection of its own and goes to the first member of etcd that answers, whichever that is: there are
few of them, and a connection that is kept would have to be watched.
"""

from __future__ import annotations

import base64
import json
import ssl
from collections.abc import Sequence
from typing import Any
from urllib.parse import urlsplit

import anyio
import anyio.abc
import h11

__all__ = ["Etcd", "EtcdError"]

_LARGEST_ANSWER = 4 << 20


class EtcdError(Exception):
    """etcd does not answer, or says no; the text says why."""


class Etcd:
    """The members of an etcd cluster.

    Args:
        urls: where they are: http://HOST:PORT or https://HOST:PORT.
        tls: whom to trust with https.
        timeout: seconds that each has to answer.

    Raises:
        ValueError: a URL is none.
    """

    def __init__(self, urls: Sequence[str], *, tls: ssl.SSLContext | None = None, timeout: float = 1.0) -> None:
        self._members = [_member(url) for url in urls]
        self._tls = tls
        self._timeout = timeout

    async def grant(self, ttl: int) -> tuple[str, int]:
        """A lease for `ttl` seconds. Returns its id, and the seconds that it has."""
        answer = await self._ask("lease/grant", {"TTL": ttl})
        try:
            return str(answer["ID"]), int(answer["TTL"])
        except (KeyError, TypeError, ValueError) as error:
            raise EtcdError(f"a lease was asked for, and the answer is {answer}") from error

    async def keep_alive(self, lease: str) -> int:
        """Renew a lease. Returns the seconds that it has from now; 0 where there is no such lease any more."""
        answer = await self._ask("lease/keepalive", {"ID": lease})
        try:
            return int(answer.get("result", {}).get("TTL", 0))
        except (AttributeError, TypeError, ValueError) as error:
            raise EtcdError(f"a lease was to be renewed, and the answer is {answer}") from error

    async def revoke(self, lease: str) -> None:
        """End a lease, and with it the keys that hang on it."""
        await self._ask("lease/revoke", {"ID": lease})

    async def put(self, key: str, value: str, lease: str) -> None:
        """Set a key that goes when the lease does."""
        await self._ask("kv/put", _put(key, value, lease))

    async def claim(self, key: str, value: str, lease: str) -> bool:
        """Set a key that is not there, or has this value already. Returns whether it is so."""
        absent = {"target": "CREATE", "key": _encode(key), "create_revision": "0"}
        same = {"target": "VALUE", "key": _encode(key), "value": _encode(value)}
        for condition in (absent, same):
            change = {"compare": [condition], "success": [{"request_put": _put(key, value, lease)}]}
            if (await self._ask("kv/txn", change)).get("succeeded"):
                return True
        return False

    async def give_up(self, key: str, value: str) -> None:
        """Delete a key, if it has this value."""
        same = {"target": "VALUE", "key": _encode(key), "value": _encode(value)}
        delete = {"request_delete_range": {"key": _encode(key)}}
        await self._ask("kv/txn", {"compare": [same], "success": [delete]})

    async def delete(self, key: str) -> None:
        """Delete a key."""
        await self._ask("kv/deleterange", {"key": _encode(key)})

    async def below(self, prefix: str) -> dict[str, str]:
        """The keys that begin with `prefix`, without it, and their values."""
        end = prefix[:-1] + chr(ord(prefix[-1]) + 1)
        answer = await self._ask("kv/range", {"key": _encode(prefix), "range_end": _encode(end)})
        try:
            found = {_decode(pair["key"]): _decode(pair.get("value", "")) for pair in answer.get("kvs", [])}
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            raise EtcdError(f"keys below {prefix} were asked for, and the answer is {answer}") from error
        return {key[len(prefix) :]: value for key, value in found.items()}

    async def _ask(self, what: str, request: dict[str, Any]) -> dict[str, Any]:
        failures: list[str] = []
        for url, host, port, encrypted in list(self._members):
            try:
                with anyio.fail_after(self._timeout):
                    status, body = await self._post(host, port, encrypted, f"/v3/{what}", json.dumps(request).encode())
                answer = json.loads(body)
                if not isinstance(answer, dict):
                    raise ValueError("no object")
            except (OSError, TimeoutError, anyio.EndOfStream, anyio.BrokenResourceError) as error:
                failure = str(error) or "silent"
            except (h11.RemoteProtocolError, ValueError) as error:
                failure = f"no answer of etcd's: {error}"
            else:
                if status == 200 and "error" not in answer:
                    return answer
                failure = f"{what}: {answer.get('error') or status}"
                if 400 <= status < 500:
                    raise EtcdError(f"{url}: {failure}")
            # One that is cut off from the others answers all the same: that it has no leader.
            failures.append(f"{url}: {failure}")
            self._members.append(self._members.pop(0))  # the others first, next time
        raise EtcdError("; ".join(failures))

    async def _post(self, host: str, port: int, encrypted: bool, path: str, body: bytes) -> tuple[int, bytes]:
        stream: anyio.abc.ByteStream
        if encrypted:
            context = self._tls or ssl.create_default_context()
            stream = await anyio.connect_tcp(host, port, ssl_context=context, tls_standard_compatible=False)
        else:
            stream = await anyio.connect_tcp(host, port)
        async with stream:
            machine = h11.Connection(h11.CLIENT)
            headers = [("Host", host), ("Content-Length", str(len(body))), ("Connection", "close")]
            request = machine.send(h11.Request(method="POST", target=path, headers=headers)) or b""
            request += machine.send(h11.Data(data=body)) or b""
            machine.send(h11.EndOfMessage())
            await stream.send(request)
            status, answer = 0, b""
            while True:
                got = machine.next_event()
                if got is h11.NEED_DATA:
                    try:
                        machine.receive_data(await stream.receive())
                    except anyio.EndOfStream:
                        machine.receive_data(b"")
                elif isinstance(got, h11.Response):
                    status = got.status_code
                elif isinstance(got, h11.Data):
                    answer += got.data
                    if len(answer) > _LARGEST_ANSWER:
                        raise ValueError("it is too large")
                elif isinstance(got, (h11.EndOfMessage, h11.ConnectionClosed)):
                    return status, answer


def _member(url: str) -> tuple[str, str, int, bool]:
    try:
        parts = urlsplit(url)
        port = parts.port or 2379
        if parts.scheme not in ("http", "https") or not parts.hostname or parts.path.strip("/") or parts.username:
            raise ValueError("it is to be http://HOST:PORT or https://HOST:PORT")
    except ValueError as error:
        raise ValueError(f"{url!r} is no URL of an etcd member: {error}") from error
    return url, parts.hostname, port, parts.scheme == "https"


def _encode(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


def _decode(text: str) -> str:
    return base64.b64decode(text).decode("utf-8", "replace")


def _put(key: str, value: str, lease: str) -> dict[str, Any]:
    return {"key": _encode(key), "value": _encode(value), "lease": lease}
