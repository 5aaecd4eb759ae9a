"""The broker's options: command line before environment (``QPID_*``) before configuration file, as in the C++ broker.

Each option stands once, as a field of :class:`Options` with its help; the parser is made from the fields. A name's
spelling is ``max-connections`` on the command line and in ``qpidd.conf``, ``QPID_MAX_CONNECTIONS`` in the environment.
"""

from __future__ import annotations

import argparse
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any, NoReturn

__all__ = ["IGNORED", "OptionError", "Options", "parse_options"]

#: Options of the C++ broker that have no meaning here: accepted, and named in a warning.
IGNORED = frozenset(
    {
        "load-module",
        "module-dir",
        "no-module-dir",
        "pid-dir",
        "tcp-nodelay",
        "worker-threads",
        "connection-backlog",
        "sasl-config",
        "sasl-service-name",
        "paging-dir",
        "protocols",
    }
)


#: Options of the C++ broker that are refused, with what to do instead: to ignore them would be to let people down.
REFUSED = {
    "ssl-cert-db": "certificates come from PEM files: give --ssl-cert-file and --ssl-key-file, and --ssl-ca-file for "
    "those of clients (pk12util -o and openssl pkcs12 get them out of an NSS database)",
    "ssl-cert-name": "the certificate is the one in --ssl-cert-file",
    "ssl-use-export-policy": "there is no such encryption any more",
}


class OptionError(Exception):
    """An option that does not exist, or a value that it cannot have."""


def _yes_no(text: str) -> bool:
    lowered = text.strip().lower()
    if lowered in ("yes", "true", "on", "1", ""):
        return True
    if lowered in ("no", "false", "off", "0"):
        return False
    raise ValueError(f"{text!r} is neither yes nor no")


def _number(low: int, high: int | None = None) -> Callable[[str], int]:
    def convert(text: str) -> int:
        value = int(text)
        if value < low or (high is not None and value > high):
            raise ValueError(f"{value} is not {f'from {low} to {high}' if high is not None else f'{low} or more'}")
        return value

    return convert


def _seconds(text: str) -> float:
    value = float(text)
    if not 0 < value < 1e9:
        raise ValueError(f"{text} is not a number of seconds")
    return value


def _choice(*allowed: str) -> Callable[[str], str]:
    def convert(text: str) -> str:
        if text not in allowed:
            raise ValueError(f"{text!r} is none of {', '.join(allowed)}")
        return text

    return convert


def _names(*allowed: str) -> Callable[[str], str]:
    def convert(text: str) -> str:
        names = text.replace(",", " ").split()
        for name in names:
            if name not in allowed:
                raise ValueError(f"{name!r} is none of {', '.join(allowed)}")
        return " ".join(names)

    return convert


def _option(
    default: Any,
    help: str,
    convert: Callable[[str], Any] = str,
    *,
    value: str = "VALUE",
    group: str = "Broker",
    many: bool = False,
) -> Any:
    metadata = {"help": help, "convert": convert, "value": value, "group": group, "many": many}
    return field(default=default, metadata=metadata)


_HA = "High availability"
_SECURITY = "Security"


