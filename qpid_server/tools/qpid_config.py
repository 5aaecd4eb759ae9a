"""qpid-config: shows and changes a broker's queues, exchanges and bindings.

Options, output and exit status are those of the tool of that name for the C++ broker: 0 for done, 1 for an error and
where a list is empty, 2 for options that do not exist.
"""

from __future__ import annotations

import argparse
import re
import sys
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, NoReturn

from qpid_messaging import Connection
from qpid_messaging.exceptions import ConnectionError, MessagingError, Timeout
from qpid_messaging.management import AgentError, BrokerAgent
from qpid_messaging.management.qmf import HA_OBJECT

from . import config_lists
from .broker_options import add_ha_admin_option, add_security_options, security_settings
from .running import ToolError, error_name, error_text, run_tool

__all__ = ["main"]

USAGE = """
Usage:  qpid-config [OPTIONS]
        qpid-config [OPTIONS] exchanges [filter-string]
        qpid-config [OPTIONS] queues    [filter-string]
        qpid-config [OPTIONS] add exchange <type> <name> [AddExchangeOptions]
        qpid-config [OPTIONS] del exchange <name>
        qpid-config [OPTIONS] add queue <name> [AddQueueOptions]
        qpid-config [OPTIONS] del queue <name> [DelQueueOptions]
        qpid-config [OPTIONS] bind   <exchange-name> <queue-name> [binding-key]
                  <for type xml>     [-f -|filename]
                  <for type header>  [all|any] k1=v1 [, k2=v2...]
        qpid-config [OPTIONS] unbind <exchange-name> <queue-name> [binding-key]
        qpid-config [OPTIONS] reload-acl
        qpid-config [OPTIONS] add <type> <name> [--argument <property-name>=<property-value>]
        qpid-config [OPTIONS] del <type> <name>
        qpid-config [OPTIONS] list <type> [--show-property <property-name>]
        qpid-config [OPTIONS] log [<logstring>]
        qpid-config [OPTIONS] shutdown"""

EPILOG = """
Examples:

$ qpid-config add queue q
$ qpid-config add exchange direct d -b localhost:5672
$ qpid-config queues -b guest/guest@broker-host:10000

Types of exchanges: direct, fanout, topic, headers.

What happens at a queue's limit (--limit-policy):

    none (default)  what the broker does by default
    reject          the message is refused
    ring            the oldest message makes room for the new one

Levels of replication in a HA cluster (--replicate):

    none            nothing is replicated
    configuration   queues, exchanges and bindings are, messages are not
    all             messages, too

A <logstring> is a list of levels, each for all of the broker or for a part of it: 'info+,debug+:Broker'
"""

REPLICATE_LEVELS = ("none", "configuration", "all")
#: Options of queues that become an argument as they are, by the name that they have on the command line.
QUEUE_ARGUMENTS = {
    "max_queue_size": "qpid.max_size",
    "max_queue_count": "qpid.max_count",
    "lvq_key": "qpid.last_value_queue_key",
    "flow_stop_size": "qpid.flow_stop_size",
    "flow_resume_size": "qpid.flow_resume_size",
    "flow_stop_count": "qpid.flow_stop_count",
    "flow_resume_count": "qpid.flow_resume_count",
    "group_header": "qpid.group_header_key",
}
#: Those that mean something to durable queues only.
JOURNAL_ARGUMENTS = {
    "file_count": "qpid.file_count",
    "file_size": "qpid.file_size",
    "efp_partition_num": "qpid.efp_partition_num",
    "efp_pool_file_size": "qpid.efp_pool_file_size",
}


class UsageError(Exception):
    """The arguments make no command; the user is told what there is."""


# -- the command line


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="qpid-config",
        usage=USAGE.strip().removeprefix("Usage:  ").replace("\n ", "\n"),
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("words", nargs="*", help=argparse.SUPPRESS)
    add = parser.add_argument_group("General Options").add_argument
    add(
        "-t",
        "--timeout",
        type=int,
        default=10,
        metavar="<secs>",
        help="Maximum time to wait for broker connection (in seconds)",
    )
    add("-r", "--recursive", action="store_true", help="Show bindings in queue or exchange list")
    add(
        "-b",
        "--broker",
        metavar="<address>",
        help="Address of qpidd broker with syntax: [username/password@] hostname | ip-address [:<port>]",
    )
    add("-a", "--broker-addr", metavar="<address>", help="The same")
    add_security_options(add)
    add_ha_admin_option(add)

    add = parser.add_argument_group("Options for Listing Exchanges and Queues").add_argument
    add("--ignore-default", action="store_true", help="Ignore the default exchange in exchange or queue list")

    add = parser.add_argument_group("Options for Adding Exchanges and Queues").add_argument
    add(
        "--alternate-exchange",
        metavar="<aexname>",
        help="Where an exchange sends what it cannot route, and a queue what is rejected or left when it is deleted",
    )
    add("--durable", action="store_true", help="The new queue or exchange is durable")
    add("--replicate", metavar="<level>", help="What a HA cluster replicates: none, configuration or all")

    _add_queue_options(parser)

    add = parser.add_argument_group("Options for Adding Exchanges").add_argument
    add("--sequence", action="store_true", help="Number the messages, in their header 'qpid.msg_sequence'")
    add("--ive", action="store_true", help="Keep the last message, and give it to queues that are bound later")

    add = parser.add_argument_group("Options for Deleting Queues").add_argument
    add("--force", action="store_true", help="Force delete of queue even if it's currently used or it's not empty")
    add("--force-if-not-empty", action="store_true", help="Force delete of queue even if it's not empty")
    add("--force-if-used", action="store_true", help="Force delete of queue even if it's currently used")

    add = parser.add_argument_group("Options for Declaring Bindings").add_argument
    add("-f", "--file", metavar="<file.xq>", help="For XML exchanges: the file that holds the XQuery; - reads it")

    add = parser.add_argument_group("Formatting options for 'list' action").add_argument
    add(
        "--show-property",
        dest="list_properties",
        action="append",
        default=[],
        metavar="<property-name>",
        help="Specify a property of an object to be included in output",
    )
    return parser


