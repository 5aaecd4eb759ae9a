"""The constants of `qpid.messaging`."""

from __future__ import annotations

__all__ = ["AMQPS_PORT", "AMQP_PORT", "REJECTED", "RELEASED", "UNLIMITED", "Constant"]


class Constant:
    """A value known by its name, compared by identity.

    Args:
        name: what `repr` shows.
        value: the value on the wire; the constant itself where it has none.
    """

    def __init__(self, name: str, value: object = None) -> None:
        self.name = name
        self.value: object = self if value is None else value

    def __repr__(self) -> str:
        return self.name


#: Default port of `amqp`.
AMQP_PORT = 5672
#: Default port of `amqps`.
AMQPS_PORT = 5671

#: No limit to a capacity; the credit value that AMQP 0-10 reserves for it.
UNLIMITED = Constant("UNLIMITED", 0xFFFFFFFF)

#: Disposition: the message is refused for good; it goes to the queue's alternate exchange.
REJECTED = Constant("REJECTED")
#: Disposition: the message goes back to its queue.
RELEASED = Constant("RELEASED")
