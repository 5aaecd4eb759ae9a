"""What the broker remembers of sessions that outlive their connections: the last command whose effect it holds.

Each member of a cluster holds these records, since they move with the entries of the log. A client that re-attaches
asks which command is expected (AMQP 0-10, session.flush and session.expected) and replays from there.
"""

from __future__ import annotations

from collections.abc import Iterator

__all__ = ["SessionRecords"]

Key = tuple[str, bytes]


class SessionRecords:
    """(user, session name) -> id of the last transfer or tx.commit whose effect this broker holds."""

    def __init__(self) -> None:
        self._last: dict[Key, int] = {}
        self.timeouts: dict[Key, int] = {}
        """Seconds that each session was granted, where that is known: a new primary counts them from its promotion."""

    def mark(self, user: str, name: bytes, command_id: int) -> None:
        """The effect of that command is held."""
        self.advance((user, name), command_id)

    def advance(self, key: Key, command_id: int) -> None:
        """The same, for who has both as one."""
        if command_id > self._last.get(key, -1):
            self._last[key] = command_id

    def last(self, user: str, name: bytes) -> int | None:
        """Id of the last command held, None where there is no record."""
        return self._last.get((user, name))

    def forget(self, user: str, name: bytes) -> None:
        """The session ended."""
        self._last.pop((user, name), None)
        self.timeouts.pop((user, name), None)

    def replace(self, records: dict[Key, int], timeouts: dict[Key, int]) -> None:
        """Take over the records of another member, whole."""
        self._last = dict(records)
        self.timeouts = dict(timeouts)

    def items(self) -> Iterator[tuple[Key, int]]:
        """All records."""
        return iter(self._last.items())

    def __len__(self) -> int:
        return len(self._last)
