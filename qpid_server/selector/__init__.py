"""Message selectors: the conditional expressions of JMS, as the C++ broker reads them.

>>> Selector("colour = 'blue' AND weight > 2500").matches(message)  # doctest: +SKIP

An expression is true, false or unknown, and a message is selected where it is true (three-valued logic, as in SQL-92).
What an identifier stands for is in :mod:`.properties`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..errors import InvalidArgument
from .lexer import SelectorError
from .parser import parse
from .properties import Properties

if TYPE_CHECKING:
    from ..message import Message

__all__ = ["Selector", "SelectorError"]


class Selector:
    """A selector, ready to be asked.

    Args:
        expression: its text; an empty one selects everything.

    Raises:
        InvalidArgument: it is no selector; the text says what is wrong, and where.
    """

    def __init__(self, expression: str) -> None:
        self.expression = expression
        try:
            self._evaluate = parse(expression)
        except SelectorError as error:
            raise InvalidArgument(f"Illegal selector: {error}") from None

    def matches(self, message: Message, *, redelivered: bool = False) -> bool:
        """Whether it selects a message.

        Args:
            message: what to look at.
            redelivered: it was delivered before, and came back.
        """
        return self._evaluate(Properties(message, redelivered=redelivered)) is True

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Selector) and other.expression == self.expression

    def __hash__(self) -> int:
        return hash(self.expression)

    def __repr__(self) -> str:
        return f"Selector({self.expression!r})"
