"""Broker URLs as an object of their own."""

from __future__ import annotations

from typing import Any

from qpid_messaging.address import AddressError, BrokerURL

__all__ = ["URL"]


class URL:
    """Where a broker is: `[scheme://][user[/password]@]host[:port]`, in parts.

    Args:
        url: the text, or another URL, which is copied.
        parts: instead: `host`, and where there are any `scheme`, `user`, `password`, `port`.

    Raises:
        ValueError: the text is no such URL, or there is no host.
    """

    AMQP = "amqp"
    AMQPS = "amqps"

    def __init__(self, url: str | URL | None = None, **parts: Any) -> None:
        if isinstance(url, URL):
            parts = url.__dict__
        elif url is not None:
            parts = _parsed(url)
        self.scheme: str | None = parts.get("scheme")
        self.user: str | None = parts.get("user")
        self.password: str | None = parts.get("password")
        self.host: str | None = parts.get("host")
        self.port: int | None = parts.get("port")
        if self.host is None:
            raise ValueError("a URL needs a host")

    def __eq__(self, other: object) -> bool:
        if isinstance(other, str):
            other = URL(other)
        return self.__dict__ == other.__dict__ if isinstance(other, URL) else NotImplemented

    def __hash__(self) -> int:
        return hash(tuple(self.__dict__.values()))

    def __str__(self) -> str:
        scheme = f"{self.scheme}://" if self.scheme else ""
        password = f"/{self.password}" if self.password else ""
        user = f"{self.user}{password}@" if self.user else ""
        host = f"[{self.host}]" if ":" in str(self.host) else self.host
        port = f":{self.port}" if self.port else ""
        return f"{scheme}{user}{host}{port}"

    def __repr__(self) -> str:
        return f"URL({str(self)!r})"


def _parsed(text: str) -> dict[str, Any]:
    scheme, colon, _ = text.partition("://")
    try:
        url = BrokerURL.parse(text)
    except AddressError as error:
        raise ValueError(text) from error
    address, *more = url.addresses
    if more:
        raise ValueError(text)
    return {
        "scheme": scheme if colon else None,
        "user": url.user,
        "password": url.password,
        "host": address.host,
        "port": address.port,
    }
