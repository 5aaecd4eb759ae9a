"""Sockets, plain and encrypted, all of them non-blocking: what the I/O thread reads from and everybody writes to."""

from __future__ import annotations

import os
import socket
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import ssl
    from collections.abc import Iterator

    from qpid_address import BrokerAddress

    from .options import ConnectionOptions

_READ_SIZE = 1 << 17


class Blocked(Exception):
    """The socket is not ready.

    Args:
        writing: whether it waits to be writable, rather than readable.
    """

    def __init__(self, writing: bool) -> None:
        super().__init__(writing)
        self.writing = writing


class Transport:
    """A connected TCP socket.

    Args:
        sock: the socket, connected or being connected.
    """

    #: Whether one thread may read while another writes.
    concurrent = True
    #: Whether nobody can read along.
    encrypted = False

    def __init__(self, sock: socket.socket) -> None:
        self._socket = sock

    @property
    def local(self) -> bool:
        """Whether the peer is on this machine."""
        try:
            peer = self._socket.getpeername()
        except OSError:
            return False
        return not isinstance(peer, tuple) or peer[0] == "::1" or peer[0].removeprefix("::ffff:").startswith("127.")

    def fileno(self) -> int:
        """The file descriptor to poll."""
        return self._socket.fileno()

    def handshake(self) -> None:
        """Go on with the greeting of the transport itself. Raises Blocked until it is done, OSError where it fails."""

    def send(self, data: bytes | memoryview) -> int:
        """Write what the socket takes now. Returns how many bytes that were; raises OSError for a broken one."""
        try:
            return self._socket.send(data)
        except BlockingIOError:
            return 0

    def receive(self) -> bytes | None:
        """Read what is there: b"" at the end, None if there is nothing yet. Raises OSError for a broken one."""
        try:
            return self._socket.recv(_READ_SIZE)
        except (BlockingIOError, InterruptedError):
            return None

    def close(self) -> None:
        """Close the socket."""
        self._socket.close()


class TLSTransport(Transport):
    """A TCP socket with TLS.

    Args:
        sock: the connected socket.
        context: what to trust and what to show.
        host: the name that the certificate has to be for.
    """

    # OpenSSL does not let one connection be read and written at once.
    concurrent = False
    encrypted = True

    def __init__(self, sock: socket.socket, context: ssl.SSLContext, host: str) -> None:
        self._tls = context.wrap_socket(sock, server_hostname=host, do_handshake_on_connect=False)
        super().__init__(self._tls)

    def handshake(self) -> None:
        import ssl  # noqa: PLC0415

        try:
            self._tls.do_handshake()
        except ssl.SSLWantReadError:
            raise Blocked(writing=False) from None
        except ssl.SSLWantWriteError:
            raise Blocked(writing=True) from None
        except ssl.SSLError as error:
            raise OSError(f"TLS handshake failed: {_tls_reason(error)}") from error

    def send(self, data: bytes | memoryview) -> int:
        import ssl  # noqa: PLC0415

        try:
            return self._tls.send(data)
        except (ssl.SSLWantReadError, ssl.SSLWantWriteError):
            return 0

    def receive(self) -> bytes | None:
        import ssl  # noqa: PLC0415

        chunks: list[bytes] = []
        # What OpenSSL has decrypted already, poll does not show.
        while True:
            try:
                chunk = self._tls.recv(_READ_SIZE)
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
            if not self._tls.pending():
                return b"".join(chunks)


class Connecting:
    """A connection on its way, to one network address after the other.

    Args:
        broker: where to; its host name is resolved here and now.
        options: the connection's options.

    Raises:
        OSError: the host name does not resolve, or the TLS files do not load.
    """

    def __init__(self, broker: BrokerAddress, options: ConnectionOptions) -> None:
        self._broker = broker
        self._options = options
        self._context = _tls_context(options) if broker.transport == "ssl" else None
        self._addresses = socket.getaddrinfo(broker.host, broker.port_or_default, 0, socket.SOCK_STREAM)
        self._socket: socket.socket | None = None
        self._transport: Transport | None = None
        self._error: OSError | None = None

    def fileno(self) -> int:
        """The file descriptor to poll after `Blocked`."""
        # A socket that was wrapped for TLS has given its descriptor away.
        pending = self._transport or self._socket
        return -1 if pending is None else pending.fileno()

    def proceed(self) -> Transport:
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
            except OSError as error:
                self.close()
                self._error = error
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
            self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, bool(self._options.tcp_nodelay))
            try:
                self._socket.connect(address)
            except BlockingIOError:
                raise Blocked(writing=True) from None
        else:
            code = self._socket.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
            if code:
                raise OSError(code, os.strerror(code))
        if self._context is None:
            self._transport = Transport(self._socket)
        else:
            self._transport = TLSTransport(self._socket, self._context, self._broker.host)


def _tls_context(options: ConnectionOptions) -> ssl.SSLContext:
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
            context.load_cert_chain(options.ssl_certfile, options.ssl_keyfile)
    return context


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
