"""The replicated log: every change of replicated state, in one order, and how far it is safe.

One class serves both roles, since a backup becomes a primary with the very same state. On a primary, `commit` turns an
entry into a record, gives it to the followers, and confirms it when every backup of the in-sync set has it. On a
backup, `follow` applies the primary's entries, and `confirm` says which of them may be offered once this broker is
promoted.

Invariants (each was written against a way to lose or double a message):

- An entry is confirmed only when every in-sync backup has confirmed it, at least `min_replicas` of them, and nothing
  holds completions up. Until then nobody is offered its messages and its command does not complete.
- A backup that has not confirmed all that is confirmed is never put into the in-sync set.
- Entries have consecutive indexes through all epochs; a backup takes only the next one.
- A log whose last entry was applied in part, or that is in the middle of a difference, is not whole: it speaks for no
  position, and the way out is a difference.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from itertools import islice
from typing import TYPE_CHECKING, Any

from ..dtx import DtxPrepared
from ..effects import (
    Dequeue,
    Enqueue,
    ExchangeDeclared,
    ExchangeDeleted,
    Passed,
    QueueDeclared,
    QueueDeleted,
    QueueUsed,
    SessionEnded,
)
from ..journal import Effect, Entry, Journal, Mark
from ..queue import Queue, QueueEntry, Replicate
from ..timers import Timer
from .entries import MarkEffect, decode_entry, encode_entry
from .epoch import START, Epoch, Position
from .follower import Follower
from .messages import Wall
from .records import MALFORMED, Record, ReplicationError, pack_entry_head, pack_index, pack_record
from .transfers import decode_transfer, encode_transfer

if TYPE_CHECKING:
    from ..broker import Broker

RETAINED_BYTES = 32 << 20
"""Encoded entries that are kept for members that were away for a moment."""

_NOTHING = Entry(())

_RETAINED_COST = 200
"""Bytes that keeping an entry costs beside its encoded form."""

_CONTENT = frozenset((Enqueue, Dequeue, Passed, SessionEnded, QueueUsed, DtxPrepared))
"""Effects that are no changes of configuration."""


class _Waiting:
    """An entry, or the one effect of one, that is not confirmed yet, and whom to tell when it is."""

    __slots__ = ("callback", "entry", "index")

    def __init__(self, index: int, entry: Entry | Effect, callback: Callable[[Any], None] | None) -> None:
        self.index = index
        self.entry = entry
        self.callback = callback


class Log(Journal):
    """The log of one member.

    Args:
        broker: whose state it changes.
        min_replicas: backups that must have an entry before it is confirmed.
        wall: for times of expiry.

    Attributes:
        primary: this broker may append.
        epoch: the reign that it appends under, as a primary.
        last: position of the last entry that this broker holds.
        confirmed: index of the last entry that is known to be safe.
        whole: the broker's state is what the log's position says.
        followers: backups that are linked to this primary, by broker id.
        on_change: called when the in-sync set changed.
    """

    def __init__(self, broker: Broker, *, min_replicas: int = 0, wall: Wall) -> None:
        super().__init__(broker)
        self.min_replicas = min_replicas
        self.wall = wall
        self.primary = False
        self.epoch = START.epoch
        self.last = START
        self.confirmed = 0
        self.whole = True
        self.followers: dict[str, Follower] = {}
        self.on_change: Callable[[], None] = lambda: None
        self._awaited = 0
        """Backups in the in-sync set. While there are any, an entry is confirmed by what they say, never by coming."""
        self._holds: dict[str, bool] = {}
        self._waiting: deque[_Waiting] = deque()
        self._configuration: deque[_Waiting] = deque()
        self._retained: deque[tuple[int, Epoch, bytes]] = deque()
        self._retained_bytes = 0
        self._configured = 0
        self._number = 0
        self._advancing = False
        self._told_confirmed = 0
        self._turn: Timer | None = None

    # -- as a primary ------------------------------------------------------------------------------------------

    def commit(self, entry: Entry, on_confirmed: Callable[[Entry], None] | None = None) -> None:
        """Take an entry that was just applied; see `Journal.commit`.

        What backups do not hold is confirmed at once; the rest once it is safe.
        """
        if len(entry.effects) == 1 and type(entry.effects[0]) is Enqueue and entry.effects[0].replicated:
            self._commit_transfer(entry.effects[0], entry, on_confirmed)
            return
        effects = [effect for effect in entry.effects if effect.replicated]
        if not effects and not (entry.decisive and self.primary):
            super().commit(entry, on_confirmed)
            return
        contents = 0
        for effect in effects:
            kind = type(effect)
            if kind in _CONTENT:
                contents += 1
                if kind is Enqueue:
                    self._identify(effect)  # type: ignore[arg-type]
        data = encode_entry(effects, entry.mark, self._timeout(entry.mark), self.wall)
        self._append(data, entry, on_confirmed, not contents and entry.mark is None)
        if contents < len(effects):
            self._configured = self.last.index
        if not self._awaited:
            self._advance()

    def _commit_transfer(self, effect: Enqueue, entry: Entry, on_confirmed: Callable[[Entry], None] | None) -> None:
        """The same for the most frequent kind of entry."""
        self._identify(effect)
        data = encode_transfer(effect, entry.mark, self._timeout(entry.mark), self.wall)
        self._append(data, entry, on_confirmed, False)
        if not self._awaited:
            self._advance()

    def _timeout(self, mark: Mark | None) -> int:
        """The time-out of the session that a mark is of, in seconds."""
        return 0 if mark is None else self.broker.session_records.timeouts.get(mark[:2], 0)

    def admits(self, effects: Sequence[Effect]) -> bool:
        """Replicated state is changed on the primary only."""
        return self.primary or not any(effect.replicated for effect in effects)

    def serves(self, queue: Queue) -> bool:
        """Messages that backups hold are given away on the primary only, and only while an accept could complete.

        One that lacks the backups for that may have been deposed: what it would offer may be gone elsewhere by now.
        """
        return queue.replicate is not Replicate.ALL or (self.primary and self._awaited >= self.min_replicas)

    def _identify(self, effect: Enqueue) -> None:
        message = effect.message
        if message.replication_id is None:
            self._number += 1
            message.replication_id = (self.epoch, self._number)
        effect.queue.by_id[message.replication_id] = effect.entry

    def _append(self, data: bytes, entry: Entry, callback: Callable[[Entry], None] | None, configuration: bool) -> None:
        index, epoch = self.last.index + 1, self.epoch
        self.last = Position(epoch, index)
        self._retain(index, epoch, data)
        waiting = _Waiting(index, entry, callback)
        self._waiting.append(waiting)
        if configuration and self._holds:
            self._configuration.append(waiting)
        head = pack_entry_head(index, len(data))
        for follower in self.followers.values():
            follower.push_entry(epoch, head, data)

    def when_confirmed(self, callback: Callable[[], None]) -> None:
        """Call back once everything that is in the log now is confirmed; a backup, which cannot know, does not wait."""
        if not self.primary or self.confirmed >= self.last.index:
            callback()
        else:
            self._waiting.append(_Waiting(self.last.index, _NOTHING, lambda entry: callback()))

    def when_configured(self, callback: Callable[[], None]) -> None:
        """The same for changes of configuration only, which do not wait for backups that are merely expected."""
        if not self.primary or self.confirmed >= self._configured:
            callback()
            return
        waiting = _Waiting(self.last.index, _NOTHING, lambda entry: callback())
        self._waiting.append(waiting)
        if self._holds:
            self._configuration.append(waiting)
            self._advance()

    def when_primary(self, callback: Callable[[], None]) -> None:
        """Call back once it is sure that nobody else reigned when this was called.

        One that was deposed and does not know it yet gets nothing confirmed, not even an empty entry. What a backup
        says is nobody's last word: it does not wait.
        """
        if not self.primary:
            callback()
            return
        self._append(encode_entry([], None, 0, self.wall), _NOTHING, lambda entry: callback(), True)
        self._advance()

    def hold(self, reason: str, *, configuration: bool) -> None:
        """Confirm nothing until `release` is called for the reason.

        Args:
            reason: why; each holds on its own.
            configuration: whether changes of configuration are held as well.
        """
        self._holds[reason] = configuration

    def release(self, reason: str) -> None:
        """Take back `hold`."""
        if self._holds.pop(reason, None) is not None:
            self._advance()

    def promote(self, epoch: Epoch, *, inherited: bool) -> None:
        """Become the primary: append under `epoch` from now on.

        The entries that this broker inherited and does not know to be confirmed wait to be confirmed in the new epoch,
        behind which an empty entry marks its start. What may have been delivered before is marked so.

        Args:
            epoch: the new reign.
            inherited: another broker reigned before; False where this one only takes a new epoch.
        """
        self.primary = True
        self.epoch = epoch
        self._number = 0
        if not self.whole:
            # By force: what there is of the state is nothing that earlier entries lead to.
            self._retained.clear()
            self._retained_bytes = 0
            self.whole = True
        if inherited:
            for queue in self.broker.queues.values():
                for queued in queue.entries.values():
                    queued.redelivered = True
        self._append(encode_entry([], None, 0, self.wall), _NOTHING, None, True)
        self._advance()

    def demote(self) -> None:
        """Be a primary no more. Nobody gets a confirmation for what he waits for; the entries stay, unconfirmed."""
        self.primary = False
        self.followers.clear()
        self._awaited = 0
        self._holds.clear()
        self._configuration.clear()
        for waiting in self._waiting:
            waiting.callback = None
        if self._turn is not None:
            self._turn.cancel()
            self._turn = None

    # -- followers ---------------------------------------------------------------------------------------------

    def suffix(self, position: Position) -> list[tuple[int, Epoch, bytes]] | None:
        """The entries behind `position`, or None where exactly that position is not in what is kept of the log."""
        if position == self.last:
            return []
        if position.index >= self.last.index or not self._retained:
            return None
        first = self._retained[0][0]
        if position.index < first:
            return None
        behind = list(islice(self._retained, position.index - first, None))
        return behind[1:] if behind[0][1] == position.epoch else None

    def confirm_follower(self, follower: Follower, index: int) -> None:
        """A backup says that it holds everything up to `index`.

        Raises:
            ReplicationError: it confirms what it was never sent, or less than before.
        """
        if index > self.last.index or index < follower.confirmed:
            raise ReplicationError(f"backup {follower.address} confirms {index}, the log ends at {self.last.index}")
        follower.confirmed = index
        if not follower.in_sync and not follower.asynchronous and follower.counted and index >= self.confirmed:
            follower.in_sync = True
            self._awaited += 1
            follower.push(pack_record(Record.READY))
            self.broker.dirty.update(dict.fromkeys(self.broker.queues.values()))
            self.on_change()
        self._advance()

    def count(self, follower: Follower) -> None:
        """What this backup holds is safe there from now on."""
        follower.counted = True
        if self.followers.get(follower.broker_id) is follower:
            self.confirm_follower(follower, follower.confirmed)

    def drop_follower(self, follower: Follower) -> None:
        """The link to a backup is gone, or it is too slow."""
        if self.followers.get(follower.broker_id) is follower:
            del self.followers[follower.broker_id]
            if follower.in_sync:
                follower.in_sync = False
                self._awaited -= 1
                self.on_change()
            self._advance()

    def flush(self) -> None:
        """Send what came up for the followers: called once for all that one read brought."""
        if not self.followers:
            return
        confirmed = self.confirmed if self.confirmed != self._told_confirmed else 0
        self._told_confirmed = self.confirmed
        for follower in self.followers.values():
            if confirmed:
                follower.push(pack_index(Record.CONFIRMED, confirmed))
            follower.flush()
        if self._turn is None and any(follower.behind for follower in self.followers.values()):
            # A piece each turn, other work between them; a link that was congested settles the broker when it is not.
            self._turn = self.broker.timers.at(self.broker.clock(), self._catch_up_further)

    def _catch_up_further(self) -> None:
        self._turn = None
        for follower in self.followers.values():
            if follower.behind:
                follower.catch_up_further()
        self.broker.settle()

    def _safe(self) -> int:
        """Index up to which the in-sync set holds the log."""
        if self._awaited < self.min_replicas:
            return self.confirmed
        held = [follower.confirmed for follower in self.followers.values() if follower.in_sync]
        return min(held, default=self.last.index)

    def _advance(self) -> None:
        if self._advancing or not self.primary:
            return
        self._advancing = True
        try:
            while True:
                safe = self._safe()
                if self._holds:
                    self._complete_configuration(safe)
                    return
                self._configuration.clear()
                if safe > self.confirmed:
                    self.confirmed = safe
                if not self._waiting or self._waiting[0].index > self.confirmed:
                    return
                # What a callback commits may be confirmed at once, what it holds up may not.
                while self._waiting and self._waiting[0].index <= self.confirmed and not self._holds:
                    self._settle(self._waiting.popleft())
        finally:
            self._advancing = False

    def _complete_configuration(self, safe: int) -> None:
        """Changes of configuration do not wait for backups that are merely expected."""
        if any(self._holds.values()):
            return
        while self._configuration and self._configuration[0].index <= safe:
            waiting = self._configuration.popleft()
            callback, waiting.callback = waiting.callback, None
            if callback is not None:
                callback(waiting.entry)

    def _settle(self, waiting: _Waiting) -> None:
        entry = waiting.entry
        entry.confirmed(self.broker)
        if waiting.callback is not None:
            waiting.callback(entry)

    # -- as a backup -------------------------------------------------------------------------------------------

    def follow(self, index: int, epoch: Epoch, data: bytes) -> None:
        """Apply the primary's next entry.

        Raises:
            ReplicationError: it is not the next one, or does not fit what this broker holds.
        """
        if not self.whole or index != self.last.index + 1 or epoch < self.last.epoch:
            raise ReplicationError(f"entry ({epoch}, {index}) cannot follow {self.last}")
        self.whole = False
        try:
            transfer = decode_transfer(data, self.broker, self.wall)
            if transfer is not None:
                done: Entry | Effect | None
                done, session, command_id, timeout = transfer
                done.apply(self.broker)
                if session is not None:
                    self._mark(session, command_id, timeout)
            else:
                done = self._follow_any(index, data)
        except MALFORMED as error:
            raise ReplicationError(f"entry ({epoch}, {index}) cannot be applied ({error!r})") from error
        self.whole = True
        self.last = Position(epoch, index)
        self._retain(index, epoch, data)
        if done is not None:
            self._waiting.append(_Waiting(index, done, None))

    def _follow_any(self, index: int, data: bytes) -> Entry | None:
        """Apply an entry of any kind. Returns what is to be confirmed, if anything is."""
        effects: list[Effect] = []
        for effect in decode_entry(data, self.broker, self.wall):
            if isinstance(effect, MarkEffect):
                self._mark(effect.mark[:2], effect.mark[2], effect.timeout)
            else:
                self._apply(effect)
                effects.append(effect)
        if not _CONTENT.issuperset(map(type, effects)):
            self._configured = index
        return Entry(effects) if effects else None

    def _mark(self, session: tuple[str, bytes], command_id: int, timeout: int) -> None:
        records = self.broker.session_records
        records.advance(session, command_id)
        records.timeouts[session] = timeout

    def _apply(self, effect: Effect) -> None:
        broker = self.broker
        # The replicated one takes the place of one of its name that only this broker has.
        if isinstance(effect, QueueDeclared) and effect.name in broker.queues:
            QueueDeleted(broker.queues[effect.name]).apply(broker)
        elif isinstance(effect, ExchangeDeclared) and effect.name in broker.exchanges:
            ExchangeDeleted(broker.exchanges[effect.name]).apply(broker)
        effect.apply(broker)

    def confirm(self, index: int) -> None:
        """The primary says that everything up to `index` is safe."""
        self.confirmed = max(self.confirmed, min(index, self.last.index))
        waiting, broker = self._waiting, self.broker
        while waiting and waiting[0].index <= self.confirmed:
            first = waiting.popleft()
            first.entry.confirmed(broker)
            if first.callback is not None:
                first.callback(first.entry)

    def reset(self, last: Position, confirmed: int, unconfirmed: list[QueueEntry]) -> None:
        """A difference was applied: this is where the log stands now.

        Args:
            last: position of the primary's log when it made the difference.
            confirmed: how far that was confirmed.
            unconfirmed: the messages of the difference that were not confirmed then; they are safe once `last` is.
        """
        self.whole = True
        self.last = last
        self._configured = last.index
        self.confirmed = min(confirmed, last.index)
        self._waiting.clear()
        self._retained.clear()
        self._retained_bytes = 0
        # The position itself must be found again by `suffix`, so it is kept without its data.
        self._retain(last.index, last.epoch, b"")
        self._waiting.append(_Waiting(last.index, Entry([_Offered(entry) for entry in unconfirmed]), None))
        self.confirm(confirmed)

    def _retain(self, index: int, epoch: Epoch, data: bytes) -> None:
        self._retained.append((index, epoch, data))
        self._retained_bytes += len(data) + _RETAINED_COST
        while self._retained_bytes > RETAINED_BYTES and len(self._retained) > 1:
            self._retained_bytes -= len(self._retained.popleft()[2]) + _RETAINED_COST


class _Offered(Effect):
    """A message that came with a difference: offered once the difference is safe."""

    __slots__ = ("entry",)

    def __init__(self, entry: QueueEntry) -> None:
        self.entry = entry

    def confirmed(self, broker: Broker) -> None:
        """Offer the message."""
        self.entry.queue.offer(self.entry)
        broker.dirty[self.entry.queue] = None
