"""A subscription: what a consumer or browser has been promised of a queue, and what it was given.

Credit is counted in messages and in bytes of header and body (AMQP 0-10, message.flow). In window mode, the default,
what a completed delivery cost comes back; in credit mode it does not. A subscription is served while it has credit of
both kinds and its connection keeps reading.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from struct import Struct
from typing import TYPE_CHECKING, Any

from qpid_messaging.amqp import commands as c
from qpid_messaging.amqp.codec import encode_command
from qpid_messaging.amqp.framing import encode

from .effects import Dequeue
from .errors import ResourceDeleted
from .line import AVAILABLE
from .message import format_resume_id, parse_resume_id
from .queue import Queue, QueueEntry
from .sieve import Sieve

if TYPE_CHECKING:
    from .selector import Selector
    from .session import SessionHandler

__all__ = ["UNLIMITED", "Delivery", "Subscription"]

UNLIMITED = 0xFFFFFFFF

# A frame's first 12 octets: flags, segment type, size, reserved, track, channel, reserved (AMQP 0-10, transport).
_FRAME = Struct(">BBHBBHI").pack
_COMMAND, _HEADER, _BODY = 1, 2, 3
_FIRST_SEGMENT, _MIDDLE_SEGMENT, _LAST_SEGMENT = 0x0B, 0x03, 0x07
_COMMAND_TRACK = 1


class Delivery:
    """One transfer to a client, until it is settled (and, in window mode, completed)."""

    __slots__ = ("entry", "size", "subscription")

    def __init__(self, entry: QueueEntry, subscription: Subscription, size: int) -> None:
        self.entry = entry
        self.subscription = subscription
        self.size = size


class Subscription:
    """One subscription of a session (message.subscribe).

    Args:
        session: the session that it belongs to.
        queue: what it subscribes to.
        destination: its name in the session.
        accept: the client accepts each message explicitly.
        acquire: messages are acquired when they are delivered; else it browses.
        exclusive: nobody else may subscribe.
        arguments: of message.subscribe, as they came.
        resume_ids: deliveries carry replication ids.
        selector: which messages it wants; None: all of them.
        claim: resume ids of messages that the client holds from an earlier delivery; see :meth:`flush`.
    """

    def __init__(
        self,
        session: SessionHandler,
        queue: Queue,
        destination: str,
        *,
        accept: bool = True,
        acquire: bool = True,
        exclusive: bool = False,
        arguments: Mapping[str, Any] | None = None,
        resume_ids: bool = False,
        claim: Sequence[str] | None = None,
        selector: Selector | None = None,
    ) -> None:
        self.session = session
        self.queue = queue
        self.destination = destination
        self.accept = accept
        self.acquire = acquire
        self.exclusive = exclusive
        self.arguments = dict(arguments or {})
        self.resume_ids = resume_ids
        self.claim = claim
        self.selector = selector
        self.sieve = Sieve(queue, selector, self) if selector is not None and acquire else None
        """Finds what a consumer with a selector gets."""
        self.window = True
        self.cursor = queue.cursor()
        """How far a browser has come."""
        self.delivered = 0
        self.cancelled = False
        self._messages = 0
        self._bytes = 0
        self._messages_used = 0
        self._bytes_used = 0
        command = c.MessageTransfer(
            destination=destination,
            accept_mode=c.AcceptMode.EXPLICIT if accept else c.AcceptMode.NONE,
            acquire_mode=c.AcquireMode.PRE_ACQUIRED if acquire else c.AcquireMode.NOT_ACQUIRED,
        )
        self._command = command
        payload = encode_command(command)
        self._method = (
            _FRAME(_FIRST_SEGMENT, _COMMAND, len(payload) + 12, 0, _COMMAND_TRACK, session.channel, 0) + payload
        )

    @property
    def name(self) -> str:
        """What it is called where names are unique on the broker."""
        return f"{self.session.name.decode(errors='replace')}.{self.destination}"

    def selects(self, entry: QueueEntry) -> bool:
        """Whether it wants a message."""
        return self.selector is None or self.selector.matches(entry.message, redelivered=entry.redelivered)

    # -- credit

    def set_window(self, window: bool) -> None:
        """Choose window or credit mode (message.set-flow-mode); what credit there was is void."""
        self.window = window
        self.stop()

    def add_credit(self, unit: int, value: int) -> None:
        """More messages (unit 0) or bytes (unit 1) may be sent; UNLIMITED takes the limit away (message.flow)."""
        if unit == c.CreditUnit.MESSAGE:
            self._messages = min(self._messages + value, UNLIMITED)
            if self._messages == UNLIMITED:
                self._messages_used = 0
        else:
            self._bytes = min(self._bytes + value, UNLIMITED)
            if self._bytes == UNLIMITED:
                self._bytes_used = 0
        self.refresh()

    def stop(self) -> None:
        """No credit of either kind (message.stop); completions of earlier deliveries bring none back."""
        if self._messages_used or self._bytes_used:
            session = self.session
            session.incomplete = {
                command_id: delivery
                for command_id, delivery in session.incomplete.items()
                if delivery.subscription is not self
            }
        self._messages = self._bytes = self._messages_used = self._bytes_used = 0
        self.refresh()

    def restore(self, size: int) -> None:
        """A delivery was completed: in window mode its credit comes back."""
        if self._messages_used:
            self._messages_used -= 1
            self._messages += 1
        if self._bytes_used:
            size = min(size, self._bytes_used)
            self._bytes_used -= size
            self._bytes += size

    def affords(self, size: int) -> bool:
        """Whether a message of that size may be sent."""
        return self._messages > 0 and size <= self._bytes

    @property
    def credit(self) -> tuple[int, int]:
        """Messages and bytes that may be sent."""
        return self._messages, self._bytes

    def refresh(self) -> None:
        """Stand in the queue's line of those to be served, or leave it."""
        queue = self.queue
        if (
            self._messages > 0
            and self._bytes > 0
            and self.claim is None
            and not self.cancelled
            and not self.session.connection.congested
        ):
            if self.acquire:
                queue.consumers[self] = None
            else:
                queue.browsers[self] = None
            self.session.broker.dirty[queue] = None
        elif self.acquire:
            queue.consumers.pop(self, None)
        else:
            queue.browsers.pop(self, None)

    # -- delivery

    def deliver(self, entry: QueueEntry, now: float) -> None:
        """Send a message that this subscription affords; a consumer has acquired it.

        Args:
            entry: the message's place on the queue.
            now: the broker's time, in seconds, for what is left of the time to live.
        """
        message = entry.message
        session = self.session
        header = message.header
        body = message.body
        identity = message.replication_id if self.resume_ids else None
        if entry.redelivered or message.expires is not None or identity is not None:
            header = message.header_for(
                redelivered=entry.redelivered,
                ttl=None if message.expires is None else max(1, int((message.expires - now) * 1000)),
                resume_id=None if identity is None else format_resume_id(identity),
            )
        connection = session.connection
        connection.messages_out += 1
        connection.segments_out += 1 if body is None else 2
        largest = connection.max_payload
        channel = session.channel
        if header is None or len(header) > largest or (body is not None and len(body) > largest):
            data = encode(channel, self._command, header, body, connection.machine.max_frame_size)
        elif body is None:
            data = self._method + _FRAME(_LAST_SEGMENT, _HEADER, len(header) + 12, 0, 1, channel, 0) + header
        else:
            data = b"".join(
                (
                    self._method,
                    _FRAME(_MIDDLE_SEGMENT, _HEADER, len(header) + 12, 0, 1, channel, 0),
                    header,
                    _FRAME(_LAST_SEGMENT, _BODY, len(body) + 12, 0, 1, channel, 0),
                    body,
                )
            )
        delivery_id = session.machine.send_frames(data)
        self.delivered += 1
        size = message.size
        counted = False
        if self._messages != UNLIMITED:
            self._messages -= 1
            if self.window:
                self._messages_used += 1
                counted = True
        if self._bytes != UNLIMITED:
            self._bytes -= size
            if self.window:
                self._bytes_used += size
                counted = True
        if counted or self.accept or not self.acquire:
            delivery = Delivery(entry, self, size)
            if counted:
                session.incomplete[delivery_id] = delivery
            if self.accept or not self.acquire:
                session.unsettled[delivery_id] = delivery
                if not self.acquire:
                    session.sweep()
        if self.acquire and not self.accept:
            session.broker.do(Dequeue(self.queue, (entry,)))
        if self._messages <= 0 or self._bytes <= 0:
            self.refresh()

    def flush(self) -> None:
        """Send what there is as far as credit goes, then void the credit (message.flush).

        A subscription with a claim gets the claimed messages that nobody else has taken meanwhile, and only those.
        """
        if self.claim is None:
            self.session.broker.dispatch(self.queue)
        else:
            claim, self.claim = self.claim, None
            now = self.session.broker.clock()
            for text in claim:
                identity = parse_resume_id(text)
                entry = None if identity is None else self.queue.by_id.get(identity)
                if entry is not None and entry.state == AVAILABLE and self.affords(entry.message.size):
                    self.queue.acquire(entry, self)
                    entry.redelivered = True
                    self.deliver(entry, now)
        self.stop()

    def queue_deleted(self) -> None:
        """The queue is gone: a session that waits for its messages (has credit) is told so, and ends with that."""
        queue = self.queue
        if self in queue.consumers or self in queue.browsers:
            error = ResourceDeleted(f"Queue {queue.name} has been deleted.")
            self.session.fail(error, self.session.machine.next_incoming - 1, None)

    def __repr__(self) -> str:
        return f"<Subscription {self.destination!r} of {self.queue.name!r}>"
