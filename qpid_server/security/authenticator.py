"""Who a client is: the broker's side of SASL."""

from __future__ import annotations

import hmac
import os
from collections.abc import Callable, Iterable
from typing import NamedTuple

from qpid_messaging.amqp.sasl import Accepted, Challenge, SASLError, ServerMechanism, parse_plain
from qpid_messaging.amqp.sasl.cram_md5 import CramServer
from qpid_messaging.amqp.sasl.digest_md5 import DigestServer
from qpid_messaging.amqp.sasl.saslprep import saslprep
from qpid_messaging.amqp.sasl.scram import ScramKeys, ScramServer

from .users import DEFAULT_REALM, ITERATIONS, User, UsersFile

__all__ = ["ANONYMOUS_USER", "NOWHERE", "Authenticator", "Exchange", "Origin", "Outcome", "Refused", "Slow"]

ANONYMOUS_USER = "anonymous"


class Origin(NamedTuple):
    """Where a client comes from.

    Attributes:
        host: its network address.
        encrypted: whether the connection is.
        identity: who its TLS certificate says it is; empty without one.
    """

    host: str = ""
    encrypted: bool = False
    identity: str = ""


#: Not from a network.
NOWHERE = Origin()


class Refused(NamedTuple):
    """The client does not come in.

    Attributes:
        reason: for the log.
        text: for the client; it does not tell whether the user exists.
    """

    reason: str
    text: str = "Authentication failed"


class Slow(NamedTuple):
    """The answer takes long to find.

    Attributes:
        find: finds it; may run in another thread.
        username: who the client says it is.
    """

    find: Callable[[], Accepted | Refused]
    username: str


Outcome = Challenge | Accepted | Refused | Slow


class Exchange:
    """One client's authentication."""

    def __init__(self, mechanism: ServerMechanism | Callable[[bytes], Outcome]) -> None:
        self._respond = mechanism.respond if isinstance(mechanism, ServerMechanism) else mechanism

    def respond(self, response: bytes) -> Outcome:
        """What follows from a response of the client; the first one is the initial response."""
        try:
            return self._respond(response)
        except SASLError as error:
            return Refused(str(error))


