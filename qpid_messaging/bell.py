"""What ends the poll of another thread."""

from __future__ import annotations

import os


class Bell:
    """A pipe with one byte in it, or none. It is closed with the last reference to it, if not before.

    Attributes:
        rung: whether it was rung since it was last silenced.

    Raises:
        OSError: the system has no descriptors left.
    """

    _ends: tuple[int, int] | None = None

    def __init__(self) -> None:
        self._ends = os.pipe()
        for end in self._ends:
            os.set_blocking(end, False)
        self._reading, self._writing = self._ends
        self.rung = False

    def fileno(self) -> int:
        """The file descriptor to poll for reading."""
        return self._reading

    def ring(self) -> None:
        """End the poll, or the next one."""
        if not self.rung:
            self.rung = True
            os.write(self._writing, b"\0")

    def silence(self) -> None:
        """To be called by the thread that polls."""
        if self.rung:
            os.read(self._reading, 1)
            self.rung = False

    def close(self) -> None:
        """Give the descriptors back."""
        ends, self._ends = self._ends, None
        for end in ends or ():
            os.close(end)

    def __del__(self) -> None:
        self.close()
