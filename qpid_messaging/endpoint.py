"""What Connection, Session, Sender and Receiver have in common, blocking or async."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

    from .core.endpoint import Endpoint as EndpointCore
    from .engine import Engine
    from .verbs.waiting import Verb

__all__ = ["Endpoint"]


class Endpoint:
    """The base of Connection, Session, Sender and Receiver."""

    _core: EndpointCore
    _driver: Engine

    @property
    def error(self) -> Exception | None:
        """What went wrong with this endpoint for good, if anything did."""
        return self._core.error

    @error.setter
    def error(self, error: Exception | None) -> None:
        self._core.error = error

    def set_async_exception_notify_handler(self, handler: Callable[[Any, Exception], object] | None) -> None:
        """Be told at once when an error is found, rather than by the next blocking call, which raises it all the same.

        Args:
            handler: called with this endpoint and the error, in the connection's I/O thread or whichever finds it; with
                `qpid_messaging.aio` in the event loop. It must not call the messaging API.
        """
        with self._driver.lock:
            self._core.on_error = None if handler is None else lambda error: _call(handler, self, error)

    def get_error(self) -> Exception | None:
        """The error of this endpoint, or else of the one that it belongs to, without raising it."""
        raise NotImplementedError

    def check_error(self) -> None:
        """Raise what `get_error` gives.

        Raises:
            MessagingError: this endpoint, or the one that it belongs to, has failed.
        """
        error = self.get_error()
        if error is not None:
            raise error

    def check_closed(self) -> None:
        """Raise where this endpoint is closed.

        Raises:
            MessagingError: of the kind that fits.
        """
        raise NotImplementedError

    def _is_closed(self) -> bool:
        raise NotImplementedError

    def _ewait(self, predicate: Callable[[], object], timeout: float | None = None) -> Verb[bool]:
        """Wait until something is true, or until this endpoint fails, and raise then."""
        came = yield (lambda: self.get_error() is not None or predicate()), timeout
        self.check_error()
        return came

    def _ecwait(self, predicate: Callable[[], object], timeout: float | None = None) -> Verb[bool]:
        """As `_ewait`, and raise also where this endpoint is closed."""
        came = yield from self._ewait(lambda: self._is_closed() or predicate(), timeout)
        self.check_closed()
        return came


def _call(handler: Callable[[Any, Exception], object], endpoint: Endpoint, error: Exception) -> None:
    try:
        handler(endpoint, error)
    except Exception:  # an application's mistake, which must not end the connection for everybody else
        logging.getLogger("qpid_messaging").exception("async exception handler of %r", endpoint)
