"""A TCP relay: the network between a client and a broker, with a hand on it."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable

from typing_extensions import Self

LOOPBACK = "127.0.0.1"


class Relay:
    """A TCP relay to a broker that can be cut, stopped, held, closed, and opened again under the same address.

    Args:
        target: port of the broker.
        mutate: what becomes of the bytes that the broker sends.
        port: where to listen on 127.0.0.1; 0 is any free port.
        host: address of the broker.

    Attributes:
        closed: whether those who come are turned away at once.
    """

    def __init__(
        self, target: int, mutate: Callable[[bytes], bytes] | None = None, port: int = 0, host: str = LOOPBACK
    ) -> None:
        self.closed = False
        self._target = (host, target)
        self._mutate = mutate
        self._pairs: dict[socket.socket, socket.socket | None] = {}
        self._threads: list[threading.Thread] = []
        self._stopped = threading.Event()
        self._open = threading.Event()
        self._open.set()
        self._lock = threading.Lock()
        self.listen(port)

    def listen(self, port: int) -> None:
        self._listener = socket.create_server((LOOPBACK, port))
        self.port = self._listener.getsockname()[1]
        self.url = f"{LOOPBACK}:{self.port}"
        self._start(self._accept, self._listener)

    def _start(self, run: Callable[..., None], *arguments: object) -> threading.Thread:
        self._threads = [thread for thread in self._threads if thread.is_alive()]
        thread = threading.Thread(target=run, args=arguments)
        self._threads.append(thread)
        thread.start()
        return thread

    def _accept(self, listener: socket.socket) -> None:
        while True:
            try:
                client, _ = listener.accept()
            except OSError:
                return
            with self._lock:
                self._pairs[client] = None
            self._start(self._relay, client)

    def _relay(self, client: socket.socket) -> None:
        """One connection, from beginning to end."""
        server: socket.socket | None = None
        try:
            if self.closed:
                return
            server = socket.create_connection(self._target)
            with self._lock:
                if client not in self._pairs:
                    return  # it was cut meanwhile
                self._pairs[client] = server
            back = threading.Thread(target=self._pump, args=(server, client, self._mutate))
            back.start()
            self._pump(client, server, None)
            back.join()
        except OSError:
            pass  # nobody is there now
        finally:
            with self._lock:
                self._pairs.pop(client, None)
            client.close()
            if server is not None:
                server.close()

    def _pump(self, source: socket.socket, sink: socket.socket, mutate: Callable[[bytes], bytes] | None) -> None:
        try:
            while data := source.recv(65536):
                self._open.wait()
                if not self._stopped.is_set():
                    sink.sendall(mutate(data) if mutate else data)
        except OSError:
            pass
        finally:
            _shut(source)
            _shut(sink)

    def stop(self) -> None:
        """From now on nothing goes through, in either direction: what is sent is lost."""
        self._stopped.set()

    def hold(self) -> None:
        """From now on nothing goes through, in either direction: what is sent waits for `release`."""
        self._open.clear()

    def release(self) -> None:
        """Let through what was held."""
        self._open.set()

    def cut(self) -> None:
        """Lose every connection."""
        with self._lock:
            pairs, self._pairs = self._pairs, {}
            for client, server in pairs.items():
                _shut(client)
                if server is not None:
                    _shut(server)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.closed = True
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self.release()
        self.cut()
        for thread in self._threads:
            thread.join(10)


def _shut(sock: socket.socket) -> None:
    try:
        sock.shutdown(socket.SHUT_RDWR)
    except OSError:
        return
