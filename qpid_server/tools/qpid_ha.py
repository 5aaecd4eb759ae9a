"""qpid-ha: shows and changes the state of a broker in a highly available cluster.

Options, output and exit status are those of the tool of that name for the C++ broker: 0 for done or yes, 1 for an
error or no, 2 for options that do not exist.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from pathlib import Path
from threading import Thread
from typing import NoReturn

from qpid_messaging import Connection
from qpid_messaging.exceptions import MessagingError, Timeout
from qpid_messaging.management import BrokerAgent, HaBroker

from ..broker_urls import host_port
from ..ha.managers.write_scripts import write_scripts
from .broker_options import DEFAULT_TIMEOUT, add_broker_options, complete_broker_options, connection_settings
from .qpid_ha_manage import HELP, add_manage_options, manage
from .running import ToolError, error_name, error_text, run_tool

__all__ = ["main"]

PRIMARY = ("active", "recovering")


class Broker:
    """An open connection to a broker, and its HA object.

    Args:
        url: the broker.
        options: how to connect.
        with_agent: whether its management is needed.

    Raises:
        MessagingError: there is no connection or no management.
        ToolError: the broker stands alone.
    """

    def __init__(self, url: str, options: argparse.Namespace, *, with_agent: bool = True) -> None:
        self.url = url
        self.connection: Connection = Connection.establish(
            url, client_properties={"qpid.ha-admin": 1}, **connection_settings(options)
        )
        try:
            self.ha = self._ha(options.timeout) if with_agent else None
        except BaseException:
            self.close(options.timeout)
            raise

    def _ha(self, timeout: float | None) -> HaBroker:
        found = BrokerAgent(self.connection, timeout=timeout).getHaBroker()
        if found is None:
            raise ToolError(f"HA module is not loaded on broker at {self.url}")
        return found

    def close(self, timeout: float | None) -> None:
        """Close the connection; a broker that went away meanwhile has nothing to be told."""
        try:
            self.connection.close(timeout)
        except (MessagingError, Timeout):
            return


# -- commands


def _ping(options: argparse.Namespace) -> int:
    broker = Broker(options.broker, options, with_agent=False)
    try:
        broker.connection.session()
    finally:
        broker.close(options.timeout)
    return 0


def _with_ha(options: argparse.Namespace, act: Callable[[HaBroker], int]) -> int:
    broker = Broker(options.broker, options)
    try:
        assert broker.ha is not None
        return act(broker.ha)
    finally:
        broker.close(options.timeout)


def _time_to_change(options: argparse.Namespace) -> float | None:
    """Seconds that a change of roles may take: the broker asks others, however soon it answers itself (`--timeout`)."""
    timeout: float | None = options.timeout
    return None if timeout is None else max(timeout, DEFAULT_TIMEOUT)


def _promote(options: argparse.Namespace) -> int:
    def act(ha: HaBroker) -> int:
        ha.promote(force=options.force, timeout=_time_to_change(options))
        return 0

    return _with_ha(options, act)


def _demote(options: argparse.Namespace) -> int:
    def act(ha: HaBroker) -> int:
        ha.demote(wait=options.wait, timeout=_time_to_change(options))
        return 0

    return _with_ha(options, act)


def _forget(options: argparse.Namespace) -> int:
    def act(ha: HaBroker) -> int:
        ha.forget(options.arguments[0])
        return 0

    return _with_ha(options, act)


def _replicate(options: argparse.Namespace) -> int:
    def act(ha: HaBroker) -> int:
        queue, *broker = options.arguments
        if options.stop:
            ha.stopReplicating(queue)
        else:
            ha.replicate(broker[0], queue)
        return 0

    return _with_ha(options, act)


def _scripts(options: argparse.Namespace) -> int:
    for path, place in write_scripts(Path(options.arguments[0])).items():
        print(f"{path}: {place}")
    return 0


def _set(options: argparse.Namespace) -> int:
    if options.new_brokers_url is None and options.new_public_url is None and options.replicate_rules is None:
        raise ToolError("Nothing to set: give --brokers-url, --public-url or --replicate-rule")

    def act(ha: HaBroker) -> int:
        if options.new_brokers_url is not None:
            ha.setBrokersUrl(options.new_brokers_url)
        if options.new_public_url is not None:
            ha.setPublicUrl(options.new_public_url)
        if options.replicate_rules is not None:
            ha.setReplicateRules([rule for rule in options.replicate_rules if rule])
        return 0

    if not options.all:
        return _with_ha(options, act)
    broker = Broker(options.broker, options)
    try:
        assert broker.ha is not None
        members = _members(broker.ha)
    finally:
        broker.close(options.timeout)
    failed: list[str] = []

    def describe(ha: HaBroker) -> str:
        act(ha)
        return "set"

    def place(at: str, text: str) -> str:
        if text != "set":
            failed.append(at)
        return f"{at} {text}"

    _show_all(members, options, describe, place)
    return 1 if failed else 0


def _status(options: argparse.Namespace) -> int:
    if options.is_primary:
        return _with_ha(options, lambda ha: 0 if ha.status in PRIMARY else 1)
    if options.expect:
        return _with_ha(options, lambda ha: 0 if ha.status == options.expect else 1)
    return _show(options, lambda ha: str(ha.status), lambda at, text: f"{at} {text}")


def _query(options: argparse.Namespace) -> int:
    def describe(ha: HaBroker) -> str:
        lines = [
            ("Status:", ha.status),
            ("Broker ID:", ha.systemId),
            ("Brokers URL:", ha.brokersUrl),
            ("Public URL:", ha.publicUrl),
            ("Replicate: ", ha.replicateDefault),
        ]
        # What brokers of the C++ kind do not have.
        own = [
            ("Epoch:", ha.epoch or None),
            ("Index:", ha.index if ha.epoch else None),
            ("Replicate rules:", " ".join(ha.replicateRules or ()) or None),
        ]
        own += [("Replica:", _replica(replica)) for replica in ha.replicas or ()]
        lines += [(title, value) for title, value in own if value is not None]
        return "\n".join(f"{title:<20} {value}" for title, value in lines)

    def place(at: str, text: str) -> str:
        # A broker that does not answer has one line.
        return f"{'Address:':<20} {at}\n{text}\n" if "\n" in text else f"{at} {text}\n"

    return _show(options, describe, place)


def _replica(replica: dict[str, str]) -> str:
    reason = f" ({replica['reason']})" if replica["reason"] else ""
    return f"{replica['queue']} of {replica['url']}: {replica['status']}{reason}"


def _show(options: argparse.Namespace, describe: Callable[[HaBroker], str], place: Callable[[str, str], str]) -> int:
    """Print what one broker says, or with --all what each member of its cluster says, the dead ones included."""
    own: str | None = None
    failure: Exception | None = None
    try:
        broker = Broker(options.broker, options)
        try:
            assert broker.ha is not None
            members = _members(broker.ha)
            own = describe(broker.ha)
        finally:
            broker.close(options.timeout)
    except (MessagingError, Timeout) as error:
        # The configuration file may name others to ask.
        members, failure = _addresses(options.brokers_url), error
    if options.all and members:
        _show_all(members, options, describe, place)
    elif failure is not None:
        raise failure
    else:
        print(own)
    return 0


def _members(ha: HaBroker) -> list[str]:
    """The brokers of the cluster, each as `host:port`: those in its URL, or where that is one address, which may be a
    virtual one, those that the broker knows."""
    listed = _addresses(ha.brokersUrl)
    known = [
        host_port(_text(member["host-name"]), member["port"]) for member in ha.members or () if member["host-name"]
    ]
    return known if len(listed) == 1 and len(known) > 1 else listed


def _text(value: str | bytes) -> str:
    return value.decode() if isinstance(value, bytes) else value


def _addresses(brokers_url: str | None) -> list[str]:
    """The brokers in a URL, each as `host:port`, or as it is written there."""
    words = (brokers_url or "").removeprefix("amqp:").removeprefix("amqps:").split(",")
    words[0] = words[0].rpartition("@")[2]
    return [word.removeprefix("tcp:") for word in words if word]


def _show_all(
    members: list[str],
    options: argparse.Namespace,
    describe: Callable[[HaBroker], str],
    place: Callable[[str, str], str],
) -> None:
    """Ask all members at the same time, since each of them may be one that does not answer; print in their order."""
    user, at, _ = options.broker.removeprefix("amqp:").rpartition("@")
    answers: dict[str, str] = {}

    def ask(member: str) -> None:
        try:
            broker = Broker(f"{user}{at}{member}", options)
            try:
                assert broker.ha is not None
                answers[member] = describe(broker.ha)
            finally:
                broker.close(options.timeout)
        except Exception as error:  # noqa: BLE001 - whatever it is, it is what there is to say of this broker
            answers[member] = str(error).removeprefix(f"{member}: ")

    threads = [(member, Thread(target=ask, args=(member,), daemon=True)) for member in members]
    for _, thread in threads:
        thread.start()
    for member, thread in threads:
        thread.join()
        print(place(member, answers[member]), flush=True)


# -- the command line


class Command:
    """A command of the tool.

    Args:
        name: the command.
        help: what it does.
        run: does it; returns the exit status.
        arguments: names of its arguments.
        manager: only for cluster managers, which say `--cluster-manager`.
        add_options: adds the options that only this command has.
    """

    def __init__(
        self,
        name: str,
        help: str,
        run: Callable[[argparse.Namespace], int],
        *,
        arguments: Sequence[str] = (),
        manager: bool = False,
        add_options: Callable[[argparse.ArgumentParser], None] | None = None,
    ) -> None:
        self.name = name
        self.help = help
        self.run = run
        self.arguments = arguments
        self.manager = manager
        self.add_options = add_options

    def parser(self) -> argparse.ArgumentParser:
        """The parser of the command's options and arguments."""
        prefix = "[Cluster manager only] " if self.manager else ""
        parser = argparse.ArgumentParser(
            prog="qpid-ha", usage=f"{self.name} [options] {' '.join(self.arguments)}", description=prefix + self.help
        )
        if self.add_options is not None:
            self.add_options(parser)
        add_broker_options(parser)
        parser.add_argument("words", nargs="*", help=argparse.SUPPRESS)
        return parser

    def execute(self, args: list[str]) -> int:
        """Parse the command line, which holds the command's own name somewhere, and do what it says."""
        parser = self.parser()
        options = parser.parse_intermixed_args(args)
        options.words.remove(self.name)
        options.arguments = options.words
        # Where nothing is to be followed any more, nobody is named who is.
        if len(options.arguments) != len(self.arguments) - getattr(options, "stop", False):
            parser.print_help()
            raise ToolError("Wrong number of arguments")
        complete_broker_options(parser, options)
        return self.run(options)


