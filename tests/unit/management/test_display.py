"""Tables and figures, as the tools print them."""

from __future__ import annotations

from typing import Any

import pytest

from qpid_messaging.management.display import Commas, Display, Header, Sorter, duration

DAY = 86_400_000_000_000


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0, "   0"),
        (999, " 999"),
        (1000, "1.00k"),
        (9_999, "10.00k"),
        (10_000, "10.0k"),
        (99_999, "100.0k"),
        (100_000, " 100k"),
        (999_999, " 999k"),
        (1_000_000, "1.00m"),
        (12_345_678, "12.3m"),
        (10**9, "1.00g"),
        (10**13, "10000g"),
    ],
)
def test_magnitudes(value: int, text: str) -> None:
    assert Header("n", Header.KMG).formatted(value) == text


@pytest.mark.parametrize(("value", "text"), [(0, "0"), (123, "123"), (1234, "1,234"), (1234567, "1,234,567")])
def test_commas(value: int, text: str) -> None:
    assert Commas(value) == text


@pytest.mark.parametrize(
    ("value", "text"),
    [(-1, "0s"), (59_999_999_999, "59s"), (60_000_000_000, "1m 0s"), (DAY // 24, "1h 0m 0s"), (DAY + 1, "1d 0h 0m 0s")],
)
def test_durations(value: int, text: str) -> None:
    assert duration(value) == text


@pytest.mark.parametrize(
    ("form", "value", "text"),
    [
        (Header.NONE, None, ""),
        (Header.YN, 0, "N"),
        (Header.YN, True, "Y"),
        (Header.Y, False, ""),
        (Header.Y, True, "Y"),
        (Header.TIME_LONG, 0, "Thu Jan  1 00:00:00 1970"),
        (Header.TIME_SHORT, 3_600_000_000_000, "01:00:00"),
        (Header.KMG, "many", "?"),
    ],
)
def test_cells(form: int, value: Any, text: str) -> None:
    assert Header("x", form).formatted(value) == text


def test_a_table(capsys: pytest.CaptureFixture[str]) -> None:
    heads = [Header("name"), Header("count", Header.COMMAS), Header("x")]
    Display(prefix="  ").formattedTable("Things:", heads, [["a", 1234, "last"], ["größer", None]])
    assert capsys.readouterr().out == (
        "Things:\n  name    count  x\n  =====================\n  a       1,234  last\n  größer         \n"
    )


def test_a_table_without_rows_is_its_title(capsys: pytest.CaptureFixture[str]) -> None:
    Display().table("Nothing", ["a"], [])
    assert capsys.readouterr().out == "Nothing\n"


def test_a_rule_is_no_longer_than_255(capsys: pytest.CaptureFixture[str]) -> None:
    Display().table("Long", ["a"], [["x" * 400]])
    assert capsys.readouterr().out.splitlines()[2] == "    " + "=" * 251


def test_sorting() -> None:
    heads = [Header("a"), Header("b")]
    rows = [["x", 3], ["y", None], ["z", "text"], ["w", 1], ["v", 3]]
    assert [row[0] for row in Sorter(heads, rows, "b").getSorted()] == ["y", "w", "x", "v", "z"]
    assert [row[0] for row in Sorter(heads, rows, "b", inc=False).getSorted()] == ["z", "v", "x", "w", "y"]
    assert [row[0] for row in Sorter(heads, rows, "b", 2).getSorted()] == ["y", "w"]
    with pytest.raises(Exception, match="sortCol 'c', not found in headers"):
        Sorter(heads, rows, "c")
