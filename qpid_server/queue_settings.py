"""What the arguments of queue.declare ask of a queue: its type, its limits, how long it lives.

The names are the C++ broker's. Types exclude each other as there: a queue keeps last values, or orders by priority, or
keeps groups together.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Any

from .errors import InvalidArgument

__all__ = ["DEFAULT_SETTINGS", "Lifetime", "Limits", "QueueSettings", "queue_settings"]

_POLICIES = ("reject", "ring", "self-destruct")
_PRIORITIES = ("qpid.priorities", "x-qpid-priorities")
_FAIRSHARE = ("qpid.fairshare", "x-qpid-fairshare")
_LEGACY_KEY = "qpid.LVQ_key"
_MOST_PRIORITIES = 256  # a message's priority is an octet


class Lifetime(Enum):
    """When an auto-delete queue goes (``qpid.lifetime-policy``)."""

    UNUSED = "delete-if-unused"
    EMPTY = "delete-if-empty"
    UNUSED_AND_EMPTY = "delete-if-unused-and-empty"
    MANUAL = "manual"


@dataclass(frozen=True)
class Limits:
    """The limits of one queue.

    Attributes:
        count: messages, 0: no limit.
        size: bytes of header and body, 0: no limit.
        policy: "reject" refuses what is too much, "ring" drops others for it, "self-destruct" deletes the queue.
    """

    count: int
    size: int
    policy: str = "reject"

    def exceeded(self, count: int, size: int) -> bool:
        """Whether so much is too much."""
        return bool(self.count and count > self.count) or bool(self.size and size > self.size)


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
        lifetime: when it goes, for an auto-delete queue.
    """

    limits: Limits | None = None
    last_value_key: str = ""
    priorities: int = 0
    fairshare: tuple[int, ...] = ()
    group_key: str = ""
    default_group: str = ""
    sequence_key: str = ""
    browse_only: bool = False
    lifetime: Lifetime = Lifetime.UNUSED


DEFAULT_SETTINGS = QueueSettings()


def queue_settings(
    arguments: Mapping[str, Any], *, size_limit: int = 0, default_group: str = "", auto_delete: bool = True
) -> QueueSettings:
    """Read the arguments of a declaration.

    Args:
        arguments: as they came.
        size_limit: bytes that a queue may hold which does not say; 0: no limit.
        default_group: the group of messages that do not say.
        auto_delete: the queue is declared auto-delete.

    Raises:
        InvalidArgument: a value makes no sense, or not together with another.
    """
    levels = max(_number(arguments, name) for name in _PRIORITIES)
    settings = QueueSettings(
        limits=_limits(arguments, size_limit),
        last_value_key=_last_value_key(arguments),
        priorities=levels,
        fairshare=_fairshare(arguments, levels),
        group_key=_text(arguments, "qpid.group_header_key"),
        default_group=default_group,
        sequence_key=_text(arguments, "qpid.queue_msg_sequence"),
        browse_only=_flag(arguments, "qpid.browse-only"),
        lifetime=_lifetime(arguments, auto_delete),
    )
    _check(settings, shared=_flag(arguments, "qpid.shared_msg_group"))
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
    if settings.priorities > _MOST_PRIORITIES:
        raise InvalidArgument(f"qpid.priorities: there are at most {_MOST_PRIORITIES} levels of priority")


def _limits(arguments: Mapping[str, Any], size_limit: int) -> Limits | None:
    count = _number(arguments, "qpid.max_count")
    size = _number(arguments, "qpid.max_size") if arguments.get("qpid.max_size") is not None else size_limit
    if not count and not size:
        return None
    policy = _text(arguments, "qpid.policy_type")
    # As the C++ broker has it: a policy that it does not know is "reject".
    return Limits(count, size, policy if policy in _POLICIES else "reject")


def _last_value_key(arguments: Mapping[str, Any]) -> str:
    """The older arguments name no key: it is in the header ``qpid.LVQ_key``. Browsers are treated alike by both."""
    key = _text(arguments, "qpid.last_value_queue_key")
    legacy = any(_flag(arguments, name) for name in ("qpid.last_value_queue", "qpid.last_value_queue_no_browse"))
    return key or (_LEGACY_KEY if legacy else "")


def _fairshare(arguments: Mapping[str, Any], levels: int) -> tuple[int, ...]:
    default = max(_number(arguments, name) for name in _FAIRSHARE)
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
            shares[int(level)] = _number(arguments, name)
    if default and not levels:
        raise InvalidArgument("Cannot specify fairshare settings when queue is not enabled for priorities")
    return tuple(shares) if any(shares) else ()


def _lifetime(arguments: Mapping[str, Any], auto_delete: bool) -> Lifetime:
    text = _text(arguments, "qpid.lifetime-policy")
    if not text:
        return Lifetime.UNUSED
    try:
        lifetime = Lifetime(text)
    except ValueError:
        known = ", ".join(lifetime.value for lifetime in Lifetime)
        raise InvalidArgument(f"qpid.lifetime-policy: {text!r} is none of {known}") from None
    if lifetime is not Lifetime.MANUAL and not auto_delete:
        raise InvalidArgument("qpid.lifetime-policy: the queue is not auto-delete")
    return lifetime


def _number(arguments: Mapping[str, Any], name: str) -> int:
    value = arguments.get(name, 0)
    if isinstance(value, bytes):
        value = value.decode("utf-8", "replace")
    if isinstance(value, str) and value.isascii() and value.isdigit():
        value = int(value)
    if isinstance(value, bool) or not isinstance(value, int) or value < 0:
        raise InvalidArgument(f"{name}: {value!r} is not a number")
    return value


def _text(arguments: Mapping[str, Any], name: str) -> str:
    value = arguments.get(name)
    if isinstance(value, bytes):
        value = value.decode("utf-8", "replace")
    if value is None:
        return ""
    if isinstance(value, bool) or not isinstance(value, (str, int)):
        raise InvalidArgument(f"{name}: {value!r} is not a text")
    return str(value)


def _flag(arguments: Mapping[str, Any], name: str) -> bool:
    value = arguments.get(name)
    if isinstance(value, bytes):
        value = value.decode("utf-8", "replace")
    if isinstance(value, str):
        lowered = value.lower()
        if lowered not in ("true", "false", "yes", "no", "1", "0", ""):
            raise InvalidArgument(f"{name}: {value!r} is neither true nor false")
        return lowered in ("true", "yes", "1")
    return bool(value)
