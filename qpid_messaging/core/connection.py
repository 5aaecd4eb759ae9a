"""A connection: which broker it is or shall be connected to, and what happens when that broker is lost."""

from __future__ import annotations

import enum
import logging
import re
from math import ceil
from typing import TYPE_CHECKING

from ..amqp.commands import CloseCode, DetachCode
from ..amqp.connection import AuthenticationError, ClientConnection
from ..amqp.connection import VersionError as WireVersionError
from ..amqp.errors import ProtocolError
from ..amqp.events import (
    Broken,
    Closed,
    Completed,
    Detached,
    DetachRequested,
    Event,
    Expected,
    Failed,
    Incoming,
    Opened,
    Result,
)
from ..broker_events import BrokerEvent, BrokerFailed, BrokerFound, BrokerLost, BrokerTried
from ..exceptions import (
    AuthenticationFailure,
    ConnectError,
    ConnectionError,
    HeartbeatTimeout,
    MessagingError,
    VersionError,
)
from ..reconnect import ReconnectPolicy
from .endpoint import Endpoint
from .failover_updates import FailoverUpdates
from .link import LinkState
from .login import choose_mechanism, client_properties
from .nodes import NodeCache
from .session import SessionCore
from .statistics import Statistics

if TYPE_CHECKING:
    from collections.abc import Callable

    from qpid_address import BrokerAddress

    from ..amqp import sasl
    from ..amqp.session import Session
    from ..options import ConnectionOptions

log = logging.getLogger("qpid_messaging")

#: Seconds that one broker gets to answer where no heartbeat says otherwise and there is another attempt: it may be
#: stopped, or behind a firewall that drops what it does not let through.
ATTEMPT_TIMEOUT = 10.0
#: Seconds that a broker gets to agree to a close.
CLOSE_TIMEOUT = 5.0
#: Brokers of this product keep sessions of their own kind, which do not take back a command-point.
_OTHER_SESSIONS = "qpid-cpp"


class Phase(enum.Enum):
    """Where the connection stands."""

    IDLE = enum.auto()  # nothing wanted, or given up
    WAITING = enum.auto()  # for the time of the next attempt
    CONNECTING = enum.auto()  # the shell opens a transport
    OPENING = enum.auto()  # the broker is being greeted
    OPEN = enum.auto()
    CLOSING = enum.auto()  # connection.close is sent


