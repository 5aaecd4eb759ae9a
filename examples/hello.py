"""The smallest whole program: send a message, receive it, acknowledge it.

python examples/hello.py [BROKER [ADDRESS]]
"""

from __future__ import annotations

import sys

from qpid_messaging import Connection, MessagingError

broker = sys.argv[1] if len(sys.argv) > 1 else "localhost:5672"
address = sys.argv[2] if len(sys.argv) > 2 else "amq.topic"

try:
    with Connection.establish(broker) as connection:
        session = connection.session()
        receiver = session.receiver(address)
        sender = session.sender(address)
        sender.send("Hello world!")
        message = receiver.fetch(timeout=1)
        print(message.content)
        session.acknowledge()
except MessagingError as error:
    sys.exit(f"hello: {error}")
