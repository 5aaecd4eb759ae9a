"""qpid-tool: a shell that shows a broker's objects, and calls their methods.

Options, commands and output are those of the tool of that name for the C++ broker.
"""

from __future__ import annotations

import argparse
import ast
import cmd
import functools
import re
import shlex
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any, NoReturn

from qpid_messaging.exceptions import ConnectionError, MessagingError, NotFound, Timeout
from qpid_messaging.management import AgentError
from qpid_messaging.management.display import Display, TimeLong, duration
from qpid_messaging.management.qmf import Data
from qpid_messaging.management.schema import TYPE_NAMES, Schema, SchemaElement

from .broker_options import add_security_options, security_settings
from .managed_objects import ManagedObjects
from .running import error_name, error_text, run_tool

__all__ = ["Shell", "main"]

HELP = """Management Tool for QPID

Commands:
    agents                          - Print a list of the known Agents
    list                            - Print summary of existing objects by class
    list <className>                - Print list of objects of the specified class
    list <className> active         - Print list of non-deleted objects of the specified class
    show <ID>                       - Print contents of an object (infer className)
    call <ID> <methodName> [<args>] - Invoke a method on an object
    schema                          - Print summary of object classes seen on the target
    schema <className>              - Print details of an object class
    set time-format short           - Select short timestamp format (default)
    set time-format long            - Select long timestamp format
    quit or ^D                      - Exit the program
"""

_ACCESS = {1: "ReadCreate", 2: "ReadWrite", 3: "ReadOnly"}
#: Arguments of methods that are written as Python writes them; others are text.
_LITERAL = re.compile(r"""[\[{"'].*|True|False|-?[0-9]*\.?[0-9]+|-?[0-9]+\.""", re.DOTALL)
#: Such arguments may have blanks in them.
_WORD = re.compile(r"""\{[^}]*\}|\[[^\]]*\]|"[^"]*"|'[^']*'|\S+""")
#: The broker's own agent, by the name that consoles have had for it from the start.
_BROKER_AGENT = ("1.0", "BrokerAgent")


def _command(do: Callable[[Shell, str], None]) -> Callable[[Shell, str], None]:
    """What goes wrong in a command is told; the shell goes on."""

    @functools.wraps(do)
    def guarded(shell: Shell, line: str) -> None:
        try:
            shell.connect()
            do(shell, line)
        except ConnectionError as error:
            shell.lost(error)
        except Exception as error:  # noqa: BLE001 - the user of the shell is told
            print(f"Exception in {do.__name__}: {error!r}")

    return guarded


