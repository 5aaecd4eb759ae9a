"""Connection URLs of the JMS client for AMQP 0-10, as they stand in JNDI files::

    url     = "amqp://" [user [":" password] "@"] [client-id] ["/" [virtual-host]] "?" option *(and option)
    option  = "brokerlist=" quoted list | "failover=" quoted method | setting
    list    = broker *(";" broker)
    broker  = ["tcp://"] (host | "[" IPv6 "]") [":" port] ["/"] ["?" setting *(and setting)]
    method  = name ["?" setting *(and setting)]
    setting = name "=" (quote text quote | text)
    and     = "&" | ","
    quote   = "'"

Quotes nest: those of a broker's settings stand within those of the list. User, password, client id, virtual host and
texts are percent-encoded. What an option means is not the language's business.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from urllib.parse import quote, unquote

from .errors import URLError
from .lexer import MAX_LENGTH

JMS_PORT = 5672
"""The port of a broker that names none, with TLS and without."""

_MASK = "***"
_SAFE_NAME = "!$*()+=;,&"
_SAFE_PATH = _SAFE_NAME + ":@/"
_SAFE_VALUE = _SAFE_PATH + "?[]"
"""What need not be encoded, beside letters, digits and ``-._~``."""

_SCHEME = re.compile("amqp://", re.IGNORECASE)
_BROKERLIST = re.compile(r"amqp://[^?]*\?(?:.*[&,])?brokerlist=", re.IGNORECASE | re.DOTALL)
_AUTHORITY = re.compile(r"[^/?]*")
_PATH = re.compile(r"[^?]*")
_NAME = re.compile(r"[A-Za-z_][\w.$-]*", re.ASCII)
_TRANSPORT = re.compile(r"(\w+)://", re.ASCII)
_HOST = re.compile(r"\[(?P<ip>[0-9a-fA-F:.]+(?:%[\w.~-]+)?)\]|(?P<name>[^\x00-\x20\x7f\s@/,:;?&='\#\[\]]+)")
_PORT = re.compile(r":([0-9]{1,5})")
_QUOTED = re.compile(r"'([^']*)'")
_BARE = re.compile(r"[^\s'&,;]*")


@dataclass(frozen=True, slots=True)
class JMSBroker:
    """One broker of a list.

    Args:
        host: A host name, an IPv4 address, or an IPv6 address without brackets.
        port: Where it listens.
        options: What stands after its question mark.

    Raises:
        ValueError: For a host that a URL cannot hold, a port beyond 65535, or an option with an impossible name.
    """

    host: str
    port: int = JMS_PORT
    options: Mapping[str, str] = field(default_factory=dict, hash=False)

    def __post_init__(self) -> None:
        if not _HOST.fullmatch(self._bracketed()):
            raise ValueError(f"{self.host!r} is not a host")
        if not 0 <= self.port <= 0xFFFF:
            raise ValueError(f"port {self.port} is not between 0 and 65535")
        _check_names(self.options)

    def _bracketed(self) -> str:
        return f"[{self.host}]" if ":" in self.host else self.host

    def __str__(self) -> str:
        return self._write(hide=False)

    def _write(self, *, hide: bool) -> str:
        return f"tcp://{self._bracketed()}:{self.port}{_question(self.options, hide=hide)}"


@dataclass(frozen=True, slots=True, repr=False)
class JMSConnectionURL:
    """Who connects, to which brokers, and how it goes on when one is lost.

    ``str()`` writes it such that :meth:`parse` makes an equal URL of that; with the passwords, so that logs are better
    served by :meth:`redacted`, which is also what ``repr()`` shows.

    Args:
        brokers: At least one, in order.
        user: None for no user.
        password: None for no password; an empty password is a password.
        client_id: What the client calls itself.
        virtual_host: Without the slash before it.
        failover: The name of the fail-over method, if one is named.
        failover_options: The method's settings.
        options: All other options of the connection.

    Raises:
        ValueError: Without brokers, for a password without a user, for empty names, or for an option with an
            impossible name.
    """

    brokers: tuple[JMSBroker, ...]
    user: str | None = None
    password: str | None = None
    client_id: str | None = None
    virtual_host: str | None = None
    failover: str | None = None
    failover_options: Mapping[str, str] = field(default_factory=dict, hash=False)
    options: Mapping[str, str] = field(default_factory=dict, hash=False)

    def __post_init__(self) -> None:
        if not self.brokers:
            raise ValueError("a connection URL needs a broker")
        if "" in (self.user, self.client_id, self.virtual_host):
            raise ValueError("user, client id and virtual host are None or not empty")
        if self.password is not None and self.user is None:
            raise ValueError("a password without a user")
        if self.failover is None and self.failover_options:
            raise ValueError("settings of a fail-over method without the method")
        if self.failover is not None:
            _check_names([self.failover])
        _check_names(self.failover_options)
        _check_names(self.options)
        if not {"brokerlist", "failover"}.isdisjoint(self.options):
            raise ValueError("brokerlist and failover are no options like others")

    @staticmethod
    def matches(text: str) -> bool:
        """Whether a text means to be such a URL, rather than a broker URL: it has a broker list."""
        return _BROKERLIST.match(text.lstrip()) is not None

    @classmethod
    def parse(cls, text: str) -> JMSConnectionURL:
        """Parse a connection URL.

        Args:
            text: For example ``amqp://guest:guest@clientid/test?brokerlist='tcp://localhost:5672?retries='2''``.

        Raises:
            URLError: Where the text is not a connection URL.
        """
        return _Parser(text).url()

    def __str__(self) -> str:
        return self._write(hide=False)

    def redacted(self) -> str:
        """The URL without its secrets: passwords, and options with "password" in their name, are masked."""
        return self._write(hide=True)

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.redacted()}>"

    def _write(self, *, hide: bool) -> str:
        userinfo = quote(self.user or "", _SAFE_NAME)
        if self.password is not None:
            userinfo += ":" + (_MASK if hide else quote(self.password, _SAFE_NAME))
        if self.user is not None:
            userinfo += "@"
        client_id, virtual_host = quote(self.client_id or "", _SAFE_NAME), quote(self.virtual_host or "", _SAFE_PATH)
        options = [f"brokerlist='{';'.join(broker._write(hide=hide) for broker in self.brokers)}'"]
        if self.failover is not None:
            options.append(f"failover='{self.failover}{_question(self.failover_options, hide=hide)}'")
        options += _settings(self.options, hide=hide)
        return f"amqp://{userinfo}{client_id}/{virtual_host}?{'&'.join(options)}"


def _check_names(names: Iterable[str]) -> None:
    for name in names:
        if not _NAME.fullmatch(name):
            raise ValueError(f"{name!r} is not the name of an option")


def _settings(options: Mapping[str, str], *, hide: bool) -> list[str]:
    return [
        f"{name}='{_MASK if hide and _is_secret(name) else quote(value, _SAFE_VALUE)}'"
        for name, value in options.items()
    ]


def _question(options: Mapping[str, str], *, hide: bool) -> str:
    return "?" + "&".join(_settings(options, hide=hide)) if options else ""


def _is_secret(name: str) -> bool:
    return "password" in name.lower()


class _Parser:
    """A URL on its way through the grammar. Secrets that it has passed are kept out of errors."""

    def __init__(self, text: str) -> None:
        self._text = text.strip()
        self._position = 0
        self._secrets: list[tuple[int, int]] = []

    def url(self) -> JMSConnectionURL:
        if len(self._text) > MAX_LENGTH:
            raise self._error(f"longer than {MAX_LENGTH} characters")
        self._match(_SCHEME, "expected amqp://")
        user, password, client_id = self._authority()
        virtual_host = self._decode(self._match(_PATH)[1:]) or None
        if not self._skip("?"):
            raise self._error("expected a broker list behind a question mark")
        brokers: list[JMSBroker] = []
        failover: list[str] = []
        failover_options: dict[str, str] = {}
        options: dict[str, str] = {}
        while self._position < len(self._text):
            name = self._name()
            if name == "brokerlist":
                self._in_quotes(lambda: self._broker_list(brokers))
            elif name == "failover":
                self._in_quotes(lambda: self._failover(failover, failover_options))
            else:
                options[name] = self._value(name)
            if not self._separator() and self._position < len(self._text):
                raise self._error("expected &, a comma or the end")
        if not brokers:
            raise self._error("expected a broker list")
        method = failover[-1] if failover else None
        return JMSConnectionURL(
            tuple(brokers), user, password, client_id, virtual_host, method, failover_options, options
        )

    def _authority(self) -> tuple[str | None, str | None, str | None]:
        start = self._position
        authority = self._match(_AUTHORITY)
        userinfo, at, client_id = authority.rpartition("@")
        # Until it is known to be good, nothing of it may be shown: who forgets the "@" has put the password there.
        self._position = start
        user, colon, password = userinfo.partition(":")
        if at and not user:
            raise self._error("expected a user")
        if ":" in client_id:
            raise self._error("expected an @ between the password and the client id")
        result = self._decode(user) or None, self._decode(password) if colon else None, self._decode(client_id) or None
        if at:
            self._secrets.append((start, start + len(userinfo)))
        self._position = start + len(authority)
        return result

    def _broker_list(self, brokers: list[JMSBroker]) -> None:
        brokers.clear()
        while True:
            brokers.append(self._broker())
            separated = False
            while self._skip(";"):
                separated = True
            if not separated or self._ends():
                return

    def _broker(self) -> JMSBroker:
        transport = _TRANSPORT.match(self._text, self._position)
        if transport is not None:
            if transport[1].lower() != "tcp":
                raise self._error("expected tcp://, the only transport between hosts; ssl='true' encrypts it")
            self._position = transport.end()
        host = _HOST.match(self._text, self._position)
        if host is None:
            raise self._error("expected a host")
        self._position = host.end()
        port = JMS_PORT
        if self._text.startswith(":", self._position):
            port = int(self._match(_PORT, "expected a port")[1:])
            if port > 0xFFFF:
                raise self._error("expected a port between 0 and 65535")
        self._skip("/")
        options: dict[str, str] = {}
        if self._skip("?"):
            self._settings(options)
        return JMSBroker(host["ip"] or host["name"], port, options)

    def _failover(self, method: list[str], options: dict[str, str]) -> None:
        method.append(self._match(_NAME, "expected a fail-over method"))
        options.clear()
        if self._skip("?"):
            self._settings(options)

    def _settings(self, options: dict[str, str]) -> None:
        while True:
            name = self._name()
            options[name] = self._value(name)
            if not self._separator() or self._ends():
                return

    def _name(self) -> str:
        name = self._match(_NAME, "expected the name of an option")
        if not self._skip("="):
            raise self._error("expected =")
        return name

    def _value(self, name: str) -> str:
        start = self._position
        quoted = _QUOTED.match(self._text, start)
        if quoted is not None:
            self._position = quoted.end()
            value = quoted[1]
        elif self._text.startswith("'", start):
            raise self._error("a quote that is not closed")
        else:
            value = self._match(_BARE)
        if _is_secret(name):
            self._secrets.append((start, self._position))
        return self._decode(value)

    def _in_quotes(self, parse: Callable[[], None]) -> None:
        quoted = self._skip("'")
        parse()
        if quoted and not self._skip("'"):
            raise self._error("expected a separator or the closing quote")

    def _separator(self) -> bool:
        return self._skip("&") or self._skip(",")

    def _ends(self) -> bool:
        """Whether what stands in quotes ends here, or everything."""
        return self._position == len(self._text) or self._text.startswith("'", self._position)

    def _match(self, pattern: re.Pattern[str], complaint: str = "") -> str:
        match = pattern.match(self._text, self._position)
        if match is None:
            raise self._error(complaint)
        self._position = match.end()
        return match.group()

    def _skip(self, char: str) -> bool:
        if not self._text.startswith(char, self._position):
            return False
        self._position += 1
        return True

    def _decode(self, text: str) -> str:
        try:
            return unquote(text, errors="strict")
        except UnicodeDecodeError:
            pass  # and gone before the error is raised: it holds what may be a password
        raise self._error("percent-encoding that is not UTF-8")

    def _error(self, message: str) -> URLError:
        known, shown = "", 0
        for start, end in self._secrets:
            known += self._text[shown:start] + _MASK
            shown = end
        known += self._text[shown : self._position]
        rest = "…" if self._position < len(self._text) else ""
        return URLError(message, known + rest, len(known))
