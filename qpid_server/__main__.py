"""``qpidd``: the broker as a process."""

from __future__ import annotations

import gc
import importlib.util
import signal
import sys
from collections.abc import Sequence
from typing import Any

import anyio

from .logs import configure_logging, log
from .options import OptionError, Options, parse_options
from .security.users import UsersError
from .server import Server

__all__ = ["main"]


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a broker until SIGTERM or SIGINT.

    Args:
        arguments: the command line without the program's name; the process's own where not given.

    Returns:
        The exit code: 0 after an orderly end, 1 where the broker could not start.
    """
    try:
        options, ignored = parse_options(sys.argv[1:] if arguments is None else arguments)
        configure_logging(options.log_enable)
    except OptionError as error:
        print(f"qpidd: {error}\nUse --help to see valid options", file=sys.stderr)
        return 1
    for name in ignored:
        log.warning("option %s has no meaning in this broker and is ignored", name)
    backend_options: dict[str, Any] = {}
    if importlib.util.find_spec("uvloop") is not None:
        backend_options["use_uvloop"] = True
    return anyio.run(_serve, options, backend="asyncio", backend_options=backend_options)


async def _serve(options: Options) -> int:
    try:
        server = Server(options)
        _say_who_may_come(server)
    except (OptionError, UsersError) as error:
        print(f"qpidd: {error}", file=sys.stderr)
        return 1
    try:
        await server.listen()
    except OSError as error:
        where = " ".join(options.interface) or "this machine"
        ports = [options.port, *(options.ssl_port if options.ssl_cert_file else ())]
        print(f"qpidd: cannot listen on port {' or '.join(map(str, ports))} of {where}: {error}", file=sys.stderr)
        return 1
    async with anyio.create_task_group() as tasks:
        with anyio.open_signal_receiver(signal.SIGTERM, signal.SIGINT) as signals:
            await tasks.start(server.run)
            if options.port == 0:
                print(server.port, flush=True)
            log.log(25, "listening on port %d", server.port)
            for port in dict.fromkeys(port for _, port in server.tls_addresses):
                if 0 in options.ssl_port:
                    print(port, flush=True)
                log.log(25, "listening for TLS on port %d", port)
            # What was made until now stays: no collection needs to look at it again.
            gc.collect()
            gc.freeze()
            gc.set_threshold(20_000, 20, 50)
            async for received in signals:
                log.log(25, "%s: shutting down", signal.Signals(received).name)
                break
            server.stop()
    return 0


def _say_who_may_come(server: Server) -> None:
    options = server.options
    users = server.authenticator.users
    if users is None:
        if options.interface:
            log.warning("authentication is off: everybody who reaches %s may come in", " ".join(options.interface))
        return
    if not users.load():
        path = users.path or "FILE"
        log.warning(
            "authentication is on and there are no users: nobody can come in with a password. Add one with "
            "'qpid-passwd --file %s add NAME'%s, or start with --auth no",
            path,
            "" if users.path else " and --users-file FILE",
        )


if __name__ == "__main__":
    sys.exit(main())
