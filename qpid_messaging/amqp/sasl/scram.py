"""SCRAM-SHA-256 (RFC 5802, RFC 7677), without channel binding: neither end learns more than it knew.

The password never crosses the wire, the server keeps nothing that a client could log in with, and it has to show that
it knows the user. AMQP 0-10 has no place for data beside success, so the server's last message is a challenge, and the
client's answer to that is empty.
"""

from __future__ import annotations

import binascii
import hashlib
import hmac
import os
import re
from base64 import b64decode, b64encode
from collections.abc import Callable
from functools import lru_cache
from typing import NamedTuple

from .mechanism import Accepted, Challenge, Mechanism, SASLError, ServerMechanism
from .saslprep import saslprep

#: Iterations that a client does for a server: fewer would expose the password, more would keep us busy for its fun.
MIN_ITERATIONS, MAX_ITERATIONS = 4096, 1_000_000
_LENGTH = 32
_GS2_HEADER = re.compile(r"([ny]),(?:a=([^,]+))?,")


class ScramKeys(NamedTuple):
    """What a server keeps of a password."""

    iterations: int
    salt: bytes
    stored_key: bytes
    server_key: bytes


def derive_keys(password: str, salt: bytes, iterations: int) -> ScramKeys:
    """The keys for a password; slow by design.

    Raises:
        SASLError: the password has characters that it cannot have.
    """
    client_key, server_key = _keys(saslprep(password), salt, iterations)
    return ScramKeys(iterations, salt, hashlib.sha256(client_key).digest(), server_key)


def _keys(password: str, salt: bytes, iterations: int) -> tuple[bytes, bytes]:
    salted = hashlib.pbkdf2_hmac("sha256", password.encode(), salt, iterations)
    return _hmac(salted, b"Client Key"), _hmac(salted, b"Server Key")


# A client that looks for its cluster greets broker after broker with the same salt (RFC 5802, 5.1 suggests this).
_remembered_keys = lru_cache(maxsize=8)(_keys)


class ScramSHA256(Mechanism):
    """The client's half.

    Args:
        username, password: who to be.
        nonce: a fresh one by default; without commas.

    Raises:
        SASLError: user name or password has characters that it cannot have.
    """

    name = "SCRAM-SHA-256"

    def __init__(self, username: str, password: str, nonce: str | None = None) -> None:
        self._password = saslprep(password)
        self._nonce = _nonce() if nonce is None else nonce
        name = saslprep(username).replace("=", "=3D").replace(",", "=2C")
        self._first = f"n={name},r={self._nonce}"
        self._signature: bytes | None = None
        self._done = False

    def initial(self) -> bytes:
        return b"n,," + self._first.encode()

    def respond(self, challenge: bytes) -> bytes:
        if self._done:
            return super().respond(challenge)
        message = _text(challenge)
        if message.startswith("e="):
            raise SASLError(f"{self.name}: the broker says {message[2:]}")
        if self._signature is None:
            return self._prove(message)
        if not hmac.compare_digest(_binary(_attributes(message, "v")[0]), self._signature):
            raise SASLError(f"{self.name}: the broker does not know the password: it is not who it seems to be")
        self._done = True
        return b""

    def _prove(self, server_first: str) -> bytes:
        nonce, salt, count = _attributes(server_first, "rsi")
        if not nonce.startswith(self._nonce) or nonce == self._nonce:
            raise SASLError(f"{self.name}: the broker answers to another nonce")
        if not (count.isascii() and count.isdigit() and MIN_ITERATIONS <= int(count[:9]) <= MAX_ITERATIONS):
            raise SASLError(f"{self.name}: {count[:20]} iterations are not from {MIN_ITERATIONS} to {MAX_ITERATIONS}")
        client_key, server_key = _remembered_keys(self._password, _binary(salt), int(count))
        final = f"c=biws,r={nonce}"
        message = f"{self._first},{server_first},{final}".encode()
        proof = _xor(client_key, _hmac(hashlib.sha256(client_key).digest(), message))
        self._signature = _hmac(server_key, message)
        return f"{final},p={b64encode(proof).decode()}".encode()

    def finish(self) -> None:
        if not self._done:
            raise SASLError(f"{self.name}: the broker did not show that it knows the password")


