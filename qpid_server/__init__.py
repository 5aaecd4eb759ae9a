"""An AMQP 0-10 message broker with a hot-standby cluster.

For tests: ``with qpid_server.running() as broker: Connection.establish(broker.url)``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .embedded import Running, running

__all__ = ["Running", "running"]


def __getattr__(name: str) -> Any:
    # The tools beside the broker start while clients wait for a new primary: they do not load the broker.
    if name in __all__:
        from . import embedded  # noqa: PLC0415

        return getattr(embedded, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
