"""CRAM-MD5 (RFC 2195): the password signs a challenge. The server needs the password itself for that."""

from __future__ import annotations

import hmac
import os
from collections.abc import Callable

from .mechanism import Accepted, Challenge, Mechanism, SASLError, ServerMechanism


class CramMD5(Mechanism):
    """The client's half."""

    name = "CRAM-MD5"

    def __init__(self, username: str, password: str) -> None:
        self._username = username
        self._password = password
        self._done = False

    def respond(self, challenge: bytes) -> bytes:
        if self._done or not challenge:
            return super().respond(challenge)
        self._done = True
        return f"{self._username} {sign(self._password.encode(), challenge)}".encode()


class CramServer(ServerMechanism):
    """The server's half.

    Args:
        realm: the server's name, which makes the challenge unique among servers.
        find: the password of a user, or None.
        nonce: a fresh one by default.
    """

    def __init__(self, realm: str, find: Callable[[str], bytes | None], nonce: str | None = None) -> None:
        self._challenge = f"<{os.urandom(16).hex() if nonce is None else nonce}@{realm}>".encode()
        self._find = find
        self._challenged = False

    def respond(self, response: bytes) -> Challenge | Accepted:
        if not self._challenged:
            self._challenged = True
            return Challenge(self._challenge)
        name, _, signature = response.rpartition(b" ")
        try:
            username = name.decode()
        except UnicodeDecodeError as error:
            raise SASLError("CRAM-MD5: a user name is UTF-8") from error
        password = self._find(username)
        expected = sign(password or b"", self._challenge).encode()
        if not hmac.compare_digest(expected, signature) or password is None:
            raise SASLError(f"CRAM-MD5: {username!r}: no such user, none with a secret for it, or a wrong password")
        return Accepted(username)


def sign(password: bytes, challenge: bytes) -> str:
    """The challenge signed with the password: HMAC-MD5 in hexadecimal digits."""
    return hmac.digest(password, challenge, "md5").hex()
