"""Every public name of `qpid.messaging`, its arguments and its defaults: `public-names.json` says what there is there.

`interop/test_public_names.py` compares that file with the original.
"""

from __future__ import annotations

import importlib
import inspect
import json
from pathlib import Path
from typing import Any

import pytest

import qpid_messaging
from qpid_messaging import aio

NAMES: dict[str, Any] = json.loads((Path(__file__).parents[2] / "data" / "public-names.json").read_text("utf-8"))

#: Names that are not here, and why.
ABSENT = {
    # What the module has imported, or does for itself.
    "transports.CERT_NONE": "of the module ssl",
    "transports.CERT_REQUIRED": "of the module ssl",
    "transports.SSL_ERROR_WANT_READ": "of the module ssl",
    "transports.SSL_ERROR_WANT_WRITE": "of the module ssl",
    "transports.connect": "of the module qpid.util",
    "transports.verify_hostname": "OpenSSL checks names",
    # Endpoints are made by one another, and this class is no endpoint by itself.
    "Endpoint.__init__": "no application makes one",
    "Receiver.__init__": "Session.receiver makes it",
    "Sender.__init__": "Session.sender makes it",
    "Session.__init__": "Connection.session makes it",
    # Where the I/O thread of the original stands, which is documented nowhere. unsettled(), available() and what
    # commit and rollback raise tell what an application may want to know.
    "Connection.session_counter": "counts names",
    "Receiver.draining": "how far a fetch is",
    "Receiver.granted": "credit",
    "Receiver.impending": "credit",
    "Receiver.received": "counts deliveries, from 0 again after 2**32",
    "Receiver.returned": "counts fetches, likewise",
    "Sender.acked": "counts completions, likewise",
    "Sender.queued": "counts messages, likewise",
    "Sender.synced": "what was asked for",
    "Session.aborted": "how far a rollback is",
    "Session.aborting": "how far a rollback is",
    "Session.acked": "messages, without a way to tell which",
    "Session.committed": "how far a commit is",
    "Session.committing": "how far a commit is",
    "Session.incoming": "a queue that only the original's receivers may take from",
    "Session.log_id": "for the log",
    "Session.next_receiver_id": "counts",
    "Session.next_sender_id": "counts",
    "Session.outgoing": "a queue that only the original's I/O thread may take from",
    "Session.unacked": "messages, with what only acknowledge may do",
}

#: Options whose default is another, on purpose: see the docstring of `Connection`.
OTHER_DEFAULTS = {"tcp_nodelay": True, "reconnect_interval_min": None, "reconnect_interval_max": None}


@pytest.mark.parametrize(
    ("module", "name"), [(part, name) for part, names in NAMES["modules"].items() for name in names]
)
def test_modules_have_it(module: str, name: str) -> None:
    path = ".".join(filter(None, ("qpid_messaging", module)))
    found = hasattr(importlib.import_module(path), name)
    assert found != (f"{module}.{name}" in ABSENT)
    if found:
        assert name in importlib.import_module(path).__all__


@pytest.mark.parametrize(("kind", "name"), [(kind, name) for kind, names in NAMES["classes"].items() for name in names])
@pytest.mark.parametrize("package", [qpid_messaging, aio])
def test_methods_take_the_same_arguments(package: Any, kind: str, name: str) -> None:
    if f"{kind}.{name}" in ABSENT:
        return
    method = getattr(getattr(package, kind), name)
    signature = inspect.signature(method)
    have = {p.name: p for p in signature.parameters.values() if p.name != "self" and p.kind is not p.VAR_KEYWORD}
    wanted = [argument.partition("=") for argument in filter(None, NAMES["classes"][kind][name].split(", "))]
    assert list(have)[: len(wanted)] == [argument for argument, _, _ in wanted]
    for argument, equals, default in wanted:
        assert (have[argument].default is not inspect.Parameter.empty) == bool(equals)
        if equals and default != "?":
            assert repr(have[argument].default) == default
    # What comes beside them need not be given.
    assert all(parameter.default is not inspect.Parameter.empty for parameter in list(have.values())[len(wanted) :])


@pytest.fixture(scope="module")
def objects() -> dict[str, Any]:
    connection = qpid_messaging.Connection("localhost")
    session = connection.session()
    return {
        "Connection": connection,
        "Session": session,
        "Sender": session.sender("a"),
        "Receiver": session.receiver("a"),
        "Message": qpid_messaging.Message(),
        "Disposition": qpid_messaging.Disposition(None),
        "Constant": qpid_messaging.UNLIMITED,
        "MessagingError": qpid_messaging.MessagingError(),
    }


@pytest.mark.parametrize("kind", NAMES["attributes"])
def test_objects_have_the_same_attributes(objects: dict[str, Any], kind: str) -> None:
    missing = {name for name in NAMES["attributes"][kind] if not hasattr(objects[kind], name)}
    assert missing == {name.partition(".")[2] for name in ABSENT if name.startswith(f"{kind}.")} - {"__init__"}


def test_options_have_the_same_defaults(objects: dict[str, Any]) -> None:
    expected = {**NAMES["options"], **OTHER_DEFAULTS}
    assert {name: getattr(objects["Connection"], name) for name in expected} == expected
