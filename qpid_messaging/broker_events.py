"""What a connection tells of its brokers: each attempt to reach one, each that lets it in, each that it loses.

>>> from qpid_messaging.broker_events import BrokerFound, BrokerLost
>>> def tell(event):
...     if isinstance(event, (BrokerLost, BrokerFound)):
...         print(event.time, event)
>>> connection.set_broker_notify_handler(tell)  # doctest: +SKIP
"""

from __future__ import annotations

import time
from dataclasses import dataclass, field

from .exceptions import MessagingError

__all__ = ["BrokerEvent", "BrokerFailed", "BrokerFound", "BrokerLost", "BrokerTried"]


@dataclass(frozen=True)
class BrokerEvent:
    """The base of the four. `str()` of each is the line of the log.

    Attributes:
        host, port: which broker.
        time: when, in seconds since the epoch.
    """

    host: str
    port: int
    time: float = field(default_factory=time.time, kw_only=True)

    @property
    def where(self) -> str:
        """`host:port`, with IPv6 in brackets."""
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


@dataclass(frozen=True)
class BrokerTried(BrokerEvent):
    """An attempt begins.

    Attributes:
        attempt: which one it is of this search, from 1. A search begins when the connection is opened, and when it lost
            a broker.
    """

    attempt: int

    def __str__(self) -> str:
        return f"trying: {self.where} [attempt {self.attempt}]"


@dataclass(frozen=True)
class BrokerFailed(BrokerEvent):
    """An attempt failed.

    Attributes:
        attempt: which one.
        error: why; says host and port, too.
        retry_in: seconds until the next attempt; None where there is none, and the connection has failed.
    """

    attempt: int
    error: MessagingError
    retry_in: float | None

    def __str__(self) -> str:
        if self.retry_in is None:
            return f"giving up[attempt {self.attempt}]: {self.error}"
        pause = f"; sleeping {self.retry_in:.3g} seconds" if self.retry_in else ""
        return f"recoverable error[attempt {self.attempt}]: {self.error}{pause}"


@dataclass(frozen=True)
class BrokerFound(BrokerEvent):
    """A broker let us in.

    Attributes:
        attempt: the attempt that succeeded.
        seconds_without_broker: how long the search took since the last broker was lost; None for the first one.
    """

    attempt: int
    seconds_without_broker: float | None

    def __str__(self) -> str:
        if self.seconds_without_broker is None:
            return f"connected: {self.where} [attempt {self.attempt}]"
        without = f"{self.seconds_without_broker:.3g} seconds without a broker"
        return f"reconnect succeeded: {self.where} [attempt {self.attempt}] after {without}"


@dataclass(frozen=True)
class BrokerLost(BrokerEvent):
    """The connection is lost.

    Attributes:
        error: why; says host and port, too.
    """

    error: MessagingError

    def __str__(self) -> str:
        return f"connection lost: {self.error}"
