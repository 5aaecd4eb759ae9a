"""One client connection without I/O: bytes in, commands carried out, bytes out.

The shell (:mod:`qpid_server.server`) moves bytes and closes sockets; :class:`ConnectionHandler` decides. Time-outs run
on the broker's timers. A connection whose client does not read is *congested*: its subscriptions wait until what was
written for them is gone, so that no client makes the broker hold more than a bounded part of a queue twice.
"""

from __future__ import annotations

import itertools
import logging
import platform
import socket
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from qpid_messaging.amqp import commands as c
from qpid_messaging.amqp.connection import ServerConnection, State
from qpid_messaging.amqp.errors import ProtocolError
from qpid_messaging.amqp.events import (
    AttachRequested,
    Authenticate,
    Broken,
    Closed,
    Completed,
    Detached,
    DetachRequested,
    Event,
    ExpectedRequested,
    Failed,
    Incoming,
    OpenRequested,
    TimeoutRequested,
)
from qpid_messaging.amqp.sasl import Accepted, Challenge
from qpid_messaging.amqp.session import Session

from . import dtx_commands, message_commands, node_commands  # noqa: F401  (they register their commands)
from .security.authenticator import NOWHERE, Authenticator, Exchange, Origin, Outcome, Refused, Slow
from .session import SessionHandler
from .timers import Timer

if TYPE_CHECKING:
    from .broker import Broker

__all__ = ["CONGESTED_FROM", "PAUSE_FROM", "PRODUCT", "VERSION", "ConnectionHandler"]

log = logging.getLogger(__name__)

VERSION = "0.1.0"
PRODUCT = "qpid-python-broker"
_numbers = itertools.count(1)
#: Bytes waiting to be written from which a connection is given no more messages.
CONGESTED_FROM = 1 << 20
#: Bytes waiting to be written from which a connection is not read any more.
PAUSE_FROM = 4 << 20

_FRAME_OVERHEAD = 12
_CLOSE_TIMEOUT = 5.0


class _Nobody:
    """Stands where a connection's handler stood that is gone: nothing is written any more.

    Handler and machine would hold one another otherwise, until a collection looks at everything there is.
    """

    congested = True

    def __init__(self, broker: Broker) -> None:
        self.broker = broker

    def notify(self) -> None:
        """Nothing is to be written."""


class _Machine(ServerConnection):
    """The connection machine, counting what waits to be written."""

    def __init__(self, handler: ConnectionHandler, **settings: Any) -> None:
        super().__init__(**settings)
        self.handler: Any = handler
        self.backlog = 0
        self.frames = 0
        """What was queued: controls, commands and messages."""

    @property
    def frames_in(self) -> int:
        """Frames that came."""
        return self._decoder.frames

    def queue(self, frames: bytes) -> None:
        self._output.append(frames)
        self.frames += 1
        backlog = self.backlog
        self.backlog = backlog + len(frames)
        handler = self.handler
        if not backlog:
            handler.broker.pending[handler] = None
        elif backlog > CONGESTED_FROM and not handler.congested:
            handler.set_congested(True)


def server_properties(broker: Broker) -> dict[str, Any]:
    """What connection.start tells a client, with the names that the C++ broker uses."""
    return {
        "product": PRODUCT,
        "version": VERSION,
        "platform": platform.system(),
        "host": socket.gethostname(),
        "qpid.federation_tag": broker.federation_tag,
    }


