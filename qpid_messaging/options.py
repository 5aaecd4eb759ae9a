"""The options of a connection, their defaults, and the list of brokers that follows from them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from copy import copy
from dataclasses import dataclass, field
from typing import Any, Protocol, TypeVar

from qpid_address import AddressError, BrokerAddress, BrokerURL, JMSConnectionURL

from .constants import AMQP_PORT, AMQPS_PORT
from .exceptions import ConnectError, ConnectionError
from .jms import jms_options
from .option_values import converted
from .transports import TRANSPORTS

T = TypeVar("T")

__all__ = ["ConnectionOptions", "parse_brokers"]

#: Transports that encrypt.
ENCRYPTED = ("ssl", "tcp+tls")


class URLParts(Protocol):
    """A broker's URL, taken apart: `qpid.util.URL` is one."""

    scheme: str | None
    user: str | None
    password: str | None
    host: str
    port: int | None


def parse_brokers(url: str | BrokerURL | URLParts, default_transport: str = "tcp") -> BrokerURL:
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
        return _join(url, default_transport)
    if JMSConnectionURL.matches(url):
        raise ConnectError(text="a connection URL of the JMS client names all of its brokers: it stands alone")
    return _parsed(lambda text: BrokerURL.parse(text, default_transport), url)


def _parsed(parse: Callable[[str], T], url: str) -> T:
    try:
        return parse(url)
    except AddressError as error:
        raise ConnectError(text=f"invalid broker URL: {error}") from error


def _join(url: URLParts, default_transport: str) -> BrokerURL:
    try:
        scheme, user, password, host, port = url.scheme, url.user, url.password, url.host, url.port
    except AttributeError as error:
        raise ConnectError(text=f"a {type(url).__name__} is no broker URL: {error}") from error
    try:
        return BrokerURL(
            user, password, (BrokerAddress("ssl" if scheme == "amqps" else default_transport, host, port),)
        )
    except (ValueError, TypeError) as error:
        raise ConnectError(text=f"invalid broker URL: {error}") from error


