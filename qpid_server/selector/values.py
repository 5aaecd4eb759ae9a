"""Values and what operators make of them: integers of 64 bits, floating point, text, truth, and unknown (None)."""

from __future__ import annotations

import re
from collections.abc import Callable

__all__ = ["Value", "arithmetic", "compare", "like", "negate"]

Value = bool | int | float | str | None

_LARGEST = (1 << 63) - 1


def _numeric(value: Value) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def compare(operator: str, left: Value, right: Value) -> bool | None:
    """``=``, ``<>``, ``<``, ``<=``, ``>`` or ``>=``.

    Returns:
        None where a value is unknown; False where they are of kinds that do not compare.
    """
    if left is None or right is None:
        return None
    if _numeric(left) and _numeric(right):
        assert not isinstance(left, str)
        assert not isinstance(right, str)
        if operator == "<":
            return left < right
        if operator == "<=":
            return left <= right
        if operator == ">":
            return left > right
        if operator == ">=":
            return left >= right
    elif type(left) is not type(right):
        return False
    if operator == "=":
        return left == right
    if operator == "<>":
        return left != right
    return False  # only numbers have an order


def arithmetic(operator: str, left: Value, right: Value) -> Value:
    """``+``, ``-``, ``*`` or ``/``; unknown for what is no number, and for what has no result."""
    if not _numeric(left) or not _numeric(right):
        return None
    assert isinstance(left, (int, float))
    assert isinstance(right, (int, float))
    try:
        if operator == "+":
            return _bounded(left + right)
        if operator == "-":
            return _bounded(left - right)
        if operator == "*":
            return _bounded(left * right)
        if isinstance(left, int) and isinstance(right, int):
            quotient = abs(left) // abs(right)
            return quotient if (left < 0) == (right < 0) else -quotient
        return left / right
    except (ZeroDivisionError, OverflowError):
        return None


def negate(value: Value) -> Value:
    """The number with the other sign."""
    return arithmetic("-", 0, value)


def _bounded(number: float) -> int | float:
    """Integers do not grow for ever: beyond 64 bits they are floating point."""
    return float(number) if isinstance(number, int) and abs(number) > _LARGEST + 1 else number


def like(pattern: str, escape: str) -> Callable[[str], bool]:
    """What ``LIKE pattern ESCAPE escape`` asks of a text; ``%`` is any run of characters, ``_`` any one.

    The parts between the ``%`` are looked for one after the other, each as early as possible, so that no pattern takes
    longer than its length times the text's.
    """
    parts: list[list[str]] = [[]]
    escaped = False
    for character in pattern:
        if escape and character == escape and not escaped:
            escaped = True
            continue
        if character == "%" and not escaped:
            parts.append([])
        else:
            parts[-1].append("." if character == "_" and not escaped else re.escape(character))
        escaped = False
    expressions = [re.compile("".join(part), re.DOTALL) for part in parts]
    widths = [len(part) for part in parts]

    def matches(text: str) -> bool:
        first, last = expressions[0], expressions[-1]
        if len(expressions) == 1:
            return first.fullmatch(text) is not None
        if first.match(text) is None or len(text) < widths[0] + widths[-1]:
            return False
        offset, end = widths[0], len(text) - widths[-1]
        if last.match(text, end) is None:
            return False
        for expression in expressions[1:-1]:
            found = expression.search(text, offset, end)
            if found is None:
                return False
            offset = found.end()
        return True

    return matches
