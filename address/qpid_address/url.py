"""Broker URLs: who connects, and to which brokers.

Three ways of writing are one language. The first is that of qpid-python and its tools, the second that of the C++
client and of qpidd.conf, the third that of URLs everywhere else::

    [credentials] host [":" port]
    ["amqp:" | "amqps:"] [credentials] addr *("," addr)
    ("amqp://" | "amqps://") [credentials] addr *("," addr) ["/" virtual-host] ["?" parameter *("&" parameter)]

    credentials = user [("/" | ":") password] "@"
    parameter   = name "=" value
    addr        = ["tcp:" | "ssl:" | "tcp+tls:" | "rdma:"] (host | "[" IPv6 "]") [":" port]

The last "@" ends the credentials. Only the form with ``//`` is percent-encoded, so only that can write every user and
password. ``amqp:5672`` alone is port 5672 of the host ``amqp``.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from urllib.parse import parse_qsl, quote, unquote, urlencode

from .errors import URLError
from .lexer import MAX_LENGTH

AMQP_PORT = 5672
AMQPS_PORT = 5671
DEFAULT_PORTS: Mapping[str, int] = {"tcp": AMQP_PORT, "ssl": AMQPS_PORT, "tcp+tls": AMQPS_PORT, "rdma": AMQP_PORT}
"""The transports, and the port that a broker listens on where a URL names none. ``tcp+tls`` is ``ssl``."""

_MASK = "***"
_SAFE = "!$&'()*+;="
"""What no part of a URL needs encoded, beside letters, digits and ``-._~``."""

_SCHEME = re.compile(r"(?P<name>[^:/@]+):(?P<slashes>//)?")
_HOST_NAMED_AMQP = re.compile(r"amqps?:[0-9]{1,5}", re.IGNORECASE)
_IPV6 = r"[0-9a-fA-F:.]+(?:%[\w.~-]+)?"
_NAME = r"[^\x00-\x20\x7f\s@/,:?\#\[\]]+"
_TRANSPORT = "|".join(map(re.escape, DEFAULT_PORTS))
_ADDRESS = re.compile(
    rf"""
    (?:(?P<transport>{_TRANSPORT}):)?
    (?:\[(?P<ip>{_IPV6})\]|(?P<name>{_NAME}))
    (?::(?P<port>[0-9]{{1,5}}))?
    """,
    re.VERBOSE,
)
_HOST = re.compile(rf"{_IPV6}|{_NAME}")
_BLANK = re.compile(r"\s*")


@dataclass(frozen=True, slots=True)
class BrokerAddress:
    """Where one broker listens. ``str()`` is ``transport:host[:port]``.

    Args:
        transport: ``tcp``, ``ssl``, ``tcp+tls`` or ``rdma``.
        host: A host name, an IPv4 address, or an IPv6 address without brackets.
        port: None for the default port of the transport.

    Raises:
        ValueError: For an unknown transport, a host that a URL cannot hold, or a port beyond 65535.
    """

    transport: str
    host: str
    port: int | None = None

    def __post_init__(self) -> None:
        if self.transport not in DEFAULT_PORTS:
            raise ValueError(f"transport {self.transport!r} is not one of {', '.join(DEFAULT_PORTS)}")
        if not _HOST.fullmatch(self.host):
            raise ValueError(f"{self.host!r} is not a host")
        if self.port is not None and not 0 <= self.port <= 0xFFFF:
            raise ValueError(f"port {self.port} is not between 0 and 65535")

    @property
    def port_or_default(self) -> int:
        """The port to connect to."""
        return DEFAULT_PORTS[self.transport] if self.port is None else self.port

    @property
    def host_port(self) -> str:
        """``host[:port]``, with IPv6 in brackets: the form that every client of AMQP 0-10 takes."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port is None else f"{host}:{self.port}"

    def __str__(self) -> str:
        return f"{self.transport}:{self.host_port}"


@dataclass(frozen=True, slots=True, repr=False)
class BrokerURL:
    """Who connects, and to which brokers, in the order in which to try them.

    ``str()`` writes the C++ form, ``amqp:user/password@tcp:host:port,ssl:host:port``, and the form with ``//`` where
    the URL holds what only that can say; :meth:`parse` makes an equal URL of either. The password is in it: for logs
    there is :meth:`redacted`, which is also what ``repr()`` shows.

    Args:
        user: None for no user.
        password: None for no password; an empty password is a password.
        addresses: At least one.
        parameters: What stands after the question mark.
        virtual_host: What stands after the slash, in the form with ``//``.

    Raises:
        ValueError: Without addresses, for an empty user or virtual host, or for a password without a user.
    """

    user: str | None = None
    password: str | None = None
    addresses: tuple[BrokerAddress, ...] = ()
    parameters: Mapping[str, str] = field(default_factory=dict, hash=False)
    virtual_host: str | None = None

    def __post_init__(self) -> None:
        if not self.addresses:
            raise ValueError("a broker URL needs an address")
        if self.user == "" or self.virtual_host == "":
            raise ValueError("user and virtual host are None or not empty")
        if self.password is not None and self.user is None:
            raise ValueError("a password without a user")

    @classmethod
    def parse(cls, text: str, default_transport: str = "tcp") -> BrokerURL:
        """Parse a URL in any of its forms.

        Args:
            text: For example ``guest/guest@localhost:5672`` or ``amqp:tcp:a:5672,tcp:b:5672``.
            default_transport: For addresses that name none, unless the scheme is ``amqps``, which means ``ssl``.

        Raises:
            URLError: Where the text is not a broker URL.
        """
        return _Parser(text, default_transport).url()

    def __str__(self) -> str:
        return self._write(self.password, self.parameters)

    def redacted(self) -> str:
        """The URL without its secrets: the password, and parameters with "password" in their name, are masked."""
        parameters = {name: _MASK if "password" in name.lower() else value for name, value in self.parameters.items()}
        return self._write(None if self.password is None else _MASK, parameters)

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.redacted()}>"

    def _write(self, password: str | None, parameters: Mapping[str, str]) -> str:
        addresses = ",".join(map(str, self.addresses))
        credentials = [part for part in (self.user, password) if part is not None]
        encoded = [quote(part, _SAFE) for part in credentials]
        if encoded == credentials and not parameters and self.virtual_host is None:
            return f"amqp:{_userinfo('/', credentials)}{addresses}"
        path = "" if self.virtual_host is None else "/" + quote(self.virtual_host, _SAFE)
        query = "?" + urlencode(parameters, safe=_MASK, quote_via=quote) if parameters else ""
        return f"amqp://{_userinfo(':', encoded)}{addresses}{path}{query}"


