"""A message that came to a receiver, from its arrival until its acknowledgement is known to have arrived."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..amqp.codec import decode_header
from ..amqp.commands import DeliveryProperties, MessageProperties
from ..amqp.errors import ProtocolError
from ..exceptions import DecodeError
from ..message import Message
from .content import fill_message

if TYPE_CHECKING:
    from ..message import Disposition
    from .receiver import ReceiverCore


class Delivery:
    """One message at one receiver.

    Attributes:
        receiver: where it came to.
        transfer_id: the broker's command that brought it; None once that broker's connection is lost.
        arrival: its place among all deliveries of the session.
        disposition: what the application said of it.
        told: whether that was put on the wire of some connection.
    """

    __slots__ = ("_resume_id", "arrival", "body", "disposition", "header", "receiver", "told", "transfer_id")

    def __init__(
        self, receiver: ReceiverCore, transfer_id: int, arrival: int, header: bytes | None, body: bytes | None
    ) -> None:
        self.receiver = receiver
        self.transfer_id: int | None = transfer_id
        self.arrival = arrival
        self.header = header
        self.body = body
        self.disposition: Disposition | None = None
        self.told = False
        self._resume_id: str | None = None

    def message(self) -> Message:
        """Decode it. The result refers to this delivery.

        Raises:
            DecodeError: header or content are not what they claim to be.
        """
        message = Message.__new__(Message)
        message.__dict__.update(_EMPTY)
        message._delivery = self
        delivery, properties = self._decode()
        fill_message(message, delivery, properties, self.body, decode=self.receiver.decodes)
        # The application's message holds this for as long as it likes: the bytes are decoded and need not stay.
        self.body = None
        return message

    def resume_id(self) -> str | None:
        """The id by which a broker knows the message again after a fail-over, if it gave one."""
        if self._resume_id is None and self.header is not None:
            try:
                self._decode()
            except DecodeError:
                return None
        return self._resume_id

    def _decode(self) -> tuple[DeliveryProperties | None, MessageProperties | None]:
        delivery = properties = None
        if self.header is not None:
            try:
                structs = decode_header(self.header)
            except ProtocolError as error:
                raise DecodeError(text=f"message header: {error}") from error
            for struct in structs:
                if type(struct) is DeliveryProperties:
                    delivery = struct
                    self._resume_id = struct.resume_id
                elif type(struct) is MessageProperties:
                    properties = struct
        return delivery, properties


# What fill_message does not always set.
_EMPTY = {
    "id": None,
    "subject": None,
    "user_id": None,
    "reply_to": None,
    "correlation_id": None,
    "durable": None,
    "priority": None,
    "ttl": None,
    "redelivered": False,
}
