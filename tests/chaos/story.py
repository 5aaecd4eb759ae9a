"""How a violation is told: what clients saw of the messages concerned, and what was done to the members meanwhile."""

from __future__ import annotations

import time
from collections.abc import Sequence
from datetime import datetime, timedelta

from tests.simulation.checker import Acknowledging, Event, Sent

_BEFORE, _AFTER = 4.0, 2.0
"""Seconds around the last event about a message whose misfortunes belong to its story."""
_LINES = 80


def story(
    text: str, history: Sequence[tuple[float, Event]], trace: Sequence[tuple[float, str]], *, began: float
) -> str:
    """The story of what a text is about.

    Args:
        text: names messages or transactions.
        history: what clients did, and when.
        trace: what was done to the members, and when.
        began: what times are counted from.
    """
    names = {name for _, event in history if isinstance(event, Sent) for name in (event.message, event.transaction)}
    names |= {event.transaction for _, event in history if isinstance(event, Acknowledging)}
    words = {word.rstrip(",:") for word in text.split()} & names
    for _, event in history:
        # A transaction's messages belong to its story, and the transaction to that of a message.
        if isinstance(event, Sent | Acknowledging) and {event.message, event.transaction} & words:
            words |= {event.message, event.transaction} - {""}
    told = [(at, _line(event)) for at, event in history if words & set(map(str, event))]
    moments = [at for at, _ in told]
    for at, deed in trace:
        if any(moment - _BEFORE < at < moment + _AFTER for moment in moments):
            told.append((at, f"    {deed}"))
    lines = [f"{at - began:9.3f}  {line}" for at, line in sorted(told)]
    return "\n".join([text, *(["..."] if len(lines) > _LINES else []), *lines[-_LINES:]])


def whole(history: Sequence[tuple[float, Event]], trace: Sequence[tuple[float, str]], *, began: float) -> str:
    """All that clients did and saw, and what was done to the members."""
    told = [(at, _line(event)) for at, event in history] + [(at, f"    {deed}") for at, deed in trace]
    wall = datetime.now() - timedelta(seconds=time.monotonic() - began)  # noqa: DTZ005 - as in the brokers' logs
    return f"{wall} and so many seconds:\n" + "".join(f"{at - began:9.3f}  {line}\n" for at, line in sorted(told))


def end_of(trace: Sequence[tuple[float, str]], *, began: float) -> str:
    """What was done last."""
    return "\n".join(f"{at - began:9.3f}      {deed}" for at, deed in trace[-_LINES // 2 :])


def _line(event: Event) -> str:
    values = " ".join(str(value) for value in event if value not in ("", ()))
    return f"{type(event).__name__.lower()} {values}"
