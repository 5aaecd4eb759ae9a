"""Tables and figures as Qpid's tools print them.

The names are those of `qpidtoollibs`, so that scripts written for it go on working.
"""

# ruff: noqa: N802, N803

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from typing import Any

__all__ = ["YN", "Commas", "Display", "Header", "Sorter", "TimeLong", "TimeShort", "duration"]

_NANOSECONDS = 1_000_000_000
#: No line of a table's rule is longer.
_RULE_LIMIT = 255


def YN(value: object) -> str:
    """`Y` or `N`."""
    return "Y" if value else "N"


def Commas(value: object) -> str:
    """A number with a comma before every third digit from the right."""
    text = str(value)
    first = len(text) % 3
    groups = ([text[:first]] if first else []) + [text[at : at + 3] for at in range(first, len(text), 3)]
    return ",".join(groups)


def _time(form: str, nanoseconds: int) -> str:
    return time.strftime(form, time.gmtime(nanoseconds // _NANOSECONDS))


def TimeLong(value: int) -> str:
    """Date and time (UTC) of a time in nanoseconds since 1970."""
    return _time("%c", value)


def TimeShort(value: int) -> str:
    """Time of the day (UTC) of a time in nanoseconds since 1970."""
    return _time("%X", value)


def duration(nanoseconds: int) -> str:
    """Days, hours, minutes and seconds, the leading ones left out that are none; what is negative counts as none."""
    seconds = max(0, nanoseconds) // _NANOSECONDS
    minutes, hours, days = seconds // 60, seconds // 3600, seconds // 86400
    found = ""
    if days:
        found = f"{days}d "
    if hours or found:
        found += f"{hours % 24}h "
    if minutes or found:
        found += f"{minutes % 60}m "
    return f"{found}{seconds % 60}s"


def _magnitude(value: int) -> str:
    """A number in four places or so: from a thousand on with k, m or g."""
    if value < 1000:
        return f"{value:4d}"
    for unit in "km":
        if value < 1_000_000:
            return _with_unit(value, unit)
        value //= 1000
    return _with_unit(value, "g")


def _with_unit(value: int, unit: str) -> str:
    scaled = value / 1000
    if scaled < 10:
        return f"{scaled:1.2f}{unit}"
    if scaled < 100:
        return f"{scaled:2.1f}{unit}"
    return f"{math.trunc(scaled):4d}{unit}"


class Header:
    """A column's head, and how its cells are written.

    Args:
        text: the head.
        format: one of the class's constants.
    """

    NONE = 1
    KMG = 2
    YN = 3
    Y = 4
    TIME_LONG = 5
    TIME_SHORT = 6
    DURATION = 7
    COMMAS = 8

    def __init__(self, text: str, format: int = NONE) -> None:
        self.text = text
        self.format = format

    def __repr__(self) -> str:
        return self.text

    def formatted(self, value: Any) -> Any:
        """A cell; empty where the value is None, `?` where it makes no sense in this column."""
        if value is None:
            return ""
        try:
            return _WRITERS[self.format](value)
        except (ArithmeticError, KeyError, OSError, TypeError, ValueError):
            return "?"


_WRITERS: dict[int, Callable[[Any], Any]] = {
    Header.NONE: lambda value: value,
    Header.KMG: _magnitude,
    Header.YN: YN,
    Header.Y: lambda value: "Y" if value else "",
    Header.TIME_LONG: TimeLong,
    Header.TIME_SHORT: TimeShort,
    Header.DURATION: duration,
    Header.COMMAS: Commas,
}


class Display:
    """Prints tables.

    Args:
        spacing: blanks between columns.
        prefix: stands before each line but the title.
    """

    def __init__(self, spacing: int = 2, prefix: str = "    ") -> None:
        self.tableSpacing = spacing
        self.tablePrefix = prefix
        self.timestampFormat = "%X"

    def formattedTable(self, title: str, heads: Sequence[Header], rows: Sequence[Sequence[Any]]) -> None:
        """Print a table whose cells are written as their columns' heads say."""
        formatted = [[heads[column].formatted(cell) for column, cell in enumerate(row)] for row in rows]
        self.table(title, [head.text for head in heads], formatted)

    def table(self, title: str, heads: Sequence[str], rows: Sequence[Sequence[Any]]) -> None:
        """Print a table; without rows only its title. Rows that are too short are filled up."""
        print(title)
        if not rows:
            return
        table = [list(heads), *([str(cell) for cell in row] + [""] * (len(heads) - len(row)) for row in rows)]
        widths = [max(map(len, column)) + self.tableSpacing for column in zip(*table, strict=True)]
        rule = "=" * sum(widths)
        widths[-1] = 0  # nothing stands behind the last column
        lines = ["".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) for row in table]
        lines.insert(1, rule[: _RULE_LIMIT - len(self.tablePrefix)])
        for line in lines:
            print(self.tablePrefix + line)

    def do_setTimeFormat(self, fmt: str) -> None:
        """Write times `long` or `short` from now on."""
        self.timestampFormat = {"long": "%c", "short": "%X"}.get(fmt, self.timestampFormat)

    def timestamp(self, nsec: int) -> str:
        """A time in nanoseconds since 1970 as text, in UTC."""
        return _time(self.timestampFormat, nsec)

    def duration(self, nsec: int) -> str:
        """A time span in nanoseconds as text."""
        return duration(nsec)


class Sorter:
    """Sorts a table's rows by one column.

    Args:
        heads: the columns.
        rows: the rows.
        sortCol: the text of the column's head.
        limit: how many rows to keep; 0 keeps all.
        inc: the smallest first.

    Raises:
        Exception: there is no such column.
    """

    def __init__(
        self, heads: Sequence[Header], rows: Sequence[Sequence[Any]], sortCol: str, limit: int = 0, inc: bool = True
    ) -> None:
        texts = [head.text for head in heads]
        if sortCol not in texts:
            raise Exception(f"sortCol '{sortCol}', not found in headers")
        column = texts.index(sortCol)
        ordered = sorted(rows, key=lambda row: _sortable(row[column]))
        if not inc:
            ordered.reverse()
        self.sorted = ordered[:limit] if limit > 0 else ordered

    def getSorted(self) -> list[Sequence[Any]]:
        """The rows in order."""
        return self.sorted


def _sortable(value: Any) -> tuple[int, Any]:
    """What cells are compared by: nothing comes before numbers, and these before text."""
    if value is None:
        return 0, 0
    return (1, value) if isinstance(value, (int, float)) else (2, str(value))
