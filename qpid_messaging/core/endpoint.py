"""What connections, senders, receivers and sessions have in common: an error, and somebody who wants to know of it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable


class Endpoint:
    """Something that can fail.

    Attributes:
        owner: the shell's object for this one.
        on_error: called with the error when one is set.
    """

    owner: Any = None
    on_error: Callable[[Exception], object] | None = None
    _error: Exception | None = None

    @property
    def error(self) -> Exception | None:
        """What went wrong for good, if anything did."""
        return self._error

    @error.setter
    def error(self, error: Exception | None) -> None:
        self._error = error
        if error is not None and self.on_error is not None:
            self.on_error(error)
