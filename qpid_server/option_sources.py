"""Where options come from: command line before environment (``QPID_*``) before configuration file.

That is the C++ broker's order, and so is what becomes of names that do not exist: on the command line and in the file
they are an error, in the environment they are somebody else's. The default configuration file may be absent, one that
was named may not. An option that may be given several times is taken from the first of the three that gives it at all.
"""

from __future__ import annotations

import argparse
import os
import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any, NoReturn

from .option_table import ALIASES, REFUSED, UNNEEDED
from .option_values import OptionError, yes_no
from .options import Options

__all__ = ["parse_options"]

_FIELDS = {entry.name.replace("_", "-"): entry for entry in fields(Options)}
_PREFIX = "QPID_"


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        raise OptionError(message)


class _Version(argparse.Action):
    def __call__(self, parser: argparse.ArgumentParser, *_: Any) -> NoReturn:
        from importlib import metadata  # noqa: PLC0415 - slow to import, and seldom wanted

        try:
            version = metadata.version("qpid-messaging")
        except metadata.PackageNotFoundError:
            version = "unidentified"
        print(f"qpidd (qpid-messaging) version {version}")
        parser.exit()


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(
        prog="qpidd",
        usage="qpidd [OPTIONS]",
        description="An AMQP 0-10 message broker. Each option can also stand in the configuration file, as NAME=VALUE, "
        "or in the environment, as QPID_NAME with underscores for hyphens. The command line goes first, then the "
        "environment, then the file.",
        epilog=_epilog(),
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
        add_help=False,
    )
    parser.description = textwrap.fill(parser.description or "", 100)
    general = parser.add_argument_group("General")
    general.add_argument("-h", "--help", action="help", help="show what options there are, and end")
    general.add_argument("-v", "--version", action=_Version, nargs=0, help="show the version, and end")
    groups: dict[str, Any] = {"General": general}
    for name, entry in _FIELDS.items():
        meta = entry.metadata
        if meta["group"] not in groups:
            groups[meta["group"]] = parser.add_argument_group(meta["group"])
        flags = [f"-{meta['short']}"] if meta["short"] else []
        settings: dict[str, Any] = {"dest": name, "default": None, "metavar": meta["value"]}
        if meta["convert"] is yes_no:
            settings.update(nargs="?", const="yes")
        settings["help"] = (meta["help"] + _shown_default(entry.default)).replace("%", "%%")
        groups[meta["group"]].add_argument(*flags, f"--{name}", action="append", **settings)
    for name in (*ALIASES, *UNNEEDED, *REFUSED):
        parser.add_argument(
            f"--{name}", dest=name, action="append", nargs="?", const="yes", help=argparse.SUPPRESS, default=None
        )
    return parser


def _shown_default(default: Any) -> str:
    if isinstance(default, bool):
        default = "yes" if default else "no"
    elif isinstance(default, tuple):
        default = " ".join(map(str, default))
    return "" if default in ("", None) else f" [{default}]"


def _epilog() -> str:
    parts = [
        ("Accepted for the sake of old configuration files, without effect:", sorted(UNNEEDED)),
        ("Options of the C++ broker that are refused:", sorted(REFUSED)),
        ("Other spellings:", [f"{name} ({ALIASES[name]})" for name in sorted(ALIASES)]),
    ]
    lists = [(title, textwrap.fill(", ".join(words), 98, break_on_hyphens=False)) for title, words in parts]
    return "\n".join(f"{title}\n{textwrap.indent(text, '  ')}\n" for title, text in lists)


class _Given:
    """What one source gives.

    Attributes:
        values: by field of `Options`.
        unneeded: names of what is accepted and means nothing here.
    """

    def __init__(self) -> None:
        self.values: dict[str, Any] = {}
        self.unneeded: list[str] = []

    def take(self, name: str, text: str, origin: str) -> None:
        """Take what a source says of an option.

        Raises:
            OptionError: the option or its value is impossible; the text begins with `origin`.
            KeyError: there is no such option.
        """
        name = ALIASES.get(name, name)
        if name in UNNEEDED:
            self.unneeded.append(name)
            return
        if name in REFUSED:
            if text.strip().lower() not in REFUSED[name].harmless:
                raise OptionError(f"{origin}: {name} is not supported: {REFUSED[name].reason}")
            return
        entry = _FIELDS[name]
        try:
            value = entry.metadata["convert"](text)
        except ValueError as error:
            raise OptionError(f"{origin}: {name}: {error}") from None
        if entry.metadata["many"]:
            value = (*self.values.get(entry.name, ()), value)
        self.values[entry.name] = value


def _from_command_line(arguments: Sequence[str]) -> _Given:
    given = _Given()
    for name, texts in vars(_parser().parse_args(arguments)).items():
        for text in texts or ():
            given.take(name, text, "command line")
    return given


def _from_environment(environment: Mapping[str, str]) -> _Given:
    given = _Given()
    for variable, text in environment.items():
        name = variable[len(_PREFIX) :].lower().replace("_", "-")
        known = name in _FIELDS or name in ALIASES or name in UNNEEDED or name in REFUSED
        if known and variable.startswith(_PREFIX) and variable.isupper():
            given.take(name, text, variable)
    return given


def _from_file(path: Path, *, required: bool) -> _Given:
    given = _Given()
    try:
        text = path.read_text("utf-8")
    except FileNotFoundError:
        if required:
            raise OptionError(f"configuration file {path} does not exist") from None
        return given
    except (OSError, UnicodeDecodeError) as error:
        raise OptionError(f"configuration file {path}: {error}") from None
    for number, line in enumerate(text.splitlines(), 1):
        line = line.split("#", 1)[0].strip()
        if not line:
            continue
        name, separator, value = line.partition("=")
        name, origin = name.strip(), f"{path}:{number}"
        if not separator:
            raise OptionError(f"{origin}: {line!r} is not NAME=VALUE")
        try:
            if name == "config":
                raise KeyError(name)
            given.take(name, value.strip(), origin)
        except KeyError:
            raise OptionError(f"{origin}: unknown option {name!r}") from None
    return given


def parse_options(
    arguments: Sequence[str], environment: Mapping[str, str] | None = None
) -> tuple[Options, dict[str, str]]:
    """The options that hold for a command line, an environment and the configuration file that they name.

    Args:
        arguments: the command line without the program's name.
        environment: variables; the process's own where not given.

    Returns:
        The options; and those that were given and mean nothing here, each with the reason why nothing is missing.

    Raises:
        OptionError: the text says which option is wrong, and where it stands.
        SystemExit: ``--help`` or ``--version`` was given and has been answered.
    """
    first = _from_command_line(arguments)
    second = _from_environment(os.environ if environment is None else environment)
    path = first.values.get("config", second.values.get("config"))
    third = _from_file(Path(path or Options.config).expanduser(), required=path is not None)
    sources = (third, second, first)
    options = Options(**{name: value for source in sources for name, value in source.values.items()})
    return options, {name: UNNEEDED[name] for source in sources for name in source.unneeded}
