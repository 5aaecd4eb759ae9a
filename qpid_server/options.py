"""The broker's options.

Each stands once, as a field of :class:`Options` with its help; the parser in `option_sources` is made from the fields.
A name's spelling is ``max-connections`` on the command line and in ``qpidd.conf``, ``QPID_MAX_CONNECTIONS`` in the
environment. What becomes of the C++ broker's options that have no field here says `option_table`.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from pathlib import Path

from .option_values import OptionError, choice, names, number, option, path, protocols, seconds
from .replication_rules import ReplicationRule

__all__ = ["OptionError", "Options"]

_general = partial(option, group="General")
_network = partial(option, group="Network")
_security = partial(option, group="Security")
_limit = partial(option, group="Limits")
_queue = partial(option, group="Queues and transactions")
_management = partial(option, group="Management")
_log = partial(option, group="Logging")
_daemon = partial(option, group="Daemon")
_ha = partial(option, group="High availability")


@dataclass(frozen=True)
class Options:
    """How a broker is configured. Every field is an option of ``qpidd``; see ``qpidd --help``."""

    config: str = _general("/etc/qpid/qpidd.conf", "configuration file", value="FILE")
    data_dir: str = _general("~/.qpidd", "directory for what the broker keeps on disk", path, value="DIR")
    no_data_dir: bool = _general(False, "keep nothing on disk")

    # -- network

    port: int = _network(
        5672, "TCP port; 0 lets the system choose one and prints it", number(0, 65535), value="PORT", short="p"
    )
    interface: tuple[str, ...] = _network(
        (),
        "network interface or address to listen on, may be given several times; all by default, loopback only with "
        "--auth no",
        value="NAME|ADDRESS",
        many=True,
    )
    listen_disable: tuple[str, ...] = _network(
        (), "transport not to listen on: tcp or ssl", choice("tcp", "ssl"), value="TRANSPORT", many=True
    )
    socket_fd: tuple[int, ...] = _network(
        (),
        "file descriptor of a TCP socket that listens already, may be given several times",
        number(0),
        value="FD",
        many=True,
    )
    connection_backlog: int = _network(
        511, "connections that the system lets wait until they are accepted", number(1, 65535), value="N"
    )
    tcp_nodelay: bool = _network(True, "send what there is at once (TCP_NODELAY)")
    protocols: str = _network(
        "amqp0-10", "protocols to allow; amqp0-10 must be among them, there is no other", protocols, value="NAMES"
    )
    known_hosts_url: str = _network(
        "none", "URL that clients are told for their fail-over, where the broker is in no cluster", value="URL|none"
    )

    http_port: int | None = _network(
        None,
        "port for browsers, load balancers (/ready) and Prometheus (/metrics); off by default, 0: the system chooses",
        number(0, 65535),
        value="PORT",
    )
    http_interface: str = _network(
        "127.0.0.1", "address to listen on for HTTP, which has no encryption", value="ADDRESS"
    )

    # -- security

    auth: bool = _security(True, "demand that clients authenticate")
    users_file: str = _security(
        "", "users and their hashed passwords, kept by qpid-passwd; DATA-DIR/qpidd.users by default", path, value="FILE"
    )
    realm: str = _security("QPID", "realm that DIGEST-MD5 and CRAM-MD5 tell clients", value="REALM")
    sasl_mechanisms: str = _security(
        "",
        "the only SASL mechanisms to offer, separated by spaces; by default those that users have secrets for",
        names("SCRAM-SHA-256", "DIGEST-MD5", "CRAM-MD5", "PLAIN", "EXTERNAL", "ANONYMOUS"),
        value="NAMES",
    )
    require_encryption: bool = _security(False, "turn away connections without encryption")
    ssl_port: tuple[int, ...] = _security(
        (5671,),
        "port for TLS, may be given several times; 0 lets the system choose. Nothing listens there without "
        "--ssl-cert-file",
        number(0, 65535),
        value="PORT",
        many=True,
    )
    ssl_cert_file: str = _security(
        "", "the broker's certificate and those between it and its authority, PEM", path, value="FILE"
    )
    ssl_key_file: str = _security("", "the certificate's key, PEM; in --ssl-cert-file by default", path, value="FILE")
    ssl_cert_password_file: str = _security("", "file with the password of an encrypted key", path, value="FILE")
    ssl_ca_file: str = _security(
        "",
        "certificates of the authorities whose word about clients (and other brokers) is good, PEM",
        path,
        value="FILE",
    )
    ssl_require_client_authentication: bool = _security(False, "turn away clients that show no good certificate")
    ssl_sasl_no_dict: bool = _security(
        False, "over TLS, offer no SASL mechanism that somebody could guess passwords by: only EXTERNAL"
    )
    acl_file: str = _security(
        "",
        "access control list; so far it may only say 'acl allow all all'. Relative to the data directory",
        value="FILE",
    )

    # -- limits

    max_negotiate_time: int = _limit(
        10000, "milliseconds that a client may take until its connection is open", number(1), value="MS"
    )
    max_connections: int = _limit(500, "connections at one time; 0 is no limit", number(0), value="N")
    connection_limit_per_user: int = _limit(0, "connections of one user; 0 is no limit", number(0), value="N")
    connection_limit_per_ip: int = _limit(0, "connections from one address; 0 is no limit", number(0), value="N")
    max_queues_per_user: int = _limit(0, "queues that one user declared; 0 is no limit", number(0), value="N")
    max_frame_size: int = _limit(65535, "bytes of the largest frame", number(4096, 65535), value="BYTES")
    max_message_size: int = _limit(
        128 * 1024 * 1024, "bytes of the largest message, header and body", number(4096), value="BYTES"
    )
    channel_max: int = _limit(
        4095, "highest channel: one session less than a connection may have", number(0, 65534), value="N"
    )
    heartbeat_max: int = _limit(
        120, "longest heartbeat interval that a client may ask for, in seconds", number(0, 65535), value="SECONDS"
    )
    session_max_timeout: int = _limit(
        3600, "longest time that a session may outlive its connection, in seconds", number(0), value="SECONDS"
    )

    # -- queues and transactions

    dtx_default_timeout: int = _queue(
        60,
        "seconds after which a distributed transaction is rolled back that is not prepared; 0 is never",
        number(0),
        value="SECONDS",
    )
    dtx_max_timeout: int = _queue(
        3600, "longest timeout of a distributed transaction, in seconds; 0 is no limit", number(0), value="SECONDS"
    )
    enable_timestamp: bool = _queue(False, "write the time of arrival into every message")
    default_queue_limit: int = _queue(
        100 * 1024 * 1024,
        "bytes that a queue holds which was declared without a limit; 0 is no limit",
        number(0),
        value="BYTES",
    )
    default_flow_stop_threshold: int = _queue(
        80,
        "percent of a queue's limit from which on producers wait, where its declaration does not say; 0 is never",
        number(0, 100),
        value="PERCENT",
    )
    default_flow_resume_threshold: int = _queue(
        70,
        "percent of a queue's limit below which they go on, where its declaration does not say",
        number(0, 100),
        value="PERCENT",
    )
    default_event_threshold_ratio: int = _queue(
        80,
        "percent of a queue's limit at which an event tells of it, where its declaration does not say; 0 is never",
        number(0, 100),
        value="PERCENT",
    )
    default_message_group: str = _queue(
        "qpid.no-group", "group of messages that do not name one, on queues with message groups", value="NAME"
    )
    queue_purge_interval: float = _queue(
        600.0, "seconds between searches for messages that outlived their time to live", seconds, value="SECONDS"
    )

    # -- management

    mgmt_enable: bool = _management(True, "answer management tools", short="m")
    mgmt_publish: bool = _management(True, "tell management tools what changes without being asked")
    mgmt_qmf1: bool = _management(False, "tell it over QMF v1")
    mgmt_qmf2: bool = _management(True, "tell it over QMF v2")
    mgmt_pub_interval: float = _management(
        10.0, "seconds between reports and heartbeats of the management agent", seconds, value="SECONDS"
    )
    federation_tag: str = _management(
        "", "the federation tag that management shows; the broker's identity by default", value="NAME"
    )

    # -- logging

    trace: bool = _log(False, "log everything", short="t")
    log_enable: tuple[str, ...] = _log(
        ("notice+",),
        "what to log: LEVEL[+|-][:PATTERN], may be given several times. Levels are trace, debug, info, notice, "
        "warning, error and critical; + is that one and those above, - that one and those below. PATTERN is a category "
        "(Security, Broker, Management, Protocol, System, HA, Messaging, Store, Network, Client, Unspecified) or part "
        "of the name of a module or function",
        value="RULE",
        many=True,
    )
    log_disable: tuple[str, ...] = _log(
        (),
        "what not to log, in the same way; goes before --log-enable. Critical messages are always logged",
        value="RULE",
        many=True,
    )
    log_to_stderr: bool = _log(True, "log to standard error")
    log_to_stdout: bool = _log(False, "log to standard output")
    log_to_file: str = _log(
        "", "log to a file; one that was moved away is made anew, so that logs can be rotated", path, value="FILE"
    )
    log_to_syslog: bool = _log(False, "log to syslog")
    syslog_name: str = _log("qpidd", "name in syslog", value="NAME")
    syslog_facility: str = _log(
        "LOG_DAEMON",
        "facility in syslog: LOG_DAEMON, LOG_USER, LOG_LOCAL0 to LOG_LOCAL7 and the others, with or without LOG_",
        value="FACILITY",
    )
    log_time: bool = _log(True, "write the time")
    log_category: bool = _log(True, "write the category")
    log_level: bool = _log(True, "write the level")
    log_source: bool = _log(False, "write file and line")
    log_thread: bool = _log(False, "write the thread's number")
    log_function: bool = _log(False, "write the function's name")
    log_hires_timestamp: bool = _log(False, "write times to the microsecond")
    log_prefix: str = _log("", "begin each line with this text", value="TEXT")

    # -- daemon

    daemon: bool = _daemon(
        False,
        "run in the background; end when it listens, or with an error. Logs to syslog unless told otherwise",
        short="d",
    )
    wait: int = _daemon(
        600, "seconds that a daemon may take to start, and to end after --quit", number(1), value="SECONDS", short="w"
    )
    check: bool = _daemon(
        False,
        "print the process id of the daemon on this port, and end: with 0 if there is one, else with 1",
        short="c",
    )
    quit: bool = _daemon(False, "end the daemon on this port, in order, and wait until it is gone", short="q")
    kill: bool = _daemon(False, "kill the daemon on this port", short="k")
    pid_dir: str = _daemon(
        "~/.qpidd", "directory for the file qpidd.PORT.pid of a daemon's process id", path, value="DIR"
    )
    transport: str = _daemon(
        "tcp",
        "transport whose port is printed, and names the daemon: tcp or ssl",
        choice("tcp", "ssl"),
        value="TRANSPORT",
    )
    close_fd: tuple[int, ...] = _daemon(
        (), "file descriptor that the daemon is to close, may be given several times", number(3), value="FD", many=True
    )

    # -- high availability

    ha_cluster: bool = _ha(False, "be a member of an HA cluster")
    ha_brokers_url: str = _ha("", "URL that lists the brokers of the cluster", value="URL")
    ha_public_url: str = _ha("", "URL that clients are told to use; ha-brokers-url by default", value="URL")
    ha_replicate: str = _ha(
        "none",
        "what is replicated of queues and exchanges that do not say: none, configuration or all",
        choice("none", "configuration", "all"),
        value="LEVEL",
    )
    ha_replicate_rule: tuple[str, ...] = _ha(
        (),
        "the same for those of a name, [queue:|exchange:]PATTERN=LEVEL, with * and ? in PATTERN; may be given several "
        "times, and the first that fits holds",
        lambda text: str(ReplicationRule.parse(text)),
        value="RULE",
        many=True,
    )
    ha_queue_replication: bool = _ha(False, "replicate single queues of other brokers, in a cluster or not")
    ha_username: str = _ha("", "user for connections between the brokers", value="USER")
    ha_password: str = _ha("", "password for connections between the brokers", value="PASSWORD")
    ha_mechanism: str = _ha("", "SASL mechanism for connections between the brokers", value="NAME")
    ha_backup_timeout: float = _ha(
        10.0, "seconds that a new primary waits for the backups that were ready before", seconds, value="SECONDS"
    )
    link_maintenance_interval: float = _ha(
        2.0, "seconds between checks of the links to other brokers", seconds, value="SECONDS"
    )
    link_heartbeat_interval: float = _ha(
        5.0,
        "heartbeat interval of the links between brokers; a link silent for two is broken",
        seconds,
        value="SECONDS",
    )
    ha_min_replicas: int = _ha(0, "backups that must hold an entry before it completes", number(0), value="N")
    ha_async: bool = _ha(
        False, "follow without ever being waited for, as a disaster-recovery site does; promoted by force only"
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
