"""Whose turn it is to read from the broker: the I/O thread's, or that of a caller that waits.

To wake a caller takes longer than all that the client does with an answer. So where one caller waits at a time, answer
after answer, the I/O thread stands aside: callers that wait read for themselves. It has its turn again when nobody read
for a moment, when a second caller waits, and whenever the time has come for something, so that what has arrived is
read before anybody is taken for dead.
"""

from __future__ import annotations

import select
from typing import TYPE_CHECKING

from .bell import Bell

if TYPE_CHECKING:
    from collections.abc import Callable

#: Seconds without anybody reading after which the I/O thread does.
MOMENT = 0.002
#: Answers in a row for which one caller waited.
OFTEN = 10


class Turns:
    """Used by the threads of one connection, under its lock.

    Attributes:
        aside: whether the I/O thread leaves reading to callers.
        resting: whether it also leaves it to the caller that reads now to wake it afterwards.
        reader: what the caller waits for that reads now.
    """

    def __init__(self) -> None:
        self.aside = self.resting = False
        self.reader: Callable[[], object] | None = None
        self._was_read = False
        self._answers = 0
        self._fd = -1
        self._bell: Bell | None = None
        self._poll = select.poll()

    # -- for the I/O thread ------------------------------------------------------------------------------------

    def often_alone(self, alone: bool) -> bool:
        """Something was read. Whether it is time to stand aside.

        Args:
            alone: whether one caller waits for it, and could have read it itself.
        """
        self._answers = self._answers + 1 if alone else 0
        return self._answers >= OFTEN

    def stand_aside(self, fd: int) -> None:
        """Leave reading from this descriptor to callers.

        Raises:
            OSError: the system has no descriptors left.
        """
        if self._bell is None:
            self._bell = Bell()
        self._fd = fd
        self._poll = select.poll()
        self._poll.register(self._bell.fileno(), select.POLLIN)
        self._poll.register(fd, select.POLLIN)
        self.aside = self._was_read = True

    def look(self) -> None:
        """A moment has passed, standing aside: is anybody reading?"""
        self.resting = self.reader is not None and not self._was_read
        self.aside = self._was_read or self.resting
        self._was_read = False

    def forget(self) -> None:
        """What comes next is from another broker."""
        self._answers = 0

    def close(self) -> None:
        """Give the descriptors back."""
        if self._bell is not None:
            self._bell.close()
            self._bell = None

    # -- for anybody -------------------------------------------------------------------------------------------

    def interrupt(self) -> None:
        """Have the caller that reads look whether it still has to."""
        if self.reader is not None and self._bell is not None:
            self._bell.ring()

    # -- for the caller that reads -----------------------------------------------------------------------------

    def readable(self, timeout: float | None) -> bool:
        """Wait, without the lock, until there is something to read, or the caller is interrupted.

        Args:
            timeout: seconds; None is for ever.

        Returns:
            Whether there is something to read.
        """
        ready = self._poll.poll(None if timeout is None else timeout * 1000)
        return any(fd == self._fd for fd, _ in ready)

    def still(self) -> bool:
        """Whether it is still the caller's turn, which may be over after any `readable`."""
        if self._bell is not None:
            self._bell.silence()
        return self.aside

    def was_read(self) -> None:
        """The caller did read."""
        self._was_read = True