class ConnectionCore(Endpoint):
    """What a connection wants, and how far that is done.

    A shell asks `next_broker` whom to connect to, reports `transport_connected` or `transport_lost`, moves bytes
    between the transport and `receive` / `data_to_send`, calls `tick` no later than `deadline`, and drops its transport
    as soon as `has_transport` is False. Times are seconds of any clock that only goes forward.

    Args:
        options: the connection's options.
        name: an id unique to this connection; sessions are named by it.

    Attributes:
        phase: where the connection stands.
        wanted: whether it shall be connected.
        wire: the AMQP 0-10 connection machine, while there is a transport.
        sessions: by name, until they are closed.
        resumes: whether the broker keeps sessions.
        node_cache: what names were lately found to be.
        stats: what the connection went through.
        username: who the broker takes us for.
        on_broker: called with what becomes of brokers.
    """

    def __init__(self, options: ConnectionOptions, name: str) -> None:
        self.options = options
        self.name = name
        self.phase = Phase.IDLE
        self.wanted = False
        self.wire: ClientConnection | None = None
        self.sessions: dict[str, SessionCore] = {}
        self.resumes = False
        self.node_cache = NodeCache(options)
        self.policy = ReconnectPolicy(options)
        self.stats = Statistics()
        self.username: str | None = None
        self.on_broker: Callable[[BrokerEvent], object] | None = None
        self._updates = FailoverUpdates(self, self._learn)
        self._by_wire: dict[Session, SessionCore] = {}
        self._retry_at = 0.0
        self._began = 0.0
        self._last_in = 0.0
        self._next_beat = 0.0
        self._wrote = False
        # Whether this connection carried anything out. The loss of one that did begins a new search, without a pause;
        # a broker that lets us in and drops us at once shall not be asked a thousand times a second.
        self._useful = False
        self._lost_at: float | None = None
        self._failure: ConnectionError | None = None
        self._heard = False
        self._encrypted = False
        self._local = True
        self._warned_of_plain = False
        # The options for the broker that is tried or ours: its own URL may say who to be there.
        self._here = options
        # What is to be said to a broker that is not ours any more: close-ok, or what it did wrong.
        self._last_words = b""

    # -- what the application wants ----------------------------------------------------------------------------

    @property
    def opened(self) -> bool:
        """Whether there is a broker that let us in."""
        return self.phase is Phase.OPEN

    @property
    def settled(self) -> bool:
        """Whether everything wanted is on the wire: the connection and every link of every session."""
        return self.phase is Phase.OPEN and not any(
            link.state in (LinkState.UNLINKED, LinkState.LINKING)
            for session in self.sessions.values()
            if session.error is None and not session.closed
            for link in [*session.senders, *session.receivers]
        )

    @property
    def holdup(self) -> str:
        """What whoever waits for it to be settled waits for: the broker, and what became of the last attempt."""
        if self.phase is Phase.OPEN:
            return self._text("its links are not set up yet")
        return self._text("no answer") if self._failure is None else str(self._failure)

    def attach(self, now: float) -> None:
        """Want to be connected."""
        if not self.wanted:
            self._suspend()  # one that the broker has not agreed to close yet is not waited for
            self.wanted = True
            self.phase = Phase.WAITING
            self._retry_at = self.policy.begin(now, initial=True)

    def detach(self, now: float) -> None:
        """Want not to be."""
        self.wanted = False
        if self.phase is Phase.OPEN and self.wire is not None:
            self._updates.end()
            self.wire.close()
            self.phase = Phase.CLOSING
            self._began = now
        elif self.phase is not Phase.CLOSING:
            self._end()

    def finish(self) -> None:
        """Drop the connection without waiting for the broker to agree."""
        self.wanted = False
        self._end()

    def abort(self, error: MessagingError) -> None:
        """Give up, whatever was wanted."""
        self._give_up(error)

    def set_option(self, name: str, value: object) -> None:
        """Change an option; see `ConnectionOptions.set`."""
        replaced = self.options.reconnect_urls
        self.options.set(name, value)
        if self.options.reconnect_urls_replace and self.options.reconnect_urls is not replaced:
            self.policy.forget()

    def session(self, name: str, transactional: bool, continues: bool) -> SessionCore:
        """A new session; see `SessionCore`."""
        session = SessionCore(self, name, transactional, continues)
        self.sessions[name] = session
        self._by_wire[session.wire] = session
        session.reconcile()
        return session

    def forget_session(self, session: SessionCore) -> None:
        """A session is closed."""
        self.sessions.pop(session.name, None)
        self._by_wire.pop(session.wire, None)

    # -- the transport -----------------------------------------------------------------------------------------

    @property
    def has_transport(self) -> bool:
        """Whether the shell shall have a transport."""
        return self.phase in (Phase.CONNECTING, Phase.OPENING, Phase.OPEN, Phase.CLOSING)

    def next_broker(self, now: float) -> BrokerAddress | None:
        """The broker to connect a transport to now, if it is time for that."""
        if self.phase is not Phase.WAITING or now < self._retry_at:
            return None
        try:
            broker = self.policy.next_broker()
        except MessagingError as error:
            self._give_up(error)
            return None
        self._here = self.options.at(broker)
        self.phase = Phase.CONNECTING
        self._began = self._last_in = now
        self._heard = False
        self.stats.attempts += 1
        self._tell(BrokerTried(*_place(broker), self.policy.attempts), logged=self._lost_at is not None)
        return broker

    def transport_connected(self, now: float, *, encrypted: bool = False, local: bool = True) -> None:
        """The transport is there: greet the broker.

        Args:
            now: the time.
            encrypted: whether nobody can read along.
            local: whether the broker is on this machine.
        """
        if self.phase is not Phase.CONNECTING:
            return
        self._encrypted, self._local = encrypted, local
        options = self._here
        self.wire = ClientConnection(
            self._choose_mechanism,
            client_properties=client_properties(options.client_properties),
            virtual_host=options.virtualhost,
            locale=options.locale,
            heartbeat=ceil(options.heartbeat) if options.heartbeat else 0,
            max_channels=options.max_channels,
            max_frame_size=options.max_frame_size,
        )
        self.phase = Phase.OPENING
        self._last_in = now
        self._last_words = b""

    def transport_lost(self, now: float, reason: str | None = None) -> None:
        """There is no transport, or no more.

        Args:
            now: the time.
            reason: the system's words, if it has any.
        """
        if self.phase is Phase.CLOSING:
            self._end()
        elif self.phase is Phase.CONNECTING:
            self._lost(now, ConnectError(text=self._text(reason or "cannot connect")), answered=_refused(reason))
        elif self.phase in (Phase.OPENING, Phase.OPEN):
            self._lost(now, ConnectionError(text=self._text(reason or "connection aborted")), answered=self._heard)

    def receive(self, data: bytes, now: float) -> None:
        """Bytes came."""
        wire = self.wire
        if wire is None:
            return
        self._last_in = now
        self._heard = True
        by_wire = self._by_wire
        touched: dict[SessionCore, None] = {}
        for event in wire.receive(data):
            if isinstance(event, Incoming):
                session = by_wire.get(event.session)
                if session is not None:
                    session.transferred(event.id, event.command, event.header, event.body)
            elif isinstance(event, Completed):
                self._useful = True
                for token in event.tokens:
                    token.completed()
                session = by_wire.get(event.session)
                if session is not None:
                    touched[session] = None
            else:
                self._handle(event, now)
                if self.wire is not wire:
                    return
        for session in touched:
            session.reconcile()

    def data_to_send(self) -> bytes:
        """Bytes to write to the transport."""
        if self.wire is None:
            last_words, self._last_words = self._last_words, b""
            return last_words
        data = self.wire.data_to_send()
        if data:
            self._wrote = True
        return data

    def deadline(self) -> float | None:
        """When `tick` (or `next_broker`) is due, if ever."""
        if self.phase is Phase.WAITING:
            return self._retry_at
        if self.phase is Phase.IDLE:
            return None
        if self.phase is Phase.CLOSING:
            return self._began + CLOSE_TIMEOUT
        heartbeat = self._heartbeat()
        silent = self._last_in + 2 * heartbeat if heartbeat else None
        if self.phase is Phase.OPEN:
            return None if silent is None else min(silent, self._next_beat)
        times = (silent, self._to_be_open())
        return min((time for time in times if time is not None), default=None)

    def tick(self, now: float) -> None:
        """The time is `now`: see to heartbeats. To be called after reading what there is to read."""
        if self.phase in (Phase.IDLE, Phase.WAITING):
            return
        if self.phase is Phase.CLOSING:
            if now >= self._began + CLOSE_TIMEOUT:
                self._end()
            return
        heartbeat = self._heartbeat()
        if heartbeat:
            if now >= self._last_in + 2 * heartbeat:
                self._silent(now, f"nothing came for {2 * heartbeat:g} seconds")
            elif self.phase is Phase.OPEN and now >= self._next_beat:
                if not self._wrote and self.wire is not None:
                    self.wire.send_heartbeat()
                self._wrote = False
                self._next_beat = now + heartbeat / 2
        to_be_open = self._to_be_open() if self.phase in (Phase.CONNECTING, Phase.OPENING) else None
        if to_be_open is not None and now >= to_be_open:
            error = ConnectError(text=self._text(f"no answer within {to_be_open - self._began:g} seconds"))
            self._lost(now, error, answered=False)

    # -- events ------------------------------------------------------------------------------------------------

    def _handle(self, event: Event, now: float) -> None:
        if isinstance(event, Result):
            if event.token is not None:
                event.token.result(event.id, event.value)
        elif isinstance(event, Opened):
            self._opened(event, now)
        elif isinstance(event, Closed):
            self._closed(event, now)
        elif isinstance(event, Broken):
            self._broken(event.error, now)
        elif isinstance(event, (Expected, Failed, DetachRequested, Detached)):
            session = self._by_wire.get(event.session)
            if session is not None:
                self._handle_session(session, event, now)

    def _handle_session(
        self, session: SessionCore, event: Expected | Failed | DetachRequested | Detached, now: float
    ) -> None:
        if isinstance(event, Expected):
            try:
                session.expected(event.id)
            except ProtocolError as error:
                self._broken(error, now)
        elif isinstance(event, Failed):
            session.failed(event.exception)
        elif isinstance(event, Detached):
            session.detached(event.code)
        elif self.wire is not None:
            self.wire.detach(event.session)
            session.detached(DetachCode.NORMAL)

    def _opened(self, event: Opened, now: float) -> None:
        wire = self.wire
        assert wire is not None
        self.phase = Phase.OPEN
        self._useful = False
        self.policy.succeeded()
        self._learn(event.known_hosts)
        self.resumes = self.options.reconnect and wire.server_properties.get("product") != _OTHER_SESSIONS
        self.node_cache.clear()
        self._wrote = False
        self._next_beat = now + self._heartbeat() / 2
        without: float | None = None
        if self._lost_at is not None:
            without = now - self._lost_at
            self.stats.fail_overs += 1
            self.stats.seconds_without_broker += without
            self._lost_at = None
        found = BrokerFound(*_place(self.policy.current), self.policy.attempts, without)
        self._tell(found, logged=without is not None)
        if self.options.failover_updates:
            self._updates.subscribe()
        for session in list(self.sessions.values()):
            session.reconcile()

    def _learn(self, urls: list[str]) -> None:
        """A broker told where its cluster is."""
        if self.policy.learn(urls):
            log.info("%s tells of brokers: %s", _where(self.policy.current), ", ".join(urls))

    def _closed(self, event: Closed, now: float) -> None:
        if self.phase is Phase.CLOSING or not event.by_peer:
            self._end()
        elif event.code == CloseCode.NORMAL:
            self._lost(now, ConnectionError(text=self._text("connection aborted")), answered=True)
        elif event.code == CloseCode.CONNECTION_FORCED:
            # It goes down, it is a backup that turns clients away, or it does not like our credentials.
            if self.phase is Phase.OPENING and _AUTHENTICATION.search(event.text):
                self._lost(now, AuthenticationFailure(event.code, self._text(event.text)), answered=True, fatal=True)
            else:
                self._lost(now, ConnectionError(event.code, self._text(event.text)), answered=True)
        else:
            # We did something wrong, and would do it again.
            self._give_up(ConnectionError(event.code, self._text(event.text)))

    def _broken(self, error: ProtocolError, now: float) -> None:
        kind: type[ConnectionError] = ConnectionError
        if isinstance(error, WireVersionError):
            kind = VersionError
        elif isinstance(error, AuthenticationError):
            kind = AuthenticationFailure
        self._lost(now, kind(text=self._text(str(error))), answered=True, fatal=kind is not ConnectionError)

    def _silent(self, now: float, text: str) -> None:
        self._lost(now, HeartbeatTimeout(text=self._text(f"heartbeat timeout: {text}")), answered=False)

    # -- losing it ---------------------------------------------------------------------------------------------

    def _lost(self, now: float, error: ConnectionError, *, answered: bool, fatal: bool = False) -> None:
        was_open = self.phase is Phase.OPEN
        attempt = self.policy.attempts
        self._failure = error
        self._suspend()
        if was_open:
            self._lost_at = now
        if was_open and self._useful:
            retry_at = self.policy.begin(now) if self.options.reconnect else None
        else:
            retry_at = self.policy.failed(now, answered=answered, fatal=fatal)
        place = _place(self.policy.current)
        if was_open:
            event: BrokerEvent = BrokerLost(*place, error)
        else:
            event = BrokerFailed(*place, attempt, error, None if retry_at is None else retry_at - now)
        self._tell(event, logged=self.options.reconnect)
        if retry_at is None:
            self._give_up(error)
            return
        self._retry_at = retry_at
        self.phase = Phase.WAITING

    def _tell(self, event: BrokerEvent, *, logged: bool) -> None:
        if logged and self.options.reconnect_log:
            log.warning("%s", event)
        if self.on_broker is not None:
            self.on_broker(event)

    def _give_up(self, error: MessagingError) -> None:
        self._suspend()
        self.phase = Phase.IDLE
        self.error = error

    def _end(self) -> None:
        self._suspend()
        self.phase = Phase.IDLE

    def _suspend(self) -> None:
        self.phase = Phase.WAITING
        if self.wire is None:
            return
        self._last_words = self.wire.data_to_send()
        self.wire.lost()
        self.wire = None
        for session in list(self.sessions.values()):
            session.suspend()

    def _heartbeat(self) -> float:
        """Seconds between heartbeats: as agreed with the broker, and before that as wanted; 0 is none."""
        wanted = self._here.heartbeat or 0
        if wanted and self.phase is Phase.OPEN and self.wire is not None:
            return self.wire.heartbeat or wanted
        return wanted

    def _to_be_open(self) -> float | None:
        """When the broker that is tried has to have let us in; None is never."""
        timeout = self._here.connect_timeout
        if not timeout and self.options.reconnect and not self._here.heartbeat:
            timeout = ATTEMPT_TIMEOUT
        return self._began + timeout if timeout else None

    def _choose_mechanism(self, offered: list[str]) -> sasl.Mechanism:
        options = self._here
        self.username = options.username
        mechanism = choose_mechanism(offered, options, self.policy.current, encrypted=self._encrypted)
        if mechanism.reveals_password and not (self._encrypted or self._local or self._warned_of_plain):
            self._warned_of_plain = True
            log.warning(
                "%s: the password is sent as it is (%s) over a connection that is not encrypted",
                _where(self.policy.current),
                mechanism.name,
            )
        return mechanism

    def _text(self, reason: str) -> str:
        return f"{_where(self.policy.current)}: {reason}"


_AUTHENTICATION = re.compile("authenticat|credential|sasl|mechanism", re.IGNORECASE)


def _place(broker: BrokerAddress | None) -> tuple[str, int]:
    return ("", 0) if broker is None else (broker.host, broker.port_or_default)


def _where(broker: BrokerAddress | None) -> str:
    if broker is None:
        return "no broker"
    return f"[{broker.host}]:{broker.port}" if ":" in broker.host else f"{broker.host}:{broker.port}"


def _refused(reason: str | None) -> bool:
    return reason is not None and "refused" in reason.lower()
