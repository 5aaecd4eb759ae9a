"""The management agent in the broker: what consoles and tools see of its queues, exchanges, clients and cluster.

Consoles speak QMF v2 or v1 with it. Requests and answers are in :mod:`.v2_requests` and :mod:`.v1_requests`, what is
told without being asked in :mod:`.events` and :mod:`.reports`, what there is in :mod:`.classes` and the modules of
objects.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from qpid_messaging.management.qmf import BROKER_AGENT, DIRECT_EXCHANGE, LOCATE_KEY, TOPIC_EXCHANGE

from .agent import Agent
from .broker_objects import BrokerClass, MemoryClass, SystemClass, VhostClass
from .client_objects import ConnectionClass, SessionClass, SubscriptionClass
from .events import Events
from .exchanges import V1_EXCHANGE, ManagementDirectExchange, ManagementTopicExchange
from .ha import HaBrokerClass, HighAvailability
from .reports import Reports
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

V1_KEYS = (BROKER_AGENT, "agent.1.0", "schema.#")


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
    for key in V1_KEYS:
        broker.exchanges[V1_EXCHANGE].bind_receiver(key, agent)
    reports = Reports(agent)
    reports.start()
    broker.observers += [agent.creation, agent.watermarks, reports, Events(agent)]
    return agent
