"""The options by which tools find a broker and are let in."""

from __future__ import annotations

import argparse
import math
from collections.abc import Callable
from typing import Any

from qpid_address import BrokerAddress, BrokerURL

from .qpidd_conf import find_qpidd_conf, read_qpidd_conf

__all__ = [
    "add_broker_options",
    "add_ha_admin_option",
    "add_security_options",
    "complete_broker_options",
    "connection_settings",
    "security_settings",
]

DEFAULT_BROKER = "0.0.0.0"
DEFAULT_TIMEOUT = 10.0  # seconds


def add_broker_options(parser: argparse.ArgumentParser) -> None:
    """Give a tool's parser the options, under their own heading."""
    add = parser.add_argument_group("Broker connection options").add_argument
    add(
        "-b",
        "--broker",
        metavar="<address>",
        help="Address of qpidd broker with syntax: [username/password@] hostname | ip-address [:<port>] "
        f"(Default {DEFAULT_BROKER})",
    )
    add(
        "--timeout",
        type=float,
        metavar="<seconds>",
        help="Give up if the broker does not respond within the timeout. 0 means wait forever "
        f"(Default {DEFAULT_TIMEOUT})",
    )
    add_security_options(add)
    add(
        "--config",
        "--config-file",
        metavar="<path/to/qpidd.conf>",
        help="Read what the command line leaves open from the broker's configuration file: ha-username, "
        "ha-password, ha-mechanism, port, ha-brokers-url and link-heartbeat-interval",
    )


def add_security_options(add: Callable[..., object]) -> None:
    """Give a tool's parser, or a group of it, the options by which a broker lets it in."""
    add(
        "--sasl-mechanism",
        metavar="<mech>",
        help="SASL mechanism for authentication (for example ANONYMOUS or PLAIN); the most secure one that both "
        "sides have where not given",
    )
    add("--sasl-service-name", metavar="<name>", help="SASL service name to use")
    add("--ssl-certificate", metavar="<cert>", help="Client SSL certificate (PEM format)")
    add("--ssl-key", metavar="<key>", help="Client SSL private key (PEM format)")
    # The original tools trust every broker, and so need neither.
    add("--ssl-trustfile", metavar="<certs>", help="Certificates to trust (PEM format); the system's by default")
    add(
        "--ssl-skip-hostname-check",
        action="store_true",
        help="A certificate for another host will do; without --ssl-trustfile, any",
    )


def add_ha_admin_option(add: Callable[..., object]) -> None:
    """Give a tool's parser, or a group of it, the option for brokers that turn clients away."""
    add("--ha-admin", action="store_true", help="Allow connection to a HA backup broker")


def complete_broker_options(parser: argparse.ArgumentParser, options: argparse.Namespace) -> None:
    """Fill in what the command line leaves open: from the configuration file, then from the defaults.

    Args:
        parser: ends the process where options do not fit together.
        options: changed in place. `timeout` is None for ever afterwards; `brokers_url` is the configuration's
            `ha-brokers-url`, or empty.

    Raises:
        OSError: the configuration file cannot be read.
        ValueError: the broker's address or the configuration file makes no sense.
    """
    config: dict[str, str] = {}
    if not options.broker:
        options.broker = DEFAULT_BROKER
        if not options.config:
            options.config = find_qpidd_conf()
    _check_security(parser, options)
    if options.config:
        config = read_qpidd_conf(options.config)
        options.broker = _qualify(options.broker, config)
        options.sasl_mechanism = options.sasl_mechanism or config.get("ha-mechanism")
        if options.timeout is None:
            heartbeat = config.get("ha-heartbeat-interval") or config.get("link-heartbeat-interval")
            options.timeout = float(heartbeat) if heartbeat else None
    if options.timeout is None:
        options.timeout = DEFAULT_TIMEOUT
    options.timeout = options.timeout or None
    options.brokers_url = config.get("ha-brokers-url", "")


def _qualify(url: str, config: dict[str, str]) -> str:
    """The URL, with user, password and port from the configuration where it has none."""
    given = BrokerURL.parse(url)
    port = int(config["port"]) if config.get("port") else None
    addresses = tuple(BrokerAddress(at.transport, at.host, at.port or port) for at in given.addresses)
    configured = config.get("ha-username") or None
    user, password = given.user or configured, given.password
    if password is None and user is not None and user == configured:
        password = config.get("ha-password")
    return str(BrokerURL(user, password, addresses))


def _check_security(parser: argparse.ArgumentParser, options: argparse.Namespace) -> None:
    if options.ssl_key and not options.ssl_certificate:
        parser.error("missing '--ssl-certificate' (required by '--ssl-key')")


def security_settings(parser: argparse.ArgumentParser, options: argparse.Namespace) -> dict[str, Any]:
    """The arguments for `Connection` that the security options, and that for backups, come to.

    Args:
        parser: ends the process where options do not fit together.
        options: the command line.
    """
    _check_security(parser, options)
    found = _security(options)
    if getattr(options, "ha_admin", False):
        found["client_properties"] = {"qpid.ha-admin": 1}
    return found


def _security(options: argparse.Namespace) -> dict[str, Any]:
    given = {
        "sasl_mechanisms": options.sasl_mechanism,
        "sasl_service": options.sasl_service_name,
        "ssl_certfile": options.ssl_certificate,
        "ssl_keyfile": options.ssl_key,
        "ssl_trustfile": options.ssl_trustfile,
        "ssl_skip_hostname_check": options.ssl_skip_hostname_check,
    }
    return {name: value for name, value in given.items() if value}


def connection_settings(options: argparse.Namespace) -> dict[str, Any]:
    """The arguments for `Connection.establish` that completed options come to, apart from the URL."""
    found = _security(options)
    if options.timeout:
        found.update(timeout=options.timeout, heartbeat=math.ceil(options.timeout / 2))
    return found