class Shell(cmd.Cmd):
    """The shell.

    Args:
        objects: the broker's objects.
    """

    prompt = "qpid: "

    def __init__(self, objects: ManagedObjects) -> None:
        super().__init__()
        self._objects = objects
        self._display = Display()
        self._connected = True

    def connect(self) -> None:
        """Connect again, where the connection was lost."""
        if not self._connected:
            self._objects.connect()
            self._connected = True
            print(f"Broker connected: Broker connected at: {self._objects.url}")

    def lost(self, error: Exception) -> None:
        """Tell that there is no connection; the next command tries again."""
        if self._connected:
            print(f"Broker disconnected: {error}")
        else:
            print(f"Failed to connect: {error}")
        self._connected = False

    # -- what the shell itself does

    def emptyline(self) -> bool:
        """Nothing."""
        return False

    def do_help(self, arg: str) -> None:
        """help."""
        print(HELP)

    def do_set(self, line: str) -> None:
        """set time-format short|long."""
        words = shlex.split(line)
        if words[:1] == ["time-format"] and words[1:]:
            self._display.do_setTimeFormat(words[1])

    def complete_set(self, text: str, line: str, *_: int) -> list[str]:
        """What may follow."""
        words = ("long", "short") if "time-format" in line else ("time-format ",)
        return [word for word in words if word.startswith(text)]

    def do_quit(self, line: str) -> bool:
        """quit."""
        return True

    def do_EOF(self, line: str) -> bool:  # noqa: N802 - the name that cmd.Cmd wants
        """The end of the input."""
        print("quit")
        return True

    def postloop(self) -> None:
        """Say good-bye."""
        print("Exiting...")

    def _complete_class(self, text: str, *_: object) -> list[str]:
        return [found.name for found in self._objects.classes if found.name.startswith(text)]

    complete_list = complete_schema = _complete_class

    # -- agents and numbers

    @_command
    def do_agents(self, line: str) -> None:
        """agents."""
        rows = []
        for agent in self._objects.agent.agents():
            own = (agent.get("_vendor"), agent.get("_product")) == ("apache.org", "qpidd")
            name, label = _BROKER_AGENT if own else (f"1.{agent.get('_name', '')}", agent.get("_product", ""))
            rows.append((name, label, agent.get("_epoch", 0), 2))
        self._display.table("QMF Agents:", ("Agent Name", "Label", "Epoch", "QMF Version"), rows)

    @_command
    def do_id(self, line: str) -> None:
        """id [ID...]."""
        words = line.split()
        for word in words:
            if not word.isdigit():
                print(f"Value {word} is non-numeric")
                return
        rows = [self._translated(int(word)) for word in words] or [
            self._translated(number) for number, _ in self._objects.numbered()
        ]
        heads = ("DisplayID", "Epoch", "Agent", "ObjectName")
        self._display.table("Translation of Display IDs:", heads, rows)

    def _translated(self, number: int) -> Sequence[object]:
        name = self._objects.name_of(number)
        if name is None:
            return number, "?", "unknown", "unknown"
        data = self._objects.known(name)
        return number, (data.epoch if data is not None else 0) or "<durable>", "Broker", name

    # -- objects

    @_command
    def do_list(self, line: str) -> None:
        """list [className [active]]."""
        words = line.split()
        if not words:
            self._summary()
            return
        active = words[1:2] == ["active"]
        rows = [
            (
                number,
                self._display.timestamp(data.created),
                self._display.timestamp(data.deleted) if data.deleted else "-",
                data.name,
            )
            for number, data in self._objects.of_class(words[0])
            if not (active and data.deleted)
        ]
        self._display.table("Object Summary:", ("ID", "Created", "Destroyed", "Index"), rows)

    def _summary(self) -> None:
        active: Counter[tuple[str, str]] = Counter()
        deleted: Counter[tuple[str, str]] = Counter()
        for data in self._objects.everything():
            (deleted if data.deleted else active)[data.package, data.class_name] += 1
        rows = [(*named, active[named], deleted[named]) for named in dict.fromkeys((*active, *deleted))]
        self._display.table("Summary of Objects by Type:", ("Package", "Class", "Active", "Deleted"), rows)

    @_command
    def do_show(self, line: str) -> None:
        """show ID|className."""
        words = line.split()
        if not words:
            print("Missing Class or ID")
        elif words[0].isdigit():
            number = int(words[0])
            data = self._objects.object(number)
            if data is None:
                print(f"No object found with ID {number}")
            else:
                self._show(number, data)
        else:
            for number, data in self._objects.of_class(words[0]):
                self._show(number, data)

    def _show(self, number: int, data: Data) -> None:
        schema = self._objects.schema_of(data)
        rows = [
            (element.name, self._value(element.type, data.values[element.name]))
            for element in (*schema.properties, *schema.statistics)
            if element.name in data.values
        ]
        self._display.table(f"Object of type: {schema.id}", ("Attribute", str(number)), rows)

    def _value(self, type_code: int, value: Any) -> str:
        """A property or statistic of a type as text."""
        kind = TYPE_NAMES.get(type_code)
        if value is None:
            return "absent"
        if kind == "reference" and isinstance(value, dict):
            return str(self._objects.display_id(str(value.get("_object_name", ""))))
        if kind == "abs-time":
            return TimeLong(value)
        if kind == "delta-time":
            return duration(value)
        if kind in ("float", "double"):
            return f"{value:f}"
        if kind == "boolean":
            return str(bool(value))
        return value if isinstance(value, str) else repr(value)

    @_command
    def do_call(self, line: str) -> None:
        """call ID methodName [args]."""
        words = _WORD.findall(line)
        if len(words) < 2:
            print("Not enough arguments supplied")
            return
        data = self._objects.object(int(words[0]))
        if data is None:
            print("Unknown ID")
            return
        name = words[1]
        method = self._objects.schema_of(data).method(name)
        if method is None:
            print(f"Unknown method: {data.class_name} has no {name}")
            return
        given = [ast.literal_eval(word) if _LITERAL.fullmatch(word) else word for word in words[2:]]
        wanted = [argument.name for argument in method.arguments if "I" in argument.direction]
        if len(wanted) != len(given):
            raise Exception(f"Incorrect number of arguments: expected {len(wanted)}, got {len(given)}")
        try:
            results = self._objects.agent.call(data.name, name, dict(zip(wanted, given, strict=True)))
        except AgentError as error:
            print(f"{error.text} ({int(error.status)}) - {{}}")
        else:
            print(f"OK (0) - {results}")

    # -- the schema

    @_command
    def do_schema(self, line: str) -> None:
        """schema [className]."""
        packages = {found.package for found in self._objects.classes}
        if not line or line in packages:
            rows = [(found.package, found.name, "object") for found in self._objects.object_classes(f"{line}:")]
            self._display.table("QMF Classes:", ("Package", "Name", "Kind"), rows)
            return
        for found in self._objects.named(line):
            schema = self._objects.schema(found)
            if found.event:
                arguments = [(a.name, _type(a), a.unit, a.description) for a in schema.arguments]
                heads = ("Element", "Type", "Unit", "Description")
                self._display.table(f"Event Class: Event Class: {found} ", heads, arguments)
            else:
                self._show_schema(schema)

    def _show_schema(self, schema: Schema) -> None:
        rows = [
            (
                element.name,
                _type(element),
                _ACCESS.get(element.access, ""),
                element.unit,
                "index " * element.index + "optional " * element.optional,
                element.description,
            )
            for element in schema.properties
        ]
        rows += [(e.name, _type(e), "", e.unit, "", e.description) for e in schema.statistics]
        heads: Sequence[str] = ("Element", "Type", "Access", "Unit", "Notes", "Description")
        self._display.table(f"Object Class: Table Class: {schema.id} ", heads, rows)
        for method in schema.methods:
            arguments = [(a.name, _type(a), a.direction, a.unit, a.description) for a in method.arguments]
            print()
            heads = ("Argument", "Type", "Direction", "Unit", "Description")
            self._display.table(f"  Method: {method.name}", heads, arguments)