@dataclass(frozen=True)
class Options:
    """How a broker is configured. Every field is an option of ``qpidd``; see ``qpidd --help``."""

    port: int = _option(5672, "TCP port; 0 lets the system choose one and prints it", _number(0, 65535), value="PORT")
    interface: tuple[str, ...] = _option(
        (),
        "address to listen on, may be given several times; all by default, loopback only with --auth no",
        value="ADDRESS",
        many=True,
    )
    auth: bool = _option(True, "demand that clients authenticate (yes|no)", _yes_no, value="yes|no", group=_SECURITY)
    users_file: str = _option(
        "",
        "users and their hashed passwords, kept by qpid-passwd; DATA-DIR/qpidd.users by default",
        value="FILE",
        group=_SECURITY,
    )
    realm: str = _option("QPID", "realm that DIGEST-MD5 and CRAM-MD5 tell clients", value="REALM", group=_SECURITY)
    sasl_mechanisms: str = _option(
        "",
        "the only SASL mechanisms to offer, separated by spaces; by default those that users have secrets for",
        _names("SCRAM-SHA-256", "DIGEST-MD5", "CRAM-MD5", "PLAIN", "EXTERNAL", "ANONYMOUS"),
        value="NAMES",
        group=_SECURITY,
    )
    require_encryption: bool = _option(
        False, "turn away connections without encryption", _yes_no, value="yes|no", group=_SECURITY
    )
    ssl_port: tuple[int, ...] = _option(
        (5671,),
        "port for TLS, may be given several times; 0 lets the system choose. Nothing listens there without "
        "--ssl-cert-file",
        _number(0, 65535),
        value="PORT",
        many=True,
        group=_SECURITY,
    )
    ssl_cert_file: str = _option(
        "", "the broker's certificate and those between it and its authority, PEM", value="FILE", group=_SECURITY
    )
    ssl_key_file: str = _option(
        "", "the certificate's key, PEM; in --ssl-cert-file by default", value="FILE", group=_SECURITY
    )
    ssl_cert_password_file: str = _option(
        "", "file with the password of an encrypted key", value="FILE", group=_SECURITY
    )
    ssl_ca_file: str = _option(
        "",
        "certificates of the authorities whose word about clients (and other brokers) is good, PEM",
        value="FILE",
        group=_SECURITY,
    )
    ssl_require_client_authentication: bool = _option(
        False, "turn away clients that show no good certificate", _yes_no, value="yes|no", group=_SECURITY
    )
    ssl_sasl_no_dict: bool = _option(
        False,
        "over TLS, offer no SASL mechanism that somebody could guess passwords by: only EXTERNAL",
        _yes_no,
        value="yes|no",
        group=_SECURITY,
    )
    acl_file: str = _option(
        "",
        "access control list; so far it may only say 'acl allow all all'. Relative to the data directory",
        value="FILE",
        group=_SECURITY,
    )
    data_dir: str = _option("~/.qpidd", "directory for what the broker keeps on disk", value="DIR")
    no_data_dir: bool = _option(False, "keep nothing on disk", _yes_no, value="yes|no")
    max_negotiate_time: int = _option(
        10000, "milliseconds that a client may take until its connection is open", _number(1), value="MS"
    )
    max_connections: int = _option(500, "connections at one time; 0 is no limit", _number(0), value="N")
    connection_limit_per_user: int = _option(0, "connections of one user; 0 is no limit", _number(0), value="N")
    connection_limit_per_ip: int = _option(0, "connections from one address; 0 is no limit", _number(0), value="N")
    max_frame_size: int = _option(65535, "bytes of the largest frame", _number(4096, 65535), value="BYTES")
    max_message_size: int = _option(
        128 * 1024 * 1024, "bytes of the largest message, header and body", _number(4096), value="BYTES"
    )
    channel_max: int = _option(
        4095, "highest channel: one session less than a connection may have", _number(0, 65534), value="N"
    )
    heartbeat_max: int = _option(
        120, "longest heartbeat interval that a client may ask for, in seconds", _number(0, 65535), value="SECONDS"
    )
    session_max_timeout: int = _option(
        3600, "longest time that a session may outlive its connection, in seconds", _number(0), value="SECONDS"
    )
    dtx_default_timeout: int = _option(
        60,
        "seconds after which a distributed transaction is rolled back that is not prepared; 0 is never",
        _number(0),
        value="SECONDS",
    )
    dtx_max_timeout: int = _option(
        3600, "longest timeout of a distributed transaction, in seconds; 0 is no limit", _number(0), value="SECONDS"
    )
    enable_timestamp: bool = _option(
        False, "write the time of arrival into every message (yes|no)", _yes_no, value="yes|no"
    )
    mgmt_enable: bool = _option(True, "answer management tools (yes|no)", _yes_no, value="yes|no")
    mgmt_publish: bool = _option(
        True, "tell management tools what changes without being asked (yes|no)", _yes_no, value="yes|no"
    )
    mgmt_qmf1: bool = _option(False, "tell it over QMF v1 (yes|no)", _yes_no, value="yes|no")
    mgmt_qmf2: bool = _option(True, "tell it over QMF v2 (yes|no)", _yes_no, value="yes|no")
    mgmt_pub_interval: float = _option(
        10.0, "seconds between reports and heartbeats of the management agent", _seconds, value="SECONDS"
    )
    default_queue_limit: int = _option(
        100 * 1024 * 1024,
        "bytes that a queue holds which was declared without a limit; 0 is no limit",
        _number(0),
        value="BYTES",
    )
    default_message_group: str = _option(
        "qpid.no-group", "group of messages that do not name one, on queues with message groups", value="NAME"
    )
    queue_purge_interval: float = _option(
        600.0, "seconds between searches for messages that outlived their time to live", _seconds, value="SECONDS"
    )
    config: str = _option("/etc/qpid/qpidd.conf", "configuration file", value="FILE")
    log_enable: tuple[str, ...] = _option(
        ("notice+",),
        "LEVEL[+][:PATTERN] of what to log, may be given several times; levels are trace, debug, info, "
        "notice, warning, error, critical",
        value="RULE",
        many=True,
        group="Logging",
    )
    ha_cluster: bool = _option(False, "be a member of an HA cluster", _yes_no, value="yes|no", group=_HA)
    ha_brokers_url: str = _option("", "URL that lists the brokers of the cluster", value="URL", group=_HA)
    ha_public_url: str = _option(
        "", "URL that clients are told to use; ha-brokers-url by default", value="URL", group=_HA
    )
    ha_replicate: str = _option(
        "none",
        "what is replicated of queues and exchanges that do not say: none, configuration or all",
        _choice("none", "configuration", "all"),
        value="LEVEL",
        group=_HA,
    )
    ha_username: str = _option("", "user for connections between the brokers", value="USER", group=_HA)
    ha_password: str = _option("", "password for connections between the brokers", value="PASSWORD", group=_HA)
    ha_mechanism: str = _option("", "SASL mechanism for connections between the brokers", value="NAME", group=_HA)
    ha_backup_timeout: float = _option(
        10.0,
        "seconds that a new primary waits for the backups that were ready before",
        _seconds,
        value="SECONDS",
        group=_HA,
    )
    link_maintenance_interval: float = _option(
        2.0, "seconds between checks of the links to other brokers", _seconds, value="SECONDS", group=_HA
    )
    link_heartbeat_interval: float = _option(
        5.0,
        "heartbeat interval of the links between brokers; a link silent for two is broken",
        _seconds,
        value="SECONDS",
        group=_HA,
    )
    ha_min_replicas: int = _option(
        0, "backups that must hold an entry before it completes", _number(0), value="N", group=_HA
    )

    @property
    def data_path(self) -> Path | None:
        """The data directory, None where nothing is kept on disk."""
        return None if self.no_data_dir or not self.data_dir else Path(self.data_dir).expanduser()

    @property
    def acl_path(self) -> Path | None:
        """The access control list, None where there is none."""
        return (self.data_path or Path()) / Path(self.acl_file).expanduser() if self.acl_file else None

    @property
    def users_path(self) -> Path | None:
        """The file of users, None where there is none."""
        if self.users_file:
            return Path(self.users_file).expanduser()
        data = self.data_path
        return None if data is None else data / "qpidd.users"


