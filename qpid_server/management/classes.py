"""The classes of the management schema, as consoles know them from the C++ broker (packages broker and ha).

Classes of that broker which have nothing to stand for here (links and bridges to other brokers, AMQP 1.0) are left out,
statistics that it calls deprecated are kept: tools may ask for them.
"""

from __future__ import annotations

from qpid_messaging.management.qmf import BROKER_PACKAGE, HA_PACKAGE

from .declarations import Access, Argument, ClassSchema, Kind, Method, Property, Statistic, average, watermarks

__all__ = [
    "BINDING",
    "BROKER",
    "CONNECTION",
    "EXCHANGE",
    "HA_BROKER",
    "MEMORY",
    "QUEUE",
    "SESSION",
    "SUBSCRIPTION",
    "SYSTEM",
    "VHOST",
]

_CREATE = Access.CREATE
_TEXT, _LONG, _FLAG, _MAP, _COUNT = Kind.SHORT_TEXT, Kind.LONG_TEXT, Kind.BOOLEAN, Kind.MAP, Kind.UINT32


def _key(name: str, kind: Kind = _TEXT, references: str = "") -> Property:
    return Property(name, kind, _CREATE, index=True, references=references)


def _counts(unit: str, *names: str) -> tuple[Statistic, ...]:
    return tuple(Statistic(name, Kind.UINT64, unit) for name in names)


def _in_and_out(*what: str) -> tuple[Statistic, ...]:
    """Messages and bytes that were enqueued and dequeued: in all, or of some sort."""
    return tuple(
        Statistic(f"{prefix}{sort}{direction}", Kind.UINT64, unit)
        for sort in what
        for prefix, unit in (("msg", "message"), ("byte", "octet"))
        for direction in ("Enqueues", "Dequeues")
    )


_DEPTH = (Statistic("msgDepth", unit="message"), Statistic("byteDepth", unit="octet"))
_FLOWED_TO_DISK = (
    *_in_and_out("Ftd"),
    Statistic("msgFtdDepth", unit="message"),
    Statistic("byteFtdDepth", unit="octet"),
)
_DISCARDS = ("discardsTtl", "discardsRing", "discardsLvq", "discardsOverflow", "discardsSubscriber", "discardsPurge")
_FILTER = Argument("filter", Kind.MAP)

SYSTEM = ClassSchema(
    BROKER_PACKAGE,
    "system",
    (
        _key("systemId", Kind.UUID),
        *(Property(name, _TEXT) for name in ("osName", "nodeName", "release", "version", "machine")),
    ),
)

MEMORY = ClassSchema(
    BROKER_PACKAGE,
    "memory",
    (
        _key("name"),
        *(
            Property(f"malloc_{name}", Kind.UINT64, optional=True)
            for name in ("arena", "ordblks", "hblks", "hblkhd", "uordblks", "fordblks", "keepcost")
        ),
    ),
)

