"""Send numbered messages to a replicated queue and receive them again, while the brokers below are killed.

    python fail_over.py MODULE COUNT BROKER...

For Python 2.7 and 3. Says `sent N` for each acknowledged send, then `received N` for each acknowledged message.
"""

from __future__ import print_function

import importlib
import logging
import sys

ADDRESS = "over; {create: always, node: {x-declare: {arguments: {'qpid.replicate': all}}}}"


def say(word, number):
    print(word, number)
    sys.stdout.flush()


def main(module, count, brokers):
    logging.basicConfig(level=logging.WARNING)
    qm = importlib.import_module(module)
    connection = qm.Connection.establish(
        brokers[0], reconnect=True, reconnect_urls=brokers[1:], reconnect_interval=0.05, heartbeat=5
    )
    session = connection.session()
    sender = session.sender(ADDRESS)
    for number in range(count):
        sender.send(qm.Message("%d" % number), sync=True)
        say("sent", number)
    receiver = session.receiver(ADDRESS, capacity=10)
    while True:
        try:
            message = receiver.fetch(timeout=3)
        except qm.Empty:
            break
        session.acknowledge(message)
        say("received", int(message.content))
    connection.close()


main(sys.argv[1], int(sys.argv[2]), sys.argv[3:])
