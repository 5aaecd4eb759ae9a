"""``qpid-passwd``: keep the file of those who may come in."""

from __future__ import annotations

import argparse
import getpass
import sys
from collections.abc import Sequence
from pathlib import Path

from qpid_messaging.amqp.sasl import SASLError
from qpid_messaging.amqp.sasl.scram import MAX_ITERATIONS

from ..option_sources import parse_options
from ..options import OptionError, Options
from ..security.users import ITERATIONS, UsersError, UsersFile

__all__ = ["main"]

_LEAST_ITERATIONS = 10_000


def _iterations(text: str) -> int:
    value = int(text)
    if not _LEAST_ITERATIONS <= value <= MAX_ITERATIONS:
        raise argparse.ArgumentTypeError(f"{value} is not from {_LEAST_ITERATIONS} to {MAX_ITERATIONS}")
    return value


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="qpid-passwd",
        description="Keep the file of a broker's users. A running broker sees changes at once.",
        allow_abbrev=False,
    )
    parser.add_argument(
        "-f", "--file", type=Path, help="the users file; by default the one of a broker that is started without options"
    )
    actions = parser.add_subparsers(dest="action", required=True, metavar="add|delete|list")
    add = actions.add_parser(
        "add",
        help="add a user, or change a password",
        description="Add a user, or give one another password. It is asked for, or is the first line of standard input "
        "where that is no terminal. What is stored serves SCRAM-SHA-256 and PLAIN, and lets nobody in who reads it.",
    )
    add.add_argument("name", help="the user")
    add.add_argument(
        "--digest-md5",
        action="store_true",
        help="also store what DIGEST-MD5 needs: a hash that is as good as the password to who reads the file",
    )
    add.add_argument("--cram-md5", action="store_true", help="also store what CRAM-MD5 needs: the password itself")
    add.add_argument("--realm", help="realm for DIGEST-MD5; by default the broker's, QPID")
    add.add_argument(
        "--iterations",
        type=_iterations,
        default=ITERATIONS,
        metavar="N",
        help="how slow the hash is to compute, for the broker, its clients, and who tries to guess [%(default)s]",
    )
    delete = actions.add_parser("delete", help="remove a user")
    delete.add_argument("name", help="the user")
    list_ = actions.add_parser("list", help="show the users")
    list_.add_argument("-v", "--verbose", action="store_true", help="with the mechanisms that each can use")
    return parser


def _read_password(name: str) -> str:
    if not sys.stdin.isatty():
        # Also where the line is empty: a variable that is not set must not open the door to everybody.
        if not (password := sys.stdin.readline().rstrip("\r\n")):
            raise ValueError("no password on standard input")
        return password
    if not (password := getpass.getpass(f"Password of {name}: ")):
        raise ValueError("no password")
    if getpass.getpass("The same again: ") != password:
        raise ValueError("they are not the same")
    return password


def main(arguments: Sequence[str] | None = None) -> int:
    """Add, delete or list users.

    Returns:
        The exit code: 1 where that did not work.
    """
    given = _parser().parse_args(arguments)
    try:
        wants_realm = given.action == "add" and given.digest_md5 and not given.realm
        options = Options() if given.file and not wants_realm else parse_options([])[0]
        users = UsersFile(given.file or options.users_path)
        if users.path is None:
            raise UsersError("the broker has no data directory: name the file with --file")
        if given.action == "list":
            for name, user in sorted(users.load().items()):
                print(f"{name}  {' '.join(user.mechanisms)}" if given.verbose else name)
        elif given.action == "delete":
            users.delete(given.name)
        else:
            users.add(
                given.name,
                _read_password(given.name),
                realm=given.realm or options.realm,
                digest_md5=given.digest_md5,
                cram_md5=given.cram_md5,
                iterations=given.iterations,
            )
    except KeyError:
        print(f"qpid-passwd: no user {given.name!r} in {users.path}", file=sys.stderr)
        return 1
    except (OptionError, UsersError, SASLError, ValueError, OSError) as error:
        print(f"qpid-passwd: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print(file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
