"""The file of users: one a line, with salted, slowly hashed secrets.

A line is ``name:SECRET`` with one or more secrets, separated by spaces::

    SCRAM-SHA-256$ITERATIONS:SALT$STORED-KEY:SERVER-KEY    (RFC 5803) for SCRAM-SHA-256, PLAIN
    DIGEST-MD5$REALM$HASH                                  as good as the password, in that realm
    CRAM-MD5$PASSWORD                                      the password, in base64

The first is always there; the others only where somebody asked for them. Empty lines, and lines that start with ``#``,
mean nothing. The file is read again when it has changed, so users come and go without a restart.
"""

from __future__ import annotations

import binascii
import fcntl
import hmac
import logging
import os
import re
import tempfile
from base64 import b64decode, b64encode
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from qpid_messaging.amqp.sasl.digest_md5 import digest_secret
from qpid_messaging.amqp.sasl.saslprep import saslprep
from qpid_messaging.amqp.sasl.scram import MAX_ITERATIONS, MIN_ITERATIONS, ScramKeys, derive_keys

__all__ = ["DEFAULT_REALM", "ITERATIONS", "User", "UsersError", "UsersFile"]

log = logging.getLogger(__name__)

#: Rounds of PBKDF2 for a new secret: ten to twenty milliseconds, at each end.
ITERATIONS = 20_000
#: The realm of the C++ broker.
DEFAULT_REALM = "QPID"
_KEY_LENGTH = 32
_DIGEST_LENGTH = 16


class UsersError(Exception):
    """The file of users cannot be read, or says what makes no sense."""


class User(NamedTuple):
    """What is kept of a user's password.

    Attributes:
        scram: for SCRAM-SHA-256 and PLAIN.
        realm, digest: for DIGEST-MD5 in that realm, if wanted.
        password: for CRAM-MD5, if wanted.
    """

    scram: ScramKeys
    realm: str = ""
    digest: bytes | None = None
    password: bytes | None = None

    @classmethod
    def of(
        cls,
        name: str,
        password: str,
        *,
        realm: str = DEFAULT_REALM,
        digest_md5: bool = False,
        cram_md5: bool = False,
        iterations: int = ITERATIONS,
    ) -> User:
        """Hash a password with a salt of its own.

        Raises:
            SASLError: it has characters that a password cannot have.
        """
        return cls(
            derive_keys(password, os.urandom(16), iterations),
            realm if digest_md5 else "",
            digest_secret(name, realm, password) if digest_md5 else None,
            password.encode() if cram_md5 else None,
        )

    @property
    def mechanisms(self) -> list[str]:
        """Names of the SASL mechanisms that these secrets serve."""
        digest = ["DIGEST-MD5"] if self.digest is not None else []
        cram = ["CRAM-MD5"] if self.password is not None else []
        return ["SCRAM-SHA-256", *digest, *cram, "PLAIN"]

    def matches(self, password: str) -> bool:
        """Whether it is this user's; slow, and as slow either way.

        Raises:
            SASLError: it has characters that a password cannot have.
        """
        keys = derive_keys(password, self.scram.salt, self.scram.iterations)
        return hmac.compare_digest(keys.stored_key, self.scram.stored_key)

    def __str__(self) -> str:
        salt, stored, server = (b64encode(part).decode() for part in self.scram[1:])
        secrets = [f"SCRAM-SHA-256${self.scram.iterations}:{salt}${stored}:{server}"]
        if self.digest is not None:
            secrets.append(f"DIGEST-MD5${self.realm}${self.digest.hex()}")
        if self.password is not None:
            secrets.append(f"CRAM-MD5${b64encode(self.password).decode()}")
        return " ".join(secrets)

    @classmethod
    def parse(cls, text: str) -> User:
        """Read what ``str`` wrote.

        Raises:
            ValueError: it is nothing like that; the text does not repeat any secret.
        """
        scram: ScramKeys | None = None
        realm, digest, password = "", None, None
        for word in text.split():
            kind, _, value = word.partition("$")
            if kind == "SCRAM-SHA-256":
                scram = _parse_scram(value)
            elif kind == "DIGEST-MD5":
                realm, _, hexadecimal = value.rpartition("$")
                digest = bytes.fromhex(hexadecimal)
                if len(digest) != _DIGEST_LENGTH:
                    raise ValueError("a DIGEST-MD5 secret of another length")
            elif kind == "CRAM-MD5":
                password = _binary(value)
            else:
                raise ValueError(f"unknown kind of secret {kind[:20]!r}")
        if scram is None:
            raise ValueError("no SCRAM-SHA-256 secret")
        return cls(scram, realm, digest, password)


