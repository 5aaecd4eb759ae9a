"""Learning brokers from a broker's `amq.failover` exchange, under the names of `qpid.messaging.util`."""

from __future__ import annotations

import logging
import threading
from typing import TYPE_CHECKING

from qpid_address import AddressError, BrokerURL

from .exceptions import LinkClosed, MessagingError

if TYPE_CHECKING:
    from .connection import Connection
    from .message import Message
    from .receiver import Receiver

__all__ = ["auto_fetch_reconnect_urls", "set_reconnect_urls"]

_log = logging.getLogger("qpid_messaging")


def auto_fetch_reconnect_urls(conn: Connection) -> None:
    """Have `reconnect_urls` be what the broker's exchange `amq.failover` says, as long as the connection is open.

    A thread listens to it, which ends with the connection. The option `failover_updates` does the same without one.

    Args:
        conn: an open connection.

    Raises:
        NotFound: the broker has no such exchange.
        MessagingError: the connection or its session fails.
    """
    receiver = conn.session("auto-fetch-reconnect-urls").receiver("amq.failover", capacity=10)
    threading.Thread(target=_fetch, args=(conn, receiver), name="auto-fetch-reconnect-urls", daemon=True).start()


def _fetch(conn: Connection, receiver: Receiver) -> None:
    try:
        while True:
            message = receiver.fetch()
            set_reconnect_urls(conn, message)
            receiver.session.acknowledge(message, sync=False)
    except LinkClosed:
        pass
    except MessagingError as error:
        _log.warning("reconnect_urls of %r are not brought up to date any more: %s", conn, error)


def set_reconnect_urls(conn: Connection, msg: Message) -> None:
    """Set `reconnect_urls` to the brokers that a message of the exchange `amq.failover` lists.

    Args:
        conn: the connection.
        msg: the message; its property `amq.failover` is a list of broker URLs. One that does not parse is a matter for
            the log; and a message that tells of no broker changes nothing.
    """
    brokers: list[str] = []
    urls = msg.properties.get("amq.failover")
    for url in urls if isinstance(urls, list) else ():
        try:
            brokers += [address.host_port for address in BrokerURL.parse(str(url)).addresses]
        except AddressError as error:
            _log.warning("amq.failover: %s", error)
    if not brokers:
        _log.warning("amq.failover: a message tells of no broker, and reconnect_urls of %r stay as they are", conn)
        return
    conn.reconnect_urls = brokers
    _log.warning("reconnect_urls of %r: %s", conn, ", ".join(brokers))
