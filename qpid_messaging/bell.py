"""What ends the poll of another thread."""

from __future__ import annotations

import os


class Bell:
    """A pipe with one byte in it, or none.

    Attributes:
        rung: whether it was rung since it was last silenced.

    Raises:
        OSError: the system has no descriptors left.
    """

    def __init__(self) -> None:
        self._read, self._write = os.pipe()
        os.set_blocking(self._read, False)
        os.set_blocking(self._write, False)
        self.rung = False

    def fileno(self) -> int:
        """The file descriptor to poll for reading."""
        return self._read

    def ring(self) -> None:
        """End the poll, or the next one."""
        if not self.rung:
            self.rung = True
            os.write(self._write, b"\0")

    def silence(self) -> None:
        """To be called by the thread that polls."""
        if self.rung:
            os.read(self._read, 1)
            self.rung = False

    def close(self) -> None:
        """Give the descriptors back."""
        os.close(self._read)
        os.close(self._write)
