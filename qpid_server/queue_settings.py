"""What the arguments of queue.declare ask of a queue: its type, its limits, how long it lives.

The names are the C++ broker's. Types exclude each other as there: a queue keeps last values, or orders by priority, or
keeps groups together.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Any

from .arguments import flag, number, text
from .errors import InvalidArgument
from .queue_levels import NO_RATIOS, FlowSettings, Limits, Ratios, Thresholds, flow_settings, thresholds
from .selector import Selector

__all__ = ["DEFAULT_SETTINGS", "POLICIES", "Lifetime", "Limits", "QueueSettings", "queue_settings"]

#: What becomes of messages that are too many (``qpid.policy_type``).
POLICIES = ("reject", "ring", "self-destruct")
_PRIORITIES = ("qpid.priorities", "x-qpid-priorities")
_FAIRSHARE = ("qpid.fairshare", "x-qpid-fairshare")
_LEGACY_KEY = "qpid.LVQ_key"
_MOST_PRIORITIES = 256  # a message's priority is an octet
_LONGEST_NAME = 255


class Lifetime(Enum):
    """When a queue goes (``qpid.lifetime-policy``)."""

    CLOSE = "delete-on-close"
    UNUSED = "delete-if-unused"
    EMPTY = "delete-if-empty"
    UNUSED_AND_EMPTY = "delete-if-unused-and-empty"
    MANUAL = "manual"


@dataclass(frozen=True)
class QueueSettings:
    """What a queue is asked to be.

    Attributes:
        limits: how much it holds; None: no limit.
        last_value_key: header whose value a newer message replaces an older one by; "": messages are not replaced.
        priorities: levels of priority; 0: there are none.
        fairshare: how many messages of each level are given in a row while others wait, 0: any number; empty: the
            highest level always comes first.
        group_key: header that says which group a message belongs to; "": there are no groups.
        default_group: the group of messages without that header.
        sequence_key: header that messages get their position in; "": they do not.
        browse_only: consumers get no more than browsers.
        no_local: what the connection publishes that the queue, or its only subscription, belongs to is dropped.
        trace_id: what is written into messages to tell that they were here; "": nothing.
        trace_exclude: messages that were at one of these are dropped.
        filter: messages that it says no to are dropped.
        thresholds: when those who watch are told that there is much on it.
        flow: when producers have to wait.
        lifetime: when it goes, if it is an auto-delete queue; None: its arguments do not say.
    """

    limits: Limits | None = None
    last_value_key: str = ""
    priorities: int = 0
    fairshare: tuple[int, ...] = ()
    group_key: str = ""
    default_group: str = ""
    sequence_key: str = ""
    browse_only: bool = False
    no_local: bool = False
    trace_id: str = ""
    trace_exclude: tuple[str, ...] = ()
    filter: Selector | None = None
    thresholds: Thresholds | None = None
    flow: FlowSettings | None = None
    lifetime: Lifetime | None = None


DEFAULT_SETTINGS = QueueSettings()


def queue_settings(
    arguments: Mapping[str, Any],
    *,
    size_limit: int = 0,
    default_group: str = "",
    ratios: Ratios = NO_RATIOS,
) -> QueueSettings:
    """Read the arguments of a declaration.

    Args:
        arguments: as they came.
        size_limit: bytes that a queue may hold which does not say; 0: no limit.
        default_group: the group of messages that do not say.
        ratios: what follows from its limits where it does not say.

    Raises:
        InvalidArgument: a value makes no sense, or not together with another.
    """
    levels = max(number(arguments, name) for name in _PRIORITIES)
    if levels > _MOST_PRIORITIES:
        raise InvalidArgument(f"qpid.priorities: there are at most {_MOST_PRIORITIES} levels of priority")
    limits = _limits(arguments, size_limit)
    settings = QueueSettings(
        limits=limits,
        last_value_key=_last_value_key(arguments),
        priorities=levels,
        fairshare=_fairshare(arguments, levels),
        group_key=text(arguments, "qpid.group_header_key"),
        default_group=default_group,
        sequence_key=_name(arguments, "qpid.queue_msg_sequence"),
        browse_only=flag(arguments, "qpid.browse-only"),
        no_local=flag(arguments, "no-local"),
        trace_id=_name(arguments, "qpid.trace.id"),
        trace_exclude=tuple(text(arguments, "qpid.trace.exclude").replace(",", " ").split()),
        filter=_filter(arguments),
        thresholds=thresholds(arguments, limits, ratios),
        flow=flow_settings(arguments, limits, ratios),
        lifetime=_lifetime(arguments),
    )
    _check(settings, shared=flag(arguments, "qpid.shared_msg_group"))
    return settings


def _check(settings: QueueSettings, *, shared: bool) -> None:
    types = {
        "qpid.last_value_queue_key": settings.last_value_key,
        "qpid.priorities": settings.priorities,
        "qpid.group_header_key": settings.group_key,
    }
    chosen = [name for name, value in types.items() if value]
    if len(chosen) > 1:
        raise InvalidArgument(f"Cannot specify {chosen[0]} and {chosen[1]} for the same queue")
    if settings.group_key and not shared:
        # What the C++ broker has no other kind of, either.
        raise InvalidArgument("Only shared groups are supported: qpid.group_header_key needs qpid.shared_msg_group")
    if shared and not settings.group_key:
        raise InvalidArgument("Can only specify qpid.shared_msg_group if qpid.group_header_key is set")


def _limits(arguments: Mapping[str, Any], size_limit: int) -> Limits | None:
    count = number(arguments, "qpid.max_count")
    size = number(arguments, "qpid.max_size") if arguments.get("qpid.max_size") is not None else size_limit
    if not count and not size:
        return None
    policy = text(arguments, "qpid.policy_type")
    # As the C++ broker has it: a policy that it does not know is "reject".
    return Limits(count, size, policy if policy in POLICIES else "reject")


def _name(arguments: Mapping[str, Any], name: str) -> str:
    """What messages will carry: a name has at most 255 bytes (str8)."""
    value = text(arguments, name)
    if len(value.encode("utf-8", "surrogateescape")) > _LONGEST_NAME:
        raise InvalidArgument(f"{name} has more than {_LONGEST_NAME} bytes")
    return value


def _filter(arguments: Mapping[str, Any]) -> Selector | None:
    expression = text(arguments, "qpid.filter")
    return Selector(expression) if expression else None


def _last_value_key(arguments: Mapping[str, Any]) -> str:
    """The older arguments name no key: it is in the header ``qpid.LVQ_key``. Browsers are treated alike by both."""
    key = text(arguments, "qpid.last_value_queue_key")
    legacy = any(flag(arguments, name) for name in ("qpid.last_value_queue", "qpid.last_value_queue_no_browse"))
    return key or (_LEGACY_KEY if legacy else "")


def _fairshare(arguments: Mapping[str, Any], levels: int) -> tuple[int, ...]:
    default = max(number(arguments, name) for name in _FAIRSHARE)
    shares = [default] * levels
    for name in arguments:
        base, _, level = name.rpartition("-")
        if base not in _FAIRSHARE:
            continue
        if not (level.isascii() and level.isdigit()):
            raise InvalidArgument(f"{name}: {level!r} is not a level of priority")
        if not levels:
            default = 1
        elif int(level) >= levels:
            raise InvalidArgument(f"Cannot have fairshare set for priority levels greater than {levels - 1}: {name}")
        else:
            shares[int(level)] = number(arguments, name)
    if default and not levels:
        raise InvalidArgument("Cannot specify fairshare settings when queue is not enabled for priorities")
    return tuple(shares) if any(shares) else ()


def _lifetime(arguments: Mapping[str, Any]) -> Lifetime | None:
    policy = text(arguments, "qpid.lifetime-policy")
    try:
        return Lifetime(policy) if policy else None
    except ValueError:
        known = ", ".join(lifetime.value for lifetime in Lifetime)
        raise InvalidArgument(f"qpid.lifetime-policy: {policy!r} is none of {known}") from None