def _all_option(parser: argparse.ArgumentParser, what: str) -> None:
    parser.add_argument("--all", action="store_true", help=f"Print {what} for all brokers in the cluster")


def _status_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--expect", metavar="<status>", help="Don't print status. Return 0 if it matches <status>, 1 otherwise"
    )
    parser.add_argument(
        "--is-primary",
        action="store_true",
        help="Don't print status. Return 0 if the broker is primary, 1 otherwise",
    )
    _all_option(parser, "status")


def _query_options(parser: argparse.ArgumentParser) -> None:
    _all_option(parser, "configuration and status")


def _promote_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--force",
        action="store_true",
        help="Also where messages that clients believe safe may be lost by it; the broker's log says which",
    )


def _demote_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--wait",
        type=float,
        metavar="<seconds>",
        help="How long backups may take to confirm what they were sent; 0 for a broker that was cut off (Default 2.0)",
    )


def _replicate_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--stop",
        action="store_true",
        help="Let the queue follow that of the other broker no more. It keeps what it has; no <remote-broker> is named",
    )


def _set_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--brokers-url", dest="new_brokers_url", metavar="<url>", help="Where the cluster's brokers are"
    )
    parser.add_argument("--public-url", dest="new_public_url", metavar="<url>", help="What clients are told of that")
    parser.add_argument(
        "--replicate-rule",
        dest="replicate_rules",
        action="append",
        metavar="<rule>",
        help="What is replicated of queues and exchanges to come that do not say, [queue:|exchange:]PATTERN=LEVEL. May "
        "be given several times; the rules replace those that there were. An empty one is none",
    )
    parser.add_argument("--all", action="store_true", help="Set it on all brokers in the cluster, as it should be")