class ConnectionHandler:
    """What the broker does for one connection.

    Args:
        broker: the broker.
        peer: the client's address, for the log.
        authenticator: who may come in.
        notify: called when there is output, or the connection is to be closed; may be called often.
        run_slow: finds an answer that takes long (hashing a password) and calls back with it; at once and here by
            default.
        origin: where the client comes from.

    Attributes:
        user: who the client is, once authenticated.
        congested: the client does not read: no more messages for now.
        finished: write what there is and close the socket.
        awaited: others wait for this client (a backup): its silence is to be noticed on the spot.
        held: nothing more that the client says is carried out.
        number: the connection's own, as long as the process lives.
        max_payload: bytes of the largest segment that one frame carries.
    """

    def __init__(
        self,
        broker: Broker,
        peer: str,
        authenticator: Authenticator,
        notify: Callable[[], None] = lambda: None,
        run_slow: Callable[[Slow, Callable[[Accepted | Refused], None]], None] | None = None,
        origin: Origin = NOWHERE,
    ) -> None:
        options = broker.options
        self.broker = broker
        self.number = next(_numbers)
        self.peer = peer
        self.notify = notify
        self.user = ""
        self.congested = False
        self.finished = False
        self.awaited = False
        self.held = False
        self.opened = False
        self.virtual_host = ""
        self.max_payload = options.max_frame_size - _FRAME_OVERHEAD
        self.checks_user_id = options.auth
        self.sessions: dict[Session, SessionHandler] = {}
        self.machine = _Machine(
            self,
            server_properties=server_properties(broker),
            mechanisms=authenticator.mechanisms(origin),
            channel_max=options.channel_max,
            heartbeat_max=options.heartbeat_max,
            max_frame_size=options.max_frame_size,
            max_message_size=options.max_message_size,
            refusal=authenticator.refusal(origin),
        )
        self.origin = origin
        self._authenticator = authenticator
        self._exchange: Exchange | None = None
        self._run_slow = run_slow
        now = broker.clock()
        self.bytes_in = 0
        self.bytes_out = 0
        self.messages_in = 0
        self.messages_out = 0
        self.segments_out = 0
        """Frames of messages sent, the first of each left out: the machine counts that."""
        self._last_in = now
        self._last_out = now
        self._kept: list[bytes] = []
        self._timer: Timer | None = broker.timers.at(
            now + options.max_negotiate_time / 1000, self._negotiation_timed_out
        )
        broker.connections[self] = None

    @property
    def client_properties(self) -> dict[str, Any]:
        """What the client told about itself in connection.start-ok."""
        return self.machine.client_properties

    @property
    def frames_in(self) -> int:
        """Frames that the client sent."""
        return self.machine.frames_in

    @property
    def frames_out(self) -> int:
        """Frames that were sent to the client; a segment too large for one frame counts as one."""
        return self.machine.frames + self.segments_out

    @property
    def paused(self) -> bool:
        """The client should not be read from for now: it is held, or so much waits to be written."""
        return self.held or self.machine.backlog > PAUSE_FROM

    @property
    def waiting(self) -> bool:
        """The client waits for the completion of something that it said."""
        return not all(session.all_done for session in self.sessions)

    # -- bytes

    def receive(self, data: bytes) -> None:
        """Take bytes of the client and carry out what they say; settle the broker afterwards."""
        if self.held:
            self._kept.append(data)
        elif not self.finished:
            self._receive(data)

    def _receive(self, data: bytes) -> None:
        broker = self.broker
        self._last_in = broker.clock()
        self.bytes_in += len(data)
        sessions = self.sessions
        broker.actor = self
        try:
            for event in self.machine.receive(data):
                if isinstance(event, Incoming):
                    session = sessions.get(event.session)
                    if session is not None:
                        session.execute(event.id, event.command, event.header, event.body)
                elif isinstance(event, Completed):
                    session = sessions.get(event.session)
                    if session is not None:
                        session.completed(event.ranges)
                else:
                    self._receive_other(event)
        except ProtocolError as error:
            log.warning("connection from %s closed: %s", self.peer, error)
            self.close(error.code, str(error))
        finally:
            broker.actor = None
        broker.pending[self] = None
        broker.settle()

    def hold(self) -> None:
        """Carry out nothing more that the client says, until `release`; answers to what it said go on to it."""
        self.held = True

    def release(self) -> None:
        """Go on with what the client said meanwhile."""
        self.held = False
        self._last_in = self.broker.clock()  # it may have said more, and was not read from
        kept, self._kept = self._kept, []
        for data in kept:
            self.receive(data)
        self.notify()

    def data_to_send(self) -> bytes:
        """What is to be written now; call :meth:`sent` when that is done."""
        data = self.machine.data_to_send()
        self.machine.backlog = 0
        if data:
            self._last_out = self.broker.clock()
            self.bytes_out += len(data)
        return data

    def sent(self) -> None:
        """The socket took it all: subscriptions that waited for that go on."""
        if self.congested and self.machine.backlog <= CONGESTED_FROM:
            self.set_congested(False)
            self.broker.settle()

    def set_congested(self, congested: bool) -> None:
        """Stop or resume giving messages to this connection."""
        self.congested = congested
        for session in self.sessions.values():
            for subscription in session.subscriptions.values():
                subscription.refresh()
            for service in session.services.values():
                service.refresh(session)

    def lost(self) -> None:
        """The socket is gone: sessions give back what they had, the records of surviving ones are kept for a while."""
        if self not in self.broker.connections:
            return
        self.finished = True
        self._cancel_timer()
        self.broker.actor = self
        try:
            for session in list(self.sessions.values()):
                self._end(session, orderly=False)
        finally:
            self.broker.actor = None
        self.machine.lost()
        del self.broker.connections[self]
        self.broker.pending.pop(self, None)
        if self.opened:
            for observer in self.broker.observers:
                observer.disconnected(self)
        self.broker.settle()
        nobody = _Nobody(self.broker)
        self.machine.handler, self.notify, self._run_slow = nobody, nobody.notify, None

    def close(self, code: int, text: str) -> None:
        """End the connection from this side: connection.close; the socket goes when the client agrees, or soon."""
        if self.finished:
            return
        if self.machine.state in (State.HEADER, State.CLOSED):
            self.finish()
            return
        for session in list(self.sessions.values()):
            self._end(session, orderly=False)
        self.machine.close(code, text)
        self._cancel_timer()
        self._timer = self.broker.timers.at(self.broker.clock() + _CLOSE_TIMEOUT, self.finish)
        self.broker.pending[self] = None

    def abort(self, text: str) -> None:
        """End the connection without connection.close, as a dying broker would: clients that reconnect then do so."""
        log.info("connection from %s dropped: %s", self.peer, text)
        self.finish()

    def finish(self) -> None:
        """Nothing more will be read; the socket is closed once the output is written."""
        self.finished = True
        self._cancel_timer()
        self.notify()

    # -- events

    def _receive_other(self, event: Event) -> None:
        if isinstance(event, TimeoutRequested):
            session = self.sessions.get(event.session)
            if session is not None:
                session.grant_timeout(event.timeout)
        elif isinstance(event, ExpectedRequested):
            session = self.sessions.get(event.session)
            if session is not None:
                session.tell_expected()
        elif isinstance(event, AttachRequested):
            self._attach(event.session, event.force)
        elif isinstance(event, DetachRequested):
            session = self.sessions.get(event.session)
            if session is not None:
                self._end(session, orderly=True)
            event.session.flush_completed()
            self.machine.detach(event.session)
        elif isinstance(event, Detached):
            session = self.sessions.get(event.session)
            if session is not None:
                self._end(session, orderly=True)
        elif isinstance(event, Failed):
            session = self.sessions.get(event.session)
            if session is not None:
                log.warning("%s ended its session: %s", self.peer, event.exception.description)
                self._end(session, orderly=True)
        elif isinstance(event, Authenticate):
            self._authenticate(event)
        elif isinstance(event, OpenRequested):
            self._open(event.virtual_host)
        elif isinstance(event, Broken):
            log.warning("connection from %s closed: %s", self.peer, event.error)
            if not self.opened:
                self._refused(str(event.error))
            self.finish()
        elif isinstance(event, Closed):
            self.finish()

    def _authenticate(self, event: Authenticate) -> None:
        if event.initial or self._exchange is None:
            self._exchange = self._authenticator.begin(event.mechanism, self.origin)
        outcome = self._exchange.respond(event.response)
        if not isinstance(outcome, Slow):
            self._authenticated(outcome)
        elif self._run_slow is None:
            self._authenticated(outcome.find())
        else:
            self._run_slow(outcome, self._authenticated)

    @property
    def authenticating(self) -> bool:
        """Whether the client waits to hear if it may come in."""
        return not self.finished and self.machine.state is State.SECURE_OK

    def _authenticated(self, outcome: Outcome) -> None:
        if not self.authenticating:
            return
        if isinstance(outcome, Challenge):
            self.machine.challenge(outcome.data)
        elif isinstance(outcome, Accepted):
            self.user = outcome.username
            self.machine.authenticated()
        elif isinstance(outcome, Refused):
            log.warning("connection from %s refused: authentication failed: %s", self.peer, outcome.reason)
            self._refused("authentication failed")
            self.machine.refuse(outcome.text)
            self._cancel_timer()
            self._timer = self.broker.timers.at(self.broker.clock() + _CLOSE_TIMEOUT, self.finish)
        self.broker.pending[self] = None
        self.broker.settle()

    def _open(self, virtual_host: str) -> None:
        broker = self.broker
        self.virtual_host = virtual_host
        refusal = broker.admission(self)
        if refusal is None and self._above_limit():
            refusal = (int(c.CloseCode.CONNECTION_FORCED), "User connection denied by configured limit")
        if refusal is not None:
            log.info("connection from %s turned away: %s", self.peer, refusal[1])
            self._refused(refusal[1])
            if refusal[0]:
                self.close(*refusal)
            else:
                self.finish()
            return
        self.machine.open_ok(broker.known_hosts())
        self.opened = True
        self.max_payload = self.machine.max_frame_size - _FRAME_OVERHEAD
        self._cancel_timer()
        if self.machine.heartbeat:
            self._timer = broker.timers.at(broker.clock() + self.machine.heartbeat / 2, self._beat)
        for observer in broker.observers:
            observer.connected(self)

    def _above_limit(self) -> bool:
        limit = self.broker.options.connection_limit_per_user
        others = self.broker.connections
        return limit > 0 and sum(other.opened and other.user == self.user for other in others) >= limit

    def _refused(self, reason: str) -> None:
        for observer in self.broker.observers:
            observer.connection_refused(self, reason)

    # -- sessions

    def _attach(self, machine: Session, force: bool) -> None:
        broker = self.broker
        key = (self.user, machine.name)
        present = broker.sessions.get(key)
        if present is not None:
            if not force or present.connection is self:
                self.machine.detach(machine, c.DetachCode.SESSION_BUSY)
                return
            log.info("session %r of %s is taken over by %s", machine.name, present.connection.peer, self.peer)
            present.connection.take_away(present)
        self.machine.attached(machine)
        broker.session_attached(*key)
        session = SessionHandler(self, machine)
        broker.sessions[key] = session
        self.sessions[machine] = session
        for observer in broker.observers:
            observer.attached(session)

    @property
    def idle(self) -> float:
        """Seconds since something came or went."""
        return self.broker.clock() - max(self._last_in, self._last_out)

    @property
    def closing(self) -> bool:
        """The end of the connection has begun."""
        return self.finished or self.machine.state is State.CLOSING

    def detach(self, session: SessionHandler) -> None:
        """End a session from this side, in order."""
        self._end(session, orderly=True)
        if session.machine.attached:
            self.machine.detach(session.machine)
        self.broker.pending[self] = None

    def take_away(self, session: SessionHandler) -> None:
        """Another connection took the session over."""
        self._end(session, orderly=False)
        if session.machine.attached:
            self.machine.detach(session.machine, c.DetachCode.SESSION_BUSY)
        self.broker.pending[self] = None

    def _end(self, session: SessionHandler, *, orderly: bool) -> None:
        del self.sessions[session.machine]
        session.end()
        if session.surviving:
            if orderly:
                self.broker.end_record(session.user, session.name)
            else:
                self.broker.keep_record(session.user, session.name, session.surviving)

    # -- time

    def _negotiation_timed_out(self) -> None:
        limit = self.broker.options.max_negotiate_time
        log.warning("connection from %s closed: not open after %d ms", self.peer, limit)
        self._timer = None
        self._refused("negotiation timed out")
        if self.machine.state is not State.HEADER:
            self.machine.close(c.CloseCode.CONNECTION_FORCED, "negotiation timed out")
        self.finish()

    def _beat(self) -> None:
        """Twice an interval: send a heartbeat where nothing else was sent, and see that the client is alive."""
        interval = self.machine.heartbeat
        now = self.broker.clock()
        silent = self._last_in + 2 * interval
        if now >= silent and not self.held:
            log.warning("connection from %s closed: silent for two heartbeat intervals of %d s", self.peer, interval)
            self._timer = None
            # Nobody waits for the socket: what the client held is free for others now.
            self.lost()
            self.notify()
            return
        if now >= self._last_out + interval / 2:
            self.machine.send_heartbeat()
            self.notify()
        due = now + interval / 2
        self._timer = self.broker.timers.at(min(due, silent) if self.awaited else due, self._beat)

    def _cancel_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def __repr__(self) -> str:
        return f"<ConnectionHandler {self.peer}>"
