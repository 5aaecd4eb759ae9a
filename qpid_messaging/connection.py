"""The blocking Connection."""

from __future__ import annotations

from time import monotonic
from typing import TYPE_CHECKING, Any, Generic, TypeVar, overload
from uuid import uuid4

from .core.connection import ConnectionCore, Phase
from .driver import Driver
from .endpoint import Endpoint
from .exceptions import ConnectionClosed, ConnectionError, Timeout
from .options import ConnectionOptions
from .session import Session

if TYPE_CHECKING:
    from types import TracebackType

    from qpid_address import BrokerURL
    from typing_extensions import Self

    from .core.statistics import Statistics

__all__ = ["Connection"]

T = TypeVar("T")


class _Option(Generic[T]):
    """An option as an attribute of the connection, as in qpid.messaging. Those of reconnecting can be changed later."""

    def __set_name__(self, owner: type[Connection], name: str) -> None:
        self._name = name

    @overload
    def __get__(self, connection: None, owner: type[Connection]) -> Self: ...
    @overload
    def __get__(self, connection: Connection, owner: type[Connection]) -> T: ...
    def __get__(self, connection: Connection | None, owner: type[Connection]) -> Self | T:
        return self if connection is None else getattr(connection._core.options, self._name)

    def __set__(self, connection: Connection, value: T) -> None:
        setattr(connection._core.options, self._name, value)


