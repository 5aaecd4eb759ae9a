"""qpid-tool, the original and ours, command by command: see `test_tools`."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack

import pytest

import qpid_messaging
from interop.peers import QpidPython
from interop.running_program import PATIENCE
from interop.running_tool import RunningTool
from interop.tools import pair_of_brokers, plain, single_spaced, unordered
from qpid_messaging.management import BrokerAgent
from qpid_server.management import CLASSES
from qpid_server.management.event_classes import EVENTS

PROMPT = "qpid: "


class Shell:
    """A qpid-tool to talk to."""

    def __init__(self, tool: RunningTool) -> None:
        self.tool = tool
        self.banner = tool.until(PROMPT)

    def ask(self, command: str) -> str:
        """What it prints of a command."""
        self.tool.type(command)
        return self.tool.until(PROMPT).removesuffix(PROMPT)

    def call(self, command: str) -> str:
        """What it prints of a method's answer, which the original does when it comes, maybe after the next prompt."""
        self.tool.type(command)
        text = self.tool.until(r"\(\d+\) - .*\n")
        return text.replace(PROMPT, "") if PROMPT in text else text + self.tool.until(PROMPT).removesuffix(PROMPT)

    def number(self, class_name: str, name: str) -> str:
        """The number that it has given to an object."""
        deadline = time.monotonic() + PATIENCE
        while time.monotonic() < deadline:
            listed = self.ask(f"list {class_name}")
            if found := re.search(rf"^ +(\d+) .*[:,]{re.escape(name)}$", listed, re.MULTILINE):
                return found[1]
            time.sleep(0.2)  # the original has it from the broker's next report
        pytest.fail(f"no {class_name} {name} in {listed}")


@pytest.fixture(scope="module")
def shells(qpid_python: QpidPython) -> Iterator[tuple[Shell, Shell]]:
    """The original on one broker and ours on another, with a queue `q` that is bound and has a message each."""
    with ExitStack() as stack:
        pair = stack.enter_context(pair_of_brokers(qpid_python, "--mgmt-pub-interval", "1"))
        for side in pair.sides:
            with qpid_messaging.Connection.establish(side.broker.url) as connection:
                agent = BrokerAgent(connection)
                agent.addQueue("q", {"qpid.max_count": 7, "alternate-exchange": "amq.fanout"})
                agent.bind("amq.match", "q", "k", {"x-match": "all", "a": 1})
                connection.session().sender("q").send("text")
        tools = [stack.enter_context(RunningTool(side, "qpid-tool")) for side in pair.sides]
        original, ours = (Shell(tool) for tool in tools)
        for shell in (original, ours):
            shell.number("binding", "org.apache.qpid.broker:queue:q,k")
        yield original, ours


def same(shells: tuple[Shell, Shell], command: str, view: Callable[[str], object] = plain) -> None:
    original, ours = (shell.ask(command) for shell in shells)
    assert view(ours) == view(original), command


def test_the_beginning(shells: tuple[Shell, Shell]) -> None:
    original, ours = shells
    assert ours.banner == original.banner


@pytest.mark.parametrize(
    "command",
    [
        "help",
        "",
        "agents",
        "nosuch command",
        "list nosuch",
        "list a:b:c",
        "list vhost",
        "list org.apache.qpid.broker:vhost",
        "list exchange",
        "list exchange active",
        "list org.apache.qpid.broker:exchange active",
        "set",
        "set nosuch",
        "show",
        "show 9999",
        "show nosuch",
        "schema nosuch",
        "call",
        "call 9999",
        "call 9999 echo",
        "call x echo",
        "id x",
        "id 9999",
    ],
)
def test_a_command(shells: tuple[Shell, Shell], command: str) -> None:
    same(shells, command, lambda text: without_numbers(plain(text)))


def without_numbers(text: str) -> str:
    """A list without the numbers that stand for objects."""
    return single_spaced(re.sub(r"^    \d+(?=  .*:)", "    <ID>", text, flags=re.MULTILINE))


def test_the_schema(shells: tuple[Shell, Shell]) -> None:
    same(shells, "schema", lambda text: unordered(plain(text)))
    same(shells, "schema org.apache.qpid.ha")


@pytest.mark.parametrize("name", [*(managed.schema.name for managed in CLASSES), *EVENTS])
def test_the_schema_of(shells: tuple[Shell, Shell], name: str) -> None:
    same(shells, f"schema {name}", str)


@pytest.mark.parametrize("form", ["long", "short"])
def test_times(shells: tuple[Shell, Shell], form: str) -> None:
    same(shells, f"set time-format {form}")
    same(shells, "list exchange", lambda text: without_numbers(plain(text)))


