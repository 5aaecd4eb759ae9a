"""What a SASL mechanism is, at either end."""

from __future__ import annotations

from typing import NamedTuple


class SASLError(Exception):
    """No mechanism fits, a response or challenge cannot be understood, or it is not right."""


class Mechanism:
    """The client's half of one mechanism, for one connection.

    Attributes:
        name: as the broker offers it.
        reveals_password: who reads along learns the password.
    """

    name = ""
    reveals_password = False

    def initial(self) -> bytes:
        """The initial response, sent with connection.start-ok."""
        return b""

    def respond(self, challenge: bytes) -> bytes:
        """The response to a connection.secure challenge.

        Raises:
            SASLError: the challenge makes no sense, is not the broker's who knows the secret, or was not expected.
        """
        raise SASLError(f"{self.name} expects no challenge")

    def finish(self) -> None:
        """The broker is satisfied (connection.tune came).

        Raises:
            SASLError: we are not: the broker has yet to show that it knows the secret.
        """


class Challenge(NamedTuple):
    """The server has a question: to be sent with connection.secure."""

    data: bytes


class Accepted(NamedTuple):
    """The client is who it says."""

    username: str


class ServerMechanism:
    """The server's half of one mechanism, for one connection."""

    def respond(self, response: bytes) -> Challenge | Accepted:
        """What follows from a response; the first one is the initial response.

        Raises:
            SASLError: the client does not come in. The text is for the server's log, not for the client.
        """
        raise NotImplementedError