COMMANDS = (
    Command("ping", "Check if the broker is alive and responding", _ping),
    Command("status", "Print HA status", _status, add_options=_status_options),
    Command(
        "replicate",
        "Set up replication from <queue> on <remote-broker> to <queue> on the current broker.",
        _replicate,
        arguments=("<queue>", "<remote-broker>"),
        add_options=_replicate_options,
    ),
    Command("query", "Print HA configuration and status", _query, add_options=_query_options),
    Command(
        "forget",
        "Count <member>, an address or system id, among the cluster's members no more: it will not come back. Where "
        "ha-brokers-url is one virtual address, the members that joined are those on which a promotion depends. To be "
        "told to the primary.",
        _forget,
        arguments=("<member>",),
    ),
    Command("set", "Set HA configuration of the broker until it is restarted", _set, add_options=_set_options),
    Command("manage", HELP, manage, add_options=add_manage_options),
    Command(
        "scripts",
        "Write what cluster managers need into <folder>: init scripts, Pacemaker's resource agent, configurations.",
        _scripts,
        arguments=("<folder>",),
    ),
    Command(
        "promote",
        "Promote a backup broker to primary. This command should *only* be used by a cluster manager (such as "
        "rgmanager) that ensures only one broker is primary at a time.",
        _promote,
        manager=True,
        add_options=_promote_options,
    ),
    Command(
        "demote",
        "Demote a primary broker to backup: its clients are turned away once its backups hold all that they sent. No "
        "other broker takes its place until one is promoted.",
        _demote,
        manager=True,
        add_options=_demote_options,
    ),
)

