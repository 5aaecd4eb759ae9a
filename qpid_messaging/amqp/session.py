"""The session machine: both directions of the AMQP 0-10 session layer, without I/O.

Each direction numbers its commands. The sender of a command keeps it (where asked to) until the receiver says that
it is *completed*; after the loss of a connection the receiver says which command it *expects* next, and the sender
sends again from there. That is how a session outlives its connection:

    session = Session(b"name")
    connection.attach(session)            # the first connection
    session.send(transfer, ..., replay=True)
    aborted = session.suspend()           # the connection is gone; replayable commands are kept
    other_connection.attach(session)      # the next one
    session.flush(expected=True)          # ... answered by an Expected event:
    session.resume(expected.id)
    session.send(...)                     # whatever has to come first under new ids
    session.replay()                      # what the peer never got, under the old ids

Command ids are unbounded integers here and 32-bit serial numbers on the wire.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from . import commands as c
from .errors import ProtocolError
from .events import (
    Attached,
    Completed,
    Detached,
    DetachRequested,
    Event,
    Expected,
    ExpectedRequested,
    Failed,
    Incoming,
    Result,
    TimeoutGranted,
    TimeoutRequested,
)
from .framing import encode
from .ranges import RangeSet

if TYPE_CHECKING:
    from collections.abc import Callable

    from .connection import Connection

_WRAP = 1 << 32
_MASK = _WRAP - 1
# A session.completed may name everything from the first command on, as the peers do; no further back than serial
# number arithmetic can tell from the future.
_WINDOW = 1 << 30
# More separate ranges than this in one session.completed: ask the peer to tell which of them it knows already.
_FRAGMENTED = 64
# So many ranges are what one sequence-set can hold.
_MOST_RANGES = 8191


def expand(serial: int, near: int) -> int:
    """The unbounded id that the 32-bit `serial` stands for: the one nearest to `near` that is not negative."""
    id = near + ((serial - near + (1 << 31)) & _MASK) - (1 << 31)
    return id if id >= 0 else id + _WRAP


def in_window(ids: RangeSet) -> RangeSet:
    """The ids without those so old that a 32-bit serial number would be taken for a coming one."""
    if not ids or ids.upper - ids.lower <= _WINDOW:
        return ids
    return ids.intersection(RangeSet.of(ids.upper - _WINDOW, ids.upper))


def _parts(ids: RangeSet) -> list[RangeSet]:
    """The ids as sequence-sets, none of which has too many ranges."""
    if ids.range_count() <= _MOST_RANGES:
        return [ids]
    ranges = list(ids)
    return [RangeSet(ranges[at : at + _MOST_RANGES]) for at in range(0, len(ranges), _MOST_RANGES)]


def _by_id(item: tuple[int | None, Sent]) -> int:
    return -1 if item[0] is None else item[0]


class Sent:
    """A command of ours that the peer has not completed yet."""

    __slots__ = ("body", "command", "header", "replay", "token")

    def __init__(self, command: c.Command, header: bytes | None, body: bytes | None, token: Any, replay: bool) -> None:
        self.command = command
        self.header = header
        self.body = body
        self.token = token
        self.replay = replay


class Session:
    """One session, seen from one end.

    Args:
        name: the session's name, unique for a user at a broker.

    Attributes:
        name: as given.
        channel: the channel that it is attached to; meaningful while `attached`.
        attached: whether commands can be sent.
        timeout: seconds that the peer granted (or was granted) for the session to outlive its connection.
        next_id: the id of the next command sent.
        next_incoming: the id of the next command received.
    """

    def __init__(self, name: bytes) -> None:
        self.name = name
        self.channel = 0
        self.attached = False
        self.timeout = 0
        self.next_id = 0
        self.next_incoming = 0
        self._connection: Connection | None = None
        # Outgoing: what the peer will call the next command that it sees; None until it was told a command-point.
        self._point: int | None = None
        self._outstanding: dict[int, Sent] = {}
        self._replay: list[tuple[int | None, Sent]] = []
        # All ids below _low are completed by the peer, and those in _above.
        self._low = 0
        self._above = RangeSet()
        # Incoming: completed by us and not yet known to be known by the peer.
        self._done = RangeSet()
        # The spans of ids that came and may not all be done: closed ones, and the start of the one that is going on.
        self._spans: list[tuple[int, int]] = []
        self._span_start = 0
        self._syncs: list[tuple[int, list[tuple[int, int]]]] = []
        self._unannounced = False

    def __repr__(self) -> str:
        return f"<Session {self.name!r} {'attached' if self.attached else 'detached'} next={self.next_id}>"

    # -- outgoing ----------------------------------------------------------------------------------------------

    def send(
        self,
        command: c.Command,
        header: bytes | None = None,
        body: bytes | None = None,
        *,
        token: Any = None,
        replay: bool = False,
        frames: bytes | None = None,
    ) -> int:
        """Queue a command on the connection.

        Args:
            command: the command; its `sync` bit asks the peer to announce the completion at once.
            header: payload of the header segment, encoded.
            body: payload of the body segment.
            token: any object but None; comes back in `Completed.tokens` (and in `Result.token`).
            replay: keep the command, to be sent again by `replay` where the peer of a later connection lacks it.
            frames: the command with its segments as frames, where the caller has encoded it already.

        Returns:
            The command's id.

        Raises:
            EncodeError: an argument does not fit its type; no id is taken.
        """
        if frames is None:
            frames = encode(self.channel, command, header, body, self._attached_connection().max_frame_size)
        id = self.send_frames(frames)
        if token is not None or replay:
            self._outstanding[id] = Sent(command, header, body, token, replay)
        return id

    def send_frames(self, frames: bytes) -> int:
        """Queue one command that is encoded into frames already, untracked. Returns the command's id."""
        connection = self._connection or self._attached_connection()
        id = self.next_id
        if id != self._point:
            self._send_point(id)
        self.next_id = self._point = id + 1
        connection.queue(frames)
        return id

    def is_completed(self, id: int) -> bool:
        """Whether the peer has completed the command."""
        return id < self._low or id in self._above

    def sync(self) -> int:
        """Queue execution.sync: completed by the peer when everything before it is. Returns its id."""
        return self.send(c.ExecutionSync(sync=True))

    def flush(self, *, expected: bool = False, confirmed: bool = False, completed: bool = False) -> None:
        """Queue session.flush: ask the peer to tell its state."""
        self._control(c.SessionFlush(expected=expected, confirmed=confirmed, completed=completed))

    def request_timeout(self, timeout: int) -> None:
        """Ask the peer to keep the session for `timeout` seconds after its connection is gone."""
        self._control(c.SessionRequestTimeout(timeout=timeout))

    def suspend(self) -> list[Any]:
        """The connection is gone. Keeps what can be replayed; returns the tokens of all that cannot.

        Whatever the peer sent is over: its next connection numbers from where it likes, and what was completed under
        an id here says nothing about the command that has that id there.
        """
        self.unbind()
        self.next_incoming = self._span_start = 0
        self._done = RangeSet()
        self._spans = []
        self._syncs = []
        self._unannounced = False
        lost = [sent.token for sent in self._outstanding.values() if not sent.replay and sent.token is not None]
        kept: list[tuple[int | None, Sent]] = [(id, sent) for id, sent in self._outstanding.items() if sent.replay]
        # Commands that wait for a replay since an earlier loss are older than all that was sent after it.
        self._replay = sorted(self._replay + kept, key=_by_id)
        self._outstanding = {}
        return lost

    def resume(self, expected: int | None, commit: tuple[int, Any] | None = None) -> list[Any]:
        """Take up the session where the peer stands, after an `Expected` event.

        Commands below `expected` have been received: their completion will be announced, or was already. Those from
        there on are made ready for `replay`. None: the peer knows nothing of the session, so everything is; the
        numbering goes on all the same, so that no id ever means two commands under one name. 0 comes from peers that
        say so for a session that they have just made, and that want its numbering to start there: then ids are given
        anew.

        Args:
            expected: the id of the first command that the peer has not received.
            commit: id and token of a tx.commit below `expected`. It is never sent again, but its completion is waited
                for as well.

        Returns:
            The tokens of commands that are completed already.

        Raises:
            ProtocolError: the peer expects a command that this end is far from having sent.
        """
        completed: list[Any] = []
        if expected == 0 and self.next_id:
            self.next_id = 0
            self._replay = [(None, sent) for _, sent in self._replay]
        elif expected is not None:
            expected = expand(expected, self.next_id)
            if expected > self.next_id:
                if self.next_id:
                    raise ProtocolError(f"peer expects command {expected} of session {self.name!r}, not {self.next_id}")
                self.next_id = expected
            waiting, self._replay = self._replay, []
            for id, sent in waiting:
                if id is None or id >= expected:
                    self._replay.append((id, sent))
                elif not self.is_completed(id):
                    self._outstanding[id] = sent
                elif sent.token is not None:
                    completed.append(sent.token)
        if commit is not None:
            id, token = commit
            self._outstanding[id] = Sent(c.TxCommit(), None, None, token, False)
        self._settle()
        return completed

    def replay(self) -> int:
        """Send again what `resume` found to be missing, before any later command. Returns how many that were."""
        connection = self._attached_connection()
        todo, self._replay = self._replay, []
        for id, sent in todo:
            if id is None:
                id = self.next_id
                self.next_id = id + 1
            self._outstanding[id] = sent
            if id != self._point:
                self._send_point(id)
            self._point = id + 1
            connection.queue(encode(self.channel, sent.command, sent.header, sent.body, connection.max_frame_size))
        return len(todo)

    def forget(self, token: Any) -> None:
        """Give up the commands with this token: neither their completion nor their replay matters any more."""
        self._outstanding = {id: sent for id, sent in self._outstanding.items() if sent.token is not token}
        self._replay = [(id, sent) for id, sent in self._replay if sent.token is not token]

    def _settle(self) -> None:
        """Ids that wait for nothing will never be announced again: count them as completed."""
        waiting = sorted([*self._outstanding, *(id for id, _ in self._replay if id is not None)])
        self._low = waiting[0] if waiting else self.next_id
        self._above = RangeSet()
        for id, following in zip(waiting, [*waiting[1:], self.next_id], strict=False):
            if id + 1 < following:
                self._above.add(id + 1, following - 1)

    def _send_point(self, id: int) -> None:
        self._control(c.SessionCommandPoint(command_id=id & _MASK, command_offset=0))

    def _control(self, control: c.Command) -> None:
        connection = self._attached_connection()
        connection.queue(encode(self.channel, control, None, None, connection.max_frame_size))

    def _attached_connection(self) -> Connection:
        if self._connection is None:
            raise RuntimeError(f"session {self.name!r} is not attached")
        return self._connection

    # -- incoming ----------------------------------------------------------------------------------------------

    def complete(self, id: int) -> None:
        """The command of the peer has been carried out. Announced with the connection's next `data_to_send`."""
        self._done.add(id)
        if not self._unannounced:
            self._unannounced = True
            if self._connection is not None:
                self._connection.unannounced.append(self)

    def complete_range(self, lower: int, upper: int) -> None:
        """As `complete`, for all ids from `lower` to `upper`, both included."""
        self._done.add(lower, upper)
        self.complete(upper)

    def flush_completed(self) -> None:
        """Announce the completed commands with one session.completed, where there are new ones."""
        if not self._unannounced or self._connection is None:
            return
        self._complete_syncs()
        self._unannounced = False
        done = in_window(self._done)
        if done.range_count() <= _FRAGMENTED:
            if done:
                self._control(c.SessionCompleted(commands=done))
            return
        for part in _parts(done):
            self._control(c.SessionCompleted(commands=part, timely_reply=True))

    def result(self, id: int, value: c.Struct | None) -> None:
        """Answer a command of the peer with execution.result; `complete` it as well."""
        self.send(c.ExecutionResult(command_id=id & _MASK, value=value))

    def exception(self, code: int, id: int, command: c.Command | None, description: str) -> None:
        """Refuse a command of the peer with execution.exception; the session is to be detached after it."""
        class_code, command_code = command.CODE if command is not None else (0, 0)
        self.send(
            c.ExecutionException(
                error_code=code,
                command_id=id & _MASK,
                class_code=class_code,
                command_code=command_code,
                field_index=0,
                description=description,
                error_info={},
            )
        )

    def grant_timeout(self, timeout: int) -> None:
        """Answer `TimeoutRequested`, in seconds; 0 where the session shall not outlive its connection."""
        self.timeout = timeout
        self._control(c.SessionTimeout(timeout=timeout))

    def send_expected(self, id: int | None) -> None:
        """Answer `ExpectedRequested`: the id of the command expected next, or None for a session unknown until now."""
        commands = RangeSet() if id is None else RangeSet([(id & _MASK, id & _MASK)])
        self._control(c.SessionExpected(commands=commands, fragments=[]))

    def detach(self) -> None:
        """Ask the peer to detach the session; a `Detached` event follows."""
        self._control(c.SessionDetach(name=self.name))

    # -- used by the connection machine ------------------------------------------------------------------------

    def bind(self, connection: Connection, channel: int) -> None:
        """Put the session on a channel of a connection."""
        self._connection = connection
        self.channel = channel
        self.attached = True
        self._point = None
        if self._unannounced:
            connection.unannounced.append(self)

    def unbind(self) -> None:
        """The session has left its channel."""
        self.attached = False
        self._connection = None
        self._point = None

    def receive(self, command: c.Command, header: bytes | None, body: bytes | None, events: list[Event]) -> None:
        """Take one command or control of the peer and append the events that follow from it."""
        if command.IS_CONTROL:
            handle = _CONTROLS.get(type(command))
            if handle is None:
                raise ProtocolError(f"{command.NAME} is not a control of a session")
            handle(self, command, events)
            return
        id = self.next_incoming
        self.next_incoming = id + 1
        execute = _EXECUTION.get(type(command))
        if execute is None:
            events.append(Incoming(self, id, command, header, body))
        else:
            execute(self, id, command, events)

    def _receive_sync(self, id: int, command: c.ExecutionSync, events: list[Event]) -> None:
        self._syncs.append((id, [*self._spans, (self._span_start, id - 1)]))
        self._complete_syncs()

    def _complete_syncs(self) -> None:
        """execution.sync completes once every command before it has."""
        while self._syncs:
            id, spans = self._syncs[0]
            spans[:] = [span for span in spans if not self._is_done(*span)]
            if spans:
                return
            del self._syncs[0]
            self.complete(id)

    @property
    def all_done(self) -> bool:
        """Every command that came in so far is completed."""
        return all(self._is_done(*span) for span in (*self._spans, (self._span_start, self.next_incoming - 1)))

    def _is_done(self, lower: int, upper: int) -> bool:
        return lower > upper or self._done.covers(lower, upper)

    def _receive_result(self, id: int, command: c.ExecutionResult, events: list[Event]) -> None:
        of = expand(command.command_id or 0, self.next_id)
        sent = self._outstanding.get(of)
        events.append(Result(self, of, command.value, sent.token if sent else None))
        self.complete(id)

    def _receive_exception(self, id: int, command: c.ExecutionException, events: list[Event]) -> None:
        events.append(Failed(self, command))
        self.complete(id)

    def _receive_completed(self, control: c.SessionCompleted, events: list[Event]) -> None:
        fresh: list[tuple[int, int]] = []
        tokens: list[Any] = []
        near = self.next_id
        named = [(expand(first, near), expand(last, near)) for first, last in control.commands or ()]
        if len(named) > 1:
            named.sort()  # the serial numbers may have started again from 0 among them
        for lower, upper in named:
            lower, upper = max(lower, self._low), min(upper, near - 1)
            if lower > upper:
                continue
            spans = list(RangeSet.of(lower, upper).difference(self._above)) if self._above else [(lower, upper)]
            for span in spans:
                fresh.append(span)
                if self._outstanding:
                    self._take_tokens(span[0], span[1], tokens)
            if lower == self._low and not self._above:
                self._low = upper + 1
            else:
                self._above.add(lower, upper)
                self._raise_low()
        if control.timely_reply:
            known = RangeSet((lower, min(upper, near - 1)) for lower, upper in named if lower <= upper and lower < near)
            for part in _parts(in_window(known)):
                self._control(c.SessionKnownCompleted(commands=part))
        if fresh:
            events.append(Completed(self, fresh, tokens))

    def _take_tokens(self, lower: int, upper: int, tokens: list[Any]) -> None:
        outstanding = self._outstanding
        ids: Any = range(lower, upper + 1)
        if upper - lower > 2 * len(outstanding):
            ids = sorted(id for id in outstanding if lower <= id <= upper)
        for id in ids:
            sent = outstanding.pop(id, None)
            if sent is not None and sent.token is not None:
                tokens.append(sent.token)

    def _raise_low(self) -> None:
        above = self._above
        if above and above.lower <= self._low:  # and only the first can be, since ranges never touch
            lower, self._low = above.lower, next(iter(above))[1] + 1
            above.remove(lower, self._low - 1)

    def _receive_known_completed(self, control: c.SessionKnownCompleted, events: list[Event]) -> None:
        """Forget what the peer knows, as far as no execution.sync can ask for it any more."""
        self._spans = [span for span in self._spans if not self._is_done(*span)]
        if self._spans or self._syncs or self._unannounced:
            return
        for first, last in self._done:
            if first <= self._span_start <= last:
                self._span_start = last + 1
                break
        near = self.next_incoming
        for first, last in control.commands or ():
            lower, upper = expand(first, near), min(expand(last, near), self._span_start - 1)
            if lower <= upper:
                self._done.remove(lower, upper)

    def _receive_command_point(self, control: c.SessionCommandPoint, events: list[Event]) -> None:
        if control.command_offset:
            raise ProtocolError("session.command-point inside of a command is not implemented")
        point = expand(control.command_id or 0, self.next_incoming)
        if point != self.next_incoming:
            if not self._is_done(self._span_start, self.next_incoming - 1):
                self._spans = [span for span in self._spans if not self._is_done(*span)]
                self._spans.append((self._span_start, self.next_incoming - 1))
                if len(self._spans) > _FRAGMENTED:
                    raise ProtocolError("session.command-point jumped too often over commands that are not complete")
            if self._done.range_count() > _MOST_RANGES:
                raise ProtocolError("session.command-point jumped too often, and no session.known-completed came")
            self._span_start = self.next_incoming = point

    def _receive_gap(self, control: c.SessionGap, events: list[Event]) -> None:
        """The peer will never send these: they count as completed."""
        for first, last in control.commands or ():
            lower, upper = expand(first, self.next_incoming), expand(last, self.next_incoming)
            if lower <= upper:
                self.complete_range(lower, upper)

    def _receive_flush(self, control: c.SessionFlush, events: list[Event]) -> None:
        if control.expected:
            events.append(ExpectedRequested(self))
        if control.confirmed:
            for part in _parts(in_window(self._done)):
                self._control(c.SessionConfirmed(commands=part, fragments=[]))
        if control.completed:
            if self._done:
                self._unannounced = True
                self.flush_completed()
            else:
                self._control(c.SessionCompleted(commands=RangeSet()))

    def _receive_expected(self, control: c.SessionExpected, events: list[Event]) -> None:
        id: int | None = None
        if control.commands:
            serial = control.commands.lower
            id = expand(serial, self.next_id)
            if serial == 0 and id > self.next_id:
                # Nobody can expect what was not sent yet: this peer begins at the beginning.
                id = 0
        events.append(Expected(self, id))

    def _receive_confirmed(self, control: c.SessionConfirmed, events: list[Event]) -> None:
        """Confirmed commands will not be lost, and are not executed yet: nothing that completion does not tell."""

    def _receive_request_timeout(self, control: c.SessionRequestTimeout, events: list[Event]) -> None:
        events.append(TimeoutRequested(self, control.timeout if control.timeout is not None else _MASK))

    def _receive_timeout(self, control: c.SessionTimeout, events: list[Event]) -> None:
        self.timeout = control.timeout or 0
        events.append(TimeoutGranted(self, self.timeout))

    def _receive_attached(self, control: c.SessionAttached, events: list[Event]) -> None:
        events.append(Attached(self))

    def _receive_detach(self, control: c.SessionDetach, events: list[Event]) -> None:
        events.append(DetachRequested(self))

    def _receive_detached(self, control: c.SessionDetached, events: list[Event]) -> None:
        self._attached_connection().release(self)
        events.append(Detached(self, control.code or 0))


_CONTROLS: dict[type[c.Command], Callable[[Session, Any, list[Event]], None]] = {
    c.SessionCompleted: Session._receive_completed,
    c.SessionKnownCompleted: Session._receive_known_completed,
    c.SessionCommandPoint: Session._receive_command_point,
    c.SessionGap: Session._receive_gap,
    c.SessionFlush: Session._receive_flush,
    c.SessionExpected: Session._receive_expected,
    c.SessionConfirmed: Session._receive_confirmed,
    c.SessionRequestTimeout: Session._receive_request_timeout,
    c.SessionTimeout: Session._receive_timeout,
    c.SessionAttached: Session._receive_attached,
    c.SessionDetach: Session._receive_detach,
    c.SessionDetached: Session._receive_detached,
}
_EXECUTION: dict[type[c.Command], Callable[[Session, int, Any, list[Event]], None]] = {
    c.ExecutionSync: Session._receive_sync,
    c.ExecutionResult: Session._receive_result,
    c.ExecutionException: Session._receive_exception,
}
