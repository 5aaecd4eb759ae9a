"""The events of the management schema."""

from __future__ import annotations

from qpid_messaging.management.qmf import BROKER_PACKAGE, HA_PACKAGE

from .declarations import Argument, EventSchema, Kind, Severity

__all__ = ["EVENTS"]

_ARGUMENTS = {
    "altEx": Kind.SHORT_TEXT,
    "args": Kind.MAP,
    "autoDel": Kind.BOOLEAN,
    "byteDepth": Kind.UINT64,
    "dest": Kind.SHORT_TEXT,
    "disp": Kind.SHORT_TEXT,
    "durable": Kind.BOOLEAN,
    "exName": Kind.SHORT_TEXT,
    "exType": Kind.SHORT_TEXT,
    "excl": Kind.BOOLEAN,
    "key": Kind.LONG_TEXT,
    "members": Kind.LIST,
    "msgDepth": Kind.UINT64,
    "properties": Kind.MAP,
    "qName": Kind.SHORT_TEXT,
    "qTarget": Kind.SHORT_TEXT,
    "reason": Kind.LONG_TEXT,
    "rhost": Kind.SHORT_TEXT,
    "user": Kind.SHORT_TEXT,
}


def _event(
    name: str, arguments: str, severity: Severity = Severity.INFORM, package: str = BROKER_PACKAGE
) -> EventSchema:
    kinds = tuple(Argument(argument, _ARGUMENTS[argument], "") for argument in arguments.split())
    return EventSchema(package, name, severity, kinds)


#: Every event, by name. Those of links to other brokers are known to consoles, and never come.
EVENTS = {
    schema.name: schema
    for schema in (
        _event("clientConnect", "rhost user properties"),
        _event("clientConnectFail", "rhost user reason properties", Severity.WARNING),
        _event("clientDisconnect", "rhost user properties"),
        _event("brokerLinkUp", "rhost"),
        _event("brokerLinkDown", "rhost", Severity.WARNING),
        _event("queueDeclare", "rhost user qName durable excl autoDel altEx args disp"),
        _event("queueDelete", "rhost user qName"),
        _event("exchangeDeclare", "rhost user exName exType altEx durable autoDel args disp"),
        _event("exchangeDelete", "rhost user exName"),
        _event("bind", "rhost user exName qName key args"),
        _event("unbind", "rhost user exName qName key"),
        _event("subscribe", "rhost user qName dest excl args"),
        _event("unsubscribe", "rhost user dest"),
        _event("queueThresholdCrossedUpward", "qName msgDepth byteDepth"),
        _event("queueThresholdCrossedDownward", "qName msgDepth byteDepth"),
        _event("queueThresholdExceeded", "qName msgDepth byteDepth", Severity.WARNING),
        _event("queueRedirect", "qName qTarget"),
        _event("queueRedirectCancelled", "qName qTarget"),
        _event("membersUpdate", "members", package=HA_PACKAGE),
    )
}
