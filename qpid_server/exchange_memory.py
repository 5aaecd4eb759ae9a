"""What an exchange keeps of the messages that went through it: their number, and the last one.

An exchange declared with ``qpid.msg_sequence`` numbers its messages in a header of that name; one declared with
``qpid.ive``, an initial value exchange, puts its last message on each queue that is bound to it anew and would have got
it. The C++ broker sends that message through the exchange again, to those that have had it, too; here it is the new
binding's alone, as that broker's documentation promises.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from .arguments import flag, number
from .errors import InvalidArgument

if TYPE_CHECKING:
    from .message import Message

__all__ = ["ExchangeMemory", "exchange_memory"]

_SEQUENCE = "qpid.msg_sequence"
_INITIAL_VALUE = "qpid.ive"
_COUNTER = "qpid.exchange_sequence_counter"
_HIGHEST_COUNTER = 2**62  # a header's number has 64 bits


class ExchangeMemory:
    """Of one exchange.

    Args:
        sequence: it numbers its messages.
        initial_value: it keeps the last one.
        number: the last number given.

    Attributes:
        initial_value: it keeps the last message.
        last: the last message, None where there was none or it is not kept.
    """

    def __init__(self, *, sequence: bool, initial_value: bool, number: int = 0) -> None:
        self._sequence = sequence
        self.initial_value = initial_value
        self.number = number
        self.last: Message | None = None

    def numbered(self, message: Message) -> Message:
        """The message with the next number in it."""
        if not self._sequence:
            return message
        self.number += 1
        return message.with_header(_SEQUENCE, self.number)

    def passed(self, number: int, message: Message | None) -> None:
        """A message went through, when the numbers stood there."""
        self.number = max(self.number, number)
        if self.initial_value:
            self.last = message


def exchange_memory(arguments: Mapping[str, Any]) -> ExchangeMemory | None:
    """What the arguments of exchange.declare ask for, None for nothing.

    Raises:
        InvalidArgument: a value makes no sense.
    """
    if number(arguments, _COUNTER) > _HIGHEST_COUNTER:
        raise InvalidArgument(f"{_COUNTER}: there are no numbers above that")
    sequence, initial_value = flag(arguments, _SEQUENCE), flag(arguments, _INITIAL_VALUE)
    counter = number(arguments, _COUNTER)
    if not sequence and not initial_value:
        return None
    return ExchangeMemory(sequence=sequence, initial_value=initial_value, number=counter)
