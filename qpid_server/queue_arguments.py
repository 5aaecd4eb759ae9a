"""The arguments of queue.declare that the C++ broker reads: what each means here, or that it is refused by name.

What the broker does not know is a user's own and is kept. What it knows and cannot do is refused, never ignored.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from .errors import IllegalArgument, InvalidArgument, NotImplementedFeature
from .queue import Replicate
from .queue_settings import queue_settings

__all__ = ["auto_delete_timeout", "check_exchange_arguments", "check_queue_arguments", "replication"]

_REPLICATE = "qpid.replicate"
_AUTO_DELETE_TIMEOUT = "qpid.auto_delete_timeout"

#: What is still to be built, and what is for a store that this broker does not have.
_QUEUE_REFUSED = frozenset(
    {
        "qpid.flow_stop_count",
        "qpid.flow_stop_size",
        "qpid.flow_resume_count",
        "qpid.flow_resume_size",
        "qpid.alert_count",
        "qpid.alert_size",
        "qpid.alert_count_up",
        "qpid.alert_count_down",
        "qpid.alert_size_up",
        "qpid.alert_size_down",
        "qpid.alert_repeat_gap",
        "x-qpid-maximum-message-count",
        "x-qpid-maximum-message-size",
        "x-qpid-minimum-alert-repeat-gap",
        "no-local",
        "qpid.trace.id",
        "qpid.trace.exclude",
        "qpid.filter",
        "qpid.group_timestamp",
        "qpid.queue_event_generation",
        "qpid.persist_last_node",
        "qpid.paging",
        "qpid.max_pages_loaded",
        "qpid.page_factor",
        "qpid.file_count",
        "qpid.file_size",
        "qpid.insert_queue_mappings",
    }
)
_EXCHANGE_REFUSED = frozenset({"qpid.msg_sequence", "qpid.ive"})


def check_queue_arguments(arguments: Mapping[str, Any], *, auto_delete: bool = True) -> None:
    """Raise where an argument of queue.declare is known and cannot be honoured, or has an impossible value.

    Args:
        arguments: of the declaration.
        auto_delete: the queue is declared auto-delete.

    Raises:
        NotImplementedFeature: names the argument.
        SessionError: the value makes no sense.
    """
    for name, value in arguments.items():
        if name in _QUEUE_REFUSED and not _off(value):
            raise NotImplementedFeature(f"queue argument {name}")
    if arguments.get("qpid.policy_type") in ("flow_to_disk", b"flow_to_disk"):
        raise NotImplementedFeature("queue argument qpid.policy_type: flow_to_disk")
    auto_delete_timeout(arguments)
    queue_settings(arguments, auto_delete=auto_delete)


def check_exchange_arguments(arguments: Mapping[str, Any]) -> None:
    """The same for exchange.declare."""
    for name, value in arguments.items():
        if name in _EXCHANGE_REFUSED and not _off(value):
            raise NotImplementedFeature(f"exchange argument {name}")


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


def replication(
    arguments: Mapping[str, Any], default: str, *, exclusive: bool = False, auto_delete: bool = False
) -> Replicate:
    """What backups hold of a queue or exchange (``qpid.replicate``).

    Args:
        arguments: of its declaration.
        default: the broker's default, ``--ha-replicate``.
        exclusive: with `auto_delete` and no time-out it would not outlive its session: it is never replicated.
        auto_delete: see `exclusive`.

    Raises:
        IllegalArgument: the value is not none, configuration or all.
    """
    value = arguments.get(_REPLICATE)
    if isinstance(value, bytes):
        value = value.decode("utf-8", "replace")
    try:
        level = Replicate(default if value is None else value)
    except ValueError:
        raise IllegalArgument(f"Invalid value for replication level: {value!r}") from None
    if exclusive and auto_delete and not auto_delete_timeout(arguments):
        return Replicate.NONE
    return level
