"""A client for AMQP 0-10 brokers with the API of qpid.messaging, and with fail-over that its users never had.

>>> from qpid_messaging import Connection
>>> connection = Connection.establish("localhost", reconnect=True, reconnect_urls=["other"], heartbeat=2)
>>> session = connection.session()
>>> session.sender("orders; {create: always}").send("hello")
>>> message = session.receiver("orders").fetch(timeout=1)
>>> session.acknowledge(message)
>>> connection.close()
"""

from __future__ import annotations

from .constants import AMQP_PORT, AMQPS_PORT, REJECTED, RELEASED, UNLIMITED, Constant
from .datatypes import Serial, timestamp, uuid4
from .endpoints import Connection, Endpoint, Receiver, Sender, Session
from .exceptions import *  # noqa: F403 - its __all__ is the tree of qpid.messaging, whole
from .exceptions import __all__ as _exceptions
from .message import Disposition, Message

__all__ = [  # noqa: PLE0604 - the rest are names too
    "AMQPS_PORT",
    "AMQP_PORT",
    "REJECTED",
    "RELEASED",
    "UNLIMITED",
    "Connection",
    "Constant",
    "Disposition",
    "Endpoint",
    "Message",
    "Receiver",
    "Sender",
    "Serial",
    "Session",
    "timestamp",
    "uuid4",
    *_exceptions,
]
