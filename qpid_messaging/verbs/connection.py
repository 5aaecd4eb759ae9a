"""A connection's state, and what its verbs do."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any, Generic, TypeVar, overload
from uuid import uuid4

from ..core.connection import ConnectionCore, Phase
from ..endpoint import Endpoint
from ..exceptions import ConnectionClosed, ConnectionError, InternalError, MessagingError, Timeout
from ..option_values import merged
from ..options import ConnectionOptions
from .session import SessionVerbs

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from qpid_address import BrokerURL
    from typing_extensions import Self

    from ..broker_events import BrokerEvent
    from ..core.statistics import Statistics
    from ..engine import Engine
    from ..options import URLParts
    from .waiting import Verb

T = TypeVar("T")
X = TypeVar("X", bound=SessionVerbs[Any, Any])


class _Option(Generic[T]):
    """An option as an attribute of the connection, as in qpid.messaging. Those of reconnecting can be changed later."""

    def __set_name__(self, owner: type[ConnectionVerbs[Any]], name: str) -> None:
        self._name = name

    @overload
    def __get__(self, connection: None, owner: type[ConnectionVerbs[Any]]) -> Self: ...
    @overload
    def __get__(self, connection: ConnectionVerbs[Any], owner: type[ConnectionVerbs[Any]]) -> T: ...
    def __get__(self, connection: ConnectionVerbs[Any] | None, owner: type[ConnectionVerbs[Any]]) -> Self | T:
        return self if connection is None else getattr(connection._core.options, self._name)

    def __set__(self, connection: ConnectionVerbs[Any], value: T) -> None:
        connection._core.set_option(self._name, value)


class ConnectionVerbs(Endpoint, Generic[X]):
    """What a Connection is, but for how it waits.

    Attributes:
        options: the options as given.
        id: unique to this connection; sessions are named by it.
        sessions: the open sessions by name.
    """

    host: _Option[str | None] = _Option()
    port: _Option[int | None] = _Option()
    transport: _Option[str | None] = _Option()
    username: _Option[str | None] = _Option()
    password: _Option[str | None] = _Option()
    heartbeat: _Option[float | None] = _Option()
    virtualhost: _Option[str] = _Option()
    locale: _Option[str] = _Option()
    max_channels: _Option[int] = _Option()
    max_frame_size: _Option[int] = _Option()
    container_id: _Option[str | None] = _Option()
    disable_auto_decode: _Option[bool] = _Option()
    connect_timeout: _Option[float | None] = _Option()
    connect_retries: _Option[int] = _Option()
    connect_delay: _Option[float] = _Option()
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
    reconnect_urls: _Option[Sequence[str | URLParts]] = _Option()
    reconnect_urls_replace: _Option[bool] = _Option()
    failover_updates: _Option[bool] = _Option()
    reconnect_log: _Option[bool] = _Option()
    address_ttl: _Option[float] = _Option()
    tcp_nodelay: _Option[bool] = _Option()
    ssl_keyfile: _Option[str | None] = _Option()
    ssl_key_password: _Option[str | None] = _Option()
    ssl_certfile: _Option[str | None] = _Option()
    ssl_trustfile: _Option[str | None] = _Option()
    ssl_skip_hostname_check: _Option[bool] = _Option()
    client_properties: _Option[dict[str, Any]] = _Option()
    protocol: _Option[str | None] = _Option()

    _core: ConnectionCore
    _session_type: type[X]

    def __init__(
        self,
        url: str | BrokerURL | URLParts | None = None,
        options: Mapping[str, Any] | str | None = None,
        **named: Any,
    ) -> None:
        self.options = merged(options, named)
        parsed = ConnectionOptions.parse(url, self.options)
        self.id = str(uuid4())
        self.sessions: dict[str, X] = {}
        self._core = ConnectionCore(parsed, self.id)
        self._core.owner = self
        self._driver = self._make_driver()
        self._session_counter = 0
        self._open = False

    def __repr__(self) -> str:
        return f"<Connection {self.host}:{self.port} {self._core.phase.name.lower()}>"

    def _make_driver(self) -> Engine:
        raise NotImplementedError

    # -- state -------------------------------------------------------------------------------------------------

    @property
    def stats(self) -> Statistics:
        """Counters: attempts, fail-overs, messages sent again, claims lost, seconds without a broker."""
        return self._core.stats

    @property
    def auth_username(self) -> str | None:
        """Who the broker takes us for."""
        return self._core.username

    def setOption(self, name: str, value: Any) -> None:  # noqa: N802 - its name in the C++ client's binding
        """Change an option; those of reconnecting take effect at once, the others with the next broker.

        Args:
            name: which; hyphens count as underscores.
            value: None is the default.

        Raises:
            ConnectionError: an unknown option, one that cannot be had here, or a value that it cannot have.
        """
        with self._driver.lock:
            self._core.set_option(name, value)

    def opened(self) -> bool:
        """Whether `open` was called and `close` was not."""
        return self._open

    def attached(self) -> bool:
        """Whether the connection is, or shall be, connected to a broker."""
        return self._core.wanted

    def set_broker_notify_handler(self, handler: Callable[[BrokerEvent], object] | None) -> None:
        """Be told of each attempt to reach a broker, each that lets us in, and each that is lost.

        Args:
            handler: called with one of `qpid_messaging.broker_events`, in the connection's I/O thread or whichever
                finds it; with `qpid_messaging.aio` in the event loop. It must not call the messaging API. Set it
                before `open` to be told of the first attempts, too.
        """
        with self._driver.lock:
            self._core.on_broker = None if handler is None else lambda event: _call(handler, event)

    def get_error(self) -> Exception | None:
        return self._core.error

    def check_closed(self) -> None:
        if not self._core.wanted:
            raise ConnectionClosed(text="connection closed")

    def _is_closed(self) -> bool:
        return not self._core.wanted

    # -- sessions ----------------------------------------------------------------------------------------------

    def session(self, name: str | None = None, transactional: bool = False) -> X:
        """The session of that name, made if there is none.

        Args:
            name: the name; by default a new one.
            transactional: whether sends and acknowledgements take effect with `Session.commit` only.

        Raises:
            InternalError: the connection is of no use any more, for a reason of its own.
        """
        with self._driver.lock:
            if isinstance(self._core.error, InternalError):
                raise self._core.error
            if name is None:
                full_name = f"{self.id}:{self._session_counter}"
                self._session_counter += 1
            else:
                full_name = self._session_name(name)
            session = self.sessions.get(full_name)
            if session is None:
                core = self._core.session(full_name, transactional, continues=name is not None)
                # The broker hears of it together with what it is made for: that is worth no write of its own.
                session = self.sessions[full_name] = self._session_type(self, core)
            return session

    def _session_name(self, name: str) -> str:
        """What a session is called at the broker that the application calls by that name."""
        return f"{self.container_id or self.id}:{name}"

    def _end_sessions(self) -> None:
        """Whoever still waits waits for nothing."""
        for session in list(self._core.sessions.values()):
            session.end()
            self._core.forget_session(session)
        self.sessions.clear()
        self._driver.notify()

    # -- what verbs do -----------------------------------------------------------------------------------------

    def _begin(self, timeout: float | None) -> Verb[None]:
        """Open the connection."""
        if self._open:
            raise ConnectionError(text="already open")
        self._open = True
        if self.reconnect and self.reconnect_timeout and self.reconnect_timeout > 0:
            timeout = self.reconnect_timeout
        try:
            yield from self._attach(timeout)
        except Exception:
            raise
        except BaseException:
            self._open = False
            raise

    def _attach(self, timeout: float | None) -> Verb[None]:
        core = self._core
        if not core.wanted:
            core.attach(self._driver.now())
            self._driver.start()
        try:
            attached = yield from self._ecwait(lambda: core.settled, timeout)
        except Exception:
            raise
        except BaseException:
            core.finish()
            self._driver.wake()
            self._driver.notify()
            raise
        if not attached:
            self.reconnect = False
            raise Timeout(f"Connection attach timed out: {core.holdup}")

    def _detach(self, timeout: float | None) -> Verb[None]:
        core = self._core
        if core.wanted:
            core.detach(self._driver.now())
            self._driver.flush()
        self._driver.wake()
        self._driver.notify()
        detached = False
        try:
            # Somebody else may attach in the meantime: theirs is another connection.
            detached = yield (lambda: core.phase is Phase.IDLE or core.wanted), timeout
        finally:
            if not detached:
                core.finish()
                self._driver.wake()
        if not detached:
            raise Timeout("detach timed out")

    def _close(self, timeout: float | None) -> Verb[None]:
        try:
            try:
                sessions = list(self.sessions.values())
                if self._core.error is None and not self._core.opened:
                    # No broker to tell: wait for one only where something would be lost otherwise.
                    sessions = [session for session in sessions if session._is_busy()]
                for session in sessions:
                    yield from session._close(timeout, with_connection=True)
            except (MessagingError, Timeout):
                yield from self._detach(timeout)
                raise
            yield from self._detach(timeout)
        finally:
            self._abort()

    def _abort(self) -> None:
        """Close without waiting for anything."""
        self._core.detach(self._driver.now())
        self._driver.flush()
        self._core.finish()
        self._open = False
        self._end_sessions()
        self._driver.wake()


def _call(handler: Callable[[BrokerEvent], object], event: BrokerEvent) -> None:
    try:
        handler(event)
    except Exception:  # an application's mistake, which must not end the search for a broker
        logging.getLogger("qpid_messaging").exception("broker handler, told %s", event)
