"""The options of a connection by name: how each may be spelt, what it may be, and why some cannot be had here."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from difflib import get_close_matches
from math import inf
from typing import Any

from qpid_address import AddressError, BrokerURL, parse_map

from .exceptions import ConnectionError

__all__ = ["OPTIONS", "converted", "merged"]


class _Complaint(ValueError):
    """What an option is, said to somebody who gave something else."""


#: Makes the option's value of what was given. Raises `_Complaint`.
Convert = Callable[[Any], Any]

_FLAGS = {"true": True, "yes": True, "1": True, "false": False, "no": False, "0": False}


def _flag(value: Any) -> bool:
    flag = _FLAGS.get(str(value).strip().lower())
    if flag is None:
        raise _Complaint("true or false")
    return flag


def _number(value: Any) -> int | float:
    """Numbers, also as text: option strings and configuration files have no other kind."""
    if isinstance(value, str):
        try:
            value = int(value)
        except ValueError:
            value = float(value)
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise ValueError
    return value


def _seconds(value: Any) -> int | float:
    seconds = _any_seconds(value)
    if seconds < 0:
        raise _Complaint("a number of seconds, at least 0")
    return seconds


def _any_seconds(value: Any) -> int | float:
    try:
        seconds = _number(value)
    except ValueError:
        seconds = inf
    if not -inf < seconds < inf:
        raise _Complaint("a number of seconds")
    return seconds


def _whole(what: str, least: int, most: int) -> Convert:
    def convert(value: Any) -> int:
        try:
            number = _number(value)
        except ValueError:
            raise _Complaint(what) from None
        if not isinstance(number, int) or not least <= number <= most:
            raise _Complaint(what)
        return number

    return convert


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise _Complaint("text")
    return value


def _password(value: Any) -> str:
    return _text(value)


def _path(value: Any) -> str:
    try:
        path = os.fspath(value)
    except TypeError:
        raise _Complaint("the name of a file") from None
    return path if isinstance(path, str) else os.fsdecode(path)


def _names(value: Any) -> str:
    if isinstance(value, str):
        return value
    if isinstance(value, (list, tuple)) and all(isinstance(name, str) for name in value):
        return " ".join(value)
    raise _Complaint("names, separated by spaces")


def _urls(value: Any) -> list[Any]:
    if isinstance(value, (str, BrokerURL)):
        return [value]
    if isinstance(value, (list, tuple)):
        return value if isinstance(value, list) else list(value)
    raise _Complaint("a list of broker URLs")


def _map(value: Any) -> dict[Any, Any]:
    if not isinstance(value, Mapping):
        raise _Complaint("a map")
    return dict(value)


_HUGE = 2**31 - 1
_ssf = _whole("a security strength factor", 0, _HUGE)

#: Every option, under the name that it has as an attribute.
OPTIONS: Mapping[str, Convert] = {
    "host": _text,
    "port": _whole("a port, 0 to 65535", 0, 65535),
    "transport": _text,
    "username": _text,
    "password": _password,
    "heartbeat": _seconds,
    "virtualhost": _text,
    "locale": _text,
    "max_channels": _whole("a number of channels, 1 to 65536", 1, 65536),
    "max_frame_size": _whole("a number of bytes, 4096 to 65535", 4096, 65535),
    "container_id": _text,
    "disable_auto_decode": _flag,
    "connect_timeout": _seconds,
    "connect_retries": _whole("a number of times", 0, _HUGE),
    "connect_delay": _seconds,
    "sasl_mechanisms": _names,
    "sasl_service": _text,
    "sasl_min_ssf": _ssf,
    "sasl_max_ssf": _ssf,
    "reconnect": _flag,
    "reconnect_timeout": _any_seconds,
    "reconnect_interval": _seconds,
    "reconnect_interval_min": _seconds,
    "reconnect_interval_max": _seconds,
    "reconnect_limit": _whole("a number of rounds", -_HUGE, _HUGE),
    "reconnect_urls": _urls,
    "reconnect_urls_replace": _flag,
    "failover_updates": _flag,
    "reconnect_log": _flag,
    "address_ttl": _seconds,
    "tcp_nodelay": _flag,
    "ssl_keyfile": _path,
    "ssl_key_password": _password,
    "ssl_certfile": _path,
    "ssl_trustfile": _path,
    "ssl_skip_hostname_check": _flag,
    "client_properties": _map,
    "protocol": _text,
}

#: What the C++ client calls otherwise.
_SYNONYMS = {
    "sasl_mechanism": "sasl_mechanisms",
    "ssl_ignore_hostname_verification_failure": "ssl_skip_hostname_check",
    "properties": "client_properties",
}

_AMQP_1_0 = "it has a meaning in AMQP 1.0 only, and this client speaks 0-10"
#: Options of the C++ client that cannot be had, and why.
_ELSEWHERE = {
    "address_passthrough": _AMQP_1_0,
    "max_delivery_attempts": _AMQP_1_0,
    "nest_annotations": _AMQP_1_0,
    "raise_rejected": _AMQP_1_0,
    "redelivery_timeout": _AMQP_1_0,
    "set_to_on_send": _AMQP_1_0,
    "bounds": "it sizes a buffer of the C++ client; here the capacity of a sender says how much may be under way",
    "ssl_cert_name": "it names a certificate in an NSS database; give the PEM files ssl_certfile and ssl_keyfile",
    "x_reconnect_on_limit_exceeded": "a queue that is full raises TargetCapacityExceeded, and the connection stays",
}


def merged(options: Mapping[str, Any] | str | None, named: Mapping[str, Any]) -> dict[str, Any]:
    """Options that come as a map or as an option string, and those that come as keyword arguments, which go first.

    Args:
        options: a map, or text like `{reconnect: true, heartbeat: 10}`; None is none.
        named: the keyword arguments.

    Raises:
        ConnectionError: the text is no map; says where.
    """
    if not options:
        return dict(named)
    if isinstance(options, str):
        try:
            options = parse_map(options)
        except AddressError as error:
            raise ConnectionError(text=f"invalid connection options: {error}") from error
    if not isinstance(options, Mapping):
        raise ConnectionError(text=f"connection options are a map or text, not {options!r}")
    return {**options, **named}


def converted(options: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    """Options under the names that they have here, with values of the type that they have here.

    Args:
        options: by name, in which a hyphen is as good as an underscore; None is the default.

    Raises:
        ConnectionError: an option that there is not, or that cannot be had here; or a value that it cannot have.
    """
    for key, value in options.items():
        name = str(key).replace("-", "_")
        name = _SYNONYMS.get(name, name)
        if name == "x_reconnect_on_limit_exceeded" and value is not None and not _option(key, _flag, value):
            continue
        if name in _ELSEWHERE:
            raise ConnectionError(text=f"connection option {key} cannot be had here: {_ELSEWHERE[name]}")
        if name not in OPTIONS:
            raise ConnectionError(text=_unknown(key, name, value))
        yield name, None if value is None else _option(key, OPTIONS[name], value)


def _option(key: object, convert: Convert, value: Any) -> Any:
    try:
        return convert(value)
    except _Complaint as complaint:
        shown = "***" if convert is _password else repr(value)
        raise ConnectionError(text=f"connection option {key} is {complaint}, not {shown}") from None


def _unknown(key: object, name: str, value: object) -> str:
    near = get_close_matches(name, [*OPTIONS, *_SYNONYMS], n=3, cutoff=0.6)
    hint = f"; did you mean {' or '.join(near)}?" if near else ""
    shown = "***" if "password" in near else value
    return f"Unknown connection option {key} with value {shown}{hint}"
