"""SASL mechanisms (RFC 4422) as AMQP 0-10 carries them: bytes in, bytes out, for both ends.

The client picks one of what the broker offers, by strength. The server's halves ask for a user's secret by a function;
where that comes from, and the slow checking of a plain password, is the broker's business. What computes hashes is
imported when a mechanism that needs it is chosen.
"""

from .choice import SUPPORTED, choose
from .mechanism import Accepted, Challenge, Mechanism, SASLError, ServerMechanism
from .plain import Anonymous, Credentials, External, Plain, parse_plain

__all__ = [
    "SUPPORTED",
    "Accepted",
    "Anonymous",
    "Challenge",
    "Credentials",
    "External",
    "Mechanism",
    "Plain",
    "SASLError",
    "ServerMechanism",
    "choose",
    "parse_plain",
]