BROKER = ClassSchema(
    BROKER_PACKAGE,
    "broker",
    (
        _key("name"),
        Property("systemRef", Kind.REFERENCE, references="System"),
        *(Property(name, Kind.UINT16) for name in ("port", "workerThreads", "maxConns", "connBacklog")),
        Property("stagingThreshold", _COUNT),
        Property("mgmtPublish", _FLAG),
        Property("mgmtPubInterval", Kind.UINT16, Access.WRITE, unit="second"),
        Property("version", _TEXT),
        Property("dataDir", _LONG, optional=True),
    ),
    (
        Statistic("uptime", Kind.DURATION),
        *_counts("queue", "queueCount"),
        *_in_and_out("Total"),
        *_DEPTH,
        *_in_and_out("Persist", "Txn"),
        *_FLOWED_TO_DISK,
        *_counts("message", "releases", "acquires", "discardsNoRoute", *_DISCARDS),
        *_counts("message", "reroutes", "abandoned", "abandonedViaAlt"),
    ),
    (
        Method("echo", (Argument("sequence", _COUNT, "IO"), Argument("body", _LONG, "IO")), "Answer with the same"),
        Method(
            "connect",
            (
                Argument("host", _TEXT),
                Argument("port", _COUNT),
                Argument("durable", _FLAG),
                *(Argument(name, _TEXT) for name in ("authMechanism", "username", "password", "transport")),
            ),
            "Link to another broker",
        ),
        Method(
            "queueMoveMessages",
            (Argument("srcQueue", _TEXT), Argument("destQueue", _TEXT), Argument("qty", _COUNT), _FILTER),
            "Move so many messages (0: all) to another queue",
        ),
        Method("setLogLevel", (Argument("level", _TEXT),), "Change what is logged"),
        Method("getLogLevel", (Argument("level", _TEXT, "O"),), "What is logged"),
        Method("getTimestampConfig", (Argument("receive", _FLAG, "O"),), "Whether messages get their time of arrival"),
        Method("setTimestampConfig", (Argument("receive", _FLAG),), "Give messages their time of arrival, or not"),
        Method(
            "create",
            (Argument("type", _TEXT), Argument("name", _TEXT), Argument("properties", _MAP), Argument("strict", _FLAG)),
            "Create a queue, exchange or binding",
        ),
        Method(
            "delete",
            (Argument("type", _TEXT), Argument("name", _TEXT), Argument("options", _MAP)),
            "Delete a queue, exchange or binding",
        ),
        Method(
            "query",
            (Argument("type", _TEXT), Argument("name", _TEXT), Argument("results", _MAP, "O")),
            "The inner state of an object",
        ),
        Method("getLogHiresTimestamp", (Argument("logHires", _FLAG, "O"),), "Whether log times are fine"),
        Method("setLogHiresTimestamp", (Argument("logHires", _FLAG),), "Make log times fine, or not"),
        Method(
            "queueRedirect",
            (Argument("sourceQueue", _TEXT), Argument("targetQueue", _TEXT)),
            "Let another queue have what is sent to one; without a target: no more",
        ),
        Method("shutdown", (), "End the broker"),
    ),
)

VHOST = ClassSchema(
    BROKER_PACKAGE,
    "vhost",
    (_key("brokerRef", Kind.REFERENCE, "Broker"), _key("name"), Property("federationTag", _TEXT)),
)

_VHOST_REF = _key("vhostRef", Kind.REFERENCE, "Vhost")

QUEUE = ClassSchema(
    BROKER_PACKAGE,
    "queue",
    (
        _VHOST_REF,
        _key("name"),
        Property("durable", _FLAG, _CREATE),
        Property("autoDelete", _FLAG, _CREATE),
        Property("exclusive", _FLAG),
        Property("arguments", _MAP),
        Property("altExchange", Kind.REFERENCE, optional=True, references="Exchange"),
    ),
    (
        *_counts("message", "msgTotalEnqueues", "msgTotalDequeues", "msgTxnEnqueues", "msgTxnDequeues"),
        *_counts("message", "msgPersistEnqueues", "msgPersistDequeues"),
        *_DEPTH,
        *_counts("octet", "byteTotalEnqueues", "byteTotalDequeues", "byteTxnEnqueues", "byteTxnDequeues"),
        *_counts("octet", "bytePersistEnqueues", "bytePersistDequeues"),
        *_FLOWED_TO_DISK,
        *_counts("message", "releases", "acquires", *_DISCARDS, "reroutes"),
        *watermarks("consumerCount", "consumer"),
        *watermarks("bindingCount", "binding"),
        *watermarks("unackedMessages", "message"),
        *average("messageLatency"),
        Statistic("flowStopped", _FLAG),
        Statistic("flowStoppedCount", _COUNT),
        Statistic("redirectPeer", _TEXT),
        Statistic("redirectSource", _FLAG),
        Statistic("creator", _TEXT),
    ),
    (
        Method("purge", (Argument("request", _COUNT), _FILTER), "Discard so many messages (0: all)"),
        Method(
            "reroute",
            (Argument("request", _COUNT), Argument("useAltExchange", _FLAG), Argument("exchange", _TEXT), _FILTER),
            "Send so many messages (0: all) through another exchange",
        ),
    ),
)

EXCHANGE = ClassSchema(
    BROKER_PACKAGE,
    "exchange",
    (
        _VHOST_REF,
        _key("name"),
        Property("type", _TEXT),
        Property("durable", _FLAG),
        Property("autoDelete", _FLAG),
        Property("altExchange", Kind.REFERENCE, optional=True, references="Exchange"),
        Property("arguments", _MAP),
    ),
    (
        *watermarks("producerCount"),
        *watermarks("bindingCount"),
        *_counts("", "msgReceives", "msgDrops", "msgRoutes", "byteReceives", "byteDrops", "byteRoutes"),
    ),
)

