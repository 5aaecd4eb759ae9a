"""What a link must not write, and where."""

from __future__ import annotations

import os
import socket
from contextlib import closing
from typing import Any

import anyio
import pytest

from qpid_messaging.amqp.framing import PROTOCOL_HEADER
from qpid_server.broker import Broker
from qpid_server.link import Link
from qpid_server.options import Options
from qpid_server.security.authenticator import Authenticator, Origin
from qpid_server.security.login_queue import LoginQueue


class Stream:
    """A socket that has failed, and what was read from it before."""

    def __init__(self, raw: socket.socket, read: bytes) -> None:
        self._raw = raw
        self._read = [read]

    def extra(self, attribute: object, default: object) -> socket.socket:
        return self._raw

    async def receive(self, size: int) -> bytes:
        if not self._read:
            raise anyio.EndOfStream
        return self._read.pop()

    async def send(self, data: bytes) -> None:
        raise anyio.BrokenResourceError

    async def aclose(self) -> None:
        """It is closed already."""


@pytest.mark.parametrize("failed", [True, False])
def test_what_one_client_said_last_is_not_answered_to_the_next(failed: bool) -> None:
    """A descriptor is another socket's as soon as it is closed."""
    one, peer = socket.socketpair()
    another, other_peer = socket.socketpair()
    with closing(one), closing(peer), closing(another), closing(other_peer):
        stream: Any = Stream(one, PROTOCOL_HEADER)
        link = Link(Broker(Options(auth=False)), Authenticator(None), LoginQueue(), stream, "a client", Origin("host"))
        if failed:
            os.dup2(another.fileno(), one.fileno())
        anyio.run(link.run)
        for end in (peer, other_peer):
            end.setblocking(False)
        with pytest.raises(BlockingIOError):
            other_peer.recv(1)
        if not failed:
            assert peer.recv(8) == PROTOCOL_HEADER
