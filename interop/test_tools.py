"""The original tools and ours print the same, and change a broker in the same way, command by command.

What is the same is text and exit status; identifiers and times differ. Each case runs the same commands with the
original tools against one broker and with ours against another.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator

import pytest

import qpid_messaging
from interop.peers import QpidPython
from interop.tools import Ended, Pair, clear, pair_of_brokers, plain, single_spaced, unordered, without


@pytest.fixture(scope="module")
def brokers(qpid_python: QpidPython) -> Iterator[Pair]:
    """Two brokers."""
    with pair_of_brokers(qpid_python) as found:
        yield found


@pytest.fixture
def pair(brokers: Pair) -> Iterator[Pair]:
    """The two brokers with nothing on them that they do not have from the start."""
    yield brokers
    for side in brokers.sides:
        clear(side.broker)


def same(pair: Pair, command: str, view: Callable[[str], object] = plain) -> Ended:
    """Run a command on both sides and require the same output and status; returns what ours left."""
    original, our = pair.run(command)
    assert (view(our.out), our.status) == (view(original.out), original.status), command
    # Only of the command line itself is something wrong told there. The original writes of its own end now and then.
    assert bool(our.err) == (our.status == 2), our.err
    return our


# -- qpid-config

QUEUE_OPTIONS = [
    "--durable",
    "--replicate none",
    "--replicate configuration",
    "--replicate all",
    "--max-queue-size 10000",
    "--max-queue-count 10",
    "--max-queue-count 0",
    "--limit-policy none",
    "--limit-policy reject --max-queue-count 3",
    "--limit-policy ring --max-queue-count 3",
    "--limit-policy ring-strict --max-queue-count 3",
    "--lvq-key k",
    "--alternate-exchange amq.fanout",
    "--flow-stop-size 1000",
    "--flow-stop-size 1000 --flow-resume-size 500",
    "--flow-stop-count 100",
    "--flow-stop-count 100 --flow-resume-count 50",
    "--group-header g",
    "--group-header g --shared-groups",
    "--argument qpid.priorities=10",
    "--argument qpid.priorities=10 --argument qpid.fairshare=2",
    "--argument qpid.alert_count=5",
    "--argument qpid.auto_delete_timeout=5 --argument auto-delete=1",
    "--argument qpid.trace.id=text",
    "--argument qpid.browse-only=1",
    "--file-count 8 --file-size 24",
    "--durable --file-count 8 --file-size 24",
    "--durable --efp-partition-num 1 --efp-pool-file-size 2048",
    "--durable --max-queue-count 5 --limit-policy ring --alternate-exchange amq.topic --argument qpid.alert_count=5",
]


@pytest.mark.parametrize("options", QUEUE_OPTIONS)
def test_a_queue_with(pair: Pair, options: str) -> None:
    same(pair, f"qpid-config add queue q {options}")
    same(pair, "qpid-config queues q")
    same(pair, "qpid-stat -q q")
    same(pair, "qpid-config del queue q")


EXCHANGE_OPTIONS = [
    "direct x",
    "topic x --durable",
    "fanout x --replicate configuration",
    "headers x --alternate-exchange amq.direct",
    "direct x --sequence",
    "direct x --ive",
    "direct x --argument qpid.msg_sequence=1",
    "topic x --durable --sequence --ive --alternate-exchange amq.fanout --replicate all",
    "nosuch x",
    "xml x",
]


@pytest.mark.parametrize("options", EXCHANGE_OPTIONS)
def test_an_exchange_with(pair: Pair, options: str) -> None:
    same(pair, f"qpid-config add exchange {options}")
    same(pair, "qpid-config exchanges x")
    same(pair, "qpid-config del exchange x")


BINDINGS = [
    "amq.direct q key",
    "amq.direct q",
    "amq.topic q a.*.#",
    "amq.fanout q",
    "amq.match q all-of all a=1 b=x",
    "amq.match q any-of any a=1",
    "'' q key",
    "nosuch q key",
    "amq.direct nosuch key",
]


@pytest.mark.parametrize("binding", BINDINGS)
def test_a_binding(pair: Pair, binding: str) -> None:
    same(pair, "qpid-config add queue q")
    same(pair, f"qpid-config bind {binding}")
    same(pair, "qpid-config queues q -r")
    same(pair, "qpid-config exchanges -r --ignore-default")
    shown = "--show-property exchangeRef --show-property queueRef --show-property bindingKey --show-property arguments"
    same(pair, f"qpid-config list binding {shown}")
    exchange, queue, *key = binding.split()[:3]
    same(pair, f"qpid-config unbind {exchange} {queue} {' '.join(key)}")
    same(pair, "qpid-config exchanges -r")
    same(pair, "qpid-config del queue q")


PLAIN_COMMANDS = [
    "qpid-config exchanges",
    "qpid-config exchanges --ignore-default",
    "qpid-config exchanges amq.t",
    "qpid-config exchanges nosuch",
    "qpid-config exchanges nosuch -r",
    "qpid-config queues",
    "qpid-config queues nosuch",
    "qpid-config queues nosuch -r",
    "qpid-config list exchange",
    "qpid-config list queue",
    "qpid-config list broker --show-property name --show-property maxConns --show-property nosuch",
    "qpid-config list vhost --show-property name --show-property brokerRef",
    "qpid-config list nosuch",
    "qpid-config list",
    "qpid-config log",
    "qpid-config reload-acl",
    "qpid-config nosuch",
    "qpid-config add",
    "qpid-config add queue",
    "qpid-config add exchange direct",
    "qpid-config add nosuch",
    "qpid-config add nosuch name",
    "qpid-config del",
    "qpid-config del queue",
    "qpid-config del exchange",
    "qpid-config del queue nosuch",
    "qpid-config del exchange nosuch",
    "qpid-config del nosuch name",
    "qpid-config bind amq.direct",
    "qpid-config unbind amq.direct",
    "qpid-config add queue q --argument nosuch=1",
    "qpid-config add queue q --alternate-exchange nosuch",
    "qpid-config add exchange direct amq.mine",
    "qpid-config add exchange direct amq.direct",
    "qpid-config del exchange amq.direct",
    "qpid-config --ha-admin exchanges",
    "qpid-config -t 5 exchanges",
    "qpid-config --no-such-option",
    "qpid-config --limit-policy nosuch add queue q",
    "qpid-config --max-queue-count many add queue q",
    "qpid-config --ssl-key only",
    "qpid-stat -q",
    "qpid-stat -q nosuch",
    "qpid-stat --acl",
    "qpid-stat -q -S nosuch",
    "qpid-stat",
    "qpid-stat --nosuch",
    "qpid-stat --ssl-key only -q",
]


@pytest.mark.parametrize("command", PLAIN_COMMANDS)
def test_a_command(pair: Pair, command: str) -> None:
    same(pair, command)


def test_the_overview(pair: Pair) -> None:
    same(pair, "qpid-config", unordered)


def test_objects_that_are_there_already(pair: Pair) -> None:
    for kind in ("queue q", "exchange topic x"):
        same(pair, f"qpid-config add {kind}")
        assert same(pair, f"qpid-config add {kind}").status == 1
    same(pair, "qpid-config del queue q")
    same(pair, "qpid-config del exchange x")


def test_any_type_by_its_name(pair: Pair) -> None:
    same(pair, "qpid-config add queue q")
    same(pair, "qpid-config add binding amq.topic/q/key.*")
    same(pair, "qpid-config exchanges -r")
    same(pair, "qpid-config del binding amq.topic/q/key.*")
    same(pair, "qpid-config exchanges -r")
    same(pair, "qpid-config del queue q")


def test_log_levels(pair: Pair) -> None:
    same(pair, "qpid-config log info+")
    same(pair, "qpid-config log")
    same(pair, "qpid-config log nosuch+")
    same(pair, "qpid-config log notice+")


def test_shutdown(qpid_python: QpidPython) -> None:
    with pytest.raises(AssertionError, match="the broker died"), pair_of_brokers(qpid_python) as found:
        _shut_down(found)


def _shut_down(pair: Pair) -> None:
    assert same(pair, "qpid-config shutdown").status == 0
    for side in pair.sides:
        assert side.broker.process.wait(20) == 0


@pytest.mark.parametrize("tool", ["qpid-config", "qpid-stat -g"])
def test_no_broker(qpid_python: QpidPython, tool: str) -> None:
    with pair_of_brokers(qpid_python) as pair:
        pass
    assert same(pair, tool).status == 1


@pytest.mark.parametrize("tool", ["qpid-config", "qpid-stat -g"])
def test_a_broker_that_lets_nobody_in(pair: Pair, tool: str) -> None:
    original, our = pair.run(f"{tool} --sasl-mechanism NOSUCH")
    assert our.status == original.status == 1
    # What follows says more in ours.
    assert our.out.split(" ")[:2] == original.out.split(" ")[:2]


# -- queues with something in them


@pytest.fixture
def busy(pair: Pair) -> Iterator[Pair]:
    """A queue `q` with 3 messages of 5 that came, and an empty one, `r`, with a reader that does not acknowledge."""
    connections = [qpid_messaging.Connection.establish(side.broker.url) for side in pair.sides]
    for connection in connections:
        session = connection.session()
        sender = session.sender("q; {create: always}")
        for number in range(5):
            sender.send(qpid_messaging.Message(b"x" * 1000, durable=number % 2 == 0))
        receiver = session.receiver("q")
        for _ in range(2):
            receiver.fetch(10)
        session.acknowledge()
        receiver.close()
        session.sender("r; {create: always, node: {x-declare: {arguments: {'qpid.max_count': 2}}}}").send("text")
        reader = session.receiver("r; {mode: consume}")
        reader.capacity = 1
        reader.fetch(10)
    yield pair
    for connection in connections:
        connection.close()


def test_figures(busy: Pair) -> None:
    same(busy, "qpid-stat -q q")
    same(busy, "qpid-stat -q r")
    for column in ("queue", "bytes", "cons"):
        for options in ("", "-I", "-L 1", "--increasing --limit 2"):
            # How much came to the tool's own queue by now is in its row.
            same(busy, f"qpid-stat -q -S {column} {options}", lambda text: without(plain(text), ["<uuid>"]))


def test_figures_of_exchanges(busy: Pair) -> None:
    def view(text: str) -> str:
        return single_spaced(without(text, ["qmf.default", "qpid.management"]))

    for options in ("", "-S exchange", "-S exchange -I", "-S bind -L 3"):
        same(busy, f"qpid-stat -e {options}", view)


def test_figures_of_the_broker(busy: Pair) -> None:
    def view(text: str) -> str:
        # The tools' own requests are counted, and some are longer than others.
        return single_spaced(without(plain(text), ["total-", "acquires", "<standalone>"]))

    same(busy, "qpid-stat -g", view)


def test_figures_of_memory(pair: Pair) -> None:
    same(pair, "qpid-stat -m", lambda text: [line.split()[0] for line in unordered(text)])


def test_clients(busy: Pair) -> None:
    def view(text: str) -> list[str]:
        # Process ids, and how long ago what was; the order is that of names with identifiers in them.
        return unordered(single_spaced(plain(mask(text))))

    same(busy, "qpid-stat -c", view)
    same(busy, "qpid-stat -u", view)
    same(busy, "qpid-stat -u -S queue -I", view)
    same(busy, "qpid-stat -c -S msgIn", view)


def mask(text: str) -> str:
    """Output without numbers that stand alone, and without durations."""
    return re.sub(r"(?<![^ ])[0-9.]+s?(?![^ \n])", "<number>", text)


def test_what_is_not_empty_or_used_is_deleted_only_by_force(busy: Pair) -> None:
    same(busy, "qpid-config del queue q")
    same(busy, "qpid-config del queue r")
    same(busy, "qpid-config del queue r --force-if-not-empty")
    same(busy, "qpid-config del queue q --force-if-used")
    same(busy, "qpid-config del queue q --force-if-not-empty")
    same(busy, "qpid-config del queue r --force")
    same(busy, "qpid-config queues")
