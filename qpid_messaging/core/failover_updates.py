"""What the exchange `amq.failover` of a cluster tells: its brokers, at first and whenever that changes.

A message has no body; its header `amq.failover` is a list of broker URLs, from the C++ broker and from ours.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

from ..exceptions import DecodeError
from .receiver import ReceiverCore

if TYPE_CHECKING:
    from collections.abc import Callable

    from .connection import ConnectionCore
    from .session import SessionCore

log = logging.getLogger("qpid_messaging")

FAILOVER = "amq.failover"
_ADDRESS = f"{FAILOVER}; {{node: {{type: topic}}, link: {{reliability: unreliable}}}}"
#: More news than that are not on their way at once; older ones say nothing that the latest does not.
_CAPACITY = 10


class FailoverUpdates:
    """The subscription of one connection to that exchange, on a session of its own. It never fails the connection.

    Args:
        connection: the connection.
        learn: called with the URLs, at first and whenever they change.
    """

    def __init__(self, connection: ConnectionCore, learn: Callable[[list[str]], object]) -> None:
        self._connection = connection
        self._learn = learn
        self._session: SessionCore | None = None
        self._receiver: ReceiverCore | None = None
        self._counter = 0

    def subscribe(self) -> None:
        """Be subscribed at the broker that has just let us in. What lived on from the last one is taken up there."""
        session, receiver = self._session, self._receiver
        if session is None or session.closed or session.error is not None:
            if session is not None:
                self._connection.forget_session(session)
            name = f"{self._connection.name}:{FAILOVER}.{self._counter}"
            self._counter += 1
            session = self._connection.session(name, transactional=False, continues=False)
            self._session = session
            session.on_message = self._arrived
            session.on_error = self._failed
            receiver = None
        if receiver is None or receiver.closed:
            receiver = self._receiver = ReceiverCore(session, _ADDRESS, "0", _CAPACITY)
            receiver.on_error = self._failed
            session.receivers.append(receiver)

    def end(self) -> None:
        """The connection is about to be closed: the broker shall keep nothing of this for the session's timeout."""
        session, self._session, self._receiver = self._session, None, None
        if session is not None:
            if session.wire.attached:
                session.wire.detach()
            self._connection.forget_session(session)

    def _failed(self, error: Exception) -> None:
        log.info("nothing to be learnt from the exchange %s: %s", FAILOVER, error)

    def _arrived(self) -> None:
        session, receiver = self._session, self._receiver
        if session is None or receiver is None:
            return
        while (delivery := receiver.take()) is not None:
            session.acknowledge([delivery], None)
            try:
                urls: Any = delivery.message().properties.get(FAILOVER)
            except DecodeError as error:
                log.warning("%s: %s", FAILOVER, error)
                continue
            if isinstance(urls, list):
                self._learn([str(url) for url in urls])
