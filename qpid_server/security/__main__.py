"""``python -m qpid_server.security FILE add|delete|list [NAME]``: keep the file of users."""

from __future__ import annotations

import argparse
import getpass
import sys
from collections.abc import Sequence
from pathlib import Path

from .users import UsersError, UsersFile


def main(arguments: Sequence[str] | None = None) -> int:
    """Add, delete or list users; a password is asked for, or read from standard input where that is no terminal.

    Returns:
        The exit code.
    """
    parser = argparse.ArgumentParser(prog="python -m qpid_server.security", description="Keep a broker's users.")
    parser.add_argument("file", type=Path, help="the users file")
    parser.add_argument("action", choices=("add", "delete", "list"))
    parser.add_argument("name", nargs="?", help="the user")
    given = parser.parse_args(arguments)
    users = UsersFile(given.file)
    try:
        if given.action == "list":
            for name in users.load():
                print(name)
            return 0
        if not given.name:
            parser.error(f"{given.action} needs a user's name")
        if given.action == "delete":
            users.delete(given.name)
        elif sys.stdin.isatty():
            users.add(given.name, getpass.getpass(f"Password of {given.name}: "))
        else:
            users.add(given.name, sys.stdin.readline().rstrip("\n"))
    except KeyError:
        print(f"no user {given.name!r} in {given.file}", file=sys.stderr)
        return 1
    except (UsersError, ValueError, OSError) as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