def _add_queue_options(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument_group("Options for Adding Queues").add_argument
    for option, text in (
        ("--file-count", "[legacystore] Number of files in queue's persistence journal"),
        ("--file-size", "[legacystore] File size in pages (64KiB/page)"),
        ("--efp-partition-num", "[linearstore] EFP partition number"),
        ("--efp-pool-file-size", "[linearstore] EFP file size (KiB)"),
        ("--max-queue-size", "Most bytes in the queue"),
        ("--max-queue-count", "Most messages in the queue"),
    ):
        add(option, type=int, metavar="<n>", help=text)
    add(
        "--limit-policy",
        choices=["none", "reject", "ring", "ring-strict"],
        metavar="<policy>",
        help="Action to take when queue limit is reached",
    )
    add("--lvq-key", metavar="<key>", help="Last Value Queue key")
    for option, text in (
        ("--flow-stop-size", "Hold senders when there are more bytes than that in the queue"),
        ("--flow-resume-size", "Let them go on when there are less"),
        ("--flow-stop-count", "Hold senders when there are more messages than that in the queue"),
        ("--flow-resume-count", "Let them go on when there are less"),
    ):
        add(option, type=int, metavar="<n>", help=text)
    add(
        "--group-header", metavar="<header-name>", help="Enable message groups: the header that names a message's group"
    )
    add("--shared-groups", action="store_true", help="Let different consumers have a group's messages by turns")
    add(
        "--argument",
        dest="extra_arguments",
        action="append",
        default=[],
        metavar="<NAME=VALUE>",
        help="Specify a key-value pair to add to queue arguments",
    )
    add(
        "--start-replica",
        metavar="<broker-url>",
        help="Start replication from the same-named queue at <broker-url>",
    )


def _extra_arguments(options: argparse.Namespace) -> dict[str, Any]:
    """What --argument gave: numbers where they look like one, None where no value is given."""
    found: dict[str, Any] = {}
    for text in options.extra_arguments:
        name, equals, value = text.partition("=")
        found[name] = (int(value) if re.fullmatch(r"\s*[+-]?[0-9]+\s*", value) else value) if equals else None
    return found


# -- commands


def _require(words: Sequence[str], count: int) -> None:
    if len(words) < count:
        raise UsageError


def _add_exchange(agent: BrokerAgent, words: Sequence[str], options: argparse.Namespace) -> None:
    _require(words, 2)
    arguments = _extra_arguments(options)
    if options.sequence:
        arguments[config_lists.SEQUENCE] = 1
    if options.ive:
        arguments[config_lists.INITIAL_VALUE] = 1
    agent.addExchange(words[0], words[1], {**arguments, **_node_arguments(options)})


def _add_queue(agent: BrokerAgent, words: Sequence[str], options: argparse.Namespace) -> None:
    _require(words, 1)
    arguments = _extra_arguments(options)
    given = vars(options)
    if options.durable:
        arguments.update({name: given[option] for option, name in JOURNAL_ARGUMENTS.items() if given[option]})
    if options.limit_policy in ("reject", "ring"):
        arguments["qpid.policy_type"] = options.limit_policy
    for option, name in QUEUE_ARGUMENTS.items():
        if given[option] not in (None, ""):
            arguments[name] = given[option]
    if options.shared_groups:
        arguments[config_lists.SHARED_GROUPS] = 1
    agent.addQueue(words[0], {**arguments, **_node_arguments(options)})
    if options.start_replica:
        agent.call(HA_OBJECT, "replicate", {"broker": options.start_replica, "queue": words[0]})


def _node_arguments(options: argparse.Namespace) -> dict[str, Any]:
    """What queues and exchanges have in common."""
    found: dict[str, Any] = {}
    if options.alternate_exchange:
        found["alternate-exchange"] = options.alternate_exchange
    if options.durable:
        found["durable"] = 1
    if options.replicate:
        found[config_lists.REPLICATE] = options.replicate
    return found


def _add(agent: BrokerAgent, words: Sequence[str], options: argparse.Namespace) -> None:
    _require(words, 1)
    kind, *rest = words
    if kind == "exchange":
        _add_exchange(agent, rest, options)
    elif kind == "queue":
        _add_queue(agent, rest, options)
    else:
        _require(rest, 1)
        agent.create(kind, rest[0], _extra_arguments(options))


def _delete(agent: BrokerAgent, words: Sequence[str], options: argparse.Namespace) -> None:
    _require(words, 2)
    kind, name, *_ = words
    if kind == "exchange":
        agent.delExchange(name)
    elif kind == "queue":
        agent.delQueue(
            name,
            if_empty=not (options.force or options.force_if_not_empty),
            if_unused=not (options.force or options.force_if_used),
        )
    else:
        agent.delete(kind, name, {})


def _bind(agent: BrokerAgent, words: Sequence[str], options: argparse.Namespace) -> None:
    _require(words, 2)
    name, queue, *rest = words
    exchange = agent.getExchange(name)
    arguments: dict[str, Any] = {}
    if exchange is not None and exchange.type == "xml":
        arguments["xquery"] = _xquery(options.file)
    elif exchange is not None and exchange.type == "headers":
        arguments = _conditions(rest[1:])
    agent.bind(name, queue, rest[0] if rest else "", arguments)


def _xquery(file: str | None) -> str:
    if not file:
        raise ToolError("Invalid args to bind xml:  need an input file or stdin")
    return sys.stdin.read() if file == "-" else Path(file).read_text("utf-8")


def _conditions(words: Sequence[str]) -> dict[str, Any]:
    """The arguments of a binding to a headers exchange."""
    if len(words) < 2:
        raise ToolError("Invalid args to bind headers:  need 'any'/'all' plus conditions")
    match, *pairs = words
    if match not in ("all", "any"):
        raise ToolError(f"Invalid condition arg to bind headers, need 'any' or 'all', not '{match}'")
    found: dict[str, Any] = {}
    for pair in pairs:
        name, equals, value = pair.partition("=")
        if not equals:
            raise ToolError(f"Invalid condition arg to bind headers, need name=value, not '{pair}'")
        found[name] = value
    return {**found, "x-match": match}


def _reload_acl(agent: BrokerAgent) -> None:
    try:
        agent.reloadAclFile()
    except AgentError as error:
        if "No object found" not in str(error):
            raise
        print("Failed: ACL Module Not Loaded in Broker")


def _shut_down(agent: BrokerAgent) -> None:
    try:
        agent.shutdown()
    except ConnectionError:
        return  # it is gone, as it was told to


def _execute(agent: BrokerAgent, words: Sequence[str], options: argparse.Namespace) -> int:
    """Do what the words say; returns the exit status."""
    if not words:
        config_lists.show_overview(agent)
        return 0
    command, *rest = words
    named = rest[0] if rest else ""
    ignore = options.ignore_default
    if command == "exchanges" and options.recursive:
        config_lists.show_exchange_bindings(agent, named, ignore_default=ignore)
    elif command == "exchanges":
        return 0 if config_lists.list_exchanges(agent, named, ignore_default=ignore) else 1
    elif command == "queues" and options.recursive:
        config_lists.show_queue_bindings(agent, named, ignore_default=ignore)
    elif command == "queues":
        return 0 if config_lists.list_queues(agent, named) else 1
    elif command == "add":
        _add(agent, rest, options)
    elif command == "del":
        _delete(agent, rest, options)
    elif command == "bind":
        _bind(agent, rest, options)
    elif command == "unbind":
        _require(rest, 2)
        agent.unbind(rest[0], rest[1], rest[2] if rest[2:] else "")
    elif command == "reload-acl":
        _reload_acl(agent)
    elif command == "list" and rest:
        config_lists.list_objects(agent, named, options.list_properties)
    elif command == "log" and not rest:
        print("Log level:", agent.getLogLevel()["level"])
    elif command == "log" and len(rest) == 1:
        agent.setLogLevel(rest[0])
    elif command == "shutdown":
        _shut_down(agent)
    else:
        raise UsageError
    return 0


def run(args: list[str]) -> int:
    """Do what a command line says.

    Args:
        args: the command line without the program's name.

    Returns:
        The exit status.

    Raises:
        Exception: whatever went wrong; `main` tells the user.
    """
    parser = _parser()
    options = parser.parse_intermixed_args(args)
    if options.replicate and options.replicate not in REPLICATE_LEVELS:
        levels = ", ".join(REPLICATE_LEVELS)
        raise ToolError(f"Invalid replication level '{options.replicate}', should be one of: {levels}")
    url = options.broker_addr or options.broker or "localhost"
    timeout = options.timeout or None
    connection: Connection = Connection.establish(url, timeout=timeout, **security_settings(parser, options))
    try:
        return _execute(BrokerAgent(connection, timeout=timeout), options.words, options)
    except UsageError:
        print(USAGE)
        return 1
    finally:
        with suppress(MessagingError, Timeout):  # a broker that went away has nothing to be told
            connection.close(timeout)


def main() -> NoReturn:
    """Entry point of the console script."""
    run_tool(run, lambda error: f"Failed: {error_name(error)}: {error_text(error)}", interrupted=0)


if __name__ == "__main__":
    main()
