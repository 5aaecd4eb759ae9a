"""A peer that leaves the moment it is connected: its socket cannot tell its addresses any more."""

from __future__ import annotations

from typing import Any

import anyio
import anyio.abc
import pytest

from qpid_server.ha.link import Credentials, LinkError, PeerLink
from qpid_server.options import Options
from qpid_server.server import Server


class Gone(anyio.abc.SocketStream):
    """A stream without a peer; asking it for its addresses raises what the event loops raise."""

    def __init__(self, error: Exception) -> None:
        self.error = error
        self.closed = False

    @property
    def _raw_socket(self) -> Any:
        raise self.error

    async def send(self, item: bytes) -> None:
        raise anyio.BrokenResourceError

    async def send_eof(self) -> None:
        raise anyio.BrokenResourceError

    async def receive(self, max_bytes: int = 65536) -> bytes:
        raise anyio.EndOfStream

    async def aclose(self) -> None:
        self.closed = True


@pytest.mark.parametrize("error", [OSError("not connected"), AttributeError("'NoneType' object"), None])
def test_a_member(error: Exception | None) -> None:
    class Network:
        async def connect(self, host: str, port: int) -> anyio.abc.ByteStream:
            if error is None:
                raise OSError("connection refused")
            return Gone(error)

    async def run() -> None:
        await PeerLink.open(Network(), "there", 1, Credentials("", "", ""), {}, 5)

    with pytest.raises(LinkError, match="there:1: connection"):
        anyio.run(run)


@pytest.mark.parametrize("error", [OSError("not connected"), AttributeError("'NoneType' object")])
def test_a_client(error: Exception) -> None:
    stream = Gone(error)

    async def run() -> None:
        await Server(Options(auth=False, no_data_dir=True))._connected(stream)

    anyio.run(run)
    assert stream.closed