def _type(element: SchemaElement) -> str:
    return TYPE_NAMES.get(element.type, str(element.type))


# -- the command line


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="qpid-tool", usage="%(prog)s [OPTIONS] [[<username>/<password>@]<target-host>[:<tcp-port>]]"
    )
    # A second word is the certificate, as it was before there were options.
    parser.add_argument("words", nargs="*", help=argparse.SUPPRESS)
    parser.add_argument(
        "-b",
        "--broker",
        metavar="<address>",
        help="Address of qpidd broker with syntax: [username/password@] hostname | ip-address [:<port>]",
    )
    add_security_options(parser.add_argument)
    return parser


def run(args: list[str]) -> int:
    """Do what a command line says, and then what is typed, until that ends.

    Args:
        args: the command line without the program's name.

    Returns:
        The exit status.

    Raises:
        Exception: whatever went wrong; `main` tells the user.
    """
    parser = _parser()
    options = parser.parse_intermixed_args(args)
    host, certificate = (*options.words, "", "")[:2]
    options.ssl_certificate = options.ssl_certificate or certificate
    try:
        objects = ManagedObjects(options.broker or host or "localhost", security_settings(parser, options))
    except NotFound:
        print("Management not enabled on broker:  Use '-m yes' option on broker startup.")
        return 1
    shell = Shell(objects)
    print("Management Tool for QPID", flush=True)
    try:
        shell.cmdloop()
    except KeyboardInterrupt:
        print("\nExiting...")
    finally:
        with suppress(MessagingError, Timeout):
            objects.close()
    return 0


def main() -> NoReturn:
    """Entry point of the console script."""
    run_tool(run, lambda error: f"Failed: {error_name(error)} - {error_text(error)}", interrupted=1)


if __name__ == "__main__":
    main()