class Connection(Endpoint):
    """A connection to a broker, or to whichever of several brokers is there: the parent of sessions.

    A new connection is not open. With `reconnect` it looks for a broker again whenever it loses one; blocking calls
    then wait instead of failing.

    Args:
        url: `[user[/password]@]host[:port]`, `amqp://...`, `amqps://...`, or `amqp:` with several addresses.
        options: see Attributes. Hyphens count as underscores.

    Attributes:
        host, port: where to; the URL goes before them.
        transport: "tcp", "ssl" or "tcp+tls" (the same).
        username, password: who we are; the URL goes before them.
        heartbeat: seconds; a broker that is silent for two of them is lost.
        sasl_mechanisms: names of the mechanisms permitted, separated by spaces: SCRAM-SHA-256, DIGEST-MD5, CRAM-MD5,
            PLAIN, EXTERNAL (the client's certificate), ANONYMOUS. The strongest is taken that the broker offers.
        sasl_service: the broker's service name, which DIGEST-MD5 wants to know.
        sasl_min_ssf: with more than 0, nothing is said over a connection without TLS.
        reconnect: whether to find a broker again after a loss.
        reconnect_timeout: seconds until a search is given up.
        reconnect_limit: rounds over all brokers after the first until it is.
        reconnect_interval_min, reconnect_interval_max: seconds between rounds: the first pause, doubled up to the last.
            The first round comes at once. Without them the pauses go from 10 ms to 1 s while any broker answers.
        reconnect_interval: both of them.
        reconnect_urls: further brokers, in order.
        reconnect_log: whether losses and attempts are logged, with level WARNING, to the logger "qpid_messaging".
        address_ttl: seconds for which an address once resolved need not be resolved again.
        tcp_nodelay: whether small writes go out at once. On by default, unlike in qpid.messaging.
        ssl_keyfile, ssl_certfile: the client's key and certificate, PEM.
        ssl_trustfile: certificates to trust, PEM; the system's by default. Unlike in qpid.messaging, which trusts
            everybody without one, a certificate is always checked.
        ssl_skip_hostname_check: whether a certificate for another host will do; without `ssl_trustfile`, any
            certificate, since anybody can have one of a public authority.
        client_properties: told to the broker.
        protocol: "amqp0-10".
        id: unique to this connection; sessions are named by it.
        sessions: the open sessions by name.

    Raises:
        ConnectionError: an unknown option.
        ConnectError: the URL does not parse.
    """

    host: _Option[str | None] = _Option()
    port: _Option[int | None] = _Option()
    transport: _Option[str | None] = _Option()
    username: _Option[str | None] = _Option()
    password: _Option[str | None] = _Option()
    heartbeat: _Option[float | None] = _Option()
    sasl_mechanisms: _Option[str | None] = _Option()
    sasl_service: _Option[str] = _Option()
    sasl_min_ssf: _Option[int | None] = _Option()
    sasl_max_ssf: _Option[int | None] = _Option()
    reconnect: _Option[bool] = _Option()
    reconnect_timeout: _Option[float | None] = _Option()
    reconnect_interval: _Option[float | None] = _Option()
    reconnect_interval_min: _Option[float | None] = _Option()
    reconnect_interval_max: _Option[float | None] = _Option()
    reconnect_limit: _Option[int | None] = _Option()
    reconnect_urls: _Option[list[str]] = _Option()
    reconnect_log: _Option[bool] = _Option()
    address_ttl: _Option[float] = _Option()
    tcp_nodelay: _Option[bool] = _Option()
    ssl_keyfile: _Option[str | None] = _Option()
    ssl_certfile: _Option[str | None] = _Option()
    ssl_trustfile: _Option[str | None] = _Option()
    ssl_skip_hostname_check: _Option[bool] = _Option()
    client_properties: _Option[dict[str, Any]] = _Option()
    protocol: _Option[str | None] = _Option()

    _core: ConnectionCore

    @staticmethod
    def establish(url: str | BrokerURL | None = None, timeout: float | None = None, **options: Any) -> Connection:
        """Make a connection and open it.

        Args:
            url: as for the constructor.
            timeout: as for `open`.
            options: as for the constructor.

        Raises:
            ConnectionError: no broker let us in. Nothing of the connection is left then.
            Timeout: none did in time.
        """
        connection = Connection(url, **options)
        try:
            connection.open(timeout=timeout)
        except BaseException:
            connection._abandon()
            raise
        return connection

    def __init__(self, url: str | BrokerURL | None = None, **options: Any) -> None:
        parsed = ConnectionOptions.parse(url, options)
        self.options = options
        self.id = str(uuid4())
        self.sessions: dict[str, Session] = {}
        self._core = ConnectionCore(parsed, self.id)
        self._core.owner = self
        self._driver = Driver(self._core)
        self._session_counter = 0
        self._open = False

    def __repr__(self) -> str:
        return f"<Connection {self.host}:{self.port} {self._core.phase.name.lower()}>"

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is None:
            self.close()
        else:
            self._abandon()

    # -- state -------------------------------------------------------------------------------------------------

    @property
    def stats(self) -> Statistics:
        """Counters: attempts, fail-overs, messages sent again, claims lost, seconds without a broker."""
        return self._core.stats

    @property
    def auth_username(self) -> str | None:
        """Who the broker takes us for."""
        return self._core.username

    def opened(self) -> bool:
        """Whether `open` was called and `close` was not."""
        return self._open

    def attached(self) -> bool:
        """Whether the connection is, or shall be, connected to a broker."""
        return self._core.wanted

    def get_error(self) -> Exception | None:
        return self._core.error

    def check_closed(self) -> None:
        if not self._core.wanted:
            raise ConnectionClosed(text="connection closed")

    def _is_closed(self) -> bool:
        return not self._core.wanted

    # -- verbs -------------------------------------------------------------------------------------------------

    def open(self, timeout: float | None = None) -> None:
        """Open the connection.

        Args:
            timeout: seconds; None is for ever. `reconnect_timeout` goes before it.

        Raises:
            ConnectionError: it is open already, or no broker let us in.
            Timeout: none did in time.
        """
        with self._driver.lock:
            if self._open:
                raise ConnectionError(text="already open")
            self._open = True
            if self.reconnect and self.reconnect_timeout and self.reconnect_timeout > 0:
                timeout = self.reconnect_timeout
            self.attach(timeout=timeout)

    def attach(self, timeout: float | None = None) -> None:
        """Connect to a broker, with all sessions, senders and receivers that there are.

        Args:
            timeout: seconds; None is for ever.

        Raises:
            ConnectionError: no broker let us in.
            Timeout: it was not done in time; reconnecting is switched off then.
        """
        with self._driver.lock:
            if not self._core.wanted:
                self._core.attach(monotonic())
                self._driver.start()
            if not self._ewait(lambda: self._core.settled, timeout):
                self.reconnect = False
                raise Timeout("Connection attach timed out")

    def detach(self, timeout: float | None = None) -> None:
        """Disconnect. `attach` connects again.

        Args:
            timeout: seconds for the broker to agree; None is as many as a broker gets.

        Raises:
            Timeout: it did not agree in time.
        """
        with self._driver.lock:
            if self._core.wanted:
                self._core.detach(monotonic())
                self._driver.flush()
            self._driver.wake()
            self._driver.notify()
            detached = self._driver.wait(lambda: self._core.phase is Phase.IDLE, timeout)
            if not detached:
                self._core.finish()
        self._driver.join()
        if not detached:
            raise Timeout("detach timed out")

    def close(self, timeout: float | None = None) -> None:
        """Close all sessions and the connection. What was sent is completed by the broker before.

        Args:
            timeout: seconds for each step of it; None is for ever.

        Raises:
            MessagingError: the connection had failed, or a session had; it is closed all the same.
            Timeout: a step was not done in time; it is closed all the same.
        """
        try:
            with self._driver.lock:
                sessions = list(self.sessions.values())
                if self._core.error is None and not self._core.opened:
                    # No broker to tell: wait for one only where something would be lost otherwise.
                    sessions = [session for session in sessions if session._is_busy()]
            for session in sessions:
                session.close(timeout=timeout)
        finally:
            self._open = False
            try:
                self.detach(timeout=timeout)
            finally:
                self._end_sessions()

    def session(self, name: str | None = None, transactional: bool = False) -> Session:
        """The session of that name, made if there is none.

        Args:
            name: the name; by default a new one.
            transactional: whether sends and acknowledgements take effect with `Session.commit` only.
        """
        with self._driver.lock:
            if name is None:
                full_name = f"{self.id}:{self._session_counter}"
                self._session_counter += 1
            else:
                full_name = f"{self.id}:{name}"
            session = self.sessions.get(full_name)
            if session is None:
                core = self._core.session(full_name, transactional, continues=name is not None)
                session = self.sessions[full_name] = Session(self, core)
                self._driver.appended(0)
            return session

    def _remove_session(self, session: Session) -> None:
        self.sessions.pop(session.name, None)
        self._core.forget_session(session._core)

    def _abandon(self) -> None:
        """Close without waiting for anything: the connection is of no use."""
        with self._driver.lock:
            self._core.detach(monotonic())
            self._driver.flush()
            self._core.finish()
            self._open = False
        self._driver.join()
        self._end_sessions()

    def _end_sessions(self) -> None:
        """Whoever still waits in another thread waits for nothing."""
        with self._driver.lock:
            for session in list(self._core.sessions.values()):
                session.end()
                self._core.forget_session(session)
            self.sessions.clear()
            self._driver.notify()
