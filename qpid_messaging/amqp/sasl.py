"""SASL mechanisms (RFC 4422) as AMQP 0-10 carries them: bytes in, bytes out, for both ends.

The client picks one of what the broker offers, by strength; the server's half only takes a response apart, since
looking a user up and checking a password, slow by design, is the broker's business.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import NamedTuple


class SASLError(Exception):
    """No mechanism fits, or a response or challenge cannot be understood."""


class Mechanism:
    """The client's half of one mechanism."""

    name = ""

    def initial(self) -> bytes:
        """The initial response, sent with connection.start-ok."""
        return b""

    def respond(self, challenge: bytes) -> bytes:
        """The response to a connection.secure challenge.

        Raises:
            SASLError: the mechanism has nothing to say to a challenge.
        """
        raise SASLError(f"{self.name} expects no challenge")


class Anonymous(Mechanism):
    """ANONYMOUS (RFC 4505): no identity, only a trace of who it was."""

    name = "ANONYMOUS"

    def __init__(self, trace: str = "") -> None:
        self._trace = trace

    def initial(self) -> bytes:
        return self._trace.encode()


class Plain(Mechanism):
    """PLAIN (RFC 4616): the password itself; for encrypted connections and loopback."""

    name = "PLAIN"

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


# Strongest first. A mechanism that needs a password is no choice without one.
_BY_STRENGTH: list[tuple[str, Callable[[str | None, str | None, str], Mechanism | None]]] = [
    ("PLAIN", lambda user, password, trace: None if user is None or password is None else Plain(user, password)),
    ("ANONYMOUS", lambda user, password, trace: Anonymous(trace) if user is None else None),
]
SUPPORTED = frozenset(name for name, _ in _BY_STRENGTH)


def choose(
    offered: Iterable[str],
    username: str | None = None,
    password: str | None = None,
    *,
    permitted: Iterable[str] | None = None,
    trace: str = "",
) -> Mechanism:
    """The strongest mechanism that the broker offers, the caller permits and the credentials suffice for.

    With a user name ANONYMOUS is taken only where `permitted` names it: who gives credentials wants them checked.

    Args:
        offered: the broker's mechanisms.
        username: who to be; None is nobody.
        password: the user's password, if any.
        permitted: the only names to choose from; None is all.
        trace: what ANONYMOUS tells about its user.

    Raises:
        SASLError: none fits; says what was offered and why it was not taken.
    """
    names = list(offered)
    allowed = None if permitted is None else set(permitted)
    for name, make in _BY_STRENGTH:
        if name not in names or (allowed is not None and name not in allowed):
            continue
        explicit_anonymous = name == "ANONYMOUS" and allowed is not None
        mechanism = make(None if explicit_anonymous else username, password, trace)
        if mechanism is not None:
            return mechanism
    if username is None and "ANONYMOUS" not in names:
        raise SASLError("Anonymous connections disabled, missing credentials")
    wanted = "" if allowed is None else f", permitted: {' '.join(sorted(allowed)) or 'none'}"
    missing = ", no password given" if username is not None and password is None else ""
    raise SASLError(f"no SASL mechanism in common (broker offers: {' '.join(names) or 'none'}{wanted}{missing})")
