"""The options of a connection: names, defaults, and what is wrong with one."""

from __future__ import annotations

from dataclasses import dataclass, field, fields
from difflib import get_close_matches
from typing import Any

from qpid_address import AddressError, BrokerAddress, BrokerURL

from .constants import AMQP_PORT, AMQPS_PORT
from .exceptions import ConnectError, ConnectionError

__all__ = ["ConnectionOptions", "parse_brokers"]

#: Transports that encrypt.
ENCRYPTED = ("ssl", "tcp+tls")
#: All transports.
TRANSPORTS = ("tcp", *ENCRYPTED)


def parse_brokers(url: str | BrokerURL, default_transport: str = "tcp") -> BrokerURL:
    """Parse one broker URL of any of the forms that `qpid_address` knows.

    Args:
        url: the URL.
        default_transport: for addresses that name none.

    Raises:
        ConnectError: it does not parse.
    """
    if isinstance(url, BrokerURL):
        return url
    if not isinstance(url, str):
        raise ConnectError(text=f"a broker URL is text, not {type(url).__name__}")
    try:
        return BrokerURL.parse(url, default_transport)
    except AddressError as error:
        raise ConnectError(text=f"invalid broker URL {url!r}: {error}") from error


@dataclass
class ConnectionOptions:
    """Every option of `qpid.messaging`'s Connection, with its defaults.

    Differences from there, on purpose: `tcp_nodelay` is on; without explicit reconnect intervals the first pauses are
    milliseconds (see `reconnect`); a host name is checked against the certificate unless that is switched off.
    """

    host: str | None = None
    port: int | None = None
    transport: str | None = None
    username: str | None = None
    password: str | None = None
    heartbeat: float | None = None
    sasl_mechanisms: str | None = None
    sasl_service: str = "qpidd"
    sasl_min_ssf: int | None = None
    sasl_max_ssf: int | None = None
    reconnect: bool = False
    reconnect_timeout: float | None = None
    reconnect_interval: float | None = None
    reconnect_interval_min: float | None = None
    reconnect_interval_max: float | None = None
    reconnect_limit: int | None = None
    reconnect_urls: list[str] = field(default_factory=list)
    reconnect_log: bool = True
    address_ttl: float = 60
    tcp_nodelay: bool = True
    ssl_keyfile: str | None = None
    ssl_certfile: str | None = None
    ssl_trustfile: str | None = None
    ssl_skip_hostname_check: bool = False
    client_properties: dict[str, Any] = field(default_factory=dict)
    protocol: str | None = None

    def __post_init__(self) -> None:
        self.url: BrokerURL | None = None

    @classmethod
    def parse(cls, url: str | BrokerURL | None, options: dict[str, Any]) -> ConnectionOptions:
        """Put a URL and keyword options together; what the URL says goes first.

        Args:
            url: the broker or brokers; may be None where the option `host` is given.
            options: by name; hyphens count as underscores; None is the default.

        Raises:
            ConnectionError: an unknown option, with those it may have been meant to be, or an impossible value.
            ConnectError: the URL does not parse.
        """
        given: dict[str, Any] = {}
        for key, value in options.items():
            name = key.replace("-", "_")
            if name not in _NAMES:
                raise ConnectionError(text=_unknown(key, value))
            if value is not None:
                given[name] = value
        if isinstance(given.get("reconnect_urls"), str):
            given["reconnect_urls"] = [given["reconnect_urls"]]
        self = cls(**given)
        if self.protocol not in (None, "amqp0-10"):
            raise ConnectionError(
                text=f"Connection option 'protocol' value {self.protocol!r} unsupported (must be amqp0-10)"
            )
        for name in ("heartbeat", "reconnect_interval", "reconnect_interval_min", "reconnect_interval_max"):
            value = getattr(self, name)
            if value is not None and (isinstance(value, bool) or not isinstance(value, (int, float)) or value < 0):
                raise ConnectionError(text=f"Connection option {name!r} is a number of seconds, not {value!r}")
        if self.host and not url:
            url = self.host
        if url is None:
            raise ConnectionError(text="no broker to connect to: give a url or the option 'host'")
        self._use_url(parse_brokers(url))
        return self

    def _use_url(self, url: BrokerURL) -> None:
        self.url = url
        first = url.addresses[0]
        if self.transport is None:
            self.transport = first.transport
        if self.transport not in TRANSPORTS:
            raise ConnectError(text=f"no such transport: {self.transport} (there are {', '.join(TRANSPORTS)})")
        default = AMQPS_PORT if self.transport in ENCRYPTED else AMQP_PORT
        # The URL's port goes before the option, as its user and password do.
        self.host = first.host
        if first.port is not None:
            self.port = first.port
        elif self.port is None:
            self.port = default
        self.username = url.user if url.user is not None else self.username
        self.password = url.password if url.password is not None else self.password

    def brokers(self) -> list[BrokerAddress]:
        """The brokers named by the URL and then by `reconnect_urls`, with their ports, each once."""
        found = [self.with_port(BrokerAddress("tcp", self.host, self.port))] if self.host else []
        if self.url is not None:
            found += [self.with_port(address) for address in self.url.addresses[1:]]
        for url in self.reconnect_urls if self.reconnect else ():
            found += [self.with_port(address) for address in parse_brokers(url).addresses]
        return list(dict.fromkeys(found))

    def with_port(self, address: BrokerAddress) -> BrokerAddress:
        """The address with a port and with the transport that this connection uses."""
        transport = "ssl" if self.transport in ENCRYPTED else address.transport
        port = address.port or (AMQPS_PORT if transport in ENCRYPTED else AMQP_PORT)
        return BrokerAddress(transport, address.host, port)


_NAMES = frozenset(option.name for option in fields(ConnectionOptions))


def _unknown(key: str, value: object) -> str:
    near = get_close_matches(key.replace("-", "_"), _NAMES, n=3, cutoff=0.6)
    hint = f"; did you mean {' or '.join(near)}?" if near else ""
    return f"Unknown connection option {key} with value {value}{hint}"
