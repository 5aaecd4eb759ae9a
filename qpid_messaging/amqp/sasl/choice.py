"""Which mechanism a client uses."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import NamedTuple

from .mechanism import Mechanism, SASLError
from .plain import Anonymous, External, Plain


class _Identity(NamedTuple):
    """Who wants to come in, and where."""

    username: str | None
    password: str | None
    trace: str
    service: str
    host: str
    certified: bool
    named: bool  # the caller permits this mechanism by name


def _external(identity: _Identity) -> Mechanism | None:
    return External(identity.username or "") if identity.certified or identity.named else None


def _anonymous(identity: _Identity) -> Mechanism | None:
    return Anonymous(identity.trace) if identity.username is None or identity.named else None


def _with_password(make: Callable[[_Identity, str, str], Mechanism]) -> Callable[[_Identity], Mechanism | None]:
    def choose(identity: _Identity) -> Mechanism | None:
        username, password = identity.username, identity.password
        return None if username is None or password is None else make(identity, username, password)

    return choose


def _scram(identity: _Identity, username: str, password: str) -> Mechanism:
    from .scram import ScramSHA256  # noqa: PLC0415 - hashlib and hmac, for those who need them

    return ScramSHA256(username, password)


def _digest(identity: _Identity, username: str, password: str) -> Mechanism:
    from .digest_md5 import DigestMD5  # noqa: PLC0415 - see _scram

    return DigestMD5(username, password, identity.service, identity.host)


def _cram(identity: _Identity, username: str, password: str) -> Mechanism:
    from .cram_md5 import CramMD5  # noqa: PLC0415 - see _scram

    return CramMD5(username, password)


def _plain(identity: _Identity, username: str, password: str) -> Mechanism:
    return Plain(username, password)


# Strongest first.
_BY_STRENGTH: list[tuple[str, Callable[[_Identity], Mechanism | None]]] = [
    ("SCRAM-SHA-256", _with_password(_scram)),
    ("DIGEST-MD5", _with_password(_digest)),
    ("CRAM-MD5", _with_password(_cram)),
    ("PLAIN", _with_password(_plain)),
    ("EXTERNAL", _external),
    ("ANONYMOUS", _anonymous),
]
#: Names of the mechanisms that there are.
SUPPORTED = frozenset(name for name, _ in _BY_STRENGTH)


def choose(
    offered: Iterable[str],
    username: str | None = None,
    password: str | None = None,
    *,
    permitted: Iterable[str] | None = None,
    trace: str = "",
    service: str = "qpidd",
    host: str = "",
    certified: bool = False,
) -> Mechanism:
    """The strongest mechanism that the broker offers, the caller permits and the credentials suffice for.

    With a password it is one that checks the password; a certificate alone means EXTERNAL, which comes first where
    `permitted` names it. With a user name ANONYMOUS is taken only where `permitted` names it: who gives credentials
    wants them checked.

    Args:
        offered: the broker's mechanisms.
        username: who to be; None is nobody.
        password: the user's password, if any.
        permitted: the only names to choose from; None is all.
        trace: what ANONYMOUS tells about its user.
        service: the broker's service name, for DIGEST-MD5.
        host: the broker's host name, for DIGEST-MD5.
        certified: whether the broker was shown a certificate of ours.

    Raises:
        SASLError: none fits; says what was offered and why it was not taken.
    """
    names = list(offered)
    allowed = None if permitted is None else set(permitted)
    order = _BY_STRENGTH
    if allowed is not None and "EXTERNAL" in allowed:
        order = sorted(order, key=lambda entry: entry[0] != "EXTERNAL")
    identity = _Identity(username, password, trace, service, host, certified, named=allowed is not None)
    for name, make in order:
        if name in names and (allowed is None or name in allowed):
            mechanism = make(identity)
            if mechanism is not None:
                return mechanism
    if username is None and "ANONYMOUS" not in names:
        raise SASLError("Anonymous connections disabled, missing credentials")
    wanted = "" if allowed is None else f", permitted: {' '.join(sorted(allowed)) or 'none'}"
    missing = ", no password given" if username is not None and password is None else ""
    raise SASLError(f"no SASL mechanism in common (broker offers: {' '.join(names) or 'none'}{wanted}{missing})")
