"""The file of users: one a line, with a salted, slowly hashed secret.

A line is ``name:scrypt:N:r:p:salt:hash``: the name (without colons), the parameters of scrypt (RFC 7914), and salt and
32-octet hash in base64. Empty lines, and lines that start with ``#``, mean nothing. The file is read again when it has
changed, so users come and go without a restart.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import os
import tempfile
from pathlib import Path
from typing import NamedTuple

__all__ = ["Secret", "UsersError", "UsersFile"]

_N, _R, _P = 1 << 14, 8, 1
_LENGTH = 32
_MOST_MEMORY = 256 << 20


class UsersError(Exception):
    """The file of users cannot be read, or says what makes no sense."""


class Secret(NamedTuple):
    """A password's hash and how it was made."""

    n: int
    r: int
    p: int
    salt: bytes
    hash: bytes

    @classmethod
    def of(cls, password: str) -> Secret:
        """Hash a password with a salt of its own."""
        salt = os.urandom(16)
        return cls(_N, _R, _P, salt, _scrypt(password, _N, _R, _P, salt))

    def matches(self, password: str) -> bool:
        """Whether it is this password's; takes as long either way."""
        return hmac.compare_digest(_scrypt(password, self.n, self.r, self.p, self.salt), self.hash)

    def __str__(self) -> str:
        salt, hash = (base64.b64encode(part).decode() for part in (self.salt, self.hash))
        return f"scrypt:{self.n}:{self.r}:{self.p}:{salt}:{hash}"

    @classmethod
    def parse(cls, text: str) -> Secret:
        """Read what ``str`` wrote.

        Raises:
            ValueError: it is nothing like that.
        """
        kind, n, r, p, salt, hash = text.split(":")
        if kind != "scrypt":
            raise ValueError(f"unknown kind of secret {kind!r}")
        try:
            secret = cls(int(n), int(r), int(p), base64.b64decode(salt, validate=True), base64.b64decode(hash))
        except binascii.Error as error:
            raise ValueError(str(error)) from None
        if secret.n < 2 or secret.n & (secret.n - 1) or 128 * secret.n * secret.r * max(secret.p, 1) > _MOST_MEMORY:
            raise ValueError("scrypt parameters out of range")
        return secret


def _scrypt(password: str, n: int, r: int, p: int, salt: bytes) -> bytes:
    return hashlib.scrypt(password.encode(), salt=salt, n=n, r=r, p=p, maxmem=_MOST_MEMORY, dklen=_LENGTH)


# Checked for names that do not exist, so that the time of an answer does not tell which do.
_NOBODY = Secret(_N, _R, _P, b"\0" * 16, b"\0" * _LENGTH)


class UsersFile:
    """The users of one file.

    Args:
        path: the file; it need not exist, or be given: then there are no users.
    """

    def __init__(self, path: Path | None) -> None:
        self.path = path
        self._users: dict[str, Secret] = {}
        self._stamp: tuple[int, int] | None = None

    def load(self) -> dict[str, Secret]:
        """The users by name, read again if the file has changed.

        Raises:
            UsersError: the file cannot be read, or a line of it is wrong.
        """
        if self.path is None:
            return self._users
        try:
            status = self.path.stat()
            stamp = (status.st_mtime_ns, status.st_size)
            if stamp == self._stamp:
                return self._users
            text = self.path.read_text(encoding="utf-8")
        except FileNotFoundError:
            self._users, self._stamp = {}, None
            return self._users
        except (OSError, UnicodeDecodeError) as error:
            raise UsersError(f"users file {self.path}: {error}") from error
        users: dict[str, Secret] = {}
        for number, line in enumerate(text.splitlines(), 1):
            if not line.strip() or line.startswith("#"):
                continue
            name, _, secret = line.partition(":")
            try:
                users[name] = Secret.parse(secret.strip())
            except ValueError as error:
                raise UsersError(f"users file {self.path}, line {number}: {error}") from None
        self._users, self._stamp = users, stamp
        return users

    def verify(self, name: str, password: str) -> bool:
        """Whether there is such a user with that password. Takes tens of milliseconds, on purpose."""
        try:
            users = self.load()
        except UsersError:
            users = self._users  # a file that is being edited does not lock everybody out
        found = users.get(name)
        matches = (found or _NOBODY).matches(password)
        return matches and found is not None

    def add(self, name: str, password: str) -> None:
        """Add a user, or give one another password.

        Raises:
            ValueError: the name cannot stand in the file.
            UsersError: the file is not readable.
        """
        if not name or ":" in name or name.startswith("#") or not name.isprintable():
            raise ValueError(f"{name!r} cannot be a user's name")
        self._write({**self.load(), name: Secret.of(password)})

    def delete(self, name: str) -> None:
        """Remove a user.

        Raises:
            KeyError: there is none of that name.
        """
        users = dict(self.load())
        del users[name]
        self._write(users)

    def _write(self, users: dict[str, Secret]) -> None:
        if self.path is None:
            raise UsersError("there is no users file")
        self.path.parent.mkdir(parents=True, exist_ok=True)
        text = "".join(f"{name}:{secret}\n" for name, secret in users.items())
        handle, temporary = tempfile.mkstemp(dir=self.path.parent, prefix=self.path.name)
        try:
            with os.fdopen(handle, "w", encoding="utf-8") as file:
                file.write(text)
            os.replace(temporary, self.path)
        except BaseException:
            os.unlink(temporary)
            raise
        self._stamp = None
