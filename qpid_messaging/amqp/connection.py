"""The connection machine: one AMQP 0-10 connection without I/O, as either end.

Bytes of the peer go into `receive`, which returns events; commands go out through the sessions, and `data_to_send`
gives the bytes to write. No socket, clock or thread: the owner moves bytes and tells the time.

A client's life:  header -> start/start-ok -> secure/secure-ok* -> tune/tune-ok -> open/open-ok -> ... -> close/close-ok
A server sees the same from the other end, and is asked by events where policy decides: `Authenticate`, `OpenRequested`,
`AttachRequested`.
"""

from __future__ import annotations

import enum
from collections.abc import Callable, Iterable
from typing import Any

from . import commands as c
from .errors import ProtocolError
from .events import (
    AttachRequested,
    Authenticate,
    Broken,
    Closed,
    Event,
    HeartbeatReceived,
    Opened,
    OpenRequested,
)
from .framing import PROTOCOL_HEADER, Decoder, encode
from .sasl import Mechanism, SASLError
from .session import Session

MAX_FRAME_SIZE = 65535
MIN_MAX_FRAME_SIZE = 4096
_FIRST_FRAMES = 65535
_TLS_RECORDS = (b"\x15", b"\x16")  # an alert, or a handshake


class State(enum.Enum):
    """Where the connection stands; each state names what is awaited."""

    HEADER = "protocol header"
    START = "connection.start"
    START_OK = "connection.start-ok"
    SECURE_OK = "connection.secure-ok"
    TUNE = "connection.tune"
    TUNE_OK = "connection.tune-ok"
    OPEN = "connection.open"
    OPEN_OK = "connection.open-ok"
    OPENED = "commands"
    CLOSING = "connection.close-ok"
    CLOSED = "nothing"


def _fitting(text: str) -> str:
    """As much of a text as connection.close's reply-text (str8) holds."""
    return text.encode("utf-8", "replace")[:255].decode("utf-8", "ignore")


class VersionError(ProtocolError):
    """The peer speaks another protocol, or another version of AMQP."""


class AuthenticationError(ProtocolError):
    """No SASL mechanism in common, or a challenge that cannot be answered."""


