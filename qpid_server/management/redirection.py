"""Method queueRedirect of the broker: what is sent to one queue goes to another for a while."""

from __future__ import annotations

from typing import TYPE_CHECKING

from qpid_messaging.management.qmf import Status

from .configuration import queue_named
from .schema import MethodCall, MethodError

if TYPE_CHECKING:
    from ..broker import Broker

__all__ = ["redirect"]


def redirect(broker: Broker, call: MethodCall) -> None:
    """Begin to redirect a queue, or end it where no target is named.

    Raises:
        MethodError: there is no such queue, or one of them is a part of a redirection already.
    """
    source = queue_named(broker, call.text("sourceQueue"))
    name = call.text("targetQueue", "")
    if not name:
        if source.redirect is None:
            raise MethodError(Status.INVALID_PARAMETER, f"queue {source.name} is not redirected")
        broker.redirect(source, None)
    else:
        target = queue_named(broker, name)
        if source is target:
            raise MethodError(Status.INVALID_PARAMETER, f"queue {name} cannot be redirected to itself")
        for queue in (source, target):
            if queue.redirect is not None or queue.redirected is not None:
                raise MethodError(Status.INVALID_PARAMETER, f"queue {queue.name} is redirected already")
            if queue.auto_delete:
                raise MethodError(Status.INVALID_PARAMETER, f"queue {queue.name} is deleted automatically")
        broker.redirect(source, target)
    call.done()
