"""qpid-ha: shows and changes the state of a broker in a highly available cluster.

Options, output and exit status are those of the tool of that name for the C++ broker: 0 for done or yes, 1 for an
error or no, 2 for options that do not exist.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable, Sequence
from threading import Thread
from typing import NoReturn

from qpid_messaging import Connection
from qpid_messaging.exceptions import MessagingError, Timeout
from qpid_messaging.management import AgentError, BrokerAgent, HaBroker

from .broker_options import add_broker_options, complete_broker_options, connection_settings

__all__ = ["main"]

PRIMARY = ("active", "recovering")


class ToolError(Exception):
    """The user is told what is wrong; the exit status is 1. Shown as `Exception`, as the original's are."""


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


def _promote(options: argparse.Namespace) -> int:
    def act(ha: HaBroker) -> int:
        ha.promote(force=options.force, timeout=options.timeout)
        return 0

    return _with_ha(options, act)


def _replicate(options: argparse.Namespace) -> int:
    def act(ha: HaBroker) -> int:
        queue, broker = options.arguments
        ha.replicate(broker, queue)
        return 0

    return _with_ha(options, act)


def _set(options: argparse.Namespace) -> int:
    if options.new_brokers_url is None and options.new_public_url is None:
        raise ToolError("Nothing to set: give --brokers-url or --public-url")

    def act(ha: HaBroker) -> int:
        if options.new_brokers_url is not None:
            ha.setBrokersUrl(options.new_brokers_url)
        if options.new_public_url is not None:
            ha.setPublicUrl(options.new_public_url)
        return 0

    return _with_ha(options, act)


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
        lines += [(title, value) for title, value in (("Epoch:", ha.epoch), ("Index:", ha.index)) if value is not None]
        return "\n".join(f"{title:<20} {value}" for title, value in lines)

    def place(at: str, text: str) -> str:
        # A broker that does not answer has one line.
        return f"{'Address:':<20} {at}\n{text}\n" if "\n" in text else f"{at} {text}\n"

    return _show(options, describe, place)


def _show(options: argparse.Namespace, describe: Callable[[HaBroker], str], place: Callable[[str, str], str]) -> int:
    """Print what one broker says, or with --all what each member of its cluster says, the dead ones included."""
    own: str | None = None
    failure: Exception | None = None
    try:
        broker = Broker(options.broker, options)
        try:
            assert broker.ha is not None
            members = _addresses(broker.ha.brokersUrl)
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
        if len(options.arguments) != len(self.arguments):
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


def _set_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--brokers-url", dest="new_brokers_url", metavar="<url>", help="Where the cluster's brokers are"
    )
    parser.add_argument("--public-url", dest="new_public_url", metavar="<url>", help="What clients are told of that")


COMMANDS = (
    Command("ping", "Check if the broker is alive and responding", _ping),
    Command("status", "Print HA status", _status, add_options=_status_options),
    Command(
        "replicate",
        "Set up replication from <queue> on <remote-broker> to <queue> on the current broker.",
        _replicate,
        arguments=("<queue>", "<remote-broker>"),
    ),
    Command("query", "Print HA configuration and status", _query, add_options=_query_options),
    Command("set", "Set HA configuration of the broker until it is restarted", _set, add_options=_set_options),
    Command(
        "promote",
        "Promote a backup broker to primary. This command should *only* be used by a cluster manager (such as "
        "rgmanager) that ensures only one broker is primary at a time.",
        _promote,
        manager=True,
        add_options=_promote_options,
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


def _explain(error: Exception) -> str:
    """What the user reads of an exception."""
    if isinstance(error, AgentError):
        values = {"error_code": int(error.status), "error_text": error.text}
        return f"Exception: Exception from Agent: {values!r}"
    return f"{'Exception' if isinstance(error, ToolError) else type(error).__name__}: {error}"


def main() -> NoReturn:
    """Entry point of the console script."""
    try:
        status = run(sys.argv[1:])
        sys.stdout.flush()
    except BrokenPipeError:
        # Whoever read the output has enough; the interpreter must not complain of it when it ends.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        status = 1
    except KeyboardInterrupt:
        status = 130
    except Exception as error:  # noqa: BLE001 - the one place where a user is told
        print(_explain(error))
        status = 1
    sys.exit(status)


if __name__ == "__main__":
    main()
