"""DIGEST-MD5 (RFC 2831) with quality of protection `auth`: identities, no security layer.

The server keeps a hash of user, realm and password, which is as good as the password within the realm.
"""

from __future__ import annotations

import hashlib
import hmac
import os
import re
from collections.abc import Callable

from .mechanism import Accepted, Challenge, Mechanism, SASLError, ServerMechanism

_DIRECTIVE = re.compile(r'[\s,]*([a-zA-Z0-9_-]+)\s*=\s*(?:"((?:[^"\\]|\\.)*)"|([^\s,"\\]+))\s*(?=,|$)', re.DOTALL)
_LONGEST_CHALLENGE = 2048
_LONGEST_RESPONSE = 4096
_COUNT = "00000001"
_NO_SECRET = b"\0" * 16


class DigestMD5(Mechanism):
    """The client's half.

    Args:
        username, password: who to be.
        service, host: the broker's, told to it, so that a response is good for no other.
        nonce: a fresh one by default.
    """

    name = "DIGEST-MD5"

    def __init__(self, username: str, password: str, service: str, host: str, nonce: str | None = None) -> None:
        self._username = username
        self._password = password
        self._uri = f"{service}/{host}"
        self._nonce = os.urandom(16).hex() if nonce is None else nonce
        self._expected: str | None = None
        self._done = False

    def respond(self, challenge: bytes) -> bytes:
        if self._done:
            return super().respond(challenge)
        if len(challenge) > _LONGEST_CHALLENGE:
            raise SASLError(f"{self.name}: a challenge of more than {_LONGEST_CHALLENGE} bytes")
        directives = _parse(challenge)
        if self._expected is None:
            return self._answer(directives)
        if not hmac.compare_digest(_one(directives, "rspauth").encode(), self._expected.encode()):
            raise SASLError(f"{self.name}: the broker does not know the password: it is not who it seems to be")
        self._done = True
        return b""

    def _answer(self, directives: dict[str, list[str]]) -> bytes:
        nonce = _one(directives, "nonce")
        if _one(directives, "algorithm").lower() != "md5-sess":
            raise SASLError(f"{self.name}: an algorithm other than md5-sess")
        if "auth" not in re.split(r"[\s,]+", _one(directives, "qop", "auth").lower()):
            raise SASLError(f"{self.name}: the broker wants a security layer")
        utf8 = _one(directives, "charset", "").lower() == "utf-8"
        # Of several realms the first: there is no option to name another.
        realm = directives.get("realm", [""])[0]
        secret = _hashed(self._username, realm, self._password, utf8)
        encoding = "utf-8" if utf8 else "latin-1"
        response, self._expected = _digests(secret, nonce, self._nonce, self._uri, encoding)
        told = [
            *(["charset=utf-8"] if utf8 else []),
            f"username={_quote(self._username)}",
            *([f"realm={_quote(realm)}"] if "realm" in directives else []),
            f"nonce={_quote(nonce)}",
            f"nc={_COUNT}",
            f"cnonce={_quote(self._nonce)}",
            f"digest-uri={_quote(self._uri)}",
            f"response={response}",
            "qop=auth",
        ]
        return _encode(",".join(told), encoding)

    def finish(self) -> None:
        if not self._done:
            raise SASLError(f"{self.name}: the broker did not show that it knows the password")


