"""A short spell of chaos; `make chaos` is the long one."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.chaos.chaos import run


@pytest.mark.timeout(180)
@pytest.mark.parametrize(("min_replicas", "seconds"), [(1, 5), (0, 3)])
def test_nothing_promised_is_broken(min_replicas: int, seconds: float, tmp_path: Path) -> None:
    report = run(7, seconds, tmp_path, min_replicas=min_replicas)
    assert not report.troubles, f"{report}\nlogs and history: {tmp_path}"
    assert report.storms
    assert report.findings.acknowledged
    assert report.findings.committed
