"""Whose turn it is to read from the broker: the I/O thread's, or that of a caller that waits.

To wake a caller takes longer than all that the client does with an answer. So where one caller waits at a time, answer
after answer, the I/O thread stands aside: callers that wait read for themselves. It has its turn again when nobody read
for a moment, when a second caller waits, and whenever the time has come for something, so that what has arrived is
read before anybody is taken for dead.

All of this is touched under the connection's lock, but for the poll of the caller that reads. That one is never waited
for: it may be held up by a signal's handler. It looks whether it still has its turn before it reads.
"""

from __future__ import annotations

import select
import threading
from typing import TYPE_CHECKING

from .bell import Bell

if TYPE_CHECKING:
    from collections.abc import Callable

#: Seconds without anybody reading after which the I/O thread does.
MOMENT = 0.002
#: Answers in a row for which one caller waited.
OFTEN = 10


class Turn:
    """The turn of callers, one at a time.

    Args:
        fd: the file descriptor that they read from.
        bell: ends the poll of the one that reads.

    Attributes:
        reader: what the caller waits for that reads; None where nobody does.
        thread: its thread.
        was_read: whether anybody read since the I/O thread looked.
    """

    def __init__(self, fd: int, bell: Bell) -> None:
        self.bell = bell
        self.reader: Callable[[], object] | None = None
        self.thread = 0
        self.was_read = True
        self._fd = fd
        self._poll = select.poll()
        self._poll.register(bell.fileno(), select.POLLIN)
        self._poll.register(fd, select.POLLIN)

    def taken(self, reader: Callable[[], object]) -> None:
        """A caller reads from now on, until that is true."""
        self.reader = reader
        self.thread = threading.get_ident()

    def readable(self, timeout: float | None) -> bool:
        """Wait, without the lock, until there is something to read, or the bell is rung.

        Args:
            timeout: seconds; None is for ever.

        Returns:
            Whether there is something to read.
        """
        ready = self._poll.poll(None if timeout is None else timeout * 1000)
        return any(fd == self._fd for fd, _ in ready)


class Turns:
    """Of one connection.

    Attributes:
        callers: the turn of callers, while the I/O thread stands aside.
        resting: whether the I/O thread leaves it to the caller that reads now to wake it afterwards.
    """

    def __init__(self) -> None:
        self.callers: Turn | None = None
        self.resting = False
        self._answers = 0
        self._bell: Bell | None = None

    @property
    def reader(self) -> Callable[[], object] | None:
        """What the caller waits for that reads; None where nobody does."""
        return None if self.callers is None else self.callers.reader

    def often_alone(self, alone: bool) -> bool:
        """The I/O thread read something. Whether it is time to stand aside.

        Args:
            alone: whether one caller waits, and could have read it itself.
        """
        self._answers = self._answers + 1 if alone else 0
        return self._answers >= OFTEN

    def stand_aside(self, fd: int) -> None:
        """Leave reading from this descriptor to callers.

        Raises:
            OSError: the system has no descriptors left.
        """
        self._bell = self._bell or Bell()
        self.callers = Turn(fd, self._bell)

    def look(self) -> None:
        """A moment has passed, standing aside: did anybody read, or is about to?"""
        turn = self.callers
        if turn is not None:
            self.resting = turn.reader is not None and not turn.was_read
            if turn.was_read or self.resting:
                turn.was_read = False
            else:
                self.reset()

    def take_back(self) -> None:
        """It is the I/O thread's turn. A caller that reads will notice."""
        turn, self.callers, self.resting = self.callers, None, False
        if turn is not None and turn.reader is not None:
            turn.bell.ring()
            # It stays rung for that caller alone, however long it takes.
            self._bell = None

    def reset(self) -> None:
        """It is the I/O thread's turn until there were many answers again."""
        self.take_back()
        self._answers = 0

    def close(self) -> None:
        """There is nothing to read any more. To be called when no caller has a turn."""
        bell, self._bell = self._bell, None
        if bell is not None:
            bell.close()
