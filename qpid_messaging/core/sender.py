"""A sender: messages to transfers, and what the broker has not completed yet."""

from __future__ import annotations

import struct
from math import ceil
from typing import TYPE_CHECKING, Any

from ..amqp.commands import MessageTransfer
from ..amqp.framing import encode
from ..constants import UNLIMITED, Constant
from .content import encode_content, encode_message_header
from .link import THRESHOLD, LinkCore, LinkState
from .nodes import bindings

if TYPE_CHECKING:
    from ..amqp.commands import Command
    from ..message import Message
    from .session import SessionCore
    from .tasks import Steps

#: Ask for completion at least once in so many messages: it frees what is kept for sending again.
_SYNC_EVERY = 1000
#: Header segments kept per sender; beyond that messages differ too much for keeping to pay.
_HEADERS = 128
_FRAME_OVERHEAD = 12
# Frame header of a body segment in one frame: first and last frame, last segment; type 3 (body); track 1 (commands).
_body_frame = struct.Struct(">BBHBBHI").pack
_BODY_FLAGS = 0x07
_BODY_TYPE = 3
_COMMAND_TRACK = 1


class SenderCore(LinkCore):
    """What a sender wants, and how far that is done.

    Args:
        session: the session that it belongs to.
        address: where messages go.
        capacity: how many of them may be uncompleted, or UNLIMITED.
        durable: whether messages that do not say are durable.

    Attributes:
        threshold: the part of the capacity that may be left before the broker is asked for completion.
        queued: messages given to `send`.
        settled: those of them that the broker completed.
    """

    ROLE = "sender"

    def __init__(
        self, session: SessionCore, address: str | None, capacity: int | Constant, durable: bool | None
    ) -> None:
        super().__init__(session, address)
        self.capacity = capacity
        self.threshold = THRESHOLD
        self.durable = durable
        self.queued = 0
        self.settled = 0
        self._unsynced = 0
        reliability = self.link_options.get("reliability", "at-least-once")
        # Such messages are settled as they are sent, and never sent again.
        self._unreliable = reliability in ("unreliable", "at-most-once")
        self._exchange = ""
        self._routing_key: str | None = None
        # Constant for a link: the transfer without and with the sync bit, and their frames.
        self._commands: tuple[Command, Command] = (MessageTransfer(), MessageTransfer())
        self._frames: tuple[bytes, bytes] = (b"", b"")
        self._channel = 0
        self._max_payload = 0
        self._headers: dict[Any, tuple[bytes, bytes | None]] = {}

    # -- linking -----------------------------------------------------------------------------------------------

    def _link(self) -> Steps[None]:
        node = yield from self._resolve()
        if node.kind == "topic":
            self._exchange, self._routing_key = self.name, self.subject
            binds = bindings(self.link_options, exchange=self.name, key=self.subject)
        else:
            self._exchange, self._routing_key = "", self.name
            binds = bindings(self.link_options, queue=self.name)
        if binds:
            yield binds
        self._prepare()

    def _prepare(self) -> None:
        """Encode what is the same for all messages on this link of this connection."""
        plain = MessageTransfer(destination=self._exchange)
        prompt = MessageTransfer(destination=self._exchange)
        prompt.sync = True
        self._commands = (plain, prompt)
        wire = self.session.connection.wire
        assert wire is not None
        self._channel = self.session.wire.channel
        self._max_payload = wire.max_frame_size - _FRAME_OVERHEAD
        # With a header and a body to come, whatever these are: only the flags of the first frame depend on it.
        self._frames = (self._method_frame(plain), self._method_frame(prompt))
        self._headers.clear()

    def _method_frame(self, command: Command) -> bytes:
        """The frame of the command alone: it is the first of the three that `encode` makes of command, header, body."""
        frames = encode(self._channel, command, b"\0", b"\0", self._max_payload + _FRAME_OVERHEAD)
        return frames[: int.from_bytes(frames[2:4], "big")]

    def _header_frame(self, header: bytes) -> bytes | None:
        """The frame of a header segment that a body follows; None where one frame does not hold it."""
        if len(header) > self._max_payload:
            return None
        frames = encode(self._channel, self._commands[0], header, b"\0", self._max_payload + _FRAME_OVERHEAD)
        return frames[len(self._frames[0]) : -(_FRAME_OVERHEAD + 1)]

    def _unlink(self) -> list[Command]:
        return []

    def _may_unlink(self) -> bool:
        return self.settled >= self.queued

    def _forget(self) -> None:
        self.session.forget_sender(self)

    # -- sending -----------------------------------------------------------------------------------------------

    @property
    def linked(self) -> bool:
        """Whether a message sent now goes to the wire: only behind those that have to be sent again."""
        return self.state is LinkState.LINKED and not self.session.recovering

    def available(self) -> int | Constant:
        """How many more messages the capacity allows."""
        capacity = self.capacity
        if capacity is UNLIMITED:
            return UNLIMITED
        return capacity - (self.queued - self.settled)  # type: ignore[operator]

    def has_capacity(self) -> bool:
        """Whether the capacity allows one more."""
        capacity = self.capacity
        return capacity is UNLIMITED or self.queued - self.settled < capacity  # type: ignore[operator]

    def send(self, message: Message, sync: bool) -> int:
        """Send a message, or keep it until the link is back.

        Args:
            message: the message.
            sync: ask the broker to tell of its completion at once.

        Returns:
            About how many bytes were queued.

        Raises:
            EncodeError: a field or the content cannot be written; nothing was sent.
        """
        if message.durable is None:
            message.durable = self.durable
        # Content first: its type and the message's content type have to agree.
        content = message.content
        body = content if content.__class__ is bytes else encode_content(content, message.content_type)
        header, header_frame = self._encode_header(message)
        self.queued += 1
        if not sync:
            self._unsynced += 1
            sync = self._unsynced >= (_SYNC_EVERY if self.capacity is UNLIMITED else self._most_unsynced())
        if sync:
            self._unsynced = 0
        session = self.session
        if session.pending or self.state is not LinkState.LINKED or session.recovering:
            session.pending.append((self, header, body))
            return 0
        return self._transfer(header, header_frame, body, sync)

    def _most_unsynced(self) -> int:
        """Ask in time: when the capacity left is down to the threshold, not when the sender stands still."""
        capacity: int = self.capacity  # type: ignore[assignment]
        return min(_SYNC_EVERY, max(1, capacity - ceil(self.threshold * capacity)))

    def transfer(self, header: bytes, body: bytes | None) -> None:
        """Put a message on the wire that had to wait for the link."""
        self._transfer(header, None, body, True)

    def _transfer(self, header: bytes, header_frame: bytes | None, body: bytes | None, sync: bool) -> int:
        frames: bytes | None = None
        if header_frame is not None and body is not None and len(body) <= self._max_payload:
            size = len(body) + _FRAME_OVERHEAD
            frames = b"".join(
                (
                    self._frames[sync],
                    header_frame,
                    _body_frame(_BODY_FLAGS, _BODY_TYPE, size, 0, _COMMAND_TRACK, self._channel, 0),
                    body,
                )
            )
        session = self.session
        if self._unreliable:
            session.wire.send(self._commands[sync], header, body, frames=frames)
            self.settled += 1
        else:
            session.wire.send(self._commands[sync], header, body, token=self, replay=session.replays, frames=frames)
        return 256 if frames is None else len(frames)

    def _encode_header(self, message: Message) -> tuple[bytes, bytes | None]:
        subject = message.subject
        if subject is None:
            subject, routing_key = self.subject, self._routing_key
        else:
            routing_key = subject if self._exchange else self._routing_key
        if (
            message.properties
            or message.id is not None
            or message.user_id is not None
            or message.reply_to is not None
            or message.correlation_id is not None
        ):
            return encode_message_header(message, subject, routing_key), None
        key = (message.content_type, message.durable, subject, message.priority, message.ttl)
        cached = self._headers.get(key)
        if cached is None:
            header = encode_message_header(message, subject, routing_key)
            if self.state is not LinkState.LINKED:
                return header, None
            cached = header, self._header_frame(header)
            if len(self._headers) >= _HEADERS:
                self._headers.clear()
            self._headers[key] = cached
        return cached

    def completed(self) -> None:
        """The broker completed one of our transfers (this is the token of all of them)."""
        self.settled += 1

    def result(self, id: int, value: Any) -> None:
        """A transfer has no result."""

    def unsettled(self) -> int:
        """How many messages the broker has not completed."""
        return self.queued - self.settled

    def ask(self) -> None:
        """Ask the broker to tell of what it completed, unless the last transfer asked already."""
        if self._unsynced and self.linked:
            self._unsynced = 0
            self.session.wire.sync()
