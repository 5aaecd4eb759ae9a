"""The QMF v2 agent in the broker: what consoles and tools see of its queues, exchanges, clients and cluster."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from qpid_messaging.management.qmf import BROKER_AGENT, DIRECT_EXCHANGE, TOPIC_EXCHANGE

from .agent import Agent
from .broker_objects import BrokerClass, MemoryClass, SystemClass, VhostClass
from .client_objects import ConnectionClass, SessionClass, SubscriptionClass
from .exchanges import V1_EXCHANGE, ManagementDirectExchange, ManagementTopicExchange
from .ha import HaBrokerClass, HighAvailability
from .routing_objects import BindingClass, ExchangeClass, QueueClass

if TYPE_CHECKING:
    from ..broker import Broker

__all__ = ["CLASSES", "Agent", "HighAvailability", "install"]

#: Every class of objects that the agent knows. A class more is a line more.
CLASSES = (
    BrokerClass,
    SystemClass,
    VhostClass,
    MemoryClass,
    QueueClass,
    ExchangeClass,
    BindingClass,
    ConnectionClass,
    SessionClass,
    SubscriptionClass,
    HaBrokerClass,
)

LOCATE_KEY = "console.request.agent_locate"


def install(broker: Broker, *, port: Callable[[], int] | None = None) -> Agent:
    """Give a broker its management agent and the exchanges that consoles reach it through.

    Args:
        broker: a broker without one.
        port: where the broker listens; what its options say where not given.

    Returns:
        The agent.
    """
    agent = Agent(broker, CLASSES, instance=broker.federation_tag, port=port or (lambda: broker.options.port))
    for exchange in (
        ManagementDirectExchange(DIRECT_EXCHANGE, arguments={"qpid.replicate": "none"}),
        ManagementTopicExchange(TOPIC_EXCHANGE, arguments={"qpid.replicate": "none"}),
        ManagementTopicExchange(V1_EXCHANGE, arguments={"qpid.replicate": "none"}),
    ):
        broker.exchanges[exchange.name] = exchange
    direct, topic = broker.exchanges[DIRECT_EXCHANGE], broker.exchanges[TOPIC_EXCHANGE]
    direct.bind_receiver(BROKER_AGENT, agent)
    direct.bind_receiver(agent.name, agent)
    topic.bind_receiver(LOCATE_KEY, agent)
    broker.observers.append(agent.creation)
    return agent
