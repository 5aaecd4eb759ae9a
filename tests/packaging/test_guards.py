"""The guards in conftest.py can fail."""

from __future__ import annotations

import socket

import pytest

pytest_plugins = ["pytester"]


def test_connecting_to_another_machine_fails() -> None:
    with socket.socket() as sock, pytest.raises(RuntimeError, match="stay on loopback"):
        sock.connect(("192.0.2.1", 5672))


def test_loopback_is_open() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server, socket.create_connection(server.getsockname()):
        pass


@pytest.mark.parametrize(
    ("leak", "said"),
    [
        ("subprocess.Popen(['sleep', '60'])", "processes left running"),
        ("threading.Thread(target=threading.Event().wait, args=(60,), daemon=True).start()", "threads left running"),
    ],
)
def test_what_is_left_running_is_an_error(pytester: pytest.Pytester, leak: str, said: str) -> None:
    guards = (pytester._request.config.rootpath / "tests" / "conftest.py").read_text("utf-8")
    pytester.makeconftest(guards.replace("SETTLE = 3.0", "SETTLE = 0.01"))
    pytester.makepyfile(f"import subprocess, threading\ndef test_leak():\n    {leak}\n")
    result = pytester.runpytest_subprocess("-q")
    result.assert_outcomes(passed=1, errors=1)
    result.stdout.fnmatch_lines([f"*{said}*"])
