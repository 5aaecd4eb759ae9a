"""The tools against a running broker: what they print, what they change, and their exit status.

That it is what the original tools print is shown in `interop/`; here, that it stays so without them.
"""

from __future__ import annotations

import contextlib
import io
import os
import re
import select
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

import qpid_messaging
import qpid_server
from qpid_messaging.management import BrokerAgent, EventReceiver
from tests.integration.tool_runner import ToolRunner

ROOT = Path(__file__).resolve().parents[2]
ENVIRONMENT = {**os.environ, "PYTHONPATH": os.pathsep.join((str(ROOT), str(ROOT / "address"))), "PYTHONUNBUFFERED": "1"}
WITHIN = 20.0  # seconds that a tool may take, on a machine with other work
PLACE = {"qpid-queue-stats": "-a"}

Tool = Callable[..., tuple[int, str]]


@pytest.fixture(scope="module")
def running() -> Iterator[qpid_server.Running]:
    with qpid_server.running(mgmt_pub_interval=1) as broker:
        yield broker


@pytest.fixture
def broker(running: qpid_server.Running) -> Iterator[qpid_server.Running]:
    """A broker that has what brokers have from the start."""
    yield running
    with qpid_messaging.Connection.establish(running.url) as connection:
        agent = BrokerAgent(connection)
        for queue in agent.getAllQueues():
            if not queue.autoDelete:
                agent.delQueue(queue.name, if_empty=False, if_unused=False)
        for exchange in agent.getAllExchanges():
            if exchange.name and not exchange.name.startswith(("amq.", "qmf.", "qpid.")):
                agent.delExchange(exchange.name)