_REFUSAL = """'{0}' should only be called by the cluster manager.
Incorrect use of '{0}' will cause cluster malfunction.
To call from a cluster manager use '{0} --cluster-manager'. """


def _usage(commands: Sequence[Command]) -> str:
    lines = [f"  {command.name:<12} {command.help.split('.')[0]}." for command in commands]
    return "\n".join(
        [
            "usage: qpid-ha <command> [<arguments>]\n\nCommands are:\n",
            *lines,
            "\nFor help with a command type: qpid-ha <command> --help\n",
        ]
    )


def run(args: list[str]) -> int:
    """Do what a command line says.

    Args:
        args: the command line without the program's name.

    Returns:
        The exit status.

    Raises:
        Exception: whatever went wrong; `main` tells the user.
    """
    manager = "--cluster-manager" in args
    args = [arg for arg in args if arg != "--cluster-manager"]
    allowed = [command for command in COMMANDS if manager or not command.manager]
    if args and args[0] in ("help", "--help", "-help", "-h"):
        print(_usage(allowed))
        return 0
    if args and args[0] in ("help-all", "--help-all"):
        for command in allowed:
            command.parser().print_help()
            print()
        return 0
    wanted = {command.name: command for command in COMMANDS}
    found = next((wanted[arg] for arg in args if arg in wanted), None)
    if found is None:
        print(_usage(allowed))
        raise ToolError("No valid command")
    if found not in allowed:
        raise ToolError(_REFUSAL.format(found.name))
    return found.execute(args)


def main() -> NoReturn:
    """Entry point of the console script."""
    run_tool(run, lambda error: f"{error_name(error)}: {error_text(error)}")


if __name__ == "__main__":
    main()