class Authenticator:
    """Decides who may come in.

    Args:
        users: the users with their secrets; None: authentication is off, everybody is who they say.
        realm: what DIGEST-MD5 and CRAM-MD5 tell clients.
        permitted: the only mechanisms to offer; empty is every one that somebody can use, but ANONYMOUS only without
            `users`.
        require_encryption: nobody comes in over a connection without encryption.
        no_dictionary: with encryption, no mechanism that somebody could guess passwords by.
    """

    def __init__(
        self,
        users: UsersFile | None = None,
        *,
        realm: str = DEFAULT_REALM,
        permitted: Iterable[str] = (),
        require_encryption: bool = False,
        no_dictionary: bool = False,
    ) -> None:
        self.users = users
        self.realm = realm
        self.permitted = frozenset(permitted)
        self.require_encryption = require_encryption
        self.no_dictionary = no_dictionary
        self._random = os.urandom(32)
        # Of passwords that were found good: who comes back need not wait for the slow hash again.
        self._remembered: dict[str, tuple[ScramKeys, bytes]] = {}

    def refusal(self, origin: Origin) -> str:
        """Why nobody may come in from there, if so; empty otherwise."""
        if self.require_encryption and not origin.encrypted:
            return "the connection must be encrypted"
        return ""

    def mechanisms(self, origin: Origin = NOWHERE) -> list[str]:
        """SASL mechanisms offered to a client from there, the strongest first."""
        if self.users is None:
            offered = ["PLAIN", "ANONYMOUS"]
        else:
            served = {name for user in self.users.current().values() for name in user.mechanisms}
            # Without users these let nobody in, but say so in the usual way.
            served |= {"SCRAM-SHA-256", "PLAIN"}
            offered = [name for name in ("SCRAM-SHA-256", "DIGEST-MD5", "CRAM-MD5", "PLAIN") if name in served]
            if "ANONYMOUS" in self.permitted:
                offered.append("ANONYMOUS")
        if origin.encrypted and self.no_dictionary:
            offered = [name for name in offered if name == "ANONYMOUS"]
        if origin.identity:
            offered.insert(0, "EXTERNAL")
        return [name for name in offered if not self.permitted or name in self.permitted]

    def begin(self, mechanism: str, origin: Origin = NOWHERE) -> Exchange:
        """Start to authenticate a client.

        Args:
            mechanism: one of `mechanisms`.
            origin: where the client comes from.
        """
        if mechanism == "SCRAM-SHA-256":
            return Exchange(ScramServer(lambda name: self._user(name).scram))
        if mechanism == "DIGEST-MD5":
            return Exchange(DigestServer(self.realm, self._digest))
        if mechanism == "CRAM-MD5":
            return Exchange(CramServer(self.realm, self._password))
        if mechanism == "EXTERNAL":
            return Exchange(lambda response: _external(response, origin.identity))
        if mechanism == "ANONYMOUS":
            return Exchange(lambda response: Accepted(ANONYMOUS_USER))
        return Exchange(self._plain)

    # -- secrets

    def _find(self, name: str) -> User | None:
        return self.users.current().get(name) if self.users is not None else None

    def _user(self, name: str) -> User:
        """A user; for a name that does not exist, one whom no password fits, so that the difference does not show."""
        return self._find(name) or self._nobody(name)

    def _nobody(self, name: str) -> User:
        others = self.users.current() if self.users is not None else {}
        iterations = next((user.scram.iterations for user in others.values()), ITERATIONS)
        salt = hmac.digest(self._random, name.encode(), "sha256")[:16]
        return User(ScramKeys(iterations, salt, os.urandom(32), os.urandom(32)))

    def _digest(self, name: str) -> bytes | None:
        user = self._find(name)
        return user.digest if user is not None and user.realm == self.realm else None

    def _password(self, name: str) -> bytes | None:
        user = self._find(name)
        return None if user is None else user.password

    # -- PLAIN (RFC 4616)

    def _plain(self, response: bytes) -> Outcome:
        authorization_id, name, password = parse_plain(response)
        name = saslprep(name)
        if not name or saslprep(authorization_id) not in ("", name):
            return Refused(f"PLAIN: {name!r} wants to act for {authorization_id!r}")
        if self.users is None or self._is_remembered(name, password):
            return Accepted(name)
        return Slow(lambda: self._check(name, password), name)

    def _check(self, name: str, password: str) -> Accepted | Refused:
        # Many connections of one client may have waited for the same answer.
        if self._is_remembered(name, password):
            return Accepted(name)
        user = self._find(name)
        try:
            matches = (user or self._nobody(name)).matches(password)
        except SASLError as error:
            return Refused(str(error))
        if not matches or user is None:
            return Refused(f"PLAIN: {name!r}: no such user, or a wrong password")
        self._remembered[name] = (user.scram, self._digest_of(name, password))
        return Accepted(name)

    def _is_remembered(self, name: str, password: str) -> bool:
        remembered = self._remembered.get(name)
        user = self._find(name)
        if remembered is None or user is None or remembered[0] != user.scram:
            self._remembered.pop(name, None)
            return False
        return hmac.compare_digest(remembered[1], self._digest_of(name, password))

    def _digest_of(self, name: str, password: str) -> bytes:
        return hmac.digest(self._random, f"{name}\0{password}".encode(), "sha256")


def _external(response: bytes, identity: str) -> Outcome:
    """EXTERNAL (RFC 4422, appendix A): who the certificate says, and nobody else."""
    if not identity or response not in (b"", identity.encode()):
        return Refused(f"EXTERNAL: {identity!r} wants to act for {response[:100]!r}")
    return Accepted(identity)