@pytest.fixture
def tool(broker: qpid_server.Running, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Tool:
    """Runs a tool on the broker; returns exit status and output."""

    runner = ToolRunner(monkeypatch, capsys)

    def run(name: str, *arguments: str, url: str = broker.url, err: str = "") -> tuple[int, str]:
        ended = runner.run(name, *arguments, PLACE.get(name, "-b"), url)
        assert err in ended.err
        assert err or not ended.err
        return ended.status, ended.out

    return run


@pytest.fixture
def agent(broker: qpid_server.Running) -> Iterator[BrokerAgent]:
    with qpid_messaging.Connection.establish(broker.url) as connection:
        yield BrokerAgent(connection)


# -- qpid-config

QUEUES = [
    ("", "", {}),
    ("--durable", "--durable ", {}),
    ("--replicate all", "--replicate=all ", {"qpid.replicate": "all"}),
    ("--max-queue-size 9 --max-queue-count 8", "--max-queue-size=9 --max-queue-count=8 ", {"qpid.max_size": 9}),
    ("--limit-policy ring --max-queue-count 3", "--max-queue-count=3 --limit-policy=ring ", {}),
    ("--limit-policy none", "", {}),
    ("--lvq-key k", "--lvq-key=k ", {"qpid.last_value_queue_key": "k"}),
    ("--alternate-exchange amq.fanout", "--alternate-exchange=amq.fanout ", {}),
    ("--flow-stop-count 9 --flow-resume-count 5", "--flow-stop-count=9 --flow-resume-count=5 ", {}),
    ("--flow-stop-size 900 --flow-resume-size 500", "--flow-stop-size=900 --flow-resume-size=500 ", {}),
    ("--group-header g --shared-groups", "--group-header=g --shared-groups ", {"qpid.shared_msg_group": 1}),
    ("--argument qpid.priorities=4", "--argument qpid.priorities=4", {"qpid.priorities": 4}),
    ("--argument qpid.trace.id=x=y", "--argument qpid.trace.id=x=y", {"qpid.trace.id": "x=y"}),
    ("--file-count 8", "", {}),  # means something to durable queues only
]


@pytest.mark.parametrize(("options", "attributes", "arguments"), QUEUES)
def test_queues(tool: Tool, agent: BrokerAgent, options: str, attributes: str, arguments: dict[str, object]) -> None:
    assert tool("qpid-config", "add", "queue", "name", *options.split()) == (0, "")
    queue = agent.getQueue("name")
    assert queue is not None
    assert arguments.items() <= queue.arguments.items()
    table = f"Queue Name  Attributes\n{'=' * 35}\nname        {attributes}\n"
    assert tool("qpid-config", "queues", "am") == (0, table)
    assert tool("qpid-config", "del", "queue", "name") == (0, "")
    assert tool("qpid-config", "queues", "am") == (1, "")


EXCHANGES = [
    ("direct", "", ""),
    ("topic", "--durable --replicate none", " --durable --replicate=none"),
    ("fanout", "--sequence --ive", " --sequence --ive"),
    ("headers", "--alternate-exchange amq.topic", " --alternate-exchange=amq.topic"),
]


@pytest.mark.parametrize(("kind", "options", "attributes"), EXCHANGES)
def test_exchanges(tool: Tool, kind: str, options: str, attributes: str) -> None:
    assert tool("qpid-config", "add", "exchange", kind, "name", *options.split()) == (0, "")
    head = f"Type      Exchange Name  Attributes\n{'=' * 45}\n"
    assert tool("qpid-config", "exchanges", "name") == (0, f"{head}{kind:<10}name          {attributes}\n")
    assert tool("qpid-config", "del", "exchange", "name") == (0, "")
    assert tool("qpid-config", "exchanges", "name") == (1, "")


def test_bindings(tool: Tool) -> None:
    tool("qpid-config", "add", "queue", "q")
    for binding in ("amq.topic q a.#", "amq.match q m any x=1 y=a=b", "amq.fanout q"):
        assert tool("qpid-config", "bind", *binding.split()) == (0, "")
    status, out = tool("qpid-config", "queues", "q", "-r")
    conditions = "{'x': '1', 'y': 'a=b', 'x-match': 'any'}"
    lines = [
        "[q] => ''",
        "[] => amq.fanout",
        f"[m] => amq.match {conditions}",
        "[a.#] => amq.topic",
    ]
    shown = [f"    bind {line}\n" for line in lines]
    assert (status, out) == (0, "".join(["Queue 'q'\n", *shown]))
    assert tool("qpid-config", "queues", "q", "-r", "--ignore-default")[1] == "".join(["Queue 'q'\n", *shown[1:]])
    assert tool("qpid-config", "exchanges", "match", "-r") == (
        0,
        f"Exchange 'amq.match' (headers)\n    bind [m] => q {conditions}\n",
    )
    assert tool("qpid-config", "unbind", "amq.topic", "q", "a.#") == (0, "")
    assert "a.#" not in tool("qpid-config", "exchanges", "-r")[1]


def test_the_default_exchange_is_left_out_where_that_is_wanted(tool: Tool) -> None:
    for arguments, shown in ((["exchanges"], "direct"), (["exchanges", "-r"], "Exchange '' (direct)")):
        for options, there in (([], True), (["--ignore-default"], False)):
            lines = [line.rstrip() for line in tool("qpid-config", *arguments, *options)[1].splitlines()]
            assert (shown in lines) == there


def test_the_overview(tool: Tool) -> None:
    tool("qpid-config", "add", "queue", "q", "--durable")
    status, out = tool("qpid-config")
    assert status == 0
    assert out.startswith("Total Exchanges: 8\n")
    assert "          topic: 3\n" in out
    assert out.endswith("\n\n   Total Queues: 2\n        durable: 1\n    non-durable: 1\n")


def test_lists_of_objects(tool: Tool) -> None:
    tool("qpid-config", "add", "queue", "q", "--alternate-exchange", "amq.fanout")
    shown = [word for name in ("name", "altExchange", "nosuch") for word in ("--show-property", name)]
    status, out = tool("qpid-config", "list", "queue", *shown)
    assert status == 0
    assert out.startswith("Warning: No such property 'nosuch' for type 'queue'\nObjects of type 'queue'\n  name ")
    assert re.search(r"^  q +amq\.fanout$", out, re.MULTILINE)
    assert tool("qpid-config", "list", "nosuch") == (0, "Objects of type 'nosuch'\n")
    assert re.search(r"^  amq\.topic +topic +True$", tool("qpid-config", "list", "exchange")[1], re.MULTILINE)


def test_objects_of_any_type(tool: Tool, agent: BrokerAgent) -> None:
    assert tool("qpid-config", "add", "queue", "q") == (0, "")
    assert tool("qpid-config", "add", "binding", "amq.direct/q/k") == (0, "")
    assert any(binding.bindingKey == "k" for binding in agent.getAllBindings())
    assert tool("qpid-config", "del", "binding", "amq.direct/q/k") == (0, "")
    assert not any(binding.bindingKey == "k" for binding in agent.getAllBindings())


def test_queues_are_deleted_by_force(tool: Tool, broker: qpid_server.Running) -> None:
    with qpid_messaging.Connection.establish(broker.url) as connection:
        session = connection.session()
        session.sender("q; {create: always}").send("text")
        session.receiver("q; {mode: browse}").fetch(WITHIN)
        for options in ([], ["--force-if-used"], ["--force-if-not-empty"]):
            status, out = tool("qpid-config", "del", "queue", "q", *options)
            assert (status, out[:30]) == (1, "Failed: Exception: Exception f")
        assert tool("qpid-config", "del", "queue", "q", "--force") == (0, "")
        session = connection.session()
        session.receiver("used; {create: always}")
        session.sender("full; {create: always}").send("text")
        for queue, option in (("used", "--force-if-used"), ("full", "--force-if-not-empty")):
            assert tool("qpid-config", "del", "queue", queue)[0] == 1
            assert tool("qpid-config", "del", "queue", queue, option) == (0, "")


def test_queues_that_belong_to_a_session(tool: Tool) -> None:
    # The tool's own, for its answers.
    assert re.search(r"^[0-9a-f-]{36}:0\.0  auto-del excl $", tool("qpid-config", "queues")[1], re.MULTILINE)


def test_log_levels(tool: Tool) -> None:
    # The log belongs to the process of these tests.
    assert tool("qpid-config", "log")[0] == 1
    assert "the log belongs to the program" in tool("qpid-config", "log", "debug+")[1]


WRONG = [
    ("add queue", "Usage:  qpid-config [OPTIONS]"),
    ("add exchange direct", "Usage:"),
    ("add", "Usage:"),
    ("add nosuch", "Usage:"),
    ("add nosuch name", "Unknown object type: nosuch"),
    ("del queue", "Usage:"),
    ("del nosuch", "Usage:"),
    ("del queue nosuch", "Queue not found: nosuch"),
    ("bind amq.direct", "Usage:"),
    ("unbind amq.direct", "Usage:"),
    ("bind amq.match q k", "Invalid args to bind headers"),
    ("bind amq.match q k some a=b", "need 'any' or 'all', not 'some'"),
    ("bind amq.match q k any a", "need name=value, not 'a'"),
    ("list", "Usage:"),
    ("nosuch", "Usage:"),
    ("add queue q --replicate some", "Invalid replication level 'some', should be one of: none, configuration, all"),
    ("add queue q --argument nosuch=1", "Unrecognised properties: nosuch"),
    ("add queue q --start-replica 127.0.0.1:1", "Failed: Exception: "),
]


@pytest.mark.parametrize(("command", "said"), WRONG)
def test_what_is_wrong(tool: Tool, command: str, said: str) -> None:
    status, out = tool("qpid-config", *command.split())
    assert status == 1
    assert said in out


@pytest.mark.parametrize(
    ("name", "arguments", "said"),
    [
        ("qpid-config", "--nosuch", "unrecognized arguments: --nosuch"),
        ("qpid-config", "--max-queue-count many", "invalid int value: 'many'"),
        ("qpid-config", "--limit-policy nosuch", "invalid choice: 'nosuch'"),
        ("qpid-config", "--ssl-key only", "missing '--ssl-certificate' (required by '--ssl-key')"),
        ("qpid-stat", "", "You must specify one of these options: -g, -c, -e, -q, -m, or -u."),
        ("qpid-stat", "-g --ssl-key only", "missing '--ssl-certificate' (required by '--ssl-key')"),
        ("qpid-tool", "--nosuch", "unrecognized arguments: --nosuch"),
        ("qpid-queue-stats", "--ssl-key only", "missing '--ssl-certificate' (required by '--ssl-key')"),
    ],
)
def test_options_that_do_not_exist_or_fit(tool: Tool, name: str, arguments: str, said: str) -> None:
    assert tool(name, *arguments.split(), err=said)[0] == 2


@pytest.mark.parametrize(
    ("name", "arguments", "said"),
    [
        ("qpid-config", [], "Failed: ConnectError: 127.0.0.1:1: Connection refused\n"),
        ("qpid-stat", ["-g"], "Failed: ConnectError - 127.0.0.1:1: Connection refused\n"),
        ("qpid-tool", [], "Failed: ConnectError - 127.0.0.1:1: Connection refused\n"),
    ],
)
def test_no_broker(tool: Tool, name: str, arguments: list[str], said: str) -> None:
    assert tool(name, *arguments, url="127.0.0.1:1") == (1, said)


def test_a_broker_is_shut_down(tool: Tool) -> None:
    command = [sys.executable, "-m", "qpid_server", "--port", "0", "--auth", "no", "--no-data-dir"]
    with subprocess.Popen(command, env=ENVIRONMENT, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            port = process.stdout.readline().strip()
            assert tool("qpid-config", "shutdown", url=f"127.0.0.1:{port}") == (0, "")
            assert process.wait(WITHIN) == 0
        finally:
            process.kill()


def test_access_rules_are_not_there_to_be_reloaded(tool: Tool) -> None:
    assert tool("qpid-config", "reload-acl") == (0, "Failed: ACL Module Not Loaded in Broker\n")


# -- qpid-stat


def test_figures_of_queues(tool: Tool, broker: qpid_server.Running) -> None:
    with qpid_messaging.Connection.establish(broker.url) as connection:
        session = connection.session()
        for name, count in (("few", 1), ("many", 1200)):
            sender = session.sender(f"{name}; {{create: always}}")
            for _ in range(count):
                sender.send(b"x" * 10, sync=False)
        session.sync()
    status, out = tool("qpid-stat", "-q", "-S", "msg", "-L", "2")
    assert status == 0
    title, heads, _, first, second = out.splitlines()
    assert (title, heads.split()) == (
        "Queues",
        ["queue", "dur", "autoDel", "excl", "msg", "msgIn", "msgOut", "bytes", "bytesIn", "bytesOut", "cons", "bind"],
    )
    # How many bytes a message is, is tested elsewhere.
    assert first.split()[:4] + first.split()[-3:] == ["many", "1.20k", "1.20k", "0", "0", "0", "1"]
    assert second.split()[:4] + second.split()[-3:] == ["few", "1", "1", "0", "0", "0", "1"]
    increasing = tool("qpid-stat", "-q", "-S", "msg", "-I")[1].splitlines()
    assert [line.split()[0] for line in increasing[-2:]] == ["few", "many"]
    status, out = tool("qpid-stat", "-q", "many")
    assert re.search(r"^  queue-depth {17}1,200     [0-9]{2},[0-9]00$", out, re.MULTILINE)
    assert "  Name  Durable  AutoDelete  Exclusive  FlowStopped  FlowStoppedCount  Consumers  Bindings\n" in out
    assert tool("qpid-stat", "-q", "nosuch") == (0, "Queue 'nosuch' not found\n")
    assert tool("qpid-stat", "-q", "-S", "nosuch") == (
        1,
        "Failed: Exception - sortCol 'nosuch', not found in headers\n",
    )


def test_figures_of_the_rest(tool: Tool) -> None:
    assert "<standalone>" in tool("qpid-stat", "-g")[1]
    assert "discards-subscriber-reject" in tool("qpid-stat", "-g")[1]
    assert re.search(r"^  amq\.topic +topic +Y +0 ", tool("qpid-stat", "-e")[1], re.MULTILINE)
    clients = tool("qpid-stat", "-c")[1]
    assert re.search(r"^  127\.0\.0\.1:\d+ +qpid-stat +\d+ +ANONYMOUS +anonymous +\ds +\ds ", clients, re.MULTILINE)
    assert re.search(r"^  0 +\S+:0\.0 +127\.0\.0\.1:\d+ +qpid-stat +\d+ ", tool("qpid-stat", "-u")[1], re.MULTILINE)
    assert tool("qpid-stat", "-m")[1].startswith("Broker Memory Statistics:\n")
    assert tool("qpid-stat", "--acl") == (0, "ACL Policy Module is not installed\n")


# -- qpid-tool


@pytest.fixture
def shell(tool: Tool, monkeypatch: pytest.MonkeyPatch) -> Callable[..., list[str]]:
    """What qpid-tool prints of each of the commands that are typed."""

    def run(*lines: str) -> list[str]:
        monkeypatch.setattr(sys, "stdin", io.StringIO("".join(f"{line}\n" for line in lines)))
        status, out = tool("qpid-tool")
        assert status == 0
        banner, *answers, end = out.split("qpid: ")
        assert (banner, end) == ("Management Tool for QPID\n", "quit\nExiting...\n")
        return answers

    return run


def test_a_session_with_the_shell(shell: Callable[..., list[str]], agent: BrokerAgent) -> None:
    agent.addQueue("q", {"alternate-exchange": "amq.fanout"})
    summary, listed, shown, called, agents, schema = shell(
        "list",
        "list org.apache.qpid.broker:broker",
        "show 101",
        "call 101 echo 7 'two words' more",
        "agents",
        "schema vhost",
    )
    assert re.search(r"^    org\.apache\.qpid\.broker +queue +\d+ +0$", summary, re.MULTILINE)
    assert re.search(
        r"^    101  [0-9:]{8}  -          org\.apache\.qpid\.broker:broker:amqp-broker$", listed, re.MULTILINE
    )
    assert re.search(r"^    systemRef +102$", shown, re.MULTILINE)
    assert re.search(r"^    uptime +\d+s$", shown, re.MULTILINE)
    assert called == "Exception in do_call: Exception('Incorrect number of arguments: expected 2, got 3')\n"
    assert re.search(r"^    1\.0 +BrokerAgent +0 +2$", agents, re.MULTILINE)
    assert re.search(r"^    brokerRef +reference +ReadCreate +index +$", schema, re.MULTILINE)


def test_calls_from_the_shell(shell: Callable[..., list[str]], agent: BrokerAgent) -> None:
    answers = shell(
        "call 101 echo 7 text",
        "call 101 create queue made {'durable': True, 'qpid.max_count': 3} True",
        "call 101 create queue made {} True",
        "list queue active",
        "call 101 nosuch",
        "call 101 echo __import__('os') x",
        "call 9999 echo",
    )
    assert answers[0] == "OK (0) - {'sequence': 7, 'body': 'text'}\n"
    assert answers[1] == "OK (0) - {}\n"
    assert answers[2] == "object already exists: made (7) - {}\n"
    assert answers[3].rstrip().endswith("org.apache.qpid.broker:queue:made")
    assert answers[4] == "Unknown method: broker has no nosuch\n"
    assert "(7)" in answers[5] or "OK" in answers[5]  # text, never something to evaluate
    assert answers[6] == "Unknown ID\n"
    queue = agent.getQueue("made")
    assert queue is not None
    assert queue.durable


def test_the_shell_remembers_what_is_gone(shell: Callable[..., list[str]], agent: BrokerAgent) -> None:
    agent.addQueue("gone")
    _, active, deleted = shell("list queue", "call 101 delete queue gone {}", "list queue")
    assert active == "OK (0) - {}\n"
    assert re.search(r"^    \d+ +[0-9:]{8} +[0-9:]{8} +org\.apache\.qpid\.broker:queue:gone$", deleted, re.MULTILINE)


class _Typist(io.StringIO):
    """Types lines; before some of them something else happens."""

    def __init__(self, *lines: str | Callable[[], object]) -> None:
        super().__init__()
        self._lines = list(lines)

    def readline(self, size: int | None = -1, /) -> str:
        while self._lines:
            line = self._lines.pop(0)
            if isinstance(line, str):
                return f"{line}\n"
            line()
        return ""


def test_the_shell_outlives_a_broker(tool: Tool, monkeypatch: pytest.MonkeyPatch) -> None:
    with contextlib.ExitStack() as stack:
        first = contextlib.ExitStack()
        broker = first.enter_context(qpid_server.running())
        url, port = broker.url, broker.port
        typist = _Typist(
            "list vhost",
            first.close,
            "list vhost",
            "list vhost",
            lambda: stack.enter_context(qpid_server.running(port=port)),
            "list vhost",
        )
        monkeypatch.setattr(sys, "stdin", typist)
        status, out = tool("qpid-tool", url=url)
        _, before, gone, still, after, _ = out.split("qpid: ")
        assert status == 0
        assert gone.startswith("Broker disconnected: ")
        assert still == f"Failed to connect: {url}: Connection refused\n"
        assert after.startswith(f"Broker connected: Broker connected at: {url}\nObject Summary:\n")
        assert len(after.splitlines()) == len(before.splitlines()) + 1


# -- tools that run until they are interrupted


def _until(process: subprocess.Popen[str], pattern: str, do: Callable[[], object] = lambda: None) -> str:
    """Read until the pattern is found, doing something now and then; returns all that was read."""
    assert process.stdout is not None
    text, deadline = "", time.monotonic() + WITHIN
    while not re.search(pattern, text, re.MULTILINE):
        assert time.monotonic() < deadline, text
        if select.select([process.stdout], [], [], 0.2)[0]:
            text += os.read(process.stdout.fileno(), 65536).decode()
        do()
    return text


@pytest.fixture
def start(broker: qpid_server.Running) -> Iterator[Callable[..., subprocess.Popen[str]]]:
    started: list[subprocess.Popen[str]] = []

    def run(name: str, *arguments: str) -> subprocess.Popen[str]:
        command = [sys.executable, "-m", f"qpid_server.tools.{name.replace('-', '_')}", *arguments]
        started.append(subprocess.Popen(command, env=ENVIRONMENT, stdout=subprocess.PIPE, text=True))
        return started[-1]

    yield run
    for process in started:
        process.kill()
        process.communicate()


def test_events(broker: qpid_server.Running, agent: BrokerAgent, start: Callable[..., subprocess.Popen[str]]) -> None:
    process = start("qpid-printevents", broker.url)
    assert re.match(rf".* NOTIC qpid-printevents:brokerConnected broker={broker.url}\n", _until(process, "subscribe"))
    agent.addQueue("q")
    assert re.search(
        r"\d{4} org\.apache\.qpid\.broker:queueDeclare qName=q .*user=anonymous", _until(process, "qName=q.*$")
    )
    process.send_signal(signal.SIGINT)
    assert process.wait(WITHIN) == 0


def test_events_that_cannot_be_had_say_why() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        url = f"127.0.0.1:{taken.getsockname()[1]}"
    command = [sys.executable, "-m", "qpid_server.tools.qpid_printevents", url]
    with subprocess.Popen(command, env=ENVIRONMENT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as tool:
        assert tool.stderr is not None
        assert tool.stderr.readline() == f"qpid-printevents: waiting: {url}: Connection refused\n"
        tool.send_signal(signal.SIGINT)
        assert tool.communicate(timeout=WITHIN) == ("\n", "")


def test_rates(broker: qpid_server.Running, agent: BrokerAgent, start: Callable[..., subprocess.Popen[str]]) -> None:
    sender = agent.session.sender("q; {create: always}")
    process = start("qpid-queue-stats", "-a", broker.url, "-f", "q$")
    out = _until(process, "^q .*\n", lambda: sender.send("text"))
    assert re.search(r"^q {40}[ 0-9]{7}\.[0-9]{2}[ 0-9]{11}[ 0-9]{10}\.[0-9]{2} {9}0\.00$", out, re.MULTILINE)
    process.send_signal(signal.SIGINT)
    assert process.wait(WITHIN) == 0


def test_a_broker_that_comes_and_goes(start: Callable[..., subprocess.Popen[str]]) -> None:
    with qpid_server.running() as broker:
        url, port = broker.url, broker.port
        events, rates = start("qpid-printevents", url), start("qpid-queue-stats", "-a", url)
        _until(events, "subscribe")
        _until(rates, "=\n")
        with qpid_messaging.Connection.establish(url) as connection:
            receiver = EventReceiver(connection, event="subscribe")
            while "agent.ind.data" not in str([b.bindingKey for b in BrokerAgent(connection).getAllBindings()]):
                receiver.fetch(WITHIN)
    _until(events, "brokerDisconnected")
    assert "*** Broker connection lost - " in _until(rates, "retrying")
    with qpid_server.running(port=port):
        _until(events, "brokerConnected")
        assert "*** Broker connected\n" in _until(rates, "connected\n")
