"""Predicates of QMF v2 queries: which objects a console wants to hear of.

A predicate is a list, an operator and its operands: `["and", ["eq", "name", ["quote", "q"]], ["gt", "msgDepth", 5]]`.
A plain string is the name of a value, `["quote", text]` is text. A comparison with a value that an object does not
have, or that cannot be compared, is false. Regular expressions are left out: one can keep a broker busy for hours.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Mapping
from typing import Any

from qpid_messaging.management.qmf import Status, as_text

from .schema import MethodError

__all__ = ["Predicate", "matches"]

_COMPARISONS: dict[str, Callable[[Any, Any], bool]] = {
    "eq": operator.eq,
    "ne": operator.ne,
    "lt": operator.lt,
    "le": operator.le,
    "gt": operator.gt,
    "ge": operator.ge,
}
_DEEPEST = 16
_MISSING = object()


class Predicate:
    """A predicate that was checked: operators are known, and have the operands that they need."""

    __slots__ = ("operands", "operator")

    def __init__(self, operator: str, operands: list[Any]) -> None:
        self.operator = operator
        self.operands = operands

    @classmethod
    def of(cls, expression: object, depth: int = 0) -> Predicate | None:
        """The predicate that a list says; None, which lets everything pass, where it is empty or missing.

        Raises:
            MethodError: it is none.
        """
        expression = as_text(expression) if depth == 0 else expression
        if expression is None or expression == [] or expression == {}:
            return None
        if not isinstance(expression, list) or not isinstance(expression[0], str) or depth > _DEEPEST:
            raise MethodError(Status.INVALID_PARAMETER, f"not a predicate: {expression!r}")
        name, *operands = expression
        if name in ("and", "or", "not"):
            if not operands or (name == "not" and len(operands) != 1):
                raise MethodError(Status.INVALID_PARAMETER, f"{name!r} with {len(operands)} operands in a predicate")
            return cls(name, [cls.of(operand, depth + 1) for operand in operands])
        if name in _COMPARISONS:
            if len(operands) != 2:
                raise MethodError(Status.INVALID_PARAMETER, f"{name!r} with {len(operands)} operands in a predicate")
            return cls(name, operands)
        if name in ("exists", "true", "false"):
            return cls(name, operands)
        raise MethodError(Status.INVALID_PARAMETER, f"unknown operator {name!r} in a predicate")


def matches(predicate: Predicate | None, values: Mapping[str, Any]) -> bool:
    """Whether an object with these values is wanted."""
    if predicate is None:
        return True
    name, operands = predicate.operator, predicate.operands
    if name == "and":
        return all(matches(operand, values) for operand in operands)
    if name == "or":
        return any(matches(operand, values) for operand in operands)
    if name == "not":
        return not matches(operands[0], values)
    if name == "exists":
        return all(_value(operand, values) is not _MISSING for operand in operands)
    if name in ("true", "false"):
        return name == "true"
    left, right = (_value(operand, values) for operand in operands)
    if left is _MISSING or right is _MISSING:
        return False
    try:
        return bool(_COMPARISONS[name](left, right))
    except TypeError:
        return False


def _value(operand: Any, values: Mapping[str, Any]) -> Any:
    if isinstance(operand, str):
        return as_text(values.get(operand, _MISSING))
    if isinstance(operand, list):
        return operand[1] if len(operand) == 2 and operand[0] == "quote" else _MISSING
    return operand
