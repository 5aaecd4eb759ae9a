"""Programs written for `qpid.messaging`, which nobody has edited."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import qpid_server

HELLO = """\
import sys
from qpid.messaging import *
import greeting

connection = Connection(sys.argv[1])
try:
    connection.open()
    session = connection.session()
    sender = session.sender("hello; {create: always}")
    receiver = session.receiver("hello")
    sender.send(Message(greeting.TEXT, id=uuid4()))
    message = receiver.fetch(timeout=10)
    print(message.content, __name__, sys.argv[2:])
    session.acknowledge()
except MessagingError as error:
    print(error)
finally:
    connection.close()
sys.exit(3)
"""

NAMES = """\
import logging
from qpid_messaging import compat
compat.install()
compat.install()
import sys
assert sys.path.count(str(compat.PACKAGES)) == 1

import qpid_messaging, qpid.messaging
from qpid.messaging import address, constants, endpoints, exceptions, message
for theirs in (address, constants, endpoints, exceptions, message):
    ours = getattr(qpid_messaging, theirs.__name__.rpartition(".")[2])
    assert theirs is not ours
    for name in ours.__all__:
        assert getattr(theirs, name) is getattr(ours, name), name

assert qpid.messaging.Connection is endpoints.Connection is qpid_messaging.Connection
assert issubclass(exceptions.Empty, qpid.messaging.MessagingError)
from qpid.messaging import *
assert (UNLIMITED, timestamp, uuid4, Serial, Constant, exceptions.Empty) and Empty is exceptions.Empty

from qpid.log import enable, DEBUG
enable("qpid.messaging", DEBUG, sys.stdout)
logging.getLogger("qpid_messaging").debug("found a broker")
"""


@pytest.fixture(scope="module")
def broker() -> Iterator[str]:
    with qpid_server.running() as running:
        yield running.url


def python(*arguments: str | Path, cwd: Path, code: int = 0) -> str:
    """What a Python says to these arguments on stdout; on stderr it has nothing to say where the exit status is 0."""
    command = [sys.executable, *map(str, arguments)]
    done = subprocess.run(command, cwd=cwd, capture_output=True, text=True, timeout=30, check=False)
    assert done.returncode == code, done.stderr
    assert code or not done.stderr
    return done.stdout + done.stderr


@pytest.fixture
def hello(tmp_path: Path) -> Path:
    """A program in a folder of its own, where a module of its own lies."""
    folder = tmp_path / "programs"
    folder.mkdir()
    (folder / "greeting.py").write_text("TEXT = 'one book'\n")
    script = folder / "hello.py"
    script.write_text(HELLO)
    return script


def test_the_old_names_are_ours(tmp_path: Path) -> None:
    assert python("-c", NAMES, cwd=tmp_path).endswith(" DEBUG found a broker\n")


def test_a_script(broker: str, hello: Path, tmp_path: Path) -> None:
    said = python("-m", "qpid_messaging.compat", hello, broker, "--and", "more", cwd=tmp_path, code=3)
    assert said == "one book __main__ ['--and', 'more']\n"


def test_a_module(broker: str, hello: Path) -> None:
    said = python("-m", "qpid_messaging.compat", "-m", "hello", broker, "-c", cwd=hello.parent, code=3)
    assert said == "one book __main__ ['-c']\n"


def test_code(broker: str, hello: Path) -> None:
    said = python("-m", "qpid_messaging.compat", "-c", HELLO, broker, cwd=hello.parent, code=3)
    assert said == "one book __main__ []\n"


def test_the_folder_of_the_names_may_stand_in_the_environment(
    broker: str, hello: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYTHONPATH", python("-m", "qpid_messaging.compat", "--path", cwd=tmp_path).strip())
    assert python(hello, broker, cwd=tmp_path, code=3) == "one book __main__ []\n"


def test_processes_that_the_program_starts_find_its_classes(tmp_path: Path) -> None:
    script = tmp_path / "pooled.py"
    script.write_text(
        "import multiprocessing, qpid.messaging\n"
        "def work(text): return qpid.messaging.Message(text + '!')\n"
        "if __name__ == '__main__':\n"
        "    with multiprocessing.get_context('spawn').Pool(1) as pool:\n"
        "        print(pool.apply(work, ['hello']).content)\n"
    )
    assert python("-m", "qpid_messaging.compat", script, cwd=tmp_path) == "hello!\n"


@pytest.mark.parametrize("arguments", [[], ["-x"], ["-m"], ["-c"]])
def test_misuse_is_explained(arguments: list[str], tmp_path: Path) -> None:
    assert "usage:" in python("-m", "qpid_messaging.compat", *arguments, cwd=tmp_path, code=2)


def test_help(tmp_path: Path) -> None:
    assert "usage:" in python("-m", "qpid_messaging.compat", "--help", cwd=tmp_path)


def test_a_script_that_is_not_there(tmp_path: Path) -> None:
    assert "nothing.py" in python("-m", "qpid_messaging.compat", "nothing.py", cwd=tmp_path, code=2)


@pytest.mark.parametrize("module", ["nothing", "nothing.at.all", "json.nothing"])
def test_a_module_that_is_not_there(module: str, tmp_path: Path) -> None:
    assert python("-m", "qpid_messaging.compat", "-m", module, cwd=tmp_path, code=1) == f"no module named {module}\n"


def test_another_qpid_that_is_in_use_already_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "qpid").mkdir()
    (tmp_path / "qpid" / "__init__.py").touch()
    code = "import qpid; from qpid_messaging import compat; compat.install()"
    said = python("-c", code, cwd=tmp_path, code=1)
    assert f"qpid is imported already, from {tmp_path}" in said


def test_another_qpid_that_is_installed_is_passed_over(tmp_path: Path) -> None:
    (tmp_path / "qpid").mkdir()
    (tmp_path / "qpid" / "__init__.py").touch()
    code = "from qpid_messaging import compat; compat.install(); from qpid.messaging import Connection"
    python("-c", code, cwd=tmp_path)


BINDING = """\
import sys
import qpid_messaging
from qpid_messaging import *