class Connection:
    """What both ends have in common; use `ClientConnection` or `ServerConnection`.

    Attributes:
        state: see `State`.
        max_frame_size: bytes of the largest frame, as negotiated.
        channel_max: the highest channel, as negotiated.
        heartbeat: seconds between heartbeats, as negotiated; 0 is none. The owner keeps the time: something must be
            sent each interval, and a peer silent for two of them is dead.
        sessions: the attached sessions by channel.
        unannounced: sessions with completed commands that the next `data_to_send` announces.
    """

    def __init__(self, state: State, max_frame_size: int, max_message_size: int) -> None:
        self.state = state
        self.max_frame_size = max_frame_size
        self.channel_max = 65535
        self.heartbeat = 0
        self.sessions: dict[int, Session] = {}
        self.unannounced: list[Session] = []
        self._header = b""
        self._output: list[bytes] = []
        self._decoder = Decoder(max_frame_size=_FIRST_FRAMES, max_message_size=max_message_size)

    # -- bytes -------------------------------------------------------------------------------------------------

    def receive(self, data: bytes) -> list[Event]:
        """Take bytes of the peer.

        Returns:
            What follows from them. After `Closed` or `Broken` there is nothing more to expect: write
            `data_to_send()` and close the transport. All events before that one stand.
        """
        events: list[Event] = []
        try:
            if self.state is State.HEADER or self._header:
                data = self._receive_header(data, events)
            if data and self.state is not State.CLOSED:
                self._receive_units(data, events)
        except ProtocolError as error:
            self._break(error, events)
        return events

    def _receive_units(self, data: bytes, events: list[Event]) -> None:
        sessions = self.sessions
        decoder = self._decoder
        for channel, command, header, body in decoder.feed(data):
            if self.state is State.OPENED:
                session = sessions.get(channel)
                if session is not None and type(command) not in _ON_CONNECTION:
                    session.receive(command, header, body, events)
                    continue
            self._receive_other(channel, command, events)
            if self.state is State.CLOSED:
                return
        if decoder.error is not None:
            raise decoder.error

    def _receive_other(self, channel: int, command: c.Command, events: list[Event]) -> None:
        kind = type(command)
        if self.state is State.CLOSING and kind not in (c.ConnectionClose, c.ConnectionCloseOk):
            return
        handle = self._handlers().get(kind)
        if handle is not None:
            handle(self, channel, command, events)
        elif kind in _ON_CONNECTION:
            raise ProtocolError(f"{command.NAME} is not for this end of a connection", code=c.CloseCode.FRAMING_ERROR)
        elif self.state is not State.OPENED:
            raise ProtocolError(f"{command.NAME} came while {self.state.value} was awaited")
        else:
            self._receive_unattached(channel, command, events)

    def _handlers(self) -> dict[type[c.Command], Callable[[Any, int, Any, list[Event]], None]]:
        raise NotImplementedError

    def _receive_header(self, data: bytes, events: list[Event]) -> bytes:
        raise NotImplementedError

    def _receive_unattached(self, channel: int, command: c.Command, events: list[Event]) -> None:
        """Something for a channel without a session: what crossed with a detach is no error of the peer's."""

    def _take_header(self, data: bytes) -> tuple[bytes | None, bytes]:
        """The peer's protocol header once it is whole, and the bytes that follow it."""
        need = len(PROTOCOL_HEADER) - len(self._header)
        self._header += data[:need]
        if len(self._header) == len(PROTOCOL_HEADER) or not PROTOCOL_HEADER.startswith(self._header[:4]):
            header, self._header = self._header, b""
            return header, data[need:]
        return None, b""

    def queue(self, frames: bytes) -> None:
        """Append encoded frames to what is to be sent."""
        self._output.append(frames)

    @property
    def has_output(self) -> bool:
        """Whether `data_to_send` would return anything."""
        return bool(self._output or self.unannounced)

    def data_to_send(self) -> bytes:
        """Everything that is to be written now, with the completions that came up since the last call."""
        if self.unannounced:
            sessions, self.unannounced = self.unannounced, []
            if self.state is State.OPENED:
                for session in sessions:
                    session.flush_completed()
        output = self._output
        if not output:
            return b""
        data = output[0] if len(output) == 1 else b"".join(output)
        output.clear()
        return data

    # -- both ends ---------------------------------------------------------------------------------------------

    def send_heartbeat(self) -> None:
        """Queue a connection.heartbeat."""
        if self.state is State.OPENED:
            self._control(c.ConnectionHeartbeat())

    def close(self, code: int = c.CloseCode.NORMAL, text: str = "") -> None:
        """Close in order: queue connection.close; `Closed` follows when the peer agrees. Closing twice is once."""
        if self.state not in (State.CLOSING, State.CLOSED):
            self._control(c.ConnectionClose(reply_code=code, reply_text=_fitting(text)))
            self.state = State.CLOSING

    def lost(self) -> list[Session]:
        """The transport is gone. Detaches every session and returns them; `Session.suspend` keeps what they sent."""
        self.state = State.CLOSED
        sessions = list(self.sessions.values())
        for session in sessions:
            self.release(session)
        return sessions

    def detach(self, session: Session, code: int = c.DetachCode.NORMAL) -> None:
        """End a session from this end, with a session.detach-code: refuse it, agree to end it, or cut it off.

        A session that has left its channel already stays as it is: the channel may be another's by now.
        """
        if self.sessions.get(session.channel) is session:
            self._control(c.SessionDetached(name=session.name, code=code), session.channel)
            self.release(session)

    def release(self, session: Session) -> None:
        """Take the session off its channel."""
        if self.sessions.get(session.channel) is session:
            del self.sessions[session.channel]
            session.unbind()

    def _bind(self, session: Session, channel: int) -> None:
        self.sessions[channel] = session
        session.bind(self, channel)

    def _control(self, control: c.Command, channel: int = 0) -> None:
        self._output.append(encode(channel, control, None, None, self.max_frame_size))

    def _break(self, error: ProtocolError, events: list[Event]) -> None:
        if self.state not in (State.CLOSED, State.CLOSING, State.HEADER, State.START):
            self._control(c.ConnectionClose(reply_code=error.code, reply_text=_fitting(str(error))))
        self.state = State.CLOSED
        events.append(Broken(error))

    def _tuned(self, max_frame_size: int, channel_max: int, heartbeat: int) -> None:
        self.max_frame_size = max_frame_size
        self._decoder.max_frame_size = max_frame_size
        self.channel_max = channel_max
        self.heartbeat = heartbeat

    def _receive_heartbeat(self, channel: int, control: c.ConnectionHeartbeat, events: list[Event]) -> None:
        events.append(HeartbeatReceived())

    def _receive_close(self, channel: int, control: c.ConnectionClose, events: list[Event]) -> None:
        self._control(c.ConnectionCloseOk())
        self.state = State.CLOSED
        events.append(Closed(control.reply_code or c.CloseCode.NORMAL, control.reply_text or "", by_peer=True))

    def _receive_close_ok(self, channel: int, control: c.ConnectionCloseOk, events: list[Event]) -> None:
        self._await(State.CLOSING, control)
        self.state = State.CLOSED
        events.append(Closed(c.CloseCode.NORMAL, "", by_peer=False))

    def _await(self, state: State, control: c.Command) -> None:
        if self.state is not state:
            raise ProtocolError(f"{control.NAME} came while {self.state.value} was awaited")