_FIELDS = {entry.name.replace("_", "-"): entry for entry in fields(Options)}


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        raise OptionError(message)


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(prog="qpidd", description="An AMQP 0-10 message broker.", allow_abbrev=False)
    groups: dict[str, Any] = {}
    for name, entry in _FIELDS.items():
        meta = entry.metadata
        group = groups.setdefault(meta["group"], None) or parser.add_argument_group(meta["group"])
        groups[meta["group"]] = group
        flags = ["-p", "--port"] if name == "port" else [f"--{name}"]
        settings: dict[str, Any] = {"dest": entry.name, "default": None, "metavar": meta["value"]}
        if meta["many"]:
            settings["action"] = "append"
        if meta["convert"] is _yes_no:
            settings.update(nargs="?", const="yes")
        default = entry.default
        shown = " ".join(map(str, default)) if isinstance(default, tuple) else default
        if isinstance(shown, bool):
            shown = "yes" if shown else "no"
        group.add_argument(*flags, help=f"{meta['help']}" + (f" [{shown}]" if shown != "" else ""), **settings)
    return parser


def _convert(name: str, text: str, origin: str) -> Any:
    try:
        return _FIELDS[name].metadata["convert"](text)
    except ValueError as error:
        raise OptionError(f"{origin}: {name}: {error}") from None


