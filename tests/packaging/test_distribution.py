"""What an installation of the project brings: three typed packages, none called plain `address`, and the commands."""

from __future__ import annotations

import subprocess
import sys
import zipfile
from importlib.metadata import distribution
from pathlib import Path

import pytest

from qpid_server.ha.managers.write_scripts import SCRIPTS

PACKAGES = ("qpid_address", "qpid_messaging", "qpid_server")


@pytest.fixture(scope="module")
def wheel_files(root: Path, tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    folder = tmp_path_factory.mktemp("wheel")
    subprocess.run([sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(folder)], cwd=root, check=True)
    [wheel] = folder.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        return archive.namelist()


def test_the_wheel_holds_the_three_packages_and_nothing_else(wheel_files: list[str]) -> None:
    tops = {name.split("/")[0] for name in wheel_files if ".dist-info/" not in name}
    assert tops == set(PACKAGES)


def test_the_wheel_holds_what_cluster_managers_need(wheel_files: list[str]) -> None:
    assert {f"qpid_server/ha/managers/scripts/{name}" for name in SCRIPTS} <= set(wheel_files)


@pytest.mark.parametrize("package", PACKAGES)
def test_packages_are_typed(wheel_files: list[str], package: str) -> None:
    assert f"{package}/py.typed" in wheel_files


def test_every_command_can_be_loaded() -> None:
    scripts = distribution("qpid-messaging").entry_points.select(group="console_scripts")
    assert {"qpidd", "qpid-ha"} <= {script.name for script in scripts}
    for script in scripts:
        assert callable(script.load()), script.name


@pytest.mark.parametrize("file", ["MIGRATING.md", "compat/packages/qpid/messaging/__init__.py"])
def test_the_wheel_holds_what_those_need_who_come_from_another_client(wheel_files: list[str], file: str) -> None:
    assert f"qpid_messaging/{file}" in wheel_files
