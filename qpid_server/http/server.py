"""Takes requests on HTTP's port and answers them, one after the other on each connection."""

from __future__ import annotations

import logging
from http import HTTPStatus
from typing import TYPE_CHECKING
from urllib.parse import parse_qsl

import anyio
import anyio.abc
import anyio.lowlevel
import h11

from qpid_messaging.amqp.sasl import Accepted

from ..security.authenticator import Origin, Refused, Slow
from .login import Login
from .resources import RESOURCES
from .responses import Response, plain

if TYPE_CHECKING:
    from ..broker import Broker
    from ..security.authenticator import Authenticator
    from ..security.login_queue import LoginQueue

__all__ = ["HttpServer"]

log = logging.getLogger(__name__)

_MOST_CONNECTIONS = 100
_MOST_HEAD = 16 * 1024  # bytes of a request without its body
_MOST_BODY = 64 * 1024  # what comes with a request is not looked at, and nobody is to send for ever
_READ_SIZE = 16 * 1024
_REQUEST_WITHIN = 15.0  # seconds
_ANSWER_TAKEN_WITHIN = 15.0
_LINGER = 2.0
_MOST_LINGERING = 1 << 20  # bytes
_USUAL_HEADERS = [
    ("Server", "qpidd"),
    ("Cache-Control", "no-store"),
    ("X-Content-Type-Options", "nosniff"),
    ("Referrer-Policy", "no-referrer"),
]


class HttpServer:
    """Answers what :data:`RESOURCES` has.

    Args:
        broker: whom the answers tell of.
        authenticator: who may see what is not for everybody.
        logins: where slow checks of passwords wait for their turn.
        interface: address to listen on.
        port: to listen on; 0 lets the system choose.

    Attributes:
        port: where it listens.
    """

    def __init__(
        self, broker: Broker, authenticator: Authenticator, logins: LoginQueue, *, interface: str, port: int
    ) -> None:
        self.port = port
        self._broker = broker
        self._logins = logins
        self._login = Login(authenticator, self._find)
        self._interface = interface
        self._listener: anyio.abc.Listener[anyio.abc.SocketStream] | None = None
        self._connections = 0

    async def listen(self) -> None:
        """Take the port.

        Raises:
            OSError: that does not work.
        """
        multi = await anyio.create_tcp_listener(local_host=self._interface, local_port=self.port)
        self._listener = multi
        self.port = int(multi.extra(anyio.abc.SocketAttribute.local_port))

    async def run(self) -> None:
        """Serve until cancelled."""
        assert self._listener is not None, "it has to listen first"
        async with self._listener:
            await self._listener.serve(self._connected)

    async def close(self) -> None:
        """Give the port back; for one that does not run."""
        if self._listener is not None:
            await self._listener.aclose()

    async def _connected(self, stream: anyio.abc.SocketStream) -> None:
        if self._connections >= _MOST_CONNECTIONS:
            log.warning("HTTP request refused: there are %d connections already", self._connections)
            await anyio.aclose_forcefully(stream)
            return
        self._connections += 1
        try:
            await _Exchange(self, stream).run()
        except (anyio.BrokenResourceError, anyio.ClosedResourceError, anyio.EndOfStream, OSError):
            pass  # the client left
        except Exception:  # one request's fault must not end the broker
            log.exception("HTTP request failed")
        finally:
            self._connections -= 1
            with anyio.CancelScope(shield=True):
                await anyio.aclose_forcefully(stream)

    async def answer(self, request: h11.Request, origin: Origin) -> Response:
        """The answer to a request."""
        if request.method not in (b"GET", b"HEAD"):
            return plain(405, "Method Not Allowed: there are GET and HEAD", ("Allow", "GET, HEAD"))
        path, _, query = request.target.decode("latin-1").partition("?")
        resource = RESOURCES.get(path)
        if resource is None:
            return plain(404, f"Not Found: there are {', '.join(RESOURCES)}")
        if not resource.public:
            authorization = next((value for name, value in request.headers if name == b"authorization"), None)
            refusal = await self._login.refusal(origin, authorization)
            if refusal is not None:
                return refusal
        return resource.answer(self._broker, dict(parse_qsl(query, errors="replace")))

    async def _find(self, host: str, check: Slow) -> Accepted | Refused:
        found: list[Accepted | Refused] = []
        done = anyio.Event()
        wanted = True

        def answer(outcome: Accepted | Refused) -> None:
            found.append(outcome)
            done.set()

        self._logins.submit(host, check, lambda: wanted, answer)
        try:
            await done.wait()
        finally:
            wanted = False
        return found[0]


