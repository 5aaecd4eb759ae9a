"""How much a queue may hold, and at how much of it something happens: alerts, and producers that have to wait."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from .arguments import number
from .errors import InvalidArgument

__all__ = ["NO_RATIOS", "FlowSettings", "Limits", "Ratios", "Thresholds", "flow_settings", "thresholds"]

_REPEAT_GAP = 60  # seconds, as on the C++ broker


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
class Ratios:
    """What the broker makes of a queue's limits where a declaration does not say, in percent; 0: nothing.

    Attributes:
        alert: of a limit is the threshold of alerts.
        flow_stop: of a limit is where producers have to wait.
        flow_resume: of a limit is where they may go on.
    """

    alert: int = 0
    flow_stop: int = 0
    flow_resume: int = 0


NO_RATIOS = Ratios()


@dataclass(frozen=True)
class Thresholds:
    """When those who watch a queue are told: counts of messages and bytes.

    Attributes:
        up: reaching so much is told; 0: never.
        down: falling to so much is told.
        legacy: tell it in the older way, too.
        repeat_gap: seconds between two of those.
    """

    up: tuple[int, int]
    down: tuple[int, int]
    legacy: bool
    repeat_gap: int = _REPEAT_GAP


@dataclass(frozen=True)
class FlowSettings:
    """Beyond how many messages or bytes producers wait, and below how many they go on; 0: however many."""

    stop_count: int
    resume_count: int
    stop_size: int
    resume_size: int


def thresholds(arguments: Mapping[str, Any], limits: Limits | None, ratios: Ratios) -> Thresholds | None:
    """The thresholds of a declaration: ``qpid.alert_count``, ``qpid.alert_size``, with ``_up`` and ``_down``.

    Raises:
        InvalidArgument: a value makes no sense.
    """
    up: list[int] = []
    down: list[int] = []
    legacy = True
    for what, alias, limit in (
        ("count", "x-qpid-maximum-message-count", limits.count if limits is not None else 0),
        ("size", "x-qpid-maximum-message-size", limits.size if limits is not None else 0),
    ):
        names = (f"qpid.alert_{what}_up", f"qpid.alert_{what}", alias)
        given = [number(arguments, name) for name in names if name in arguments]
        upper = given[0] if given else limit * ratios.alert // 100
        lower = number(arguments, f"qpid.alert_{what}_down")
        legacy = legacy and not lower
        up.append(upper)
        down.append(lower if 0 < lower < upper else upper // 2)
    gaps = [
        number(arguments, name)
        for name in ("qpid.alert_repeat_gap", "x-qpid-minimum-alert-repeat-gap")
        if name in arguments
    ]
    if not any(up):
        return None
    return Thresholds((up[0], up[1]), (down[0], down[1]), legacy, gaps[0] if gaps else _REPEAT_GAP)


def flow_settings(arguments: Mapping[str, Any], limits: Limits | None, ratios: Ratios) -> FlowSettings | None:
    """The flow control of a declaration: ``qpid.flow_stop_count`` and the like.

    Whoever says where to stop, by count or by size, says all there is; what follows from limits is for others.

    Raises:
        InvalidArgument: a value makes no sense.
    """
    if limits is not None and limits.policy == "ring":
        return None
    if "qpid.flow_stop_count" in arguments or "qpid.flow_stop_size" in arguments:
        ratios = NO_RATIOS
    levels: list[int] = []
    for what, limit in (
        ("count", limits.count if limits is not None else 0),
        ("size", limits.size if limits is not None else 0),
    ):
        stop = _level(arguments, f"qpid.flow_stop_{what}", (limit * ratios.flow_stop + 50) // 100)
        resume = _level(arguments, f"qpid.flow_resume_{what}", limit * ratios.flow_resume // 100)
        # Who names only where to stop means to go on as soon as there is less.
        resume = resume or stop
        if stop and resume > stop:
            raise InvalidArgument(f"qpid.flow_resume_{what}={resume} must be less than qpid.flow_stop_{what}={stop}")
        if limit and stop > limit:
            raise InvalidArgument(f"qpid.flow_stop_{what}={stop} must be less than qpid.max_{what}={limit}")
        levels += stop, resume
    if not levels[0] and not levels[2]:
        return None
    return FlowSettings(*levels)


def _level(arguments: Mapping[str, Any], name: str, default: int) -> int:
    return number(arguments, name) if name in arguments else default
