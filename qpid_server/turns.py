"""Long work in short turns, so that it holds nobody up: other clients are served between them."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from typing import TYPE_CHECKING

from .errors import SessionError

if TYPE_CHECKING:
    from .broker import Broker

__all__ = ["take_turns"]

log = logging.getLogger(__name__)


def take_turns(broker: Broker, steps: Iterator[None]) -> None:
    """Do the first step now, and each of the others in a turn of its own, from the broker's timers.

    Args:
        broker: settled after each of the later steps.
        steps: does one step each time that it is asked for the next.

    Raises:
        SessionError: from the first step.
    """
    if next(steps, _END) is not _END:
        broker.timers.at(broker.clock(), lambda: _go_on(broker, steps))


_END = object()


def _go_on(broker: Broker, steps: Iterator[None]) -> None:
    try:
        take_turns(broker, steps)
    except SessionError as error:
        # The one who asked was told of the first step only: the broker has become a backup meanwhile.
        log.warning("gave up half-way: %s", error.description)
    broker.settle()
