"""``qpidd``: the broker as a process."""

from __future__ import annotations

import importlib.util
import signal
import sys
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import replace
from typing import Any

import anyio
import anyio.abc

from .daemon import control, daemonize
from .garbage import GarbageKeeper
from .logs import NOTICE, configure_logging, log
from .option_sources import parse_options
from .options import OptionError, Options
from .security.users import UsersError
from .server import Server

__all__ = ["main"]


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a broker until SIGTERM or SIGINT, or tell a daemon to end.

    Args:
        arguments: the command line without the program's name; the process's own where not given.

    Returns:
        The exit code: 0 after an orderly end, 1 where the broker could not start or there is no such daemon.
    """
    try:
        options, unneeded = parse_options(sys.argv[1:] if arguments is None else arguments)
        if options.check or options.quit or options.kill:
            return control(options)
        if options.daemon:
            options = _detached(options)
        configure_logging(options)
        for name, reason in unneeded.items():
            log.warning("option %s is ignored: %s", name, reason)
        if options.daemon:
            return daemonize(options, lambda ready: _run(options, ready))
        return _run(options, lambda ports: [print(port, flush=True) for port in ports[1:]])
    except OptionError as error:
        print(f"qpidd: {error}\nUse --help to see valid options", file=sys.stderr)
        return 1
    except UsersError as error:
        print(f"qpidd: {error}", file=sys.stderr)
        return 1


def _detached(options: Options) -> Options:
    """A daemon's standard error is nowhere: it logs to syslog, unless somebody said where to."""
    somewhere = options.log_to_stdout or options.log_to_file or options.log_to_syslog
    return replace(options, log_to_stderr=False, log_to_syslog=options.log_to_syslog or not somewhere)


def _run(options: Options, ready: Callable[[list[int]], Any]) -> int:
    # As in the C++ broker, which a terminal's end does not end.
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    backend_options: dict[str, Any] = {}
    if importlib.util.find_spec("uvloop") is not None:
        backend_options["use_uvloop"] = True
    return anyio.run(_serve, options, ready, backend="asyncio", backend_options=backend_options)


async def _serve(options: Options, ready: Callable[[list[int]], Any]) -> int:
    server = Server(options)
    _say_who_may_come(server)
    if not options.ssl_cert_file and options.ssl_port != Options.ssl_port:
        log.warning("nobody listens on ssl-port %s: there is no ssl-cert-file", " ".join(map(str, options.ssl_port)))
    try:
        await server.listen()
    except OSError as error:
        where = " ".join(options.interface) or "this machine"
        ports = [options.port, *(options.ssl_port if options.ssl_cert_file else ())]
        if options.http_port is not None:
            ports.append(options.http_port)
        raise OptionError(f"cannot listen on port {' or '.join(map(str, ports))} of {where}: {error}") from error
    failure: OptionError | None = None
    async with anyio.create_task_group() as tasks:

        async def run(*, task_status: anyio.abc.TaskStatus[int]) -> None:
            await server.run(task_status=task_status)
            # A console may have asked for it, and then there is no signal to wait for.
            tasks.cancel_scope.cancel()

        with anyio.open_signal_receiver(signal.SIGTERM, signal.SIGINT) as signals:
            await tasks.start(run)
            tls_ports = list(dict.fromkeys(port for _, port in server.tls_addresses))
            if server.addresses:
                log.log(NOTICE, "listening on port %d", server.port)
            for port in tls_ports:
                log.log(NOTICE, "listening for TLS on port %d", port)
            ports = _ports(options, server.port, tls_ports)
            if server.http is not None:
                log.log(NOTICE, "listening for HTTP on %s port %d", options.http_interface, server.http.port)
                ports += [server.http.port] if options.http_port == 0 else []
            try:
                ready(ports)
            except OptionError as error:
                failure = error
            else:
                GarbageKeeper(server.broker).start()
                await _until_signalled(signals)
            server.stop()
    if failure is not None:
        raise failure
    return 0


async def _until_signalled(signals: AsyncIterator[signal.Signals]) -> None:
    received = await signals.__anext__()
    log.log(NOTICE, "%s: shutting down", signal.Signals(received).name)


def _ports(options: Options, port: int, tls_ports: list[int]) -> list[int]:
    """The port that names this broker, and those that nobody can know unless they are printed."""
    named = tls_ports[0] if options.transport == "ssl" and tls_ports else port
    if options.transport == "ssl":
        return [named, *tls_ports]
    printed = [port] if options.port == 0 else []
    return [named, *printed, *(tls_ports if 0 in options.ssl_port else [])]


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
