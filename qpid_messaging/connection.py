"""The blocking Connection."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from .driver import Driver
from .session import Session
from .verbs.connection import ConnectionVerbs

if TYPE_CHECKING:
    from collections.abc import Mapping
    from types import TracebackType

    from qpid_address import BrokerURL
    from typing_extensions import Self

    from .options import URLParts

__all__ = ["Connection"]


class Connection(ConnectionVerbs[Session]):
    """A connection to a broker, or to whichever of several brokers is there: the parent of sessions.

    A new connection is not open. With `reconnect` it looks for a broker again whenever it loses one; blocking calls
    then wait instead of failing.

    Args:
        url: `[user[/password]@]host[:port]`, `amqp://...`, `amqps://...`, `amqp:` with several addresses; or the
            connection URL of the legacy JMS client (see `qpid_messaging.jms`), whose options give way to those here.
        options: a map, or the text of one as the C++ client takes it: `"{reconnect: true, heartbeat: 10}"`.
        named: options as keyword arguments; these go first.

    The options are those of `qpid.messaging` and those of the C++ client that have a meaning in AMQP 0-10; the others
    are refused by name. Hyphens count as underscores. Numbers, and `true` and `false`, may be text.

    Attributes:
        host, port: where to; the URL goes before them.
        transport: "tcp", "ssl" or "tcp+tls" (the same).
        username, password: who we are; the URL goes before them.
        heartbeat: seconds; a broker that is silent for two of them is lost.
        virtualhost: asked for when opening; a URL's path goes before it. Brokers of this kind have one.
        locale: of the broker's texts, "en_US". Brokers of this kind know one.
        max_channels: how many sessions this connection may have, if the broker allows as many. 65536.
        max_frame_size: bytes of the largest frame, 4096 to 65535; the broker may want smaller ones. 65535.
        container_id: begins the names of named sessions, in the place of `id`: with `reconnect`, and a broker that
            keeps sessions, a program that is started again takes up those that it had. No two connections may have the
            same at once.
        disable_auto_decode: whether maps and lists are left as the bytes that came.
        connect_timeout: seconds that one broker gets to let us in. Without it, and without `heartbeat`, a broker
            gets 10 s where there may be another attempt.
        connect_retries: how often each broker is tried again before the next one. 0.
        connect_delay: seconds before each of these. 0.
        sasl_mechanisms: names of the mechanisms permitted, separated by spaces: SCRAM-SHA-256, DIGEST-MD5, CRAM-MD5,
            PLAIN, EXTERNAL (the client's certificate), ANONYMOUS. The strongest is taken that the broker offers.
            Also `sasl_mechanism`.
        sasl_service: the broker's service name, which DIGEST-MD5 wants to know.
        sasl_min_ssf: with more than 0, nothing is said over a connection without TLS.
        reconnect: whether to find a broker again after a loss.
        reconnect_timeout: seconds until a search is given up.
        reconnect_limit: rounds over all brokers after the first until it is.
        reconnect_interval_min, reconnect_interval_max: seconds between rounds: the first pause, doubled up to the last.
            The first round comes at once. Without them the pauses go from 10 ms to 1 s while any broker answers.
        reconnect_interval: both of them.
        reconnect_urls: further brokers, in order. A user and password in one of them are for its own brokers.
        reconnect_urls_replace: whether the brokers that a broker tells of, and `reconnect_urls` assigned later, take
            the place of the whole list, the URL's own included. Otherwise the former come behind it.
        failover_updates: whether to subscribe to the exchange `amq.failover`, if the broker has it, for as long as the
            connection lives: it tells of the cluster's brokers at once and whenever they change. What a broker tells
            while it lets us in (`known-hosts`) is heeded in any case.
        reconnect_log: whether losses, attempts and recoveries are logged, with level WARNING, to the logger
            "qpid_messaging"; `set_broker_notify_handler` tells an application the same.
        address_ttl: seconds for which an address once resolved need not be resolved again.
        tcp_nodelay: whether small writes go out at once. On by default, unlike in qpid.messaging.
        ssl_keyfile, ssl_certfile: the client's key and certificate, PEM.
        ssl_key_password: of the key, where it is encrypted.
        ssl_trustfile: certificates to trust, PEM; the system's by default. Unlike in qpid.messaging, which trusts
            everybody without one, a certificate is always checked.
        ssl_skip_hostname_check: whether a certificate for another host will do; without `ssl_trustfile`, any
            certificate, since anybody can have one of a public authority. Also
            `ssl_ignore_hostname_verification_failure`.
        client_properties: told to the broker. Also `properties`.
        protocol: "amqp0-10".
        id: unique to this connection; sessions are named by it.
        sessions: the open sessions by name.

    Raises:
        ConnectionError: an unknown option, one that cannot be had here, or a value that an option cannot have.
        ConnectError: the URL does not parse.
    """

    _driver: Driver
    _session_type = Session

    @staticmethod
    def establish(
        url: str | BrokerURL | URLParts | None = None,
        timeout: float | None = None,
        options: Mapping[str, Any] | str | None = None,
        **named: Any,
    ) -> Connection:
        """Make a connection and open it.

        Args:
            url: as for the constructor.
            timeout: as for `open`.
            options, named: as for the constructor.

        Raises:
            ConnectionError: no broker let us in. Nothing of the connection is left then.
            Timeout: none did in time.
        """
        connection = Connection(url, options, **named)
        try:
            connection.open(timeout=timeout)
        except BaseException:
            connection._abandon()
            raise
        return connection

    def _make_driver(self) -> Driver:
        return Driver(self._core)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is None:
            self.close()
        else:
            self._abandon()

    def open(self, timeout: float | None = None) -> None:
        """Open the connection.

        Args:
            timeout: seconds; None is for ever. `reconnect_timeout` goes before it.

        Raises:
            ConnectionError: it is open already, or no broker let us in.
            Timeout: none did in time.
        """
        self._driver.run(self._begin(timeout))

    def attach(self, timeout: float | None = None) -> None:
        """Connect to a broker, with all sessions, senders and receivers that there are.

        Args:
            timeout: seconds; None is for ever.

        Raises:
            ConnectionError: no broker let us in.
            Timeout: it was not done in time; reconnecting is switched off then.
        """
        self._driver.run(self._attach(timeout))

    def detach(self, timeout: float | None = None) -> None:
        """Disconnect. `attach` connects again.

        Args:
            timeout: seconds for the broker to agree; None is as many as a broker gets.

        Raises:
            Timeout: it did not agree in time.
        """
        try:
            self._driver.run(self._detach(timeout))
        finally:
            self._driver.join()

    def close(self, timeout: float | None = None) -> None:
        """Close all sessions and the connection. What was sent is completed by the broker before.

        Args:
            timeout: seconds for each step of it; None is for ever.

        Raises:
            MessagingError: the connection had failed, or a session had; it is closed all the same.
            Timeout: a step was not done in time; it is closed all the same.
        """
        try:
            self._driver.run(self._close(timeout))
        finally:
            self._driver.join()

    def _abandon(self) -> None:
        """Close without waiting for anything: the connection is of no use."""
        with self._driver.lock:
            self._abort()
        self._driver.join()
