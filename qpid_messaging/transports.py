"""Transports: sockets, plain and encrypted, and whatever an application puts into `TRANSPORTS`.

An application's transport is a class like `Transport`. It is made with the connection, a host and a port, and connects
then, which may take its time; it raises OSError where it cannot. `Connection(transport="its name")` uses it. All of its
methods are called by one thread at a time. It may have an attribute `encrypted`, which says that nobody can read along,
and an attribute `local`, which says that there is no network in between: without both, a password that is sent as it is
makes a warning.

Those that are here are non-blocking: what the I/O thread reads from and everybody writes to.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Callable
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    import ssl
    from collections.abc import Iterator

    from qpid_address import BrokerAddress

    from .options import ConnectionOptions

__all__ = ["TRANSPORTS", "SocketTransport", "Transport", "tcp", "tls"]

#: How much is read at once.
READ_SIZE = 1 << 17


class Blocked(Exception):
    """The socket is not ready.

    Args:
        writing: whether it waits to be writable, rather than readable.
    """

    def __init__(self, writing: bool) -> None:
        super().__init__(writing)
        self.writing = writing


class Transport(Protocol):
    """What carries bytes to a broker and back."""

    def fileno(self) -> int:
        """The file descriptor to poll."""

    def reading(self, reading: bool) -> bool:
        """Whether to poll for something to read, where the connection would (`reading`)."""
        return reading

    def writing(self, writing: bool) -> bool:
        """Whether to poll for room to write, where the connection would (`writing`)."""
        return writing

    def send(self, data: bytes | memoryview) -> int:
        """Write what can be written now. Returns how many bytes that were; raises OSError for a broken transport."""

    def recv(self, size: int) -> bytes | None:
        """Read what is there, about `size` bytes at most: b"" at the end, None if there is nothing yet.

        Raises:
            OSError: the transport is broken.
        """

    def close(self) -> None:
        """Close it."""


class SocketTransport:
    """A connected TCP socket.

    Args:
        conn: the connection, or its options.
        host: where to.
        port: where to.
        sock: a non-blocking socket that is connected there. Without one it is made, which blocks.

    Attributes:
        socket: the socket.

    Raises:
        OSError: there is no way to get there.
    """

    #: Whether one thread may read while another writes.
    concurrent = True
    #: Whether nobody can read along.
    encrypted = False

    def __init__(self, conn: Any, host: str, port: int, sock: socket.socket | None = None) -> None:
        if sock is None:
            sock = socket.create_connection((host, port))
            sock.setblocking(False)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, bool(conn.tcp_nodelay))
        self.socket = sock

    @property
    def local(self) -> bool:
        """Whether the peer is on this machine."""
        try:
            peer = self.socket.getpeername()
        except OSError:
            return False
        return not isinstance(peer, tuple) or peer[0] == "::1" or peer[0].removeprefix("::ffff:").startswith("127.")

    def fileno(self) -> int:
        return self.socket.fileno()

    def reading(self, reading: bool) -> bool:
        return reading

    def writing(self, writing: bool) -> bool:
        return writing

    def handshake(self) -> None:
        """Go on with the greeting of the transport itself. Raises Blocked until it is done, OSError where it fails."""

    def send(self, data: bytes | memoryview) -> int:
        try:
            return self.socket.send(data)
        except BlockingIOError:
            return 0

    def recv(self, size: int) -> bytes | None:
        try:
            return self.socket.recv(size)
        except (BlockingIOError, InterruptedError):
            return None

    def close(self) -> None:
        self.socket.close()


class tcp(SocketTransport):  # noqa: N801 - the name it has in qpid.messaging
    """A plain TCP socket."""


class tls(SocketTransport):  # noqa: N801
    """A TCP socket with TLS.

    Args:
        conn: the connection, or its options: what to trust and what to show.
        host: where to, and the name that the certificate has to be for.
        port: where to.
        sock: a non-blocking socket that is connected there; `handshake` has to be called then. Without one it is made,
            handshake and all, which blocks.
        context: what `tls_context` makes of the options, where that is known already.

    Raises:
        OSError: there is no way to get there, the TLS files do not load, the handshake fails.
    """

    # OpenSSL does not let one connection be read and written at once.
    concurrent = False
    encrypted = True

    def __init__(
        self, conn: Any, host: str, port: int, sock: socket.socket | None = None, context: ssl.SSLContext | None = None
    ) -> None:
        context = context or tls_context(conn)
        super().__init__(conn, host, port, sock)
        try:
            self.socket = self.tls = context.wrap_socket(
                self.socket, server_hostname=host, do_handshake_on_connect=False
            )
            if sock is None:
                self.tls.setblocking(True)
                self.handshake()
                self.tls.setblocking(False)
        except OSError:
            self.close()
            raise

    def handshake(self) -> None:
        import ssl  # noqa: PLC0415

        try:
            self.tls.do_handshake()
        except ssl.SSLWantReadError:
            raise Blocked(writing=False) from None
        except ssl.SSLWantWriteError:
            raise Blocked(writing=True) from None
        except ssl.SSLError as error:
            raise OSError(f"TLS handshake failed: {_tls_reason(error)}") from error

    def send(self, data: bytes | memoryview) -> int:
        import ssl  # noqa: PLC0415

        try:
            return self.tls.send(data)
        except (ssl.SSLWantReadError, ssl.SSLWantWriteError):
            return 0

    def recv(self, size: int) -> bytes | None:
        import ssl  # noqa: PLC0415

        chunks: list[bytes] = []
        # What OpenSSL has decrypted already, poll does not show.
        while True:
            try:
                chunk = self.tls.recv(size)
            except (ssl.SSLWantReadError, ssl.SSLWantWriteError):
                return b"".join(chunks) or None
            except (ssl.SSLZeroReturnError, ssl.SSLEOFError):
                chunk = b""
            except ssl.SSLError as error:
                # With TLS 1.3 this is how we hear that our certificate was not liked.
                raise OSError(f"TLS: {_tls_reason(error)}") from error
            if not chunk:
                return b"".join(chunks)
            chunks.append(chunk)
            if not self.tls.pending():
                return b"".join(chunks)


@contextmanager
def resolving() -> Iterator[None]:
    """What can be no host name at all is a broker that is not there, and no reason to end the search for another.

    Raises:
        OSError: in the place of the ValueError that Python has for it.
    """
    try:
        yield
    except ValueError as error:
        raise OSError(f"no host name: {error}") from error


class Connecting:
    """A connection on its way, to one network address after the other.

    Args:
        broker: where to.
        options: the connection's options.
        encrypted: whether by TLS.
        addresses: what `socket.getaddrinfo` gives for the broker's host and port.

    Raises:
        OSError: the TLS files do not load.
    """

    def __init__(
        self, broker: BrokerAddress, options: ConnectionOptions, encrypted: bool, addresses: list[Any]
    ) -> None:
        self._broker = broker
        self._options = options
        self._context = tls_context(options) if encrypted else None
        self._addresses = addresses
        self._socket: socket.socket | None = None
        self._transport: SocketTransport | None = None

    def fileno(self) -> int:
        """The file descriptor to poll after `Blocked`."""
        # A socket that was wrapped for TLS has given its descriptor away.
        pending = self._transport or self._socket
        return -1 if pending is None else pending.fileno()

    def proceed(self) -> SocketTransport:
        """Go on as far as it goes.

        Returns:
            The transport, when it is ready.

        Raises:
            Blocked: something has to be waited for.
            OSError: none of the addresses works.
        """
        while True:
            try:
                if self._transport is None:
                    self._connect()
                assert self._transport is not None
                self._transport.handshake()
            except OSError:
                self.close()
                if not self._addresses:
                    raise
                continue
            transport, self._transport, self._socket = self._transport, None, None
            return transport

    def close(self) -> None:
        """Give up."""
        if self._transport is not None:
            self._transport.close()
        elif self._socket is not None:
            self._socket.close()
        self._transport = self._socket = None

    def _connect(self) -> None:
        if self._socket is None:
            family, kind, protocol, _, address = self._addresses.pop(0)
            self._socket = socket.socket(family, kind, protocol)
            self._socket.setblocking(False)
            try:
                self._socket.connect(address)
            except BlockingIOError:
                raise Blocked(writing=True) from None
        else:
            code = self._socket.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
            if code:
                raise OSError(code, os.strerror(code))
        host, port = self._broker.host, self._broker.port_or_default
        if self._context is None:
            self._transport = tcp(self._options, host, port, self._socket)
        else:
            self._transport = tls(self._options, host, port, self._socket, self._context)


def tls_context(options: Any) -> ssl.SSLContext:
    """What the options of a connection say about whom to trust, and what to show.

    Raises:
        OSError: the TLS files do not load.
    """
    import ssl  # noqa: PLC0415 - 7 ms of import for those who need it

    with _naming("ssl_trustfile", options.ssl_trustfile):
        context = ssl.create_default_context(cafile=options.ssl_trustfile)
    if options.ssl_skip_hostname_check:
        context.check_hostname = False
        # Anybody can have some certificate of a public authority: without the name it says nothing.
        if not options.ssl_trustfile:
            context.verify_mode = ssl.CERT_NONE
    if options.ssl_certfile:
        with _naming("ssl_certfile, ssl_keyfile", f"{options.ssl_certfile}, {options.ssl_keyfile or 'the same'}"):
            context.load_cert_chain(options.ssl_certfile, options.ssl_keyfile, lambda: _key_password(options))
    return context


def _key_password(options: Any) -> str:
    """Asked for by OpenSSL where the key is encrypted; it would ask on the terminal otherwise, and wait."""
    if options.ssl_key_password is None:
        raise OSError("the key is encrypted: give ssl_key_password")
    return str(options.ssl_key_password)


@contextmanager
def _naming(option: str, file: str | None) -> Iterator[None]:
    """OpenSSL does not say which file it could not read."""
    try:
        yield
    except OSError as error:
        raise OSError(f"{option} ({file}): {error.strerror or error}") from error


def _tls_reason(error: ssl.SSLError) -> str:
    import ssl  # noqa: PLC0415

    if isinstance(error, ssl.SSLCertVerificationError):
        return f"the broker's certificate is not good: {error.verify_message}"
    if error.reason in ("WRONG_VERSION_NUMBER", "RECORD_LAYER_FAILURE") or isinstance(error, ssl.SSLEOFError):
        return "the broker does not speak TLS on this port"
    return error.reason.replace("_", " ").lower() if error.reason else str(error)


#: Makes a transport of a connection, a host and a port.
Kind = Callable[[Any, str, int], Transport]
#: The transports, by name.
TRANSPORTS: dict[str, Kind] = {"tcp": tcp, "ssl": tls, "tcp+tls": tls}
_OURS = frozenset(TRANSPORTS)


def kind_for(options: ConnectionOptions, broker: BrokerAddress) -> Kind:
    """What a connection reaches a broker by: the transport that its option names, or else the broker's URL.

    Raises:
        OSError: there is none of that name.
    """
    name = broker.transport if options.transport in _OURS else options.transport
    kind = TRANSPORTS.get(name or "")
    if kind is None:
        raise OSError(f"no such transport: {name}")
    return kind
