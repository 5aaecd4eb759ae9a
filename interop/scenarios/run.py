"""Runs scenarios with one client module: run.py MODULE SCENARIOS HOST:PORT FUNCTION...

This file and the scenarios beside it are written in what Python 2.7 and Python 3 have in common, so that the original
client and ours are driven by the same lines. A scenario gets a `Peer`; an exception fails it.
"""

from __future__ import print_function

import importlib
import os
import signal
import sys
import traceback
import uuid

PATIENCE = 20  # seconds until a scenario that hangs says where


class Peer(object):
    """The client module under test, its names as attributes, and the broker's address.

    Attributes:
        qm: The module, `qpid.messaging` or one with the same API.
        url: The broker's host:port.
        connection: An open connection to it.
    """

    def __init__(self, module, url):
        self.qm = importlib.import_module(module)
        self.url = url
        self._connections = []
        self.connection = self.connect()

    def connect(self, **options):
        """Another open connection, closed at the end."""
        connection = self.qm.Connection.establish(self.url, timeout=5, **options)
        self._connections.append(connection)
        return connection

    def session(self, **options):
        return self.connection.session(**options)

    def name(self, prefix="q"):
        """A name that no other scenario uses."""
        return "%s-%s" % (prefix, uuid.uuid4().hex[:8])

    def queue(self, **declare):
        """An address that creates a queue with a name of its own."""
        arguments = ", ".join("%s: %r" % item for item in declare.items())
        return "%s; {create: always, node: {x-declare: {%s}}}" % (self.name(), arguments)

    def raises(self, error, function, *args, **kwargs):
        """The exception of type `error` that the call raises."""
        try:
            result = function(*args, **kwargs)
        except error as caught:
            return caught
        raise AssertionError("no %s; returned %r" % (error.__name__, result))

    def contents(self, receiver, timeout=0):
        """The contents of everything that the receiver can fetch."""
        found = []
        while True:
            try:
                found.append(receiver.fetch(timeout=timeout).content)
            except self.qm.Empty:
                return found

    def close(self):
        for connection in self._connections:
            connection.close(timeout=5)


def same(found, expected):
    """assert ==, with both values in the message."""
    assert found == expected, "%r is not %r" % (found, expected)


def where(_signal, _frame):
    for frame in sys._current_frames().values():
        traceback.print_stack(frame)
        print("--", file=sys.stderr)
    sys.stderr.flush()
    os._exit(3)


def main(module, scenarios, url, *functions):
    signal.signal(signal.SIGALRM, where)
    for function in functions:
        signal.alarm(PATIENCE)
        peer = Peer(module, url)
        getattr(importlib.import_module(scenarios), function)(peer)
        peer.close()


if __name__ == "__main__":
    # The scenarios import this module by its name; without this they would get a second copy of it.
    sys.modules["run"] = sys.modules["__main__"]
    main(*sys.argv[1:])
