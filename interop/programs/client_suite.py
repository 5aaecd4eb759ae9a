"""Run tests of `qpid.tests.messaging` with our client: what `qpid-python-test` does, for Python 3.

    python client_suite.py --suite FOLDER -m MODULE -l
    python client_suite.py --suite FOLDER -m MODULE -b HOST:PORT TEST...

FOLDER holds the original's package `qpid`, converted to Python 3, without the client. The test's name stands in a line
of its own when it starts, and again with its outcome.
"""

import argparse
import importlib
import inspect
import os
import pkgutil
import resource
import sys
import traceback

from qpid_messaging import compat

KINDS = ("Test", "Tests", "TestCase")
DESCRIPTORS = 256  # some tests use up all


class Config:
    """What the tests look at.

    Attributes:
        broker: the broker's URL.
        defines: parameters by name; the tests have defaults for all.
    """

    def __init__(self, broker):
        self.broker = importlib.import_module("qpid.util").URL(broker)
        self.defines = {}


def use_our_client(folder):
    """Have `import qpid.messaging` give our client, and the rest of `qpid` be what is in the folder."""
    compat.install()
    importlib.import_module("qpid").__path__.append(os.path.join(folder, "qpid"))
    # Where the original has what its address module is made of.
    sys.modules["qpid.lexer"] = sys.modules["qpid.parser"] = importlib.import_module("qpid.messaging.address")


def tests(module):
    """Name, class and method of each test, of the modules of a package."""
    found = {}
    for _, name, _ in pkgutil.iter_modules(importlib.import_module(module).__path__):
        for _, case in inspect.getmembers(importlib.import_module(f"{module}.{name}"), inspect.isclass):
            if case.__name__.endswith(KINDS) and case.__module__.startswith(module):
                for method, _ in inspect.getmembers(case, inspect.isfunction):
                    if method.startswith("test"):
                        found[f"{case.__module__}.{case.__name__}.{method}"] = case, method
    return found


def run(case, method, config):
    """Run one test. Returns its outcome, and a text about it unless it passed."""
    test = case(method)
    test.configure(config)
    before = getattr(test, "setUp", None) or getattr(test, "setup", None)
    after = getattr(test, "tearDown", None) or getattr(test, "teardown", None)
    try:
        if before is not None:
            before()
        try:
            getattr(test, method)()
        finally:
            if after is not None:
                after()
    except importlib.import_module("qpid.harness").Skipped as reason:
        return "skip", str(reason)
    except Exception:  # noqa: BLE001 - whatever it is, the test has failed
        return "fail", traceback.format_exc()
    return "pass", ""


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--suite", required=True, metavar="FOLDER")
    parser.add_argument("-m", "--module", required=True)
    parser.add_argument("-b", "--broker", default="localhost")
    parser.add_argument("-l", "--list", action="store_true")
    parser.add_argument("names", nargs="*", metavar="TEST")
    options = parser.parse_args()
    use_our_client(options.suite)
    found = tests(options.module)
    if options.list:
        print("\n".join(found))
        return
    resource.setrlimit(resource.RLIMIT_NOFILE, (DESCRIPTORS, resource.getrlimit(resource.RLIMIT_NOFILE)[1]))
    config = Config(options.broker)
    for name in options.names:
        print(name)
        outcome, text = run(*found[name], config)
        print(f"{name} ... {outcome}")
        if text:
            print(text)


if __name__ == "__main__":
    main()
