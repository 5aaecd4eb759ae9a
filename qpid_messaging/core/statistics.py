"""Counters that an application can read: `connection.stats`."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass
class Statistics:
    """What a connection went through.

    Attributes:
        attempts: brokers tried, the first one included.
        fail_overs: open connections that were lost and came back, at the same broker or at another.
        resent: messages sent again because their completion was not known when a connection was lost.
        claims_lost: messages that the application or a receiver held when a connection was lost, and that were gone
            when it came back: somebody else has them, or their queue is no more.
        seconds_without_broker: the time from each loss to the open connection after it, summed up.
    """

    attempts: int = 0
    fail_overs: int = 0
    resent: int = 0
    claims_lost: int = 0
    seconds_without_broker: float = 0.0