class ScramServer(ServerMechanism):
    """The server's half.

    Args:
        find: the keys of a user; for one that does not exist, keys that fit no password.
        nonce: the server's part of the nonce, a fresh one by default; without commas.
    """

    def __init__(self, find: Callable[[str], ScramKeys], nonce: str | None = None) -> None:
        self._find = find
        self._nonce = _nonce() if nonce is None else nonce
        self._step: Callable[[bytes], Challenge | Accepted] = self._receive_first
        self._header = ""
        self._username = ""
        self._messages = ""

    def respond(self, response: bytes) -> Challenge | Accepted:
        return self._step(response)

    def _receive_first(self, response: bytes) -> Challenge:
        message = _text(response)
        header = _GS2_HEADER.match(message)
        if header is None:
            raise SASLError("SCRAM: not a header without channel binding")
        self._header = header.group()
        first = message[header.end() :]
        name, nonce = _attributes(first, "nr")
        self._username = _unescape(name)
        if not nonce or (header.group(2) and _unescape(header.group(2)) != self._username):
            raise SASLError("SCRAM: no nonce, or to act for another")
        self._nonce = nonce + self._nonce
        self._keys = self._find(saslprep(self._username))
        server_first = f"r={self._nonce},s={b64encode(self._keys.salt).decode()},i={self._keys.iterations}"
        self._messages = f"{first},{server_first}"
        self._step = self._receive_final
        return Challenge(server_first.encode())

    def _receive_final(self, response: bytes) -> Challenge:
        message = _text(response)
        final, _, proof_text = message.rpartition(",p=")
        header, nonce = _attributes(final, "cr")
        proof = _binary(proof_text)
        signed = f"{self._messages},{final}".encode()
        if len(proof) != _LENGTH:
            raise SASLError("SCRAM: a proof of another length")
        client_key = _xor(proof, _hmac(self._keys.stored_key, signed))
        matches = hmac.compare_digest(hashlib.sha256(client_key).digest(), self._keys.stored_key)
        if _binary(header) != self._header.encode() or nonce != self._nonce or not matches:
            raise SASLError(f"SCRAM: {self._username!r}: no such user, or a wrong password")
        self._step = self._receive_end
        return Challenge(b"v=" + b64encode(_hmac(self._keys.server_key, signed)))

    def _receive_end(self, response: bytes) -> Accepted:
        if response:
            raise SASLError("SCRAM: more than was to be said")
        return Accepted(saslprep(self._username))


def _nonce() -> str:
    return b64encode(os.urandom(18)).decode()


def _hmac(key: bytes, message: bytes) -> bytes:
    return hmac.digest(key, message, "sha256")


def _xor(one: bytes, other: bytes) -> bytes:
    return bytes(a ^ b for a, b in zip(one, other, strict=True))


def _text(message: bytes) -> str:
    try:
        return message.decode()
    except UnicodeDecodeError as error:
        raise SASLError("SCRAM messages are UTF-8") from error


def _binary(text: str) -> bytes:
    try:
        return b64decode(text, validate=True)
    except (binascii.Error, ValueError) as error:
        raise SASLError("SCRAM: broken base64") from error


def _attributes(message: str, names: str) -> list[str]:
    """The values of the attributes that a message begins with; optional ones may follow."""
    parts = message.split(",")
    if len(parts) < len(names) or any(part[:2] != f"{name}=" for name, part in zip(names, parts, strict=False)):
        raise SASLError(f"SCRAM: not a message of {', '.join(names)}")
    return [part[2:] for part in parts[: len(names)]]


def _unescape(name: str) -> str:
    if re.search("=(?!2C|3D)", name):
        raise SASLError("SCRAM: a user name with a bare '='")
    return name.replace("=2C", ",").replace("=3D", "=")