BINDING = ClassSchema(
    BROKER_PACKAGE,
    "binding",
    (
        _key("exchangeRef", Kind.REFERENCE, "Exchange"),
        _key("queueRef", Kind.REFERENCE, "Queue"),
        _key("bindingKey", _LONG),
        Property("arguments", _MAP, _CREATE),
        Property("origin", _TEXT, optional=True),
    ),
    (Statistic("msgMatched"),),
)

SUBSCRIPTION = ClassSchema(
    BROKER_PACKAGE,
    "subscription",
    (
        _key("sessionRef", Kind.REFERENCE, "Session"),
        _key("queueRef", Kind.REFERENCE, "Queue"),
        _key("name"),
        *(Property(name, _FLAG, _CREATE) for name in ("browsing", "acknowledged", "exclusive")),
        Property("creditMode", _TEXT),
        Property("arguments", _MAP, _CREATE),
    ),
    _counts("message", "delivered"),
)

CONNECTION = ClassSchema(
    BROKER_PACKAGE,
    "connection",
    (
        _VHOST_REF,
        _key("address"),
        Property("incoming", _FLAG, _CREATE),
        Property("SystemConnection", _FLAG, _CREATE),
        Property("userProxyAuth", _FLAG),
        Property("federationLink", _FLAG),
        Property("authIdentity", _TEXT),
        Property("remoteProcessName", _LONG, optional=True),
        Property("remotePid", _COUNT, optional=True),
        Property("remoteParentPid", _COUNT, optional=True),
        Property("shadow", _FLAG),
        Property("saslMechanism", _TEXT),
        Property("saslSsf", Kind.UINT16),
        Property("remoteProperties", _MAP),
        Property("protocol", _TEXT, _CREATE),
    ),
    (
        Statistic("closing", _FLAG),
        *_counts("", "framesFromClient", "framesToClient", "bytesFromClient", "bytesToClient"),
        *_counts("", "msgsFromClient", "msgsToClient"),
    ),
    (Method("close", (), "End the connection"),),
)

SESSION = ClassSchema(
    BROKER_PACKAGE,
    "session",
    (
        _VHOST_REF,
        _key("name"),
        Property("fullName", _LONG, optional=True),
        Property("channelId", Kind.UINT16),
        Property("connectionRef", Kind.REFERENCE, references="Connection"),
        Property("detachedLifespan", _COUNT, unit="second"),
        Property("attached", _FLAG),
        Property("expireTime", Kind.TIME, optional=True),
        Property("maxClientRate", _COUNT, optional=True, unit="msgs/sec"),
    ),
    (
        Statistic("unackedMessages", unit="message"),
        *_counts("transaction", "TxnStarts", "TxnCommits", "TxnRejects"),
        Statistic("TxnCount", _COUNT, "transaction"),
        Statistic("clientCredit", _COUNT, "message"),
        Statistic("framesOutstanding", _COUNT),
    ),
    tuple(Method(name) for name in ("solicitAck", "detach", "resetLifespan", "close")),
)

HA_BROKER = ClassSchema(
    HA_PACKAGE,
    "habroker",
    (
        _key("name"),
        *(Property(name, _TEXT) for name in ("status", "brokersUrl", "publicUrl", "replicateDefault")),
        Property("members", Kind.LIST),
        Property("systemId", Kind.UUID),
        # From here on they are this broker's own.
        Property("epoch", _TEXT),
        Property("index", Kind.UINT64),
        Property("replicateRules", Kind.LIST),
        Property("minReplicas", Kind.UINT32),
        Property("replicas", Kind.LIST),
    ),
    (),
    (
        Method("promote", (), "Make this broker the primary"),
        Method("demote", (Argument("wait", Kind.UINT32),), "Make this broker the primary no more"),
        Method("forget", (Argument("member", _TEXT),), "Count a member no more that will not come back"),
        Method("setBrokersUrl", (Argument("url", _TEXT),), "Where the members of the cluster are"),
        Method("setPublicUrl", (Argument("url", _TEXT),), "Where clients find the cluster"),
        Method("setReplicateRules", (Argument("rules", Kind.LIST),), "What is replicated, by names"),
        Method(
            "replicate",
            (Argument("broker", _TEXT), Argument("queue", _TEXT)),
            "Let a queue follow the one of its name on another broker",
        ),
        Method("stopReplicating", (Argument("queue", _TEXT),), "Let it follow no more"),
    ),
)
