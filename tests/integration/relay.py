"""A TCP relay: the network between a client and a broker, with a hand on it."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable

from typing_extensions import Self


class Relay:
    """A TCP relay to a broker that can be cut, stopped, and opened again under the same address."""

    def __init__(self, target: int, mutate: Callable[[bytes], bytes] | None = None, port: int = 0) -> None:
        self._target = target
        self._mutate = mutate
        self._sockets: list[socket.socket] = []
        self._pairs: list[tuple[socket.socket, socket.socket]] = []
        self._threads: list[threading.Thread] = []
        self._stopped = threading.Event()
        self._lock = threading.Lock()
        self.listen(port)

    def listen(self, port: int) -> None:
        self._listener = socket.create_server(("127.0.0.1", port))
        self.port = self._listener.getsockname()[1]
        self.url = f"127.0.0.1:{self.port}"
        self._start(self._accept, self._listener)

    def _start(self, run: Callable[..., None], *arguments: object) -> None:
        thread = threading.Thread(target=run, args=arguments)
        self._threads.append(thread)
        thread.start()

    def _accept(self, listener: socket.socket) -> None:
        while True:
            try:
                client, _ = listener.accept()
                self._sockets.append(client)
                server = socket.create_connection(("127.0.0.1", self._target))
                self._sockets.append(server)
            except OSError:
                return
            with self._lock:
                self._pairs.append((client, server))
            self._start(self._pump, client, server, None)
            self._start(self._pump, server, client, self._mutate)

    def _pump(self, source: socket.socket, sink: socket.socket, mutate: Callable[[bytes], bytes] | None) -> None:
        try:
            while data := source.recv(65536):
                if not self._stopped.is_set():
                    sink.sendall(mutate(data) if mutate else data)
        except OSError:
            pass
        finally:
            _shut(source)
            _shut(sink)

    def stop(self) -> None:
        """From now on nothing goes through, in either direction."""
        self._stopped.set()

    def cut(self) -> None:
        """Lose every connection."""
        with self._lock:
            pairs, self._pairs = self._pairs, []
        for pair in pairs:
            for sock in pair:
                _shut(sock)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self.cut()
        for thread in self._threads:
            thread.join(10)
        for sock in self._sockets:
            sock.close()


def _shut(sock: socket.socket) -> None:
    try:
        sock.shutdown(socket.SHUT_RDWR)
    except OSError:
        return
