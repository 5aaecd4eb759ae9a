"""The one point where changes of the broker's durable and replicated state are applied.

A command handler turns what the command does into one :class:`Entry` of effects: *one command, one entry*, also where
a transfer reaches three queues, a reject goes to an alternate exchange, or a commit holds a hundred messages. The
entry is applied to the broker, given to the :class:`Journal`, and only when that says that the entry is safe are its
messages offered to consumers and the command completed. A stand-alone broker has nothing to wait for.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .broker import Broker
    from .queue import Queue

__all__ = ["Effect", "Entry", "Journal", "Mark"]

# user, session name, command id of the transfer or tx.commit
Mark = tuple[str, bytes, int]


class Effect:
    """One change of state: plain data and references to the queues and exchanges that it touches."""

    __slots__ = ()

    def apply(self, broker: Broker) -> None:
        """Change the state: on the primary right before the entry is committed, on a backup when it arrives."""
        raise NotImplementedError

    def confirmed(self, broker: Broker) -> None:
        """The entry is safe: let others see what it did."""

    @property
    def replicated(self) -> bool:
        """Whether backups hold the state that this changes."""
        return False


class Entry:
    """The effects of one command, in order.

    Args:
        effects: what the command does.
        mark: set for a transfer or commit of a session that survives its connection: who did this.
        command_id: the command's id in its session, for whoever completes it; -1 where no command is behind it.
        decisive: the mark is worth an entry also where it has no effects: its client will ask whether it was done.
    """

    __slots__ = ("command_id", "decisive", "effects", "mark")

    def __init__(
        self, effects: Sequence[Effect], mark: Mark | None = None, command_id: int = -1, *, decisive: bool = False
    ) -> None:
        self.effects = effects
        self.mark = mark
        self.command_id = command_id
        self.decisive = decisive

    def apply(self, broker: Broker) -> None:
        """Apply every effect, then move the session's record."""
        for effect in self.effects:
            effect.apply(broker)
        if self.mark is not None:
            broker.session_records.mark(*self.mark)

    def confirmed(self, broker: Broker) -> None:
        """Let every effect be seen."""
        for effect in self.effects:
            effect.confirmed(broker)

    def __repr__(self) -> str:
        return f"Entry({list(self.effects)!r}, mark={self.mark!r}, command_id={self.command_id})"


class Journal:
    """The journal of a stand-alone broker: whatever is committed is confirmed at once.

    Args:
        broker: whose state it guards.
    """

    def __init__(self, broker: Broker) -> None:
        self.broker = broker

    def commit(self, entry: Entry, on_confirmed: Callable[[Entry], None] | None = None) -> None:
        """Take an entry that was just applied.

        Args:
            entry: what was done.
            on_confirmed: called with the entry once it is safe, after its effects' ``confirmed``; possibly before
                this returns.
        """
        broker = self.broker
        for effect in entry.effects:
            effect.confirmed(broker)
        if on_confirmed is not None:
            on_confirmed(entry)

    def when_confirmed(self, callback: Callable[[], None]) -> None:
        """Call back once everything committed so far is confirmed: at once, when nothing is waited for."""
        callback()

    def when_configured(self, callback: Callable[[], None]) -> None:
        """Call back once every change of queues, exchanges and bindings that was committed so far is confirmed."""
        callback()

    def when_primary(self, callback: Callable[[], None]) -> None:
        """Call back once it is sure that no other broker reigns in place of this one: a single one has no rivals."""
        callback()

    def admits(self, effects: Sequence[Effect]) -> bool:
        """Whether this broker may decide such effects: a backup decides none on replicated state."""
        return True

    def serves(self, queue: Queue) -> bool:
        """Whether this broker may give the queue's messages to consumers, now."""
        return True

    def flush(self) -> None:
        """Everything that one read brought has been committed: tell whoever follows."""
