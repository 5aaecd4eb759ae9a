"""What becomes of the C++ broker's options that this one does not have; those that it has are fields of `Options`.

Nothing that an operator wrote is passed over in silence. Where leaving an option out changes nothing that anybody could
rely on, it is accepted and named in a warning; otherwise the broker does not start and says why.
"""

from __future__ import annotations

from typing import NamedTuple

__all__ = ["ALIASES", "REFUSED", "UNNEEDED", "Refusal"]

#: Other spellings: those of earlier versions of the C++ broker, and of the preview of its HA module.
ALIASES = {
    "ha-brokers": "ha-brokers-url",
    "ha-public-brokers": "ha-public-url",
    "max-connections-per-ip": "connection-limit-per-ip",
    "max-connections-per-user": "connection-limit-per-user",
}

_MODULES = "everything is built in, nothing is loaded"
_THREADS = "one event loop does all the work"
_CYRUS = "users stand in --users-file, which qpid-passwd keeps"
_HA_FLOW = "a backup's connection is written as fast as it reads"

#: Accepted with a warning: why nothing is missing without it.
UNNEEDED = {
    "client-config": "links to other brokers are configured by this broker's own options",
    "ha-flow-bytes": _HA_FLOW,
    "ha-flow-messages": _HA_FLOW,
    "load-module": _MODULES,
    "max-purge-batch": "other clients are served between the steps of a long purge",
    "module-dir": _MODULES,
    "no-module-dir": _MODULES,
    "sasl-config": _CYRUS,
    "sasl-service-name": "there is no Kerberos, the only one to read it",
    "session-max-unacked": "what a consumer may hold unacknowledged is its credit",
    "watchdog-interval": "there is no second thread to watch the first",
    "worker-threads": _THREADS,
}


class Refusal(NamedTuple):
    """Why an option is refused.

    Attributes:
        reason: what to do instead, or what is missing.
        harmless: values that ask for nothing, and pass.
    """

    reason: str
    harmless: tuple[str, ...] = ()


_NO_STORE = Refusal("there is no store: durable messages live as long as one member of the cluster does")
_NO_REPLICATION_EXCHANGE = Refusal("use --ha-queue-replication or a cluster", ("no", "false", "0"))
_ONE_PROTOCOL = Refusal("it configures AMQP 1.0, and this broker speaks AMQP 0-10 only")
_OLD_CLUSTER = Refusal("clusters of brokers that are all active are gone from the C++ broker too: see --ha-cluster")

#: Not accepted, since to go on without them would be to let people down.
REFUSED = {
    "cluster-name": _OLD_CLUSTER,
    "cluster-size": _OLD_CLUSTER,
    "cluster-url": _OLD_CLUSTER,
    "create-replication-queue": _NO_REPLICATION_EXCHANGE,
    "domain": _ONE_PROTOCOL,
    "efp-file-size": _NO_STORE,
    "efp-partition": _NO_STORE,
    "jfile-size-pgs": _NO_STORE,
    "journal-flush-timeout": _NO_STORE,
    "num-jfiles": _NO_STORE,
    "overwrite-before-return": _NO_STORE,
    "paging-dir": Refusal("queues are held in memory, there is no paging"),
    "queue-patterns": _ONE_PROTOCOL,
    "replication-exchange-name": _NO_REPLICATION_EXCHANGE,
    "replication-listener-name": _NO_REPLICATION_EXCHANGE,
    "replication-queue": _NO_REPLICATION_EXCHANGE,
    "ssl-cert-db": Refusal(
        "certificates come from PEM files: give --ssl-cert-file and --ssl-key-file, and --ssl-ca-file for those of "
        "clients (pk12util -o and openssl pkcs12 get them out of an NSS database)"
    ),
    "ssl-cert-name": Refusal("the certificate is the one in --ssl-cert-file"),
    "ssl-use-export-policy": Refusal("there is no such encryption any more", ("no", "false", "0")),
    "store-dir": _NO_STORE,
    "topic-patterns": _ONE_PROTOCOL,
    "tpl-jfile-size-pgs": _NO_STORE,
    "tpl-num-jfiles": _NO_STORE,
    "tpl-wcache-num-pages": _NO_STORE,
    "tpl-wcache-page-size": _NO_STORE,
    "truncate": _NO_STORE,
    "wcache-num-pages": _NO_STORE,
    "wcache-page-size": _NO_STORE,
}