def _userinfo(separator: str, credentials: list[str]) -> str:
    return separator.join(credentials) + "@" if credentials else ""


def parse_url(text: str, default_transport: str = "tcp") -> BrokerURL:
    """The same as :meth:`BrokerURL.parse`."""
    return BrokerURL.parse(text, default_transport)


class _Parser:
    """A URL on its way through the grammar.

    Everything up to the last "@" is kept out of errors, and so is the rest from the error on: who forgets the "@", or
    the host, has put the password there.
    """

    def __init__(self, text: str, default_transport: str) -> None:
        self._text = text.strip()
        self._transport = default_transport
        self._position = 0
        self._start = 0  # of the credentials: what stands before may be shown

    def url(self) -> BrokerURL:
        if len(self._text) > MAX_LENGTH:
            raise self._error(f"longer than {MAX_LENGTH} characters")
        is_uri = self._scheme()
        user, password = self._credentials(is_uri)
        addresses = [self._address()]
        while self._skip(","):
            addresses.append(self._address())
        virtual_host = self._virtual_host() if is_uri and self._skip("/") else None
        parameters = self._parameters() if is_uri and self._skip("?") else {}
        if self._skip(":"):
            raise self._error("expected a port; an IPv6 address needs brackets")
        if self._position < len(self._text):
            raise self._error("expected a comma or the end")
        return BrokerURL(user, password, tuple(addresses), parameters, virtual_host)

    def _scheme(self) -> bool:
        """Step over the scheme; tell whether the URL is of the form with ``//``."""
        scheme = _SCHEME.match(self._text)
        if scheme is None or _HOST_NAMED_AMQP.fullmatch(self._text):
            return False
        name, is_uri = scheme["name"].lower(), scheme["slashes"] is not None
        if name in ("amqp", "amqps"):
            self._position = self._start = scheme.end()
            if name == "amqps":
                self._transport = "ssl"
        elif is_uri:
            raise self._error("expected amqp:// or amqps://")
        return is_uri

    def _credentials(self, is_uri: bool) -> tuple[str | None, str | None]:
        start = self._position
        query = self._text.find("?", start) if is_uri else -1
        at = self._text.rfind("@", start, query if query >= 0 else len(self._text))
        if at < 0:
            return None, None
        user, password = _split(self._text[start:at])
        if not user:
            raise self._error("expected a user")
        if is_uri:
            user = self._decode(user)
            password = None if password is None else self._decode(password)
        self._position = at + 1
        return user, password

    def _address(self) -> BrokerAddress:
        blank = _BLANK.match(self._text, self._position)
        self._position = blank.end() if blank else self._position
        address = _ADDRESS.match(self._text, self._position)
        if address is None:
            raise self._error("expected a host")
        port = None if address["port"] is None else int(address["port"])
        if port is not None and port > 0xFFFF:
            self._position = address.start("port")
            raise self._error("expected a port between 0 and 65535")
        self._position = address.end()
        return BrokerAddress(address["transport"] or self._transport, address["ip"] or address["name"], port)

    def _virtual_host(self) -> str | None:
        query = self._text.find("?", self._position)
        end = query if query >= 0 else len(self._text)
        name = self._decode(self._text[self._position : end])
        self._position = end
        return name or None

    def _parameters(self) -> dict[str, str]:
        query = self._text[self._position :]
        if query and not all("=" in item for item in query.split("&")):
            raise self._error("expected name=value, joined by &")
        self._position = len(self._text)
        return dict(parse_qsl(query, keep_blank_values=True))

    def _decode(self, text: str) -> str:
        try:
            return unquote(text, errors="strict")
        except UnicodeDecodeError:
            pass  # and gone before the error is raised: it holds what may be the password
        raise self._error("percent-encoding that is not UTF-8")

    def _skip(self, char: str) -> bool:
        if not self._text.startswith(char, self._position):
            return False
        self._position += 1
        return True

    def _error(self, message: str) -> URLError:
        at = self._text.rfind("@")
        if at < 0:
            known = self._text[: self._position]
        elif self._position <= at:
            known = self._text[: self._start]
        else:
            known = self._text[: self._start] + _MASK + self._text[at : self._position]
        rest = "…" if self._position < len(self._text) else ""
        return URLError(message, known + rest, len(known))


def _split(userinfo: str) -> tuple[str, str | None]:
    """User and password: the first slash or colon separates them, as in the C++ client."""
    user, *password = re.split("[/:]", userinfo, maxsplit=1)
    return user, password[0] if password else None