def _parse_scram(text: str) -> ScramKeys:
    found = re.fullmatch(r"([0-9]{1,9}):([^:$]*)\$([^:$]*):([^:$]*)", text)
    if found is None:
        raise ValueError("not a SCRAM-SHA-256 secret")
    keys = ScramKeys(int(found[1]), _binary(found[2]), _binary(found[3]), _binary(found[4]))
    if not MIN_ITERATIONS <= keys.iterations <= MAX_ITERATIONS:
        raise ValueError(f"{keys.iterations} iterations are not from {MIN_ITERATIONS} to {MAX_ITERATIONS}")
    if not keys.salt or len(keys.stored_key) != _KEY_LENGTH or len(keys.server_key) != _KEY_LENGTH:
        raise ValueError("a SCRAM-SHA-256 secret of another length")
    return keys


def _binary(text: str) -> bytes:
    try:
        return b64decode(text, validate=True)
    except binascii.Error:
        raise ValueError("broken base64") from None


class UsersFile:
    """The users of one file.

    Args:
        path: the file; it need not exist, or be given: then there are no users.
    """

    def __init__(self, path: Path | None) -> None:
        self.path = path
        # Together, since threads that check passwords look here too.
        self._read: tuple[dict[str, User], tuple[int, int, int] | None] = ({}, None)

    def load(self) -> dict[str, User]:
        """The users by name, read again if the file has changed.

        Raises:
            UsersError: the file cannot be read, or a line of it is wrong.
        """
        before, before_stamp = self._read
        if self.path is None:
            return before
        try:
            status = self.path.stat()
            stamp = (status.st_mtime_ns, status.st_size, status.st_ino)
            if stamp == before_stamp:
                return before
            text = self.path.read_text(encoding="utf-8")
        except FileNotFoundError:
            self._read = ({}, None)
            return {}
        except (OSError, UnicodeDecodeError) as error:
            raise UsersError(f"users file {self.path}: {error}") from error
        users: dict[str, User] = {}
        for number, line in enumerate(text.splitlines(), 1):
            if not line.strip() or line.startswith("#"):
                continue
            name, _, secrets = line.partition(":")
            try:
                users[name] = User.parse(secrets)
            except ValueError as error:
                raise UsersError(f"users file {self.path}, line {number}: {error}") from None
        if status.st_mode & 0o077:
            log.warning("users file %s can be read by others than its owner", self.path)
        self._read = (users, stamp)
        return users

    def current(self) -> dict[str, User]:
        """The users by name; while the file is damaged, those that it held before: nobody is locked out by a typo."""
        try:
            return self.load()
        except UsersError as error:
            log.error("%s; going on with the users known before", error)
            return self._read[0]

    def add(self, name: str, password: str, **settings: bool | int | str) -> None:
        """Add a user, or give one another password.

        Args:
            name: the user.
            password: the password.
            settings: as for `User.of`: which secrets are kept beside the usual one.

        Raises:
            ValueError: the name or the realm cannot stand in the file.
            SASLError: name or password has characters that it cannot have.
            UsersError: the file is not readable.
        """
        name = saslprep(name)
        if not name or ":" in name or name.startswith("#") or not name.isprintable() or name != name.strip():
            raise ValueError(f"{name!r} cannot be a user's name")
        realm = str(settings.get("realm", DEFAULT_REALM))
        if not realm or not realm.isprintable() or set(realm) & set(' $"\\'):
            raise ValueError(f"{realm!r} cannot be a realm")
        user = User.of(name, password, **settings)  # type: ignore[arg-type]
        with self._changing():
            self._write({**self.load(), name: user})

    def delete(self, name: str) -> None:
        """Remove a user.

        Raises:
            KeyError: there is none of that name.
            UsersError: the file is not readable.
        """
        with self._changing():
            users = dict(self.load())
            del users[name]
            self._write(users)

    @contextmanager
    def _changing(self) -> Iterator[None]:
        """Have the file for oneself, among those who change it in this way."""
        if self.path is None:
            raise UsersError("there is no users file")
        self.path = self.path.resolve()
        self.path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        folder = os.open(self.path.parent, os.O_RDONLY)
        try:
            fcntl.flock(folder, fcntl.LOCK_EX)
            yield
        finally:
            os.close(folder)

    def _write(self, users: dict[str, User]) -> None:
        assert self.path is not None
        text = "".join(f"{name}:{user}\n" for name, user in users.items())
        handle, temporary = tempfile.mkstemp(dir=self.path.parent, prefix=f".{self.path.name}.")  # mode 0600
        try:
            with os.fdopen(handle, "w", encoding="utf-8") as file:
                if os.geteuid() == 0:
                    # The broker may run as another user, and has to read it.
                    owner = (self.path if self.path.exists() else self.path.parent).stat()
                    os.fchown(file.fileno(), owner.st_uid, owner.st_gid)
                file.write(text)
                file.flush()
                os.fsync(file.fileno())
            os.replace(temporary, self.path)
        except BaseException:
            os.unlink(temporary)
            raise
        self._read = (users, None)