class ClientConnection(Connection):
    """The client's end. The protocol header is queued at once.

    Args:
        choose_mechanism: given what the broker offers, the SASL mechanism to use; may raise `SASLError`.
        client_properties: told to the broker in start-ok.
        virtual_host: asked for in connection.open.
        locale: asked for in start-ok.
        heartbeat: seconds between heartbeats wanted; 0 is none.
        max_channels: the most channels wanted.
        max_frame_size: bytes of the largest frame wanted.
        max_message_size: bytes of the largest command with all its segments that is accepted.

    Attributes:
        server_properties: what the broker told about itself.
    """

    def __init__(
        self,
        choose_mechanism: Callable[[list[str]], Mechanism],
        *,
        client_properties: dict[str, Any] | None = None,
        virtual_host: str = "",
        locale: str = "en_US",
        heartbeat: int = 0,
        max_channels: int = 65536,
        max_frame_size: int = MAX_FRAME_SIZE,
        max_message_size: int = 1 << 30,
    ) -> None:
        super().__init__(State.HEADER, max_frame_size, max_message_size)
        self.server_properties: dict[str, Any] = {}
        self._choose_mechanism = choose_mechanism
        self._client_properties = client_properties or {}
        self._virtual_host = virtual_host
        self._locale = locale
        self._max_channels = max_channels
        self._wanted_heartbeat = heartbeat
        self._mechanism: Mechanism | None = None
        self.queue(PROTOCOL_HEADER)

    def attach(self, session: Session, *, force: bool = False) -> None:
        """Put the session on a free channel and ask the broker for it; `Attached` or `Detached` follows.

        Args:
            force: take the session over from another connection that still holds it.

        Raises:
            ProtocolError: every channel is in use.
        """
        channel = next((n for n in range(self.channel_max + 1) if n not in self.sessions), None)
        if channel is None:
            raise ProtocolError(f"all {self.channel_max + 1} channels of the connection are in use")
        self._bind(session, channel)
        self._control(c.SessionAttach(name=session.name, force=force), channel)

    def _handlers(self) -> dict[type[c.Command], Callable[[Any, int, Any, list[Event]], None]]:
        return _CLIENT

    def _receive_header(self, data: bytes, events: list[Event]) -> bytes:
        header, rest = self._take_header(data)
        if header is None:
            return b""
        if header != PROTOCOL_HEADER:
            if header[:1] in _TLS_RECORDS and header[1:2] == b"\3":
                raise VersionError("the broker speaks TLS there, and was spoken to without")
            spoken = f"AMQP {header[6]}-{header[7]}" if header[:4] == b"AMQP" and len(header) == 8 else repr(header)
            raise VersionError(f"the broker speaks {spoken}, not AMQP 0-10")
        self.state = State.START
        return rest

    def _receive_start(self, channel: int, start: c.ConnectionStart, events: list[Event]) -> None:
        self._await(State.START, start)
        self.server_properties = start.server_properties or {}
        try:
            self._mechanism = self._choose_mechanism([str(name) for name in start.mechanisms or ()])
        except SASLError as error:
            raise AuthenticationError(str(error)) from error
        self._control(
            c.ConnectionStartOk(
                client_properties=self._client_properties,
                mechanism=self._mechanism.name,
                response=self._mechanism.initial(),
                locale=self._locale,
            )
        )
        self.state = State.TUNE

    def _receive_secure(self, channel: int, secure: c.ConnectionSecure, events: list[Event]) -> None:
        self._await(State.TUNE, secure)
        assert self._mechanism is not None
        try:
            response = self._mechanism.respond(secure.challenge or b"")
        except SASLError as error:
            raise AuthenticationError(str(error)) from error
        self._control(c.ConnectionSecureOk(response=response))

    def _receive_tune(self, channel: int, tune: c.ConnectionTune, events: list[Event]) -> None:
        self._await(State.TUNE, tune)
        assert self._mechanism is not None
        try:
            self._mechanism.finish()
        except SASLError as error:
            raise AuthenticationError(str(error)) from error
        frame_size = min(self.max_frame_size, tune.max_frame_size or MAX_FRAME_SIZE)
        channel_max = min(65535 if tune.channel_max is None else tune.channel_max, self._max_channels - 1)
        heartbeat = self._wanted_heartbeat
        if heartbeat:
            heartbeat = max(heartbeat, tune.heartbeat_min or 0)
            heartbeat = min(heartbeat, tune.heartbeat_max or 0xFFFF)
        if frame_size < MIN_MAX_FRAME_SIZE:
            raise ProtocolError(
                f"the broker wants frames of {frame_size} bytes at most, less than {MIN_MAX_FRAME_SIZE}"
            )
        self._control(c.ConnectionTuneOk(channel_max=channel_max, max_frame_size=frame_size, heartbeat=heartbeat))
        self._tuned(frame_size, channel_max, heartbeat)
        self._control(c.ConnectionOpen(virtual_host=self._virtual_host))
        self.state = State.OPEN_OK

    def _receive_open_ok(self, channel: int, open_ok: c.ConnectionOpenOk, events: list[Event]) -> None:
        self._await(State.OPEN_OK, open_ok)
        self.state = State.OPENED
        events.append(Opened([str(host) for host in open_ok.known_hosts or ()]))


