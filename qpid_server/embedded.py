"""A broker inside this process, for tests: ``with qpid_server.running() as broker``."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any, TypeVar

from anyio.from_thread import start_blocking_portal

from .broker import Broker
from .options import Options
from .server import Server

__all__ = ["Running", "running"]

T = TypeVar("T")


class Running:
    """A broker that runs in a thread of its own.

    Attributes:
        host: address that it listens on.
        port: port that it listens on.
        url: both, as clients take them.
        tls_url: the same where it speaks TLS, if it does anywhere.
        server: the server; touch it and the broker only by :meth:`call`.
    """

    def __init__(self, server: Server, call: Callable[..., Any]) -> None:
        self.server = server
        self.host, self.port = server.addresses[0]
        self.url = f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"
        self.tls_url: str | None = None
        if server.tls_addresses:
            host, port = server.tls_addresses[0]
            self.tls_url = f"amqps://[{host}]:{port}" if ":" in host else f"amqps://{host}:{port}"
        self._call = call

    @property
    def broker(self) -> Broker:
        """The broker. It belongs to its thread: read it when nothing moves, or through :meth:`call`."""
        return self.server.broker

    def call(self, function: Callable[..., T], *arguments: Any) -> T:
        """Call a function in the broker's thread and return what it returns."""
        result: T = self._call(function, *arguments)
        return result


@contextmanager
def running(*, backend: str = "asyncio", **options: Any) -> Iterator[Running]:
    """A broker that listens on loopback until the block ends. Several may run at once.

    Args:
        backend: "asyncio" or "trio".
        options: fields of :class:`~qpid_server.options.Options`; without any, on a port of the system's choice,
            without authentication, and with nothing on disk.

    Raises:
        OSError: the port cannot be listened on.
    """
    defaults = Options(port=0, interface=("127.0.0.1",), auth=False, no_data_dir=True)
    server_options = replace(defaults, **options)
    with start_blocking_portal(backend) as portal:
        server = portal.call(Server, server_options)
        finished, _ = portal.start_task(server.run)
        try:
            yield Running(server, portal.call)
        finally:
            portal.call(server.stop)
            finished.result()