def _reason(status: int) -> str:
    try:
        return HTTPStatus(status).phrase
    except ValueError:
        return ""


class _Exchange:
    """The requests of one connection."""

    def __init__(self, server: HttpServer, stream: anyio.abc.SocketStream) -> None:
        self._server = server
        self._stream = stream
        self._http = h11.Connection(h11.SERVER, max_incomplete_event_size=_MOST_HEAD)
        address = stream.extra(anyio.abc.SocketAttribute.remote_address)
        self._origin = Origin(address[0] if isinstance(address, tuple) else str(address))

    async def run(self) -> None:
        """Answer until the client, or a rule of HTTP, wants no more."""
        http = self._http
        while True:
            try:
                request = None
                with anyio.move_on_after(_REQUEST_WITHIN):
                    request = await self._request()
                if request is None:
                    return
                await self._send(await self._server.answer(request, self._origin), head=request.method == b"HEAD")
            except h11.RemoteProtocolError as error:
                if http.our_state in (h11.IDLE, h11.SEND_RESPONSE):
                    status = error.error_status_hint or 400
                    await self._send(plain(status, f"{_reason(status)}: {error}"), last=True)
                    await self._linger()
                return
            if http.our_state is not h11.DONE or http.their_state is not h11.DONE:
                return
            http.start_next_cycle()

    async def _request(self) -> h11.Request | None:
        """The next request, with all of its body behind it; None where there is none."""
        request: h11.Request | None = None
        size = 0
        while True:
            event = self._http.next_event()
            if event is h11.NEED_DATA:
                if self._http.they_are_waiting_for_100_continue:
                    raise h11.RemoteProtocolError("requests have no content here", error_status_hint=417)
                try:
                    data = await self._stream.receive(_READ_SIZE)
                except anyio.EndOfStream:
                    data = b""
                self._http.receive_data(data)
            elif isinstance(event, h11.Request):
                request = event
            elif isinstance(event, h11.Data):
                size += len(event.data)
                if size > _MOST_BODY:
                    raise h11.RemoteProtocolError("requests have no content here", error_status_hint=413)
            elif isinstance(event, h11.EndOfMessage):
                return request
            else:
                return None

    async def _linger(self) -> None:
        """Read what is still on its way: a socket that is closed before loses the answer."""
        await self._stream.send_eof()
        read = 0
        with anyio.move_on_after(_LINGER):
            while read < _MOST_LINGERING:
                read += len(await self._stream.receive(_READ_SIZE))

    async def _send(self, response: Response, *, head: bool = False, last: bool = False) -> None:
        headers = [*_USUAL_HEADERS, ("Content-Type", response.content_type), *response.headers]
        if last:
            headers.append(("Connection", "close"))
        await self._write(h11.Response(status_code=response.status, headers=headers, reason=_reason(response.status)))
        if not head:
            for piece in response.pieces():
                await self._write(h11.Data(data=piece))
        await self._write(h11.EndOfMessage())

    async def _write(self, event: h11.Event) -> None:
        data = self._http.send(event)
        if data:
            with anyio.fail_after(_ANSWER_TAKEN_WITHIN):
                await self._stream.send(data)
        # A socket that takes everything at once would let nobody else have a turn.
        await anyio.lowlevel.checkpoint()
