"""The options of an address: which there are, and what is wrong with one."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from ..exceptions import InvalidOption

#: Gives the complaint about a value, or None.
Check = Callable[[Any], "str | None"]


def _one_of(*values: str) -> Check:
    return lambda value: None if value in values else f"{value} not in {values}"


def _type(kind: type) -> Check:
    return lambda value: None if isinstance(value, kind) else f"{value} is not a {kind.__name__}"


def _any_map(value: Any) -> str | None:
    return None if isinstance(value, Mapping) else f"{value} is not a map"


def _map(checks: Mapping[str, Check]) -> Check:
    def check(value: Any) -> str | None:
        if not isinstance(value, Mapping):
            return f"{value} is not a map"
        complaints = _complaints(value, checks)
        return ", ".join(complaints) or None

    return check


def _complaints(value: Mapping[Any, Any], checks: Mapping[str, Check]) -> Iterable[str]:
    for key, item in value.items():
        if key not in checks:
            yield f"{key}: illegal key"
        elif item is not None:
            complaint = checks[key](item)
            if complaint:
                yield f"{key}: {complaint}"


def _list(check_item: Check) -> Check:
    def check(value: Any) -> str | None:
        if not isinstance(value, list):
            return f"{value} is not a list"
        return next((complaint for item in value if (complaint := check_item(item))), None)

    return check


_POLICY = _one_of("always", "sender", "receiver", "never")
_BINDINGS = _list(_map({"exchange": _type(str), "queue": _type(str), "key": _type(str), "arguments": _any_map}))
_COMMON: dict[str, Check] = {
    "create": _POLICY,
    "delete": _POLICY,
    "assert": _POLICY,
    "node": _map(
        {
            "type": _one_of("queue", "topic"),
            "durable": _type(bool),
            "x-declare": _any_map,
            "x-bindings": _BINDINGS,
        }
    ),
    "link": _map(
        {
            "name": _type(str),
            "durable": _type(bool),
            "reliability": _one_of("unreliable", "at-most-once", "at-least-once", "exactly-once"),
            "x-declare": _any_map,
            "x-bindings": _BINDINGS,
            "x-subscribe": _any_map,
        }
    ),
}
_CHECKS = {
    "sender": _map(_COMMON),
    "receiver": _map({**_COMMON, "mode": _one_of("browse", "consume")}),
}


def validate(role: str, options: Mapping[str, Any]) -> None:
    """Check the options of an address.

    Args:
        role: "sender" or "receiver": who uses the address.
        options: the parsed options map.

    Raises:
        InvalidOption: naming each option that does not exist or has an impossible value.
    """
    complaint = _CHECKS[role](options)
    if complaint:
        raise InvalidOption(text=f"error in options: {complaint}")
