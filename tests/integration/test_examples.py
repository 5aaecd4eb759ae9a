"""Each example as a user runs it: a process of its own, against a broker."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

import qpid_server
from qpid_messaging import Connection
from qpid_messaging.management import EventReceiver

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"
PATHS = [str(EXAMPLES.parent), str(EXAMPLES.parent / "address")]
ENVIRONMENT = {**os.environ, "PYTHONPATH": os.pathsep.join(PATHS)}


@pytest.fixture(scope="module")
def broker() -> Iterator[str]:
    with qpid_server.running() as running:
        yield running.url


def command(name: str, *arguments: str) -> list[str]:
    return [sys.executable, str(EXAMPLES / f"{name}.py"), *arguments]


def run(name: str, *arguments: str, code: int = 0) -> subprocess.CompletedProcess[str]:
    """Run an example to its end. What it says of an error is a line or two for a user, never a traceback."""
    done = subprocess.run(
        command(name, *arguments), env=ENVIRONMENT, capture_output=True, text=True, timeout=30, check=False
    )
    assert "Traceback" not in done.stderr
    assert done.returncode == code, done.stderr
    return done


@contextmanager
def service(broker: str, address: str) -> Iterator[subprocess.Popen[str]]:
    """`server.py`, serving."""
    with subprocess.Popen(
        command("server", "-b", broker, address),
        env=ENVIRONMENT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        try:
            assert process.stdout is not None
            assert "serving" in process.stdout.readline()
            yield process
        finally:
            process.kill()


def test_hello(broker: str) -> None:
    assert run("hello", broker).stdout == "Hello world!\n"
    assert run("hello", broker, "hello; {create: always, delete: always}").stdout == "Hello world!\n"


def test_spout_and_drain(broker: str) -> None:
    assert "one book" in run("spout", "-b", broker, "texts; {create: always}", "one", "book").stdout
    run("spout", "-b", broker, "-c", "3", "-S", "s", "-P", "colour=red", "-P", "bare", "-I", "me", "texts", "more")
    browsed = run("drain", "-b", broker, "-F", "%(S)s|%(C)s", "texts; {mode: browse}").stdout
    assert browsed == "None|one book\n" + 3 * "s|more\n"
    assert run("drain", "-b", broker, "-c", "1", "--print", "%(C)s", "texts").stdout == "one book\n"
    drained = run("drain", "-b", broker, "-t", "0.1", "texts").stdout.splitlines()
    assert len(drained) == 3
    for number, line in enumerate(drained):
        assert re.fullmatch(r"Message\(subject='s', .*content='more'\)", line)
        assert "redelivered" not in line
        assert f"'spout-id': 'me:{number}'" in line
        assert "'colour': 'red'" in line
        assert "'bare': None" in line
    assert run("drain", "-b", broker, "texts").stdout == ""


def test_spout_sends_what_it_is_told(broker: str) -> None:
    address = "maps; {create: always}"
    run("spout", "-b", broker, "-d", "-R", "answers", "-M", "title=Dune", "-M", "bare", address)
    with Connection.establish(broker) as connection:
        message = connection.session().receiver("maps").fetch(timeout=0)
    assert message.content == {"title": "Dune", "bare": None}
    assert message.content_type == "amqp/map"
    assert message.durable
    assert message.reply_to == "answers"


def test_spout_for_a_time(broker: str) -> None:
    address = "many; {create: always}"
    run("spout", "-b", broker, "-c", "0", "-t", "0.1", address, "x")
    assert len(run("drain", "-b", broker, "-F", "%(C)s", "many").stdout.splitlines()) > 1
    run("spout", "-b", broker, "-c", "5", "-t", "0", "many", "x")
    assert run("drain", "-b", broker, "many").stdout == ""


def test_drain_forever(broker: str) -> None:
    run("spout", "-b", broker, "endless; {create: always}", "first")
    with subprocess.Popen(
        command("drain", "-b", broker, "-f", "-F", "%(C)s", "endless"),
        env=ENVIRONMENT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "first\n"
        run("spout", "-b", broker, "endless", "second")
        assert process.stdout.readline() == "second\n"
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate(timeout=10)
        assert process.returncode == 130
        assert errors == ""


def test_requests_and_answers(broker: str) -> None:
    with service(broker, "shout; {create: always}"):
        asked = ["hello", "is anybody there?"]
        answers = run("client", "-b", broker, "-a", "shout", *asked).stdout
        assert answers == "".join(f"{text} -> {text.upper()}\n" for text in asked)


def test_a_client_that_is_gone_does_not_stop_the_service(broker: str) -> None:
    with service(broker, "patient; {create: always}") as server:
        run("spout", "-b", broker, "-R", "nowhere", "patient", "lost")
        run("spout", "-b", broker, "patient", "nobody to answer")
        run("spout", "-b", broker, "-R", "x; {", "patient", "no address", code=1)
        assert run("client", "-b", broker, "-a", "patient", "still there?").stdout.endswith("STILL THERE?\n")
        server.kill()
        assert server.stderr is not None
        assert "nobody to answer at nowhere" in server.stderr.read()


def test_no_answer(broker: str) -> None:
    run("spout", "-b", broker, "-t", "0", "silent; {create: always}")
    with Connection.establish(broker) as connection:
        deleted = EventReceiver(connection, event="queueDelete")
        assert run("client", "-b", broker, "-t", "0.1", "-a", "silent", code=1).stderr == "client: no answer\n"
        assert deleted.fetch(timeout=10).qName.startswith("answers."), "nothing is left behind"


@pytest.mark.parametrize(
    ("name", "arguments", "said"),
    [
        ("hello", ["{broker}", "nowhere"], "hello: no such queue: nowhere"),
        ("spout", ["-b", "{broker}", "nowhere"], "spout: no such queue: nowhere"),
        ("drain", ["-b", "{broker}", "nowhere"], "drain: no such queue: nowhere"),
        ("client", ["-b", "{broker}", "-a", "nowhere"], "client: no such queue: nowhere"),
        ("server", ["-b", "{broker}", "nowhere"], "server: no such queue: nowhere"),
        ("drain", ["-b", "{broker}", "q; {create: sometimes}"], "drain: "),
        ("drain", ["-b", "{broker}", "q; {"], "drain: expecting ("),
        ("hello", ["127.0.0.1:1"], "Connection refused"),
        ("spout", ["-b", "127.0.0.1:1", "q"], "Connection refused"),
        ("spout", ["-b", "host:port:more", "q"], "spout: "),
        ("drain", ["-r", "-l", "2", "-i", "0.01", "-b", "127.0.0.1:1", "q"], "Connection refused"),
    ],
)
def test_errors_are_told_in_a_sentence(broker: str, name: str, arguments: list[str], said: str) -> None:
    done = run(name, *(argument.replace("{broker}", broker) for argument in arguments), code=1)
    assert said in done.stderr


@pytest.mark.parametrize("arguments", [[], ["-F", "%(X)s", "q"], ["-c", "many", "q"], ["--colour", "q"]])
def test_usage(arguments: list[str]) -> None:
    assert "usage: drain.py" in run("drain", *arguments, code=2).stderr


def test_the_demonstration_may_be_interrupted() -> None:
    with subprocess.Popen(
        command("failover_demo", __file__), env=ENVIRONMENT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        try:
            assert process.stdout is not None
            assert "three brokers" in process.stdout.readline()
            process.send_signal(signal.SIGINT)
            _, errors = process.communicate(timeout=30)
        finally:
            process.kill()
        assert process.returncode == 130
        assert "Traceback" not in errors


@pytest.mark.parametrize("name", ["hello", "spout", "drain", "server", "client", "failover_demo"])
def test_help(name: str) -> None:
    assert run(name, "--help").stdout.startswith(f"usage: {name}.py")