class ServerConnection(Connection):
    """The broker's end.

    Args:
        server_properties: told to the client in connection.start.
        mechanisms: names of the SASL mechanisms offered.
        channel_max: the highest channel allowed.
        heartbeat_max: seconds; the longest heartbeat interval that a client may ask for.
        max_frame_size: bytes of the largest frame.
        max_message_size: bytes of the largest command with all segments that is accepted once the connection is open;
            before there is no reason for more than a frame.
        refusal: why nobody may come in, if so; told before any credentials are sent.

    Attributes:
        client_properties: what the client told about itself.
        mechanism: the SASL mechanism that it chose.
    """

    def __init__(
        self,
        *,
        server_properties: dict[str, Any],
        mechanisms: Iterable[str],
        channel_max: int = 32767,
        heartbeat_max: int = 120,
        max_frame_size: int = MAX_FRAME_SIZE,
        max_message_size: int = 1 << 27,
        refusal: str = "",
    ) -> None:
        super().__init__(State.HEADER, max_frame_size, min(max_message_size, _FIRST_FRAMES))
        self._max_message_size = max_message_size
        self._refusal = refusal
        self.channel_max = channel_max
        self.client_properties: dict[str, Any] = {}
        self.mechanism = ""
        self._server_properties = server_properties
        self._mechanisms = list(mechanisms)
        self._heartbeat_max = heartbeat_max
        self._asking = ""

    # -- answers to events -------------------------------------------------------------------------------------

    def challenge(self, challenge: bytes) -> None:
        """Answer `Authenticate`: the mechanism has a further question."""
        if self._answers(State.SECURE_OK):
            self._control(c.ConnectionSecure(challenge=challenge))

    def authenticated(self) -> None:
        """Answer `Authenticate`: the client is who it says."""
        if self._answers(State.SECURE_OK):
            self._control(
                c.ConnectionTune(
                    channel_max=self.channel_max,
                    max_frame_size=self.max_frame_size,
                    heartbeat_min=0,
                    heartbeat_max=self._heartbeat_max,
                )
            )
            self.state = State.TUNE_OK

    def refuse(self, text: str = "Authentication failed") -> None:
        """Answer `Authenticate`: no. The text should not tell what was wrong."""
        self.close(c.CloseCode.CONNECTION_FORCED, text)

    def open_ok(self, known_hosts: Iterable[str] = ()) -> None:
        """Answer `OpenRequested`: the client may come in; `known_hosts` are other brokers that it can turn to."""
        if self._answers(State.OPEN):
            self._control(c.ConnectionOpenOk(known_hosts=list(known_hosts)))
            self._decoder.max_message_size = self._max_message_size
            self.state = State.OPENED

    def attached(self, session: Session) -> None:
        """Answer `AttachRequested`: the session is attached."""
        self._control(c.SessionAttached(name=session.name), session.channel)

    def _answers(self, state: State) -> bool:
        """Whether the client still waits for the answer: the connection may have ended since it asked."""
        self._asking = ""
        return self.state is state

    # -- the client's controls ---------------------------------------------------------------------------------

    def _await(self, state: State, control: c.Command) -> None:
        super()._await(state, control)
        # The owner answers events after the whole read: a second response must not be tried before the first.
        if self._asking and state is not State.CLOSING:
            raise ProtocolError(f"{control.NAME} came before {self._asking} was answered")

    def _handlers(self) -> dict[type[c.Command], Callable[[Any, int, Any, list[Event]], None]]:
        return _SERVER

    def _receive_header(self, data: bytes, events: list[Event]) -> bytes:
        header, rest = self._take_header(data)
        if header is None:
            return b""
        self.queue(PROTOCOL_HEADER)
        if header != PROTOCOL_HEADER:
            raise VersionError(f"the client speaks {header!r}, not AMQP 0-10")
        if self._refusal:
            self.close(c.CloseCode.CONNECTION_FORCED, self._refusal)
            return rest
        self._control(
            c.ConnectionStart(server_properties=self._server_properties, mechanisms=self._mechanisms, locales=["en_US"])
        )
        self.state = State.START_OK
        return rest

    def _receive_start_ok(self, channel: int, start_ok: c.ConnectionStartOk, events: list[Event]) -> None:
        self._await(State.START_OK, start_ok)
        self.client_properties = start_ok.client_properties or {}
        self.mechanism = start_ok.mechanism or ""
        if self.mechanism not in self._mechanisms:
            raise ProtocolError(f"SASL mechanism {self.mechanism!r} is not offered", code=c.CloseCode.CONNECTION_FORCED)
        self.state = State.SECURE_OK
        self._asking = start_ok.NAME
        events.append(Authenticate(self.mechanism, start_ok.response or b"", initial=True))

    def _receive_secure_ok(self, channel: int, secure_ok: c.ConnectionSecureOk, events: list[Event]) -> None:
        self._await(State.SECURE_OK, secure_ok)
        self._asking = secure_ok.NAME
        events.append(Authenticate(self.mechanism, secure_ok.response or b"", initial=False))

    def _receive_tune_ok(self, channel: int, tune_ok: c.ConnectionTuneOk, events: list[Event]) -> None:
        self._await(State.TUNE_OK, tune_ok)
        frame_size = tune_ok.max_frame_size or self.max_frame_size
        if not MIN_MAX_FRAME_SIZE <= frame_size <= self.max_frame_size:
            raise ProtocolError(
                f"max-frame-size {frame_size} is not from {MIN_MAX_FRAME_SIZE} to {self.max_frame_size}"
            )
        channel_max = self.channel_max if tune_ok.channel_max is None else tune_ok.channel_max
        heartbeat = tune_ok.heartbeat or 0
        self._tuned(frame_size, min(channel_max, self.channel_max), heartbeat)
        self.state = State.OPEN

    def _receive_open(self, channel: int, open: c.ConnectionOpen, events: list[Event]) -> None:
        self._await(State.OPEN, open)
        self._asking = open.NAME
        events.append(OpenRequested(open.virtual_host or ""))

    def _receive_attach(self, channel: int, attach: c.SessionAttach, events: list[Event]) -> None:
        self._await(State.OPENED, attach)
        if channel > self.channel_max:
            raise ProtocolError(f"channel {channel} is above channel-max {self.channel_max}")
        if channel in self.sessions:
            raise ProtocolError(f"channel {channel} has a session already")
        session = Session(attach.name or b"")
        self._bind(session, channel)
        events.append(AttachRequested(session, attach.force))

    def _receive_unattached(self, channel: int, command: c.Command, events: list[Event]) -> None:
        if type(command) not in (c.SessionDetach, c.SessionDetached):
            self._control(c.SessionDetached(name=b"", code=c.DetachCode.NOT_ATTACHED), channel)
        elif type(command) is c.SessionDetach:
            self._control(c.SessionDetached(name=command.name, code=c.DetachCode.NOT_ATTACHED), channel)