def _from_file(path: Path, required: bool, ignored: list[str]) -> dict[str, Any]:
    try:
        text = path.read_text()
    except FileNotFoundError:
        if required:
            raise OptionError(f"configuration file {path} does not exist") from None
        return {}
    except (OSError, UnicodeDecodeError) as error:
        raise OptionError(f"configuration file {path}: {error}") from None
    values: dict[str, Any] = {}
    for number, line in enumerate(text.splitlines(), 1):
        line = line.split("#", 1)[0].strip()
        if not line:
            continue
        name, separator, value = line.partition("=")
        name, value = name.strip(), value.strip()
        origin = f"{path}:{number}"
        if name in IGNORED:
            ignored.append(name)
        elif name in REFUSED:
            raise OptionError(f"{origin}: {name} is not supported: {REFUSED[name]}")
        elif name not in _FIELDS or name == "config":
            raise OptionError(f"{origin}: unknown option {name!r}")
        else:
            _take(values, name, value if separator else "yes", origin)
    return values


def _from_environment(environment: Mapping[str, str], ignored: list[str]) -> dict[str, Any]:
    values: dict[str, Any] = {}
    for variable, value in environment.items():
        if variable.startswith("QPID_"):
            name = variable[len("QPID_") :].lower().replace("_", "-")
            if name in _FIELDS:
                _take(values, name, value, variable)
            elif name in REFUSED:
                raise OptionError(f"{variable} is not supported: {REFUSED[name]}")
            elif name in IGNORED:
                ignored.append(name)
    return values


def _take(values: dict[str, Any], name: str, text: str, origin: str) -> None:
    entry = _FIELDS[name]
    value = _convert(name, text, origin)
    if entry.metadata["many"]:
        values[entry.name] = (*values.get(entry.name, ()), value)
    else:
        values[entry.name] = value


def parse_options(arguments: Sequence[str], environment: Mapping[str, str] | None = None) -> tuple[Options, list[str]]:
    """The options that hold for a command line, an environment and the configuration file that they name.

    Args:
        arguments: the command line without the program's name.
        environment: variables; the process's own where not given.

    Returns:
        The options, and the names of those that were given and mean nothing here.

    Raises:
        OptionError: the text says which option is wrong, and where it stands.
        SystemExit: ``--help`` was given and has been printed.
    """
    environment = os.environ if environment is None else environment
    ignored: list[str] = []
    kept: list[str] = []
    rest = list(arguments)
    while rest:
        word = rest.pop(0)
        name, separator, _ = word.partition("=")
        if name.startswith("--") and name[2:] in REFUSED:
            raise OptionError(f"{name} is not supported: {REFUSED[name[2:]]}")
        if name.startswith("--") and name[2:] in IGNORED:
            ignored.append(name[2:])
            if not separator and rest and not rest[0].startswith("-"):
                rest.pop(0)
        else:
            kept.append(word)
    given: dict[str, Any] = {}
    for dest, value in vars(_parser().parse_args(kept)).items():
        if value is None:
            continue
        name = dest.replace("_", "-")
        for text in value if isinstance(value, list) else [value]:
            _take(given, name, text, "command line")
    from_environment = _from_environment(environment, ignored)
    path = given.get("config", from_environment.get("config"))
    values = _from_file(Path(path or Options.config).expanduser(), path is not None, ignored)
    values.update(from_environment)
    values.update(given)
    return Options(**values), ignored
