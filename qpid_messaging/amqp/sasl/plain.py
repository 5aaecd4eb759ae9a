"""ANONYMOUS, EXTERNAL and PLAIN: mechanisms of one response, without cryptography of their own."""

from __future__ import annotations

from typing import NamedTuple

from .mechanism import Mechanism, SASLError


class Anonymous(Mechanism):
    """ANONYMOUS (RFC 4505): no identity, only a trace of who it was."""

    name = "ANONYMOUS"

    def __init__(self, trace: str = "") -> None:
        self._trace = trace

    def initial(self) -> bytes:
        return self._trace.encode()


class External(Mechanism):
    """EXTERNAL (RFC 4422, appendix A): whoever the TLS certificate says.

    Args:
        username: who to be, where the broker knows more than one; empty is whoever the certificate says.
    """

    name = "EXTERNAL"

    def __init__(self, username: str = "") -> None:
        self._username = username

    def initial(self) -> bytes:
        return self._username.encode()


class Plain(Mechanism):
    """PLAIN (RFC 4616): the password itself; for encrypted connections and loopback."""

    name = "PLAIN"
    reveals_password = True

    def __init__(self, username: str, password: str) -> None:
        if "\0" in username or "\0" in password:
            raise SASLError("PLAIN cannot carry a NUL character in user name or password")
        self._response = b"\0" + username.encode() + b"\0" + password.encode()

    def initial(self) -> bytes:
        return self._response


class Credentials(NamedTuple):
    """What a PLAIN response says."""

    authorization_id: str
    username: str
    password: str


def parse_plain(response: bytes) -> Credentials:
    """Take a PLAIN response apart (server side).

    Raises:
        SASLError: it is not three UTF-8 texts with NUL characters between them.
    """
    parts = response.split(b"\0")
    if len(parts) != 3:
        raise SASLError("a PLAIN response has three parts")
    try:
        return Credentials(*(part.decode() for part in parts))
    except UnicodeDecodeError as error:
        raise SASLError("a PLAIN response is UTF-8") from error