def test_the_summary(shells: tuple[Shell, Shell]) -> None:
    def view(text: str) -> list[str]:
        # How many queues, sessions and so on the tool needs itself is its own affair.
        return unordered(re.sub(r"\b(binding|queue|session|subscription) +\d+ +\d+", r"\1", text))

    same(shells, "list", view)


SHOWN = [
    ("queue", "q"),
    ("exchange", "amq.match"),
    ("exchange", "amq.topic"),
    ("binding", "org.apache.qpid.broker:queue:q,k"),
    ("vhost", "org.apache.qpid.broker:broker:amqp-broker,/"),
]


@pytest.mark.parametrize(("class_name", "name"), SHOWN)
def test_an_object(shells: tuple[Shell, Shell], class_name: str, name: str) -> None:
    def view(text: str) -> str:
        # The numbers of objects, and what was only told to be new.
        return re.sub(r"(\w+Ref|Attribute|altExchange|\w+High|\w+Low) +\d+", r"\1 <ID>", single_spaced(plain(text)))

    original, ours = (view(shell.ask(f"show {shell.number(class_name, name)}")) for shell in shells)
    assert ours == original


@pytest.mark.parametrize(("class_name", "name"), [("broker", "amqp-broker"), ("memory", "amqp-broker")])
def test_an_object_that_changes(shells: tuple[Shell, Shell], class_name: str, name: str) -> None:
    def view(text: str) -> str:
        return re.sub(r"(?<= )\d[\dsmh ]*$", "<number>", single_spaced(plain(text)), flags=re.MULTILINE)

    original, ours = (view(shell.ask(f"show {shell.number(class_name, name)}")) for shell in shells)
    # The number that stands for the object, and a folder of each broker's own.
    ours, original = (re.sub(r"(Attribute|dataDir) .*", r"\1 <name>", text) for text in (ours, original))
    assert ours == original


CALLS = [
    ("broker", "amqp-broker", "echo 1 hello"),
    ("broker", "amqp-broker", "echo 1 'quoted'"),
    ("broker", "amqp-broker", "getLogLevel"),
    ("broker", "amqp-broker", "setLogLevel nosuch+"),
    ("broker", "amqp-broker", "queueMoveMessages q nosuch 0 {}"),
    ("broker", "amqp-broker", "create queue made {'durable':True} True"),
    ("broker", "amqp-broker", "delete queue made {}"),
    ("broker", "amqp-broker", "delete queue made {}"),
    ("broker", "amqp-broker", "query queue q"),
    ("queue", "q", "reroute 1 False amq.fanout {}"),
    ("queue", "q", "purge 0 {}"),
]


@pytest.mark.parametrize(("class_name", "name", "call"), CALLS)
def test_a_call(shells: tuple[Shell, Shell], class_name: str, name: str, call: str) -> None:
    original, ours = (plain(shell.call(f"call {shell.number(class_name, name)} {call}")) for shell in shells)
    assert ours == original


@pytest.mark.parametrize("call", ["echo 1", "purge", "echo 1 2 3"])
def test_a_call_with_arguments_that_do_not_fit(shells: tuple[Shell, Shell], call: str) -> None:
    class_name, name = ("queue", "q") if call == "purge" else ("broker", "amqp-broker")
    original, ours = (plain(shell.ask(f"call {shell.number(class_name, name)} {call}")) for shell in shells)
    assert ours == original


def test_what_is_gone_is_remembered(shells: tuple[Shell, Shell]) -> None:
    for shell in shells:
        number = shell.number("broker", "amqp-broker")
        shell.call(f"call {number} create queue gone {{}} True")
        shell.number("queue", "gone")
        shell.call(f"call {number} delete queue gone {{}}")
        deadline = time.monotonic() + PATIENCE
        gone = r"^ +\d+ +[0-9:]+ +[0-9:]+ +org\.apache\.qpid\.broker:queue:gone$"
        while not re.search(gone, shell.ask("list queue"), re.MULTILINE):
            assert time.monotonic() < deadline
            time.sleep(0.2)
        assert "gone" not in shell.ask("list queue active")


@pytest.mark.parametrize("end", ["quit", ""])
def test_the_end(qpid_python: QpidPython, end: str) -> None:
    with pair_of_brokers(qpid_python) as pair:
        original, ours = pair.run("qpid-tool", f"{end}\n" if end else "", at="")
    assert (ours.status, ours.out) == (original.status, original.out)
