"""The arguments of queue.declare that the C++ broker reads: what each means here, or that it is refused by name.

What the broker does not know is a user's own and is kept. What it knows and cannot do is refused, never ignored.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from .arguments import text
from .errors import IllegalArgument, InvalidArgument, NotImplementedFeature
from .exchange_memory import exchange_memory
from .queue import Queue, Replicate
from .queue_settings import POLICIES, Lifetime, queue_settings

if TYPE_CHECKING:
    from .exchange import Exchange

__all__ = [
    "auto_delete_timeout",
    "auto_deleted",
    "binding_replicated",
    "check_binding_arguments",
    "check_exchange_arguments",
    "check_queue_arguments",
    "replication",
]

log = logging.getLogger(__name__)

_REPLICATE = "qpid.replicate"
_AUTO_DELETE_TIMEOUT = "qpid.auto_delete_timeout"
_FEDERATION = "qpid.fed.op"

#: What is still to be built, and what is for a store that this broker does not have.
_QUEUE_REFUSED = frozenset(
    {
        "qpid.group_timestamp",
        "qpid.queue_event_generation",
        "qpid.persist_last_node",
        "qpid.paging",
        "qpid.max_pages_loaded",
        "qpid.page_factor",
        "qpid.file_count",
        "qpid.file_size",
        "qpid.efp_partition_num",
        "qpid.efp_pool_file_size",
        "qpid.insert_queue_mappings",
    }
)


def check_queue_arguments(arguments: Mapping[str, Any]) -> None:
    """Raise where an argument of queue.declare is known and cannot be honoured, or has an impossible value.

    Args:
        arguments: of the declaration.

    Raises:
        NotImplementedFeature: names the argument.
        SessionError: the value makes no sense.
    """
    refused = sorted(name for name in _QUEUE_REFUSED & arguments.keys() if not _off(arguments[name]))
    if refused:
        raise NotImplementedFeature(f"queue argument {', '.join(refused)}")
    policy = text(arguments, "qpid.policy_type")
    if policy == "flow_to_disk":
        raise NotImplementedFeature("queue argument qpid.policy_type: flow_to_disk")
    if policy and policy not in POLICIES:
        # As the C++ broker has it.
        log.warning("qpid.policy_type: %r is none of %s: the queue rejects", policy, ", ".join(POLICIES))
    auto_delete_timeout(arguments)
    queue_settings(arguments)


def check_exchange_arguments(arguments: Mapping[str, Any]) -> None:
    """The same for exchange.declare."""
    exchange_memory(arguments)


def _off(value: Any) -> bool:
    return value is None or value is False or (isinstance(value, int) and value == 0)


def auto_delete_timeout(arguments: Mapping[str, Any]) -> float:
    """Seconds that an unused auto-delete queue lives on (``qpid.auto_delete_timeout``).

    Raises:
        InvalidArgument: it is no number of seconds.
    """
    value = arguments.get(_AUTO_DELETE_TIMEOUT)
    if value is None:
        return 0.0
    try:
        seconds = float(value)
    except (TypeError, ValueError):
        raise InvalidArgument(f"{_AUTO_DELETE_TIMEOUT}: {value!r} is not a number of seconds") from None
    if not 0 <= seconds < 1e9:
        raise InvalidArgument(f"{_AUTO_DELETE_TIMEOUT}: {value!r} is not a number of seconds")
    return seconds


def auto_deleted(arguments: Mapping[str, Any], declared: bool) -> bool:
    """Whether a queue goes by itself: a lifetime policy or a time-out says so, too, and ``manual`` that it does not.

    Args:
        arguments: of its declaration, which have been checked.
        declared: it is declared auto-delete.
    """
    lifetime = queue_settings(arguments).lifetime
    if lifetime is not None:
        return lifetime is not Lifetime.MANUAL
    return declared or auto_delete_timeout(arguments) > 0


def replication(
    arguments: Mapping[str, Any], default: str, *, exclusive: bool = False, auto_delete: bool = False
) -> Replicate:
    """What backups hold of a queue or exchange (``qpid.replicate``).

    Args:
        arguments: of its declaration.
        default: the level where they do not say: what the broker's rules have for the name.
        exclusive: with `auto_delete` and no time-out it would not outlive its session: it is never replicated.
        auto_delete: see `exclusive`.

    Raises:
        IllegalArgument: the value is not none, configuration or all.
    """
    level = _level(arguments)
    if exclusive and auto_delete and not auto_delete_timeout(arguments):
        return Replicate.NONE
    return Replicate(default) if level is None else level


def check_binding_arguments(arguments: Mapping[str, Any]) -> None:
    """The same for exchange.bind.

    Raises:
        IllegalArgument: `qpid.replicate` is none of the levels.
        NotImplementedFeature: another broker asks for dynamic federation, which would need answers.
    """
    _level(arguments)
    if not _off(arguments.get(_FEDERATION)) and arguments.get(_FEDERATION) != "":
        raise NotImplementedFeature(f"binding argument {_FEDERATION}")


def binding_replicated(queue: Queue, exchange: Exchange, arguments: Mapping[str, Any]) -> bool:
    """Whether backups have a binding: where they have both ends, unless its own `qpid.replicate` is none."""
    ends = queue.replicate is not Replicate.NONE and exchange.replicate is not Replicate.NONE
    return ends and _level(arguments) is not Replicate.NONE


def _level(arguments: Mapping[str, Any]) -> Replicate | None:
    value = arguments.get(_REPLICATE)
    if isinstance(value, bytes):
        value = value.decode("utf-8", "replace")
    try:
        return None if value is None else Replicate(value)
    except ValueError:
        raise IllegalArgument(f"Invalid value for replication level: {value!r}") from None
