"""A TCP proxy on loopback that remembers what went through it."""

from __future__ import annotations

import contextlib
import socket
import threading
import time

from typing_extensions import Self

from interop.pcap import Read

BUFFER = 65_536


class Recorder:
    """Listens on a free loopback port and joins each connection to the server at `port`.

    Use it as a context manager; after the block every connection is closed and `reads` is complete.

    Attributes:
        url: `127.0.0.1:port` of the proxy.
        reads: What came through, in the order in which it did.
    """

    def __init__(self, port: int) -> None:
        self._server = ("127.0.0.1", port)
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._began = time.monotonic()
        self._sockets: list[socket.socket] = []
        self._pumps: list[threading.Thread] = []
        self._acceptor = threading.Thread(target=self._accept, name="recorder")
        self.url = f"127.0.0.1:{self._listener.getsockname()[1]}"
        self.reads: list[Read] = []

    def __enter__(self) -> Self:
        self._acceptor.start()
        return self

    def __exit__(self, *_: object) -> None:
        # shutdown() wakes the thread that waits in accept() or recv(); close() alone does not.
        for sock in (self._listener, *self._sockets):
            with contextlib.suppress(OSError):
                sock.shutdown(socket.SHUT_RDWR)
        self._acceptor.join()
        for pump in self._pumps:
            pump.join()
        for sock in (self._listener, *self._sockets):
            sock.close()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            try:
                server = socket.create_connection(self._server)
            except OSError:
                client.close()
                continue
            number = len(self._sockets) // 2
            self._sockets += (client, server)
            for source, sink, from_client in ((client, server, True), (server, client, False)):
                sink.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                pump = threading.Thread(target=self._pump, args=(number, source, sink, from_client), name="pump")
                self._pumps.append(pump)
                pump.start()

    def _pump(self, number: int, source: socket.socket, sink: socket.socket, from_client: bool) -> None:
        try:
            while data := source.recv(BUFFER):
                self.reads.append(Read(number, time.monotonic() - self._began, from_client, data))
                sink.sendall(data)
        except OSError:
            pass  # the other side closed first; what it had sent is recorded
        with contextlib.suppress(OSError):
            sink.shutdown(socket.SHUT_WR)
