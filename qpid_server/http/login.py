"""Who asks: HTTP's Basic authentication (RFC 7617), with the users and rules that SASL PLAIN has."""

from __future__ import annotations

import binascii
from base64 import b64decode
from collections.abc import Awaitable, Callable

from qpid_messaging.amqp.sasl import Accepted

from ..security.authenticator import Authenticator, Origin, Refused, Slow
from .responses import Response, plain

__all__ = ["Login"]

_CHALLENGE = ("WWW-Authenticate", 'Basic realm="qpidd", charset="UTF-8"')


class Login:
    """Decides who may see what is not for everybody.

    Args:
        authenticator: of the broker.
        find: has a slow check made in its turn, for a host.
    """

    def __init__(
        self, authenticator: Authenticator, find: Callable[[str, Slow], Awaitable[Accepted | Refused]]
    ) -> None:
        self._authenticator = authenticator
        self._find = find

    async def refusal(self, origin: Origin, authorization: bytes | None) -> Response | None:
        """What to answer somebody who may not come in; None where they may.

        Args:
            origin: where the request comes from.
            authorization: the request's header of that name.
        """
        authenticator = self._authenticator
        if authenticator.users is None:
            return None
        reason = authenticator.refusal(origin)
        if not reason and "PLAIN" not in authenticator.mechanisms(origin):
            reason = "passwords are not permitted to come in PLAIN"
        if reason:
            return plain(403, f"Forbidden: {reason}")
        response = _plain_response(authorization)
        if response is None:
            return plain(401, "Unauthorized: a user's name and password, please", _CHALLENGE)
        outcome = authenticator.begin("PLAIN", origin).respond(response)
        if isinstance(outcome, Slow):
            outcome = await self._find(origin.host, outcome)
        if isinstance(outcome, Accepted):
            return None
        return plain(401, "Unauthorized: no such user, or a wrong password", _CHALLENGE)


def _plain_response(authorization: bytes | None) -> bytes | None:
    """The credentials as SASL PLAIN has them; None where there are none."""
    scheme, _, credentials = (authorization or b"").strip().partition(b" ")
    if scheme.lower() != b"basic":
        return None
    try:
        name, colon, password = b64decode(credentials.strip(), validate=True).partition(b":")
    except binascii.Error:
        return None
    return b"\0" + name + b"\0" + password if colon else None
