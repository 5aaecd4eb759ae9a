"""What the value of an option may be, and how one is declared as a field of :class:`~qpid_server.options.Options`."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import field
from typing import Any

__all__ = ["OptionError", "choice", "names", "number", "option", "path", "protocols", "seconds", "yes_no"]


class OptionError(Exception):
    """An option that does not exist, or a value that it cannot have."""


def yes_no(text: str) -> bool:
    """Yes or no, in the ways that the C++ broker takes."""
    lowered = text.strip().lower()
    if lowered in ("yes", "true", "on", "1", ""):
        return True
    if lowered in ("no", "false", "off", "0"):
        return False
    raise ValueError(f"{text!r} is neither yes nor no")


def number(low: int, high: int | None = None) -> Callable[[str], int]:
    """A whole number in a range."""

    def convert(text: str) -> int:
        try:
            value = int(text)
        except ValueError:
            raise ValueError(f"{text!r} is not a whole number") from None
        if value < low or (high is not None and value > high):
            raise ValueError(f"{value} is not {f'from {low} to {high}' if high is not None else f'{low} or more'}")
        return value

    return convert


def seconds(text: str) -> float:
    """A time in seconds, with a fraction where wanted."""
    try:
        value = float(text)
    except ValueError:
        value = 0.0
    if not 0 < value < 1e9:
        raise ValueError(f"{text!r} is not a number of seconds")
    return value


def choice(*allowed: str) -> Callable[[str], str]:
    """One of these words."""

    def convert(text: str) -> str:
        if text not in allowed:
            raise ValueError(f"{text!r} is none of {', '.join(allowed)}")
        return text

    return convert


def names(*allowed: str) -> Callable[[str], str]:
    """Some of these words, with blanks or commas between them."""

    def convert(text: str) -> str:
        chosen = text.replace(",", " ").split()
        for name in chosen:
            if name not in allowed:
                raise ValueError(f"{name!r} is none of {', '.join(allowed)}")
        return " ".join(chosen)

    return convert


def path(text: str) -> str:
    """A file or folder, made absolute: a daemon leaves the folder that it was started in."""
    return os.path.abspath(os.path.expanduser(text)) if text else ""


def protocols(text: str) -> str:
    """Protocols to allow, ``amqp0-10`` among them; a broker that may not speak it has nothing to say."""
    chosen = names("amqp0-10", "amqp1.0")(text)
    if "amqp0-10" not in chosen.split():
        raise ValueError("this broker speaks amqp0-10 only")
    return chosen


def option(
    default: Any,
    help: str,
    convert: Callable[[str], Any] | None = None,
    *,
    value: str = "",
    group: str = "General",
    many: bool = False,
    short: str = "",
) -> Any:
    """A field that is an option of ``qpidd``.

    Args:
        default: its value where nobody gives one.
        help: what it is, for ``--help``.
        convert: makes a value of what was written; raises ValueError where it cannot be one. Where not given, the
            option is yes or no if its default is, and a text otherwise.
        value: stands for the value in ``--help``.
        group: heading in ``--help``.
        many: may be given several times; the field is a tuple.
        short: letter that is short for it on the command line.
    """
    if convert is None:
        convert = yes_no if isinstance(default, bool) else str
    if convert is yes_no:
        value = "yes|no"
    metadata = {"help": help, "convert": convert, "value": value, "group": group, "many": many, "short": short}
    return field(default=default, metadata=metadata)
