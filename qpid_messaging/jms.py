"""What a connection URL of the JMS client means, in the options of a connection.

A broker that says nothing of an option has what the connection's own options say, and then what the first broker says;
so have brokers that are learnt later. The fail-over methods:

=================== ===================================================================================================
`roundrobin`        each broker in turn, `cyclecount` rounds after the first, 1 by default; the method for several
`failover_exchange` the same, with the brokers that the first one tells of through the exchange `amq.failover`
`singlebroker`      the first broker only, as often as its `retries` say; the method for one broker
`nofailover`        the first broker only, once
=================== ===================================================================================================

Every broker is tried `retries` times more before the next one, with `connectdelay` milliseconds before each of them.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Any

from qpid_address import BrokerAddress, JMSBroker, JMSConnectionURL

from .exceptions import ConnectError

__all__ = ["JMSOptions", "jms_options"]

log = logging.getLogger("qpid_messaging")

Convert = Callable[[str], Any]


def _count(value: str) -> int:
    count = int(value)
    if count < 0:
        raise ValueError
    return count


def _milliseconds(value: str) -> float:
    return _count(value) / 1000


def _idle_timeout(value: str) -> float:
    """Milliseconds for the client, and seconds in the high availability guide: nobody can mean the other."""
    timeout = _count(value)
    return timeout / 1000 if timeout >= 1000 else timeout


def _flag(value: str) -> bool:
    try:
        return {"true": True, "false": False}[value.lower()]
    except KeyError:
        raise ValueError from None


def _not_flag(value: str) -> bool:
    return not _flag(value)


#: Options of a broker, or of all of them: what each is called here.
_OPTIONS: Mapping[str, tuple[str, Convert]] = {
    "retries": ("connect_retries", _count),
    "connectdelay": ("connect_delay", _milliseconds),
    "connecttimeout": ("connect_timeout", _milliseconds),
    "idle_timeout": ("heartbeat", _idle_timeout),
    "heartbeat": ("heartbeat", _count),  # behind idle_timeout: it goes before that
    "sasl_mechs": ("sasl_mechanisms", str),
    "sasl_protocol": ("sasl_service", str),
    "tcp_nodelay": ("tcp_nodelay", _flag),
    "ssl": ("transport", lambda value: "ssl" if _flag(value) else "tcp"),
    "ssl_verify_hostname": ("ssl_skip_hostname_check", _not_flag),
    "trusted_certs_path": ("ssl_trustfile", str),
    "client_cert_path": ("ssl_certfile", str),
    "client_cert_priv_key_path": ("ssl_keyfile", str),
}

_KEY_STORE = ("ssl_certfile", "a Java key store cannot be read: give ssl_certfile and ssl_keyfile, PEM")
_TRUST_STORE = ("ssl_trustfile", "a Java trust store cannot be read: give ssl_trustfile, PEM")
#: Options that cannot be had: which of ours, if given, makes up for them; and what to do.
_REFUSED: Mapping[str, tuple[str | None, str]] = {
    "key_store": _KEY_STORE,
    "key_store_password": _KEY_STORE,
    "ssl_cert_alias": _KEY_STORE,
    "trust_store": _TRUST_STORE,
    "trust_store_password": _TRUST_STORE,
    "client_cert_intermediary_cert_path": ("ssl_certfile", "append the certificates to the file client_cert_path"),
    "sasl_encryption": (None, "SASL encrypts nothing here: say ssl='true'"),
    "encryption_key_store": (None, "messages cannot be encrypted here"),
    "encryption_key_store_password": (None, "messages cannot be encrypted here"),
    "encryption_trust_store": (None, "messages cannot be encrypted here"),
    "encryption_trust_store_password": (None, "messages cannot be encrypted here"),
    "encryption_remote_trust_store": (None, "messages cannot be encrypted here"),
}

#: What the URL says to the JMS API, which is not here: the application says it to sessions, senders and receivers.
_OF_THE_API = frozenset(
    {
        "closeWhenNoRoute",
        "defaultQueueExchange",
        "defaultTopicExchange",
        "maxprefetch",
        "rejectbehaviour",
        "sasl_server",  # of Kerberos
        "sync_ack",
        "sync_persistence",
        "sync_publish",
        "temporaryQueueExchange",
        "temporaryTopicExchange",
        "use_legacy_map_msg_format",
        "use_legacy_stream_msg_format",
        "verifyQueueOnSend",
    }
)

#: The fail-over methods: what each means, and how many rounds it makes after the first where `cyclecount` is not given.
_METHODS: Mapping[str, tuple[dict[str, Any], int]] = {
    "roundrobin": ({}, 1),
    "failover_exchange": ({"failover_updates": True, "reconnect_urls_replace": True}, 1),
    "singlebroker": ({}, 0),
    "nofailover": ({}, 0),
}
_IN_TURN = ("roundrobin", "failover_exchange")


@dataclass
class JMSOptions:
    """A connection URL in terms of this client.

    Attributes:
        options: options of the connection by name, those that the application gave included.
        brokers: the brokers in order, each with the options that are its own.
        rounds: rounds over them after the first.
    """

    options: dict[str, Any]
    brokers: dict[BrokerAddress, dict[str, Any]]
    rounds: int


def jms_options(url: JMSConnectionURL, given: Mapping[str, Any]) -> JMSOptions:
    """Read a connection URL. What it says to the JMS API, and means nothing here, is named in a line of the log.

    Args:
        url: the URL.
        given: options that the application gave beside it; these go first, but for user, password and virtual host.

    Raises:
        ConnectError: an option that there is not, that cannot be had here, or that has an impossible value; or a
            fail-over method that there is not.
    """
    method = url.failover or ("roundrobin" if len(url.brokers) > 1 else "singlebroker")
    if method not in _METHODS:
        raise ConnectError(text=f"connection URL: no fail-over method {method}; there are {', '.join(_METHODS)}")
    defaults, rounds = _METHODS[method]
    rounds = _rounds(url.failover_options, rounds)
    listed = url.brokers if method in _IN_TURN else url.brokers[:1]
    common = _read(url.options, "the connection", given)
    own = [_read(broker.options, f"{broker.host}:{broker.port}", given) for broker in listed]
    for options in own:
        # What a broker says of encryption is about itself alone, and what the connection says overrides it.
        options["transport"] = common.get("transport", options.get("transport", "tcp"))
    if method == "nofailover":
        for options in (common, *own):
            options.pop("connect_retries", None)
    defaults = {**defaults, **own[0], **common}
    again = rounds or len(listed) > 1 or own[0].get("connect_retries", common.get("connect_retries"))
    defaults["reconnect"] = method != "nofailover" and bool(again)
    _tell_ignored(url)
    return JMSOptions(
        {**defaults, **given, **_identity(url, given)},
        {_address(broker, {**options, **given}): options for broker, options in zip(listed, own, strict=True)},
        rounds,
    )


def _rounds(options: Mapping[str, str], default: int) -> int:
    for name in options:
        if name != "cyclecount":
            raise ConnectError(text=f"connection URL: fail-over methods have no option {name}, only cyclecount")
    return _converted("cyclecount", _count, options["cyclecount"], "failover") if options else default


def _read(options: Mapping[str, str], whose: str, given: Mapping[str, Any]) -> dict[str, Any]:
    """Options under the names that they have here, but for those that the application gave itself."""
    for name, value in options.items():
        if name in _REFUSED:
            substitute, advice = _REFUSED[name]
            if substitute not in given and value.lower() != "false":
                raise ConnectError(text=f"connection URL: {name} of {whose} cannot be had: {advice}")
        elif name not in _OPTIONS and name not in _OF_THE_API:
            near = get_close_matches(name, [*_OPTIONS, *_OF_THE_API], n=1)
            hint = f"; did you mean {near[0]}?" if near else ""
            raise ConnectError(text=f"connection URL: {whose} has no option {name}{hint}")
    return {
        ours: _converted(name, convert, options[name], whose)
        for name, (ours, convert) in _OPTIONS.items()
        if name in options and ours not in given
    }


def _converted(name: str, convert: Convert, value: str, whose: str) -> Any:
    try:
        return convert(value)
    except ValueError:
        raise ConnectError(text=f"connection URL: {name} of {whose} cannot be {value!r}") from None


def _address(broker: JMSBroker, options: Mapping[str, Any]) -> BrokerAddress:
    return BrokerAddress("tcp" if options["transport"] == "tcp" else "ssl", broker.host, broker.port)


def _identity(url: JMSConnectionURL, given: Mapping[str, Any]) -> dict[str, Any]:
    """Who we are; the client id is told as the JMS client tells it."""
    found: dict[str, Any] = {"host": url.brokers[0].host, "port": url.brokers[0].port}
    if url.user is not None:
        found |= {"username": url.user, "password": url.password}
    if url.virtual_host is not None:
        found["virtualhost"] = url.virtual_host
    if url.client_id is not None:
        found["client_properties"] = {"clientName": url.client_id, **given.get("client_properties", {})}
    return found


def _tell_ignored(url: JMSConnectionURL) -> None:
    every = [url.options, *(broker.options for broker in url.brokers)]
    ignored = sorted({name for options in every for name in options if name in _OF_THE_API})
    if ignored:
        log.warning("the connection URL's options for the JMS API mean nothing here: %s", ", ".join(ignored))
