"""qpid-printevents and qpid-queue-stats, the originals and ours: see `test_tools`."""

from __future__ import annotations

import re
from contextlib import ExitStack

import qpid_messaging
from interop.peers import QpidPython
from interop.running_tool import RunningTool
from interop.tools import pair_of_brokers, plain
from qpid_messaging.management import BrokerAgent


def _use(url: str) -> None:
    """Have a broker do what it tells of."""
    with qpid_messaging.Connection.establish(url) as connection:
        agent = BrokerAgent(connection)
        agent.addQueue("q", {"durable": True, "qpid.max_count": 5})
        agent.addExchange("topic", "x", {"alternate-exchange": "amq.fanout"})
        agent.bind("x", "q", "a.#")
        agent.bind("amq.match", "q", "k", {"x-match": "any", "a": "b"})
        session = connection.session()
        session.sender("q").send("text")
        session.receiver("q").fetch(10)
        session.acknowledge()
        agent.unbind("x", "q", "a.#")
        agent.delExchange("x")
        agent.delQueue("q", if_unused=False)


def _words(text: str) -> list[list[str]]:
    """Lines, with what maps hold in some order."""
    lines = re.sub(r"'qpid\.client_p?pid': \d+", "<pid>", plain(text)).splitlines()
    return [sorted(re.split(r"[ ,{}]+", line)) for line in lines]


def test_events(qpid_python: QpidPython) -> None:
    with ExitStack() as stack:
        pair = stack.enter_context(pair_of_brokers(qpid_python))
        tools = [stack.enter_context(RunningTool(side, "qpid-printevents")) for side in pair.sides]
        for tool, side in zip(tools, pair.sides, strict=True):
            tool.until("broker:subscribe .*\n")
            _use(side.broker.url)
            tool.until("broker:clientDisconnect .*\n")
        assert [tool.interrupt() for tool in tools] == [0, 0]
    original, ours = (_words(tool.text) for tool in tools)
    assert ours == original
    assert len(ours) > 10


def test_rates(qpid_python: QpidPython) -> None:
    with ExitStack() as stack:
        pair = stack.enter_context(pair_of_brokers(qpid_python, "--mgmt-pub-interval", "2"))
        senders = []
        for side in pair.sides:
            connection = stack.enter_context(qpid_messaging.Connection.establish(side.broker.url))
            BrokerAgent(connection).addQueue("other")
            senders.append(connection.session().sender("queue; {create: always}"))
        tools = [
            stack.enter_context(RunningTool(side, "qpid-queue-stats --filter nosuch,que.*", at="-a"))
            for side in pair.sides
        ]
        heads = [tool.until("=\n") for tool in tools]
        assert heads[0] == heads[1]
        lines = []
        for tool, sender in zip(tools, senders, strict=True):
            # A queue is reported when something has changed.
            while not (found := re.search(r"^queue .*\n", tool.text, re.MULTILINE)):
                sender.send("text")
                tool.wait(0.2)
            lines.append(found[0])
        form = r"queue {36}[ 0-9]{7}\.[0-9]{2}[ 0-9]{11}[ 0-9]{10}\.[0-9]{2} {9}0\.00\n"
        assert all(re.fullmatch(form, line) for line in lines), lines
        assert not any("other" in tool.text for tool in tools)
        assert tools[1].interrupt() == 0
