"""The original tools and ours, each against a broker of its own, and their output without what must differ."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass

import qpid_messaging
from interop.broker_process import ROOT, BrokerProcess, running_broker
from interop.peers import QpidPython
from interop.running_program import PATIENCE
from qpid_messaging.management import BrokerAgent
from tests.integration.cluster import BrokerProcess as Member

_OURS = """
import sys
from qpid_server.tools.{module} import main
sys.argv[0] = {name!r}
main()
"""


def ours(name: str) -> list[str]:
    """The command line that starts one of our tools, under the name that its console script gives it."""
    return [sys.executable, "-c", _OURS.format(module=name.replace("-", "_"), name=name)]


def our_environment() -> dict[str, str]:
    """The environment in which ours import what they need."""
    return {**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT), str(ROOT / "address")])}


@dataclass(frozen=True)
class Ended:
    """What a tool left behind: exit status and output."""

    status: int
    out: str
    err: str


@dataclass(frozen=True)
class Side:
    """Tools of one kind, and the broker that they are used on."""

    broker: BrokerProcess | Member
    peer: QpidPython | None

    def start(self, command: str, *, at: str = "-b") -> subprocess.Popen[str]:
        """Start a tool.

        Args:
            command: its command line; the option that names the broker is added.
            at: that option; without one the broker is the last argument.
        """
        name, *arguments = shlex.split(command)
        program = ours(name) if self.peer is None else self.peer.tool(name)
        environment = our_environment() if self.peer is None else self.peer.environment
        place = [*([at] if at else []), self.broker.url]
        return subprocess.Popen(
            [*program, *arguments, *place],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env={**environment, "PYTHONIOENCODING": "utf-8", "PYTHONUNBUFFERED": "1", "COLUMNS": "200"},
        )


def end(process: subprocess.Popen[str], text: str | None = None) -> Ended:
    """Wait for a tool's end; `text` is what it reads."""
    try:
        out, err = process.communicate(text, PATIENCE)
    except BaseException:
        process.kill()
        process.communicate()
        raise
    return Ended(process.returncode, out, err)


@dataclass(frozen=True)
class Pair:
    """The original tools and ours."""

    original: Side
    ours: Side

    @property
    def sides(self) -> tuple[Side, Side]:
        return self.original, self.ours

    def run(self, command: str, text: str | None = None, *, at: str = "-b") -> tuple[Ended, Ended]:
        """Run the same command on both sides, at the same time."""
        started = [side.start(command, at=at) for side in self.sides]
        original, our = (end(process, text) for process in started)
        return original, our


def clear(broker: BrokerProcess | Member) -> None:
    """Delete what tests left on a broker."""
    with qpid_messaging.Connection.establish(broker.url) as connection:
        agent = BrokerAgent(connection)
        for queue in agent.getAllQueues():
            if not queue.autoDelete:
                agent.delQueue(queue.name, if_empty=False, if_unused=False)
        for exchange in agent.getAllExchanges():
            if exchange.name and not exchange.name.startswith(("amq.", "qmf.", "qpid.")):
                agent.delExchange(exchange.name)


@contextmanager
def pair_of_brokers(peer: QpidPython, *options: str) -> Iterator[Pair]:
    """Two brokers that were started alike."""
    with ExitStack() as stack:
        first, second = (stack.enter_context(running_broker(*options)) for _ in range(2))
        yield Pair(Side(first, peer), Side(second, None))


_IDENTIFIERS = (
    # What differs from run to run.
    (re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}"), "<uuid>"),
    (re.compile(r"127\.0\.0\.1:[0-9]+"), "<address>"),
    (re.compile(r"\w{3} \w{3} [ 0-9][0-9] [0-9:]{8} [0-9]{4}"), "<time>"),
    (re.compile(r"\b[0-9]{2}:[0-9]{2}:[0-9]{2}\b"), "<time>"),
    # Our client says which broker it is that it does not reach, the original gives the system's number for the reason.
    (re.compile(r"<address>: |\[Errno -?[0-9]+\] "), ""),
    # Python 2 writes what is text, and not bytes, with a letter before it, and exceptions with a comma behind.
    (re.compile(r"\bu(?=['\"])"), ""),
    (re.compile(r"(?<=['\"]),\)"), ")"),
    (re.compile(r"for long\(\)"), "for int()"),
    # Rules are as long as what stands above and below them.
    (re.compile(r"={5,}"), "====="),
)


def _sorted_items(match: re.Match[str]) -> str:
    return "{" + ", ".join(sorted(match[1].split(", "))) + "}"


def plain(text: str) -> str:
    """A tool's output without identifiers and times, and what the two Pythons write differently."""
    for pattern, put in _IDENTIFIERS:
        text = pattern.sub(put, text)
    # Maps have no order in Python 2, nor have arguments that are made of them.
    text = re.sub(r"\{([^{}]*)\}", _sorted_items, text)
    return re.sub(r"--argument .*", lambda match: " --argument".join(sorted(match[0].split(" --argument"))), text)


def single_spaced(text: str) -> str:
    """The same without the widths of columns."""
    return re.sub(r" +", " ", text)


def without(text: str, words: Iterable[str]) -> str:
    """The lines that none of the words stands in."""
    return "".join(line for line in text.splitlines(keepends=True) if not any(word in line for word in words))


def unordered(text: str) -> list[str]:
    """The lines in some order."""
    return sorted(text.splitlines())
