"""What one client library can do against one broker, as JSON: operations a second, and microseconds of CPU for one.

    python pace.py MODULE BROKER

For Python 2.7 and 3, so that peers are timed by the same program.
"""

from __future__ import print_function

import importlib
import json
import sys
import time
from resource import RUSAGE_SELF, getrusage

ADDRESS = "pace; {create: always, node: {x-declare: {arguments: {'qpid.max_size': 1000000000}}}}"
PIPELINED = 20000
ROUND_TRIPS = 1000
CONNECTIONS = 30
CONTENT = b"x" * 256

now = getattr(time, "perf_counter", time.time)


def cpu():
    usage = getrusage(RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime


class Pace(object):
    def __init__(self, module, broker):
        self.qm = importlib.import_module(module)
        self.broker = broker
        self.connection = self.qm.Connection.establish(broker)
        self.session = self.connection.session()
        self.sender = self.session.sender(ADDRESS, capacity=1000)
        self.receiver = None

    def message(self):
        return self.qm.Message(content=CONTENT)

    def send(self):
        for _ in range(PIPELINED):
            self.sender.send(self.message(), sync=False)
        self.sender.sync()

    def receive(self):
        receiver = self.session.receiver(ADDRESS, capacity=1000)
        for number in range(PIPELINED):
            receiver.fetch(timeout=20)
            if number % 100 == 99:
                self.session.acknowledge(sync=False)
        self.session.acknowledge()
        receiver.close()

    def send_sync(self):
        for _ in range(ROUND_TRIPS):
            self.sender.send(self.message(), sync=True)

    def echo(self):
        receiver = self.session.receiver(ADDRESS, capacity=1)
        for _ in range(ROUND_TRIPS):
            self.sender.send(self.message(), sync=False)
            self.session.acknowledge(receiver.fetch(timeout=20), sync=False)
        self.session.sync()
        receiver.close()

    def drain(self):
        receiver = self.session.receiver(ADDRESS, capacity=1000)
        for _ in range(ROUND_TRIPS):
            receiver.fetch(timeout=20)
        self.session.acknowledge()
        receiver.close()

    def connect(self):
        for _ in range(CONNECTIONS):
            connection = self.qm.Connection.establish(self.broker)
            connection.session().sender("pace").close()
            connection.close()


def main(module, broker):
    pace = Pace(module, broker)
    figures = {}

    def take(name, operations):
        begun, spent = now(), cpu()
        getattr(pace, name)()
        figures[name] = operations / (now() - begun)
        figures[name + " CPU us"] = (cpu() - spent) / operations * 1e6

    take("send", PIPELINED)
    take("receive", PIPELINED)
    take("send_sync", ROUND_TRIPS)
    pace.drain()
    take("echo", ROUND_TRIPS)
    take("connect", CONNECTIONS)
    pace.connection.close()
    print(json.dumps(figures))


main(*sys.argv[1:])