@dataclass
class ConnectionOptions:
    """Every option of `qpid.messaging`'s Connection, with its defaults, and those of the C++ client beside them.

    Differences from there, on purpose: `tcp_nodelay` is on; without explicit reconnect intervals the first pauses are
    milliseconds (see `reconnect`); a host name is checked against the certificate unless that is switched off.
    """

    host: str | None = None
    port: int | None = None
    transport: str | None = None
    username: str | None = None
    password: str | None = None
    heartbeat: float | None = None
    virtualhost: str = ""
    locale: str = "en_US"
    max_channels: int = 65536
    max_frame_size: int = 65535
    container_id: str | None = None
    disable_auto_decode: bool = False
    connect_timeout: float | None = None
    connect_retries: int = 0
    connect_delay: float = 0.0
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
    reconnect_urls: Sequence[str | URLParts] = field(default_factory=list)
    reconnect_urls_replace: bool = False
    failover_updates: bool = False
    reconnect_log: bool = True
    address_ttl: float = 60
    tcp_nodelay: bool = True
    ssl_keyfile: str | None = None
    ssl_key_password: str | None = None
    ssl_certfile: str | None = None
    ssl_trustfile: str | None = None
    ssl_skip_hostname_check: bool = False
    client_properties: dict[str, Any] = field(default_factory=dict)
    protocol: str | None = None

    def __post_init__(self) -> None:
        # The brokers of the URL, each with the options that are its own; the first is at `host` and `port`.
        self._first: dict[str, Any] | None = None
        self._others: dict[BrokerAddress, dict[str, Any]] = {}
        # Rounds after the first, where `reconnect_limit` does not say how many: there 0 is no limit.
        self._rounds: int | None = None

    @classmethod
    def parse(cls, url: str | BrokerURL | URLParts | None, options: Mapping[str, Any]) -> ConnectionOptions:
        """Put a URL and options together; what the URL says goes first.

        Args:
            url: the broker or brokers; may be None where the option `host` is given.
            options: by name; hyphens count as underscores; None is the default.

        Raises:
            ConnectionError: an unknown option, with those it may have been meant to be, or an impossible value.
            ConnectError: the URL does not parse.
        """
        given = {name: value for name, value in converted(options) if value is not None}
        if isinstance(url, str) and JMSConnectionURL.matches(url):
            jms = jms_options(_parsed(JMSConnectionURL.parse, url), given)
            self = cls(**jms.options)
            self._use_brokers(jms.brokers)
            self._rounds = None if "reconnect_limit" in given else jms.rounds
        else:
            self = cls(**given)
            if self.host and not url:
                url = self.host
            if url is None:
                raise ConnectionError(text="no broker to connect to: give a url or the option 'host'")
            self._use_url(parse_brokers(url))
        if self.protocol not in (None, "amqp0-10"):
            raise ConnectionError(
                text=f"Connection option 'protocol' value {self.protocol!r} unsupported (must be amqp0-10)"
            )
        if self.transport not in TRANSPORTS:
            raise ConnectError(text=f"no such transport: {self.transport} (there are {', '.join(TRANSPORTS)})")
        return self

    def set(self, name: str, value: Any) -> None:
        """Change an option.

        Args:
            name: which; hyphens count as underscores.
            value: as for `parse`; None is the default.

        Raises:
            ConnectionError: an unknown option, or an impossible value.
        """
        for known, given in converted({name: value}):
            setattr(self, known, getattr(type(self)(), known) if given is None else given)
            if known == "reconnect_urls" and self.reconnect_urls_replace:
                self._first = None
                self._others.clear()

    def _use_url(self, url: BrokerURL) -> None:
        first = url.addresses[0]
        if self.transport is None:
            self.transport = first.transport
        default = AMQPS_PORT if self.transport in ENCRYPTED else AMQP_PORT
        # The URL's port goes before the option, as its user and password do.
        self.host = first.host
        if first.port is not None:
            self.port = first.port
        elif self.port is None:
            self.port = default
        self.username = url.user if url.user is not None else self.username
        self.password = url.password if url.password is not None else self.password
        self.virtualhost = url.virtual_host or self.virtualhost
        self._first = {}
        self._others = {self.with_port(address): {} for address in url.addresses[1:]}

    def _use_brokers(self, brokers: dict[BrokerAddress, dict[str, Any]]) -> None:
        (first, self._first), *others = brokers.items()
        self._others = dict(others)
        self.transport = self.transport or first.transport

    # -- brokers -----------------------------------------------------------------------------------------------

    def brokers(self) -> list[BrokerAddress]:
        """The brokers named by the URL and then by `reconnect_urls`, with their ports, each once."""
        return list(self._listed())

    def at(self, broker: BrokerAddress) -> ConnectionOptions:
        """The options for one broker: the same for all, but for what its own URL says of it."""
        own = self._listed().get(broker)
        if not own:
            return self
        options = copy(self)
        for name, value in own.items():
            setattr(options, name, value)
        return options

    def later_rounds(self) -> int | None:
        """How many rounds are made over all brokers after the first; None is no limit."""
        if self._rounds is not None:
            return self._rounds
        limit = self.reconnect_limit
        return limit if limit is not None and limit > 0 else None

    def uses(self, transport: str) -> bool:
        """Whether this connection goes over that transport."""
        return (transport in ENCRYPTED) == (self.transport in ENCRYPTED)

    def with_port(self, address: BrokerAddress) -> BrokerAddress:
        """The address with a port and with the transport that this connection uses."""
        transport = "ssl" if {self.transport, address.transport} & set(ENCRYPTED) else address.transport
        port = address.port
        if port is None:
            port = AMQPS_PORT if transport in ENCRYPTED else AMQP_PORT
        return BrokerAddress(transport, address.host, port)

    def _listed(self) -> dict[BrokerAddress, dict[str, Any]]:
        found: dict[BrokerAddress, dict[str, Any]] = {}
        if self._first is not None and self.host:
            found[self.with_port(BrokerAddress("tcp", self.host, self.port))] = self._first
        found.update(self._others)
        for text in self.reconnect_urls if self.reconnect else ():
            url = parse_brokers(text)
            own = {} if url.user is None else {"username": url.user, "password": url.password}
            for address in url.addresses:
                found.setdefault(self.with_port(address), own)
        return found
