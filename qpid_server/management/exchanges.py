"""The exchanges that management messages go through; apart from the names of their types they are like any other."""

from __future__ import annotations

from ..exchange import DirectExchange, TopicExchange

__all__ = ["MANAGEMENT_TYPE", "V1_EXCHANGE", "ManagementDirectExchange", "ManagementTopicExchange"]

#: Where QMF v1 has its requests, events and data.
V1_EXCHANGE = "qpid.management"

#: What the names of their types begin with, in answers to exchange.query; management itself tells the plain types.
MANAGEMENT_TYPE = "management-"


class ManagementDirectExchange(DirectExchange):
    """Requests to agents, and their answers."""

    type = "management-direct"


class ManagementTopicExchange(TopicExchange):
    """Events, data, and requests to every agent."""

    type = "management-topic"

    def listened(self, key: str) -> bool:
        """Whether a queue would get a message with that key."""
        route = self._routes.get(key) or self._remember(key, self._match(key))
        return bool(route.queues)
