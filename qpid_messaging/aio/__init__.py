"""The API of `qpid_messaging` for asyncio and trio: the same nouns, verbs, options and exceptions.

>>> from qpid_messaging.aio import Connection
>>> async def main():
...     async with Connection.establish("one", reconnect=True, reconnect_urls=["other"], heartbeat=2) as connection:
...         session = connection.session()
...         sender = await session.sender("orders; {create: always}")
...         await sender.send("hello")
...         async for message in await session.receiver("orders", capacity=10):
...             await session.acknowledge(message)

Verbs that wait are to be awaited. What only looks at the state (`available`, `unsettled`, `get_error` ...) and
`Connection.session` are plain calls. `Connection.establish`, `Session.sender` and `Session.receiver` can be awaited, or
entered with `async with`, which closes what they made at the end. Fail-over, sending again and surviving sessions are
those of the blocking client: the core is the same.

A verb can be cancelled wherever it waits, and the connection goes on as if it had not been called, or had been called
and its outcome not looked at:

- `fetch` has not taken a message;
- `send`, `acknowledge`, `commit` and `rollback`: what is on its way stays so, and `sync` waits for it;
- `Session.sender` and `Session.receiver` leave no link;
- `close` closes all the same, without waiting for the broker; so does leaving an `async with` block with an exception;
- `open` and `attach` give the search for a broker up.

A connection belongs to the event loop that opened it, and is not for threads.
"""

from __future__ import annotations

from ..constants import AMQP_PORT, AMQPS_PORT, REJECTED, RELEASED, UNLIMITED, Constant
from ..datatypes import Serial, timestamp, uuid4
from ..endpoint import Endpoint
from ..exceptions import *  # noqa: F403 - its __all__ is the tree of qpid.messaging, whole
from ..exceptions import __all__ as _exceptions
from ..message import Disposition, Message
from .connection import Connection
from .receiver import Receiver
from .sender import Sender
from .session import Session

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
