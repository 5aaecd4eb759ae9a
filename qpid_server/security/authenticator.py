"""Who a client is: the server's half of SASL ANONYMOUS and PLAIN (RFC 4505, RFC 4616)."""

from __future__ import annotations

from collections.abc import Callable

from qpid_messaging.amqp.sasl import SASLError, parse_plain

from .users import UsersFile

__all__ = ["ANONYMOUS_USER", "Authenticator"]

ANONYMOUS_USER = "anonymous"


class Authenticator:
    """Decides who may come in.

    Args:
        users: the users with their secrets; None: authentication is off, everybody is who they say.
    """

    def __init__(self, users: UsersFile | None = None) -> None:
        self.users = users

    @property
    def mechanisms(self) -> list[str]:
        """SASL mechanisms offered."""
        return ["ANONYMOUS", "PLAIN"] if self.users is None else ["PLAIN"]

    def check(self, mechanism: str, response: bytes) -> Callable[[], str | None]:
        """A function that may take long, and says who the client is: None where the response is not good.

        Args:
            mechanism: one of `mechanisms`.
            response: the client's initial response.
        """
        users = self.users
        if mechanism == "ANONYMOUS":
            return lambda: ANONYMOUS_USER if users is None else None
        try:
            credentials = parse_plain(response)
        except SASLError:
            return lambda: None
        name = credentials.username
        if not name or credentials.authorization_id not in ("", name):
            return lambda: None
        if users is None:
            return lambda: name
        return lambda: name if users.verify(name, credentials.password) else None
