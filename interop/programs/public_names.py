"""Print what the original client offers, as JSON, on Python 2.7.

`modules`: the public names of each. `classes`: their methods and the arguments of these. `attributes`: what their
objects have beside methods. `options`: those of a connection, with their defaults.
"""

from __future__ import print_function

import importlib
import inspect
import json
import os
import sys
import types

MODULES = ("", ".address", ".constants", ".endpoints", ".exceptions", ".message", ".transports", ".util")
STATE = ("auth_username", "error", "id", "options", "session_counter", "sessions")  # of a connection, no options
CLASSES = ("Connection", "Session", "Sender", "Receiver", "Endpoint", "Message", "Disposition", "Constant")


def names(module):
    """What `__all__` says, or else what is no import of something foreign."""
    if hasattr(module, "__all__"):
        return sorted(module.__all__)
    return sorted(
        name
        for name, value in vars(module).items()
        if not name.startswith("_")
        and not isinstance(value, types.ModuleType)
        and (getattr(value, "__module__", "qpid") or "qpid").startswith(("qpid", "uuid"))
    )


def methods(kind):
    """The public methods of a class, each with its arguments; a default that is no plain value is a question mark."""
    found = {}
    for name, method in inspect.getmembers(kind, callable):
        if not name.startswith("_") or name == "__init__":
            try:
                spec = inspect.getargspec(method)
            except TypeError:
                continue
            defaults = [repr(value) if plain(value) else "?" for value in spec.defaults or ()]
            arguments = spec.args[: len(spec.args) - len(defaults)]
            rest = zip(spec.args[len(arguments) :], defaults)  # noqa: B905 - Python 2.7 has no strict
            arguments += [argument + "=" + default for argument, default in rest]
            found[name] = ", ".join(argument for argument in arguments if argument != "self")
    return found


def plain(value):
    return value is None or isinstance(value, (bool, int, str, list, dict))


def attributes(thing):
    """The public attributes of an object."""
    found = set(vars(thing)) | {n for n, v in inspect.getmembers(type(thing)) if isinstance(v, property)}
    return sorted(name for name in found if not name.startswith("_"))


def main(name="qpid.messaging"):
    root = importlib.import_module(name)
    connection = root.Connection("localhost")
    session = connection.session()
    objects = {
        "Connection": connection,
        "Session": session,
        "Sender": session.sender("a"),
        "Receiver": session.receiver("a"),
        "Message": root.Message(),
        "Disposition": root.Disposition(None),
        "Constant": root.UNLIMITED,
        "MessagingError": root.MessagingError(),
    }
    found = {
        "modules": {m.lstrip("."): names(importlib.import_module(name + m)) for m in MODULES},
        "classes": {c: methods(getattr(root, c)) for c in CLASSES},
        "attributes": {c: attributes(o) for c, o in objects.items()},
        "options": {n: v for n, v in vars(connection).items() if n in attributes(connection) and n not in STATE},
    }
    json.dump(found, sys.stdout, indent=1, sort_keys=True, separators=(",", ": "))
    print()
    sys.stdout.flush()
    os._exit(0)  # the original's thread may stumble on the way out


main()
