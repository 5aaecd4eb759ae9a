"""qpid-stat: shows a broker's figures.

Options, output and exit status are those of the tool of that name for the C++ broker: 0 for done, 1 for an error, 2 for
options that do not exist or fit.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any, NoReturn

from qpid_messaging import Connection
from qpid_messaging.exceptions import MessagingError, Timeout
from qpid_messaging.management import BrokerAgent, BrokerObject
from qpid_messaging.management.display import YN, Commas, Display, Header, Sorter, TimeLong

from .broker_options import add_ha_admin_option, add_security_options, security_settings
from .running import ToolError, error_name, error_text, run_tool

__all__ = ["main"]

USAGE = """qpid-stat -g [options]
       qpid-stat -c [options]
       qpid-stat -e [options]
       qpid-stat -q [options] [queue-name]
       qpid-stat -u [options]
       qpid-stat -m [options]
       qpid-stat --acl [options]"""

#: Statistics of messages and bytes that brokers and queues have: what they are called, and the end of their names.
_AMOUNTS = {
    "total-enqueues": "TotalEnqueues",
    "total-dequeues": "TotalDequeues",
    "persistent-enqueues": "PersistEnqueues",
    "persistent-dequeues": "PersistDequeues",
    "transactional-enqueues": "TxnEnqueues",
    "transactional-dequeues": "TxnDequeues",
    "flow-to-disk-depth": "FtdDepth",
    "flow-to-disk-enqueues": "FtdEnqueues",
    "flow-to-disk-dequeues": "FtdDequeues",
}
#: Those of messages alone.
_TAKEN = {"acquires": "acquires", "releases": "releases"}
_DISCARDED = {
    "discards-ttl-expired": "discardsTtl",
    "discards-limit-overflow": "discardsOverflow",
    "discards-ring-overflow": "discardsRing",
    "discards-lvq-replace": "discardsLvq",
    "discards-subscriber-reject": "discardsSubscriber",
    "discards-purged": "discardsPurge",
    "reroutes": "reroutes",
}
_OF_QUEUE = {**_TAKEN, **_DISCARDED}
_OF_BROKER = {
    **_TAKEN,
    "discards-no-route": "discardsNoRoute",
    **_DISCARDED,
    "abandoned": "abandoned",
    "abandoned-via-alt": "abandonedViaAlt",
}


class Statistics:
    """Prints what a broker's agent tells.

    Args:
        agent: the agent.
        options: the command line: how rows are sorted and how many of the sorted ones are shown.
    """

    def __init__(self, agent: BrokerAgent, options: argparse.Namespace) -> None:
        self._agent = agent
        self._options = options
        self._display = Display(prefix="  ")

    def show(self) -> None:
        """Print what the command line asks for."""
        shows: dict[str, Callable[[], None]] = {
            "g": self._broker,
            "c": self._connections,
            "e": self._exchanges,
            "q": self._queues,
            "u": self._subscriptions,
            "m": self._memory,
            "acl": self._acl,
        }
        if self._options.show == "q" and self._options.words:
            self._queue(self._options.words[0])
        else:
            shows[self._options.show]()

    def _table(self, title: str, heads: Sequence[Header], rows: Sequence[Sequence[Any]]) -> None:
        """Print a table that can be sorted; only a sorted one has a limit, as ever."""
        options = self._options
        if options.sort_by:
            rows = Sorter(heads, rows, options.sort_by, options.limit, options.increasing).getSorted()
        self._display.formattedTable(title, heads, rows)

    def _columns(self, title: str, objects: Sequence[BrokerObject], columns: Sequence[tuple[str, int, str]]) -> None:
        """Print a table with a row for each object: heads, formats and the names of properties."""
        heads = [Header(text, form) for text, form, _ in columns]
        self._table(title, heads, [[getattr(item, name) for _, _, name in columns] for item in objects])

    # -- the broker

    def _broker(self) -> None:
        agent = self._agent
        broker = agent.getBroker()
        if broker is None:
            raise ToolError("the agent tells of no broker")
        cluster = agent.getCluster()
        heads = [Header("uptime", Header.DURATION), Header("cluster")]
        heads += [Header(name, Header.COMMAS) for name in ("connections", "sessions", "exchanges", "queues")]
        row = [
            broker.getUpdateTime() - broker.getCreateTime(),
            "<standalone>" if cluster is None else f"{cluster.clusterName}<{cluster.status}>",
            len(agent.getAllConnections()),
            len(agent.getAllSessions()),
            len(agent.getAllExchanges()),
            len(agent.getAllQueues()),
        ]
        self._display.formattedTable("Broker Summary:", heads, [row])
        if "queueCount" in broker.values:
            print()
            self._amounts("Aggregate Broker Statistics:", broker, _OF_BROKER)

    def _amounts(self, title: str, item: BrokerObject, counts: dict[str, str]) -> None:
        heads = [Header("Statistic"), Header("Messages", Header.COMMAS), Header("Bytes", Header.COMMAS)]
        rows = [["queue-depth", item.msgDepth, item.byteDepth]]
        rows += [[text, getattr(item, f"msg{name}"), getattr(item, f"byte{name}")] for text, name in _AMOUNTS.items()]
        rows += [[text, getattr(item, name), None] for text, name in counts.items()]
        self._display.formattedTable(title, heads, rows)

    def _memory(self) -> None:
        memory = self._agent.getMemory()
        if memory is None:
            raise ToolError("the agent tells of no memory")
        rows = [[name, value] for name, value in memory.values.items() if name != "name"]
        heads = [Header("Statistic"), Header("Value", Header.COMMAS)]
        self._display.formattedTable("Broker Memory Statistics:", heads, rows)

    def _acl(self) -> None:
        acl = self._agent.getAcl()
        if acl is None:
            print("ACL Policy Module is not installed")
            return
        rows = [
            ["policy-file", acl.policyFile],
            ["enforcing", YN(acl.enforcingAcl)],
            ["has-transfer-acls", YN(acl.transferAcl)],
            ["last-acl-load", TimeLong(acl.lastAclLoad)],
            ["acl-denials", Commas(acl.aclDenyCount)],
        ]
        self._display.formattedTable("ACL Policy Statistics:", [Header("Statistic"), Header("Value")], rows)

    # -- exchanges and queues

    def _exchanges(self) -> None:
        columns = [
            ("exchange", Header.NONE, "name"),
            ("type", Header.NONE, "type"),
            ("dur", Header.Y, "durable"),
            ("bind", Header.KMG, "bindingCount"),
            ("msgIn", Header.KMG, "msgReceives"),
            ("msgOut", Header.KMG, "msgRoutes"),
            ("msgDrop", Header.KMG, "msgDrops"),
            ("byteIn", Header.KMG, "byteReceives"),
            ("byteOut", Header.KMG, "byteRoutes"),
            ("byteDrop", Header.KMG, "byteDrops"),
        ]
        self._columns("Exchanges", self._agent.getAllExchanges(), columns)

    def _queues(self) -> None:
        columns = [
            ("queue", Header.NONE, "name"),
            ("dur", Header.Y, "durable"),
            ("autoDel", Header.Y, "autoDelete"),
            ("excl", Header.Y, "exclusive"),
            ("msg", Header.KMG, "msgDepth"),
            ("msgIn", Header.KMG, "msgTotalEnqueues"),
            ("msgOut", Header.KMG, "msgTotalDequeues"),
            ("bytes", Header.KMG, "byteDepth"),
            ("bytesIn", Header.KMG, "byteTotalEnqueues"),
            ("bytesOut", Header.KMG, "byteTotalDequeues"),
            ("cons", Header.KMG, "consumerCount"),
            ("bind", Header.KMG, "bindingCount"),
        ]
        self._columns("Queues", self._agent.getAllQueues(), columns)

    def _queue(self, name: str) -> None:
        queue = self._agent.getQueue(name)
        if queue is None:
            print(f"Queue '{name}' not found")
            return
        columns = [
            ("Name", Header.NONE, "name"),
            ("Durable", Header.YN, "durable"),
            ("AutoDelete", Header.YN, "autoDelete"),
            ("Exclusive", Header.YN, "exclusive"),
            ("FlowStopped", Header.YN, "flowStopped"),
            ("FlowStoppedCount", Header.COMMAS, "flowStoppedCount"),
            ("Consumers", Header.COMMAS, "consumerCount"),
            ("Bindings", Header.COMMAS, "bindingCount"),
        ]
        heads = [Header(text, form) for text, form, _ in columns]
        row = [getattr(queue, name) for _, _, name in columns]
        self._display.formattedTable("Properties:", heads, [row])
        print()
        rows = [["arguments", queue.arguments], ["alt-exchange", queue.altExchange]]
        self._display.formattedTable("Optional Properties:", [Header("Property"), Header("Value")], rows)
        print()
        self._amounts("Statistics:", queue, _OF_QUEUE)

    # -- clients

    def _connections(self) -> None:
        heads = [Header(text) for text in ("connection", "cproc", "cpid", "mech", "auth")]
        heads += [Header("connected", Header.DURATION), Header("idle", Header.DURATION)]
        heads += [Header("msgIn", Header.KMG), Header("msgOut", Header.KMG)]
        connections = self._agent.getAllConnections()
        broker = self._agent.getBroker()
        now = 0 if broker is None else broker.getUpdateTime()
        rows = [
            [
                connection.address,
                connection.remoteProcessName or "-",
                connection.remotePid,
                connection.saslMechanism or "-",
                connection.authIdentity or "-",
                now - connection.getCreateTime(),
                now - connection.getUpdateTime(),
                connection.msgsFromClient,
                connection.msgsToClient,
            ]
            for connection in connections
        ]
        self._table("Connections", heads, rows)

    def _subscriptions(self) -> None:
        heads = [Header(text) for text in ("subscr", "queue", "conn", "procName", "procId")]
        heads += [Header("browse", Header.Y), Header("acked", Header.Y), Header("excl", Header.Y)]
        heads += [Header("creditMode"), Header("delivered", Header.COMMAS), Header("sessUnacked", Header.COMMAS)]
        subscriptions = self._agent.getAllSubscriptions()
        sessions = {session.name: session for session in self._agent.getAllSessions()}
        connections = {connection.address: connection for connection in self._agent.getAllConnections()}
        rows = []
        for subscription in subscriptions:
            session = sessions.get(subscription.sessionRef)
            connection = None if session is None else connections.get(session.connectionRef)
            if session is None or connection is None:
                continue  # it ended between the queries
            rows.append(
                [
                    subscription.name,
                    subscription.queueRef,
                    connection.address,
                    connection.remoteProcessName or "-",
                    connection.remotePid,
                    subscription.browsing,
                    subscription.acknowledged,
                    subscription.exclusive,
                    subscription.creditMode,
                    subscription.delivered,
                    session.unackedMessages,
                ]
            )
        self._table("Subscriptions", heads, rows)


# -- the command line


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="qpid-stat", usage=USAGE)
    parser.add_argument("words", nargs="*", help=argparse.SUPPRESS)
    add = parser.add_argument_group("General Options").add_argument
    add("-b", "--broker", default="localhost", metavar="<url>", help="URL of the broker to query")
    add(
        "-t",
        "--timeout",
        type=int,
        default=10,
        metavar="<secs>",
        help="Maximum time to wait for broker connection (in seconds)",
    )
    add_security_options(add)
    add_ha_admin_option(add)
    add = parser.add_argument_group("Command Options").add_argument
    for *names, what in (
        ("-g", "--general", "General Broker Stats"),
        ("-c", "--connections", "Connections"),
        ("-e", "--exchanges", "Exchanges"),
        ("-q", "--queues", "Queues"),
        ("-u", "--subscriptions", "Subscriptions"),
        ("-m", "--memory", "Broker Memory Stats"),
        ("--acl", "Access Control List Stats"),
    ):
        add(*names, dest="show", action="store_const", const=names[0].lstrip("-"), help=f"Show {what}")
    add = parser.add_argument_group("Display Options").add_argument
    add("-S", "--sort-by", metavar="<colname>", help="Sort by column name")
    add("-I", "--increasing", action="store_true", help="Sort by increasing value (default = decreasing)")
    add("-L", "--limit", type=int, default=50, metavar="<n>", help="Limit sorted output to n rows")
    return parser


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
    if not options.show:
        parser.error(
            "You must specify one of these options: -g, -c, -e, -q, -m, or -u. For details, try $ qpid-stat --help"
        )
    timeout = options.timeout or None
    settings = security_settings(parser, options)
    connection: Connection = Connection.establish(options.broker, timeout=timeout, **settings)
    try:
        Statistics(BrokerAgent(connection, timeout=timeout), options).show()
    finally:
        with suppress(MessagingError, Timeout):  # a broker that went away has nothing to be told
            connection.close(timeout)
    return 0


def main() -> NoReturn:
    """Entry point of the console script."""
    run_tool(run, lambda error: f"Failed: {error_name(error)} - {error_text(error)}", interrupted=1)


if __name__ == "__main__":
    main()