connection = Connection("ann/secret@" + sys.argv[1], {"reconnect": True, "container-id": "ours"})
connection.setOption("heartbeat", 10)
connection.open()
assert connection.isOpen() and connection.getUrl() in sys.argv[1], connection.getUrl()
assert connection.getAuthenticatedUsername() == "ann"
session = connection.createSession("mine")
assert connection.getSession("mine").getConnection() is connection
sender = session.sender("binding; {create: always, delete: always}")
receiver = session.receiver("binding")
receiver.setCapacity(10)
assert (receiver.getCapacity(), sender.getName(), receiver.getAddress().getName()) == (10, "binding", "binding")
assert session.getSender("binding") is sender and session.getReceiver("binding").getSession() is session

message = Message()
encode({"number": 1}, message)
assert message.getSubject() == message.getMessageId() == ""
message.setSubject("new")
message.setMessageId("00000000-0000-0000-0000-000000000001")
message.setTtl(60)
message.setPriority(5)
message.setProperty("colour", "red")
message.setReplyTo("answers")
sender.send(message)
got = receiver.fetch(Duration.MINUTE)
assert decodeMap(got) == got.getContentObject() == {"number": 1}, got
assert (got.getContentType(), got.getSubject(), got.getPriority()) == ("amqp/map", "new", 5), got
assert 0 < got.getTtl() <= 60, got
assert (got.getMessageId()[-1], got.getReplyTo(), got.getUserId()) == ("1", "answers", ""), got
assert got.getProperties()["colour"] == "red" and not got.getRedelivered(), got
session.release(got)
session.acknowledge(receiver.fetch(Duration(5000)))
session.checkError()
assert not session.hasError() and session.getUnsettledAcks() == session.getReceivable() == 0
try:
    receiver.fetch(Duration.IMMEDIATE)
except Empty:
    pass
sender.send("text")
session.reject(receiver.fetch(timeout=5))
receiver.close()
assert receiver.isClosed()
transaction = connection.createTransactionalSession()
transaction.sender("binding").send("never")
transaction.rollback()
address = qpid_messaging.Address("one/two; {create: always}")
assert (address.getName(), address.getSubject(), address.getOptions()) == ("one", "two", {"create": "always"})
assert address.str() == "one/two; {create: always}"
connection.close()
print("done")
"""


def test_the_names_of_the_binding_of_the_cpp_client(broker: str, tmp_path: Path) -> None:
    assert python("-m", "qpid_messaging.compat", "-c", BINDING, broker, cwd=tmp_path) == "done\n"
