"""`qpid-ha manage`: promotes and demotes brokers, with etcd to say who may, or without on one machine."""

from __future__ import annotations

import argparse
import logging
import signal
import ssl
import sys

import anyio
import anyio.abc

from ..broker_urls import member_addresses
from ..ha.managers.etcd import Etcd
from ..ha.managers.etcd_manager import EtcdManager
from ..ha.managers.local_manager import LocalManager
from ..ha.managers.managed_broker import BrokerGone, ManagedBroker
from .broker_options import connection_settings
from .running import ToolError

__all__ = ["HELP", "add_manage_options", "manage"]

HELP = (
    "Manage brokers: with --etcd the one broker of this host, as one manager of several; without, which is for "
    "brokers on one machine only, all brokers of the cluster. Runs until it is stopped."
)


def add_manage_options(parser: argparse.ArgumentParser) -> None:
    """The options of the command."""
    add = parser.add_argument
    add(
        "--etcd",
        metavar="<url>",
        help="Members of etcd, http://host:port or https://host:port, separated by commas. Run one manager beside each "
        "broker: the one that holds a lease there has its broker promoted, and demoted when it loses the lease. "
        "Without: no quorum, for brokers that are all on one machine",
    )
    add(
        "--etcd-trustfile",
        metavar="<certs>",
        help="Certificates to trust (PEM format) at https; the system's by default",
    )
    add("--cluster", metavar="<name>", default="qpid", help="Name of the cluster at etcd (Default qpid)")
    add(
        "--ttl",
        type=int,
        metavar="<seconds>",
        default=5,
        help="Seconds after which others take over from a host that is gone (Default 5)",
    )
    add(
        "--interval",
        type=float,
        metavar="<seconds>",
        default=0.5,
        help="Seconds between looks at the brokers (Default 0.5)",
    )


def manage(options: argparse.Namespace) -> int:
    """Manage until SIGTERM or SIGINT.

    Raises:
        ToolError: the options make no sense.
    """
    if options.interval <= 0 or options.ttl < 2:
        raise ToolError("--interval must be more than 0, and --ttl at least 2")
    etcd = None
    if options.etcd is not None:
        tls = None
        if options.etcd_trustfile:
            try:
                tls = ssl.create_default_context(cafile=options.etcd_trustfile)
            except OSError as error:
                raise ToolError(f"--etcd-trustfile {options.etcd_trustfile}: {error}") from error
        try:
            etcd = Etcd(options.etcd.split(","), tls=tls, timeout=min(1.0, options.ttl / 6))
        except ValueError as error:
            raise ToolError(str(error)) from error
    logging.basicConfig(stream=sys.stderr, level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s")
    # What becomes of its connections the manager says in its own words.
    logging.getLogger("qpid_messaging").setLevel(logging.CRITICAL)
    anyio.run(_until_signalled, options, etcd)
    return 0


async def _until_signalled(options: argparse.Namespace, etcd: Etcd | None) -> None:
    with anyio.open_signal_receiver(signal.SIGTERM, signal.SIGINT) as signals:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(_run, options, etcd)
            await signals.__anext__()
            tasks.cancel_scope.cancel()


async def _run(options: argparse.Namespace, etcd: Etcd | None) -> None:
    settings = connection_settings(options)
    timeout = min(options.timeout or 2.0, 2.0)
    own = ManagedBroker(options.broker, settings, timeout=timeout)
    if etcd is not None:
        await EtcdManager(own, etcd, cluster=options.cluster, ttl=options.ttl, interval=options.interval).run()
    encrypted, addresses = await _members(own, options.interval)
    user, at, _ = options.broker.rpartition("@")
    user = user.removeprefix("amqp:").removeprefix("amqps:")
    scheme = "amqps:" if encrypted else ""
    brokers = [ManagedBroker(f"{scheme}{user}{at}{address}", settings, timeout=timeout) for address in addresses]
    await LocalManager(brokers, interval=options.interval).run()


async def _members(broker: ManagedBroker, interval: float) -> tuple[bool, list[str]]:
    """Whether the brokers of a broker's cluster speak TLS, and their addresses, once it answers."""
    while True:
        try:
            url = await broker.brokers_url()
        except BrokerGone as error:
            logging.getLogger("qpid_server.ha.managers").info("waiting for %s", error)
            await anyio.sleep(interval)
            continue
        finally:
            broker.close()
        return member_addresses(url)
