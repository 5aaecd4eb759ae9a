"""Kombu's transport for Qpid (`qpid://`), with what keeps it from working on Python 3 put right.

No release of Kombu has run it there, for want of the original client. What is put right:

- the pipe that wakes Celery's event loop is written text, and takes bytes only;
- the address of every message has its braces doubled;
- closing a channel takes entries out of a dict while going over it;
- waiting for events ends with "timed out" also when one came, and without a timeout compares None with a number;
- queues that shall be exclusive are asked for through management, which has none such: they are ordinary ones;
- what `transport_options` say of Kombu's own retries is handed on as options of a Qpid connection;
- a broker that lets nobody in without a password is asked again and again;
- a broker that does not answer in time, or a channel whose connection Kombu has given up, is not tried again.
"""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING, Any

from amqp.exceptions import RecoverableConnectionError

from qpid_messaging import AuthenticationFailure, Empty, Message, Timeout
from qpid_messaging.address import Address

from .kombu_import import TRANSPORT

if TYPE_CHECKING:
    from qpid_messaging import Session

__all__ = ["Channel", "Connection", "Transport"]

# Looked up where they are defined: as attributes the module has those below. There is no Kombu where types are checked.
_original = vars(sys.modules[TRANSPORT])
_Channel: Any = _original["Channel"]
_Connection: Any = _original["Connection"]
_Transport: Any = _original["Transport"]

#: Names in `transport_options` that Kombu itself looks at.
_RETRYING = frozenset(
    ("callback", "connect_retries_timeout", "errback", "interval_max", "interval_start", "interval_step", "max_retries")
)


class Channel(_Channel):  # type: ignore[misc]
    """A channel: sends messages, and reads them."""

    def _put(
        self, routing_key: str, message: object, exchange: str | None = None, durable: bool = True, **kwargs: Any
    ) -> None:
        name, subject, kind = (exchange, routing_key, "topic") if exchange else (routing_key, None, "queue")
        sender = self.transport.session.sender(
            str(Address(name, subject, {"assert": "always", "node": {"type": kind}}))
        )
        try:
            sender.send(Message(message, durable=durable, subject=subject))
        finally:
            sender.close()

    def queue_declare(self, queue: str, *args: Any, exclusive: bool = False, **kwargs: Any) -> Any:
        return super().queue_declare(queue, *args, **kwargs)

    def close(self) -> None:
        if not self.closed:
            for tag in list(self._receivers):
                self.basic_cancel(tag)
        super().close()


class Connection(_Connection):  # type: ignore[misc]
    """A connection, with channels on it."""

    Channel = Channel

    def __init__(self, **connection_options: Any) -> None:
        try:
            super().__init__(**{name: connection_options[name] for name in connection_options if name not in _RETRYING})
        except AuthenticationFailure as failure:
            raise _original["AuthenticationFailure"](failure) from failure


class Transport(_Transport):  # type: ignore[misc]
    """What Kombu gets for a URL with `qpid://`."""

    Connection = Connection
    recoverable_connection_errors = (
        *_Transport.recoverable_connection_errors,
        RecoverableConnectionError,
        Timeout,
    )
    connection_errors = recoverable_connection_errors

    session: Session

    def _qpid_message_ready_handler(self, session: Session) -> None:
        if self.use_async_interface:
            os.write(self._w, b"0")

    def _qpid_async_exception_notify_handler(self, obj_with_exception: object, exc: Exception) -> None:
        if self.use_async_interface:
            os.write(self._w, b"e")

    def drain_events(self, connection: Any, timeout: float | None = 0, **kwargs: Any) -> None:
        """Wait for a message and hand it to its consumer.

        Args:
            connection: Kombu's connection, which knows the consumers.
            timeout: seconds to wait; None waits for ever.

        Raises:
            TimeoutError: none came in time.
        """
        try:
            receiver = self.session.next_receiver(timeout=timeout)
            message = receiver.fetch(timeout=0)
        except Empty as empty:
            raise TimeoutError(str(empty)) from None
        connection._callbacks[receiver.source](message)