_CLIENT: dict[type[c.Command], Callable[[Any, int, Any, list[Event]], None]] = {
    c.ConnectionStart: ClientConnection._receive_start,
    c.ConnectionSecure: ClientConnection._receive_secure,
    c.ConnectionTune: ClientConnection._receive_tune,
    c.ConnectionOpenOk: ClientConnection._receive_open_ok,
    c.ConnectionHeartbeat: Connection._receive_heartbeat,
    c.ConnectionClose: Connection._receive_close,
    c.ConnectionCloseOk: Connection._receive_close_ok,
}
_SERVER: dict[type[c.Command], Callable[[Any, int, Any, list[Event]], None]] = {
    c.ConnectionStartOk: ServerConnection._receive_start_ok,
    c.ConnectionSecureOk: ServerConnection._receive_secure_ok,
    c.ConnectionTuneOk: ServerConnection._receive_tune_ok,
    c.ConnectionOpen: ServerConnection._receive_open,
    c.ConnectionHeartbeat: Connection._receive_heartbeat,
    c.ConnectionClose: Connection._receive_close,
    c.ConnectionCloseOk: Connection._receive_close_ok,
    c.SessionAttach: ServerConnection._receive_attach,
}
# Controls that belong to the connection also where their channel has a session.
_ON_CONNECTION: frozenset[type[c.Command]] = frozenset(kind for kind in c.CONTROLS.values() if kind.CODE[0] == 1) | {
    c.SessionAttach
}