class DigestServer(ServerMechanism):
    """The server's half.

    Args:
        realm: the realm that users are known in.
        find: what `digest_secret` gave for a user, or None.
        nonce: a fresh one by default.
    """

    def __init__(self, realm: str, find: Callable[[str], bytes | None], nonce: str | None = None) -> None:
        self._realm = realm
        self._find = find
        self._nonce = os.urandom(16).hex() if nonce is None else nonce
        self._step: Callable[[bytes], Challenge | Accepted] = self._challenge
        self._username = ""

    def respond(self, response: bytes) -> Challenge | Accepted:
        return self._step(response)

    def _challenge(self, response: bytes) -> Challenge:
        self._step = self._check
        told = f'realm={_quote(self._realm)},nonce="{self._nonce}",qop="auth",charset=utf-8,algorithm=md5-sess'
        return Challenge(told.encode())

    def _check(self, response: bytes) -> Challenge:
        if len(response) > _LONGEST_RESPONSE:
            raise SASLError(f"DIGEST-MD5: a response of more than {_LONGEST_RESPONSE} bytes")
        directives = _parse(response)
        username = _one(directives, "username")
        uri, client_nonce = _one(directives, "digest-uri"), _one(directives, "cnonce")
        encoding = "utf-8" if "charset" in directives else "latin-1"
        secret = self._find(username)
        expected, proof = _digests(secret or _NO_SECRET, self._nonce, client_nonce, uri, encoding)
        said = (
            _one(directives, "realm", ""),
            _one(directives, "nonce"),
            _one(directives, "nc"),
            _one(directives, "qop", "auth"),
            _one(directives, "authzid", username),
        )
        matches = hmac.compare_digest(_one(directives, "response").encode(), expected.encode())
        if said != (self._realm, self._nonce, _COUNT, "auth", username) or "/" not in uri or not client_nonce:
            raise SASLError("DIGEST-MD5: a response to another challenge, or of another kind")
        if not matches or secret is None:
            raise SASLError(f"DIGEST-MD5: {username!r}: no such user, none with a secret for it, or a wrong password")
        self._username = username
        self._step = self._end
        return Challenge(f"rspauth={proof}".encode())

    def _end(self, response: bytes) -> Accepted:
        if response:
            raise SASLError("DIGEST-MD5: more than was to be said")
        return Accepted(self._username)


def digest_secret(username: str, realm: str, password: str) -> bytes:
    """What a server keeps of a password for DIGEST-MD5."""
    return _hashed(username, realm, password, True)


def _hashed(username: str, realm: str, password: str, utf8: bool) -> bytes:
    parts = [_encode_secret(part, utf8) for part in (username, realm, password)]
    return hashlib.md5(b":".join(parts)).digest()


def _digests(secret: bytes, nonce: str, client_nonce: str, uri: str, encoding: str) -> tuple[str, str]:
    """The client's response, and the server's proof that it knew what to expect."""
    a1 = secret + _encode(f":{nonce}:{client_nonce}", encoding)
    middle = f":{nonce}:{_COUNT}:{client_nonce}:auth:"
    response, proof = (
        _hex(_encode(_hex(a1) + middle + _hex(_encode(method + uri, encoding)), encoding))
        for method in ("AUTHENTICATE:", ":")
    )
    return response, proof


def _hex(data: bytes) -> str:
    return hashlib.md5(data).hexdigest()


def _encode_secret(text: str, utf8: bool) -> bytes:
    """What is hashed is ISO 8859-1 wherever that suffices, also where it is sent as UTF-8 (RFC 2831, 2.1.2.1)."""
    try:
        return text.encode("latin-1")
    except UnicodeEncodeError:
        return _encode(text, "utf-8" if utf8 else "latin-1")


def _encode(text: str, encoding: str) -> bytes:
    try:
        return text.encode(encoding)
    except UnicodeEncodeError as error:
        raise SASLError("DIGEST-MD5: the peer takes ISO 8859-1 only") from error


def _parse(message: bytes) -> dict[str, list[str]]:
    """The directives by name, in lower case, with all of their values."""
    directives: dict[str, list[str]] = {}
    text = message.decode("latin-1").rstrip(" \t\r\n,\0")
    position = 0
    while position < len(text):
        found = _DIRECTIVE.match(text, position)
        if found is None:
            raise SASLError("DIGEST-MD5: not a list of directives")
        name, quoted, token = found.groups()
        value = token if quoted is None else re.sub(r"\\(.)", r"\1", quoted, flags=re.DOTALL)
        directives.setdefault(name.lower(), []).append(value)
        position = found.end()
    if _one(directives, "charset", "").lower() == "utf-8":
        try:
            return {name: [value.encode("latin-1").decode() for value in values] for name, values in directives.items()}
        except UnicodeDecodeError as error:
            raise SASLError("DIGEST-MD5: charset=utf-8, and it is not") from error
    return directives


def _one(directives: dict[str, list[str]], name: str, default: str | None = None) -> str:
    values = directives.get(name, [] if default is None else [default])
    if len(values) != 1:
        raise SASLError(f"DIGEST-MD5: {name} is {'missing' if not values else 'there more than once'}")
    return values[0]


def _quote(text: str) -> str:
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'
