"""A QMF v2 console: a broker's queues, exchanges, connections and the rest as Python objects.

agent = BrokerAgent(connection)
print(agent.getQueue("orders").msgDepth)
"""

from .console import BrokerAgent
from .errors import AgentError, ManagementError, NoResponse, ObjectDeleted
from .events import BrokerEvent, EventHelper, EventReceiver
from .objects import (
    Acl,
    Binding,
    Broker,
    BrokerObject,
    Cluster,
    Connection,
    Exchange,
    HaBroker,
    Link,
    Memory,
    Queue,
    Session,
    Subscription,
)

__all__ = [
    "Acl",
    "AgentError",
    "Binding",
    "Broker",
    "BrokerAgent",
    "BrokerEvent",
    "BrokerObject",
    "Cluster",
    "Connection",
    "EventHelper",
    "EventReceiver",
    "Exchange",
    "HaBroker",
    "Link",
    "ManagementError",
    "Memory",
    "NoResponse",
    "ObjectDeleted",
    "Queue",
    "Session",
    "Subscription",
]
