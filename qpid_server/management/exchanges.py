"""The exchanges that management messages go through; apart from the names of their types they are like any other."""

from __future__ import annotations

from ..exchange import DirectExchange, TopicExchange

__all__ = ["V1_EXCHANGE", "ManagementDirectExchange", "ManagementTopicExchange"]

#: Where QMF v1 has its requests, events and data.
V1_EXCHANGE = "qpid.management"


class ManagementDirectExchange(DirectExchange):
    """Requests to agents, and their answers."""

    type = "management-direct"


class ManagementTopicExchange(TopicExchange):
    """Events, data, and requests to every agent."""

    type = "management-topic"
