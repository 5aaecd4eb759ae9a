"""Where foreign peers come from: found on this machine, or installed into `.interop/` in the checkout.

Every function here returns a peer that runs, or raises `PeerAbsent` with the reason.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
import zipfile
from dataclasses import dataclass
from functools import cache
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
CACHE = ROOT / ".interop"

QPID_PACKAGES = ("qpid-python==1.36.0.post1", "qpid-tools==1.36.0.post1")
CELERY_PACKAGES = ("celery>=5.4", "kombu>=5.4")
# The last releases that run on Python 2.7, for a Python 2.7 that comes without pip.
INSTALLERS = ("pip==20.3.4", "setuptools==44.1.1", "wheel==0.37.1")
INSTALL_TIMEOUT = 300  # seconds


class PeerAbsent(Exception):
    """A peer is neither here nor can it be installed; the text says why."""


@dataclass(frozen=True)
class QpidPython:
    """The original client, `qpid.messaging`, and the original tools, on Python 2.7.

    Attributes:
        python: The Python 2.7 interpreter.
        folder: Where the packages are installed; its `bin` holds the tools.
    """

    python: Path
    folder: Path

    @property
    def environment(self) -> dict[str, str]:
        """The environment in which `python` imports the packages."""
        return {**os.environ, "PYTHONPATH": str(self.folder), "PYTHONDONTWRITEBYTECODE": "1"}

    def tool(self, name: str) -> list[str]:
        """The command line that starts one of the original tools: `qpid-config`, `qpid-python-test` ..."""
        return [str(self.python), str(self.folder / "bin" / name)]


@dataclass(frozen=True)
class Celery:
    """Celery and Kombu, on the Python that runs this.

    Attributes:
        folder: Where they are installed.
    """

    folder: Path

    def environment(self, *folders: str | Path) -> dict[str, str]:
        """The environment in which they, our packages, and what lies in further folders are imported."""
        paths = [self.folder, ROOT, ROOT / "address", *folders]
        return {**os.environ, "PYTHONPATH": os.pathsep.join(map(str, paths))}


def _run(command: list[str], *, what: str, env: dict[str, str] | None = None) -> str:
    try:
        done = subprocess.run(command, env=env, capture_output=True, text=True, timeout=INSTALL_TIMEOUT, check=False)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise PeerAbsent(f"{what}: {error}") from error
    if done.returncode:
        last = (done.stderr.strip() or done.stdout.strip()).splitlines()[-1:]
        raise PeerAbsent(f"{what}: {' '.join(last) or done.returncode}")
    return done.stdout.strip()


def _interpreter(command: str, environment: dict[str, str]) -> Path | None:
    """The executable behind `command`, which may be a shim, if that is a Python 2.7."""
    code = "import sys; sys.stdout.write(sys.executable if sys.version_info[:2] == (2, 7) else '')"
    try:
        path = _run([command, "-c", code], what=command, env={**os.environ, **environment})
    except PeerAbsent:
        return None
    return Path(path) if path else None


@cache
def python27() -> Path:
    """A Python 2.7: the variable PYTHON27, one on the PATH, pyenv's, or Debian's, unpacked into `.interop/`."""
    named = os.environ.get("PYTHON27")
    if named:
        if path := _interpreter(named, {}):
            return path
        raise PeerAbsent(f"PYTHON27={named} is no Python 2.7")
    for environment in ({}, {"PYENV_VERSION": "2.7.18"}):
        if path := _interpreter("python2.7", environment):
            return path
    unpacked = CACHE / "python2.7" / "python2.7"
    if not unpacked.exists():
        _run(["sh", str(ROOT / "interop" / "unpack_python27.sh"), str(unpacked.parent)], what="Debian's python2.7")
    if _interpreter(str(unpacked), {}) is None:  # the wrapper is what runs, not the executable behind it
        raise PeerAbsent(f"{unpacked} does not run")
    return unpacked


def _pip27(python: Path, folder: Path) -> tuple[list[str], dict[str, str]]:
    """pip for Python 2.7 and its environment: the interpreter's own, else one that our pip fetches into `folder`."""
    pip = [str(python), "-m", "pip", "--disable-pip-version-check"]
    environment = {k: v for k, v in os.environ.items() if not k.startswith("PYTHON")}
    try:
        _run([*pip, "--version"], what="pip", env=environment)
    except PeerAbsent:
        fetch = [sys.executable, "-m", "pip", "download", "--no-deps", "--only-binary", ":all:", "-d", str(folder)]
        _run([*fetch, *INSTALLERS], what="pip for Python 2.7")
        for wheel in folder.glob("*.whl"):  # unpacked: setuptools finds its own commands only in a folder
            with zipfile.ZipFile(wheel) as archive:
                archive.extractall(folder / "installers")
        environment["PYTHONPATH"] = str(folder / "installers")
    return pip, environment


@cache
def qpid_python() -> QpidPython:
    """PyPI's `qpid-python` and `qpid-tools`, installed into `.interop/` if they are not there."""
    python = python27()
    folder = CACHE / "qpid-python-1.36.0.post1"
    if not folder.exists():
        CACHE.mkdir(exist_ok=True)
        with tempfile.TemporaryDirectory(dir=CACHE) as scratch:
            pip, environment = _pip27(python, Path(scratch))
            target = Path(scratch) / "packages"
            _run(
                [*pip, "install", "--quiet", "--target", str(target), *QPID_PACKAGES],
                what="pip install",
                env=environment,
            )
            target.rename(folder)  # whole or not at all
    peer = QpidPython(python, folder)
    _run([str(python), "-c", "import qpid.messaging, qpidtoollibs"], what="qpid-python", env=peer.environment)
    return peer


@cache
def celery() -> Celery:
    """PyPI's Celery and Kombu as they are today, installed into `.interop/` if they are not there."""
    folder = CACHE / "celery"
    if not folder.exists():
        CACHE.mkdir(exist_ok=True)
        with tempfile.TemporaryDirectory(dir=CACHE) as scratch:
            target = Path(scratch) / "packages"
            pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "install", "--quiet"]
            _run([*pip, "--target", str(target), *CELERY_PACKAGES], what="pip install")
            target.rename(folder)  # whole or not at all
    peer = Celery(folder)
    _run([sys.executable, "-c", "import celery, kombu"], what="celery", env=peer.environment())
    return peer


@cache
def tshark() -> Path:
    """tshark, with an AMQP dissector."""
    path = shutil.which("tshark")
    if path is None:
        raise PeerAbsent("tshark is not on the PATH (Debian: apt-get install tshark)")
    return Path(path)


if __name__ == "__main__":
    for find in (python27, qpid_python, celery, tshark):
        try:
            print(f"{find.__name__}: {find()}")
        except PeerAbsent as absent:
            print(f"{find.__name__}: absent: {absent}")
