"""An AMQP 0-10 message broker with a hot-standby cluster.

For tests: ``with qpid_server.running() as broker: Connection.establish(broker.url)``.
"""

from __future__ import annotations

from .embedded import Running, running

__all__ = ["Running", "running"]
