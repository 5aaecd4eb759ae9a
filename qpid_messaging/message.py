"""Messages, and what an application can say about one that it received."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from .exceptions import EncodeError

if TYPE_CHECKING:
    from .constants import Constant
    from .core.delivery import Delivery

__all__ = ["Disposition", "Message"]


class _Unspecified:
    """The type of `UNSPECIFIED`: None is a content type of its own."""

    def __repr__(self) -> str:
        return "UNSPECIFIED"


UNSPECIFIED = _Unspecified()

_TYPES: tuple[tuple[type | tuple[type, ...], str | None], ...] = (
    (dict, "amqp/map"),
    (list, "amqp/list"),
    (str, "text/plain"),
    ((bytes, bytearray, memoryview, type(None)), None),
)


def infer_content_type(content: object) -> str | None:
    """The content type that `qpid.messaging` gives to content of this Python type.

    Raises:
        EncodeError: there is none.
    """
    for kind, content_type in _TYPES:
        if isinstance(content, kind):
            return content_type
    raise EncodeError(text=f"no content type for content of type {type(content).__name__}: give content_type")


class Message:
    """A message: standard fields, an application's own properties, and content.

    Args:
        content: text, bytes, a map (dict), a list, or None.
        content_type: how the content is encoded: `amqp/map`, `amqp/list`, `text/plain`, or any other name for bytes.
            By default it follows from the content's type.
        id: the message's id; a `uuid.UUID` (AMQP 0-10 has no other kind).
        subject: the subject; a topic routes by it.
        user_id: the name of the user that sends it; a broker checks it.
        reply_to: the address that answers are to be sent to.
        correlation_id: what an answer refers to.
        durable: whether the message is to survive a restart of the broker; None leaves it to the sender.
        priority: 0 to 9; None is the broker's default.
        ttl: seconds until it expires; None is never.
        properties: the application's own properties. `x-amqp-0-10.app-id` and `x-amqp-0-10.content-encoding` go
            into the fields of that name.

    Attributes:
        redelivered: whether it may have been delivered before.

    Raises:
        EncodeError: no content type was given and none follows from the content.
    """

    _delivery: Delivery | None = None

    def __init__(
        self,
        content: Any = None,
        content_type: str | _Unspecified | None = UNSPECIFIED,
        id: Any = None,
        subject: str | None = None,
        user_id: str | None = None,
        reply_to: str | None = None,
        correlation_id: str | None = None,
        durable: bool | None = None,
        priority: int | None = None,
        ttl: float | None = None,
        properties: dict[str, Any] | None = None,
    ) -> None:
        self.id = id
        self.subject = subject
        self.user_id = user_id
        self.reply_to = reply_to
        self.correlation_id = correlation_id
        self.durable = durable
        self.priority = priority
        self.ttl = ttl
        self.redelivered = False
        self.properties: dict[str, Any] = {} if properties is None else properties
        self.content_type: str | None
        if content_type is UNSPECIFIED:
            # The commonest kind first, and without a call.
            self.content_type = None if content.__class__ is bytes else infer_content_type(content)
        else:
            self.content_type = content_type  # type: ignore[assignment]
        self.content = content

    def __repr__(self) -> str:
        shown = [
            f"{name}={value!r}"
            for name in ("id", "subject", "user_id", "reply_to", "correlation_id", "priority", "ttl")
            if (value := getattr(self, name)) is not None
        ]
        shown += [
            f"{name}={value!r}" for name in ("durable", "redelivered", "properties") if (value := getattr(self, name))
        ]
        try:
            inferred = infer_content_type(self.content)
        except EncodeError:
            inferred = None
        if self.content_type != inferred:
            shown.append(f"content_type={self.content_type!r}")
        if self.content is not None:
            shown.append(f"content={self.content!r}" if shown else repr(self.content))
        return f"Message({', '.join(shown)})"


class Disposition:
    """What becomes of a message that is acknowledged.

    Args:
        type: None accepts it, `RELEASED` puts it back on its queue, `REJECTED` refuses it for good.
        options: arguments of the AMQP 0-10 command that tells the broker: `set_redelivered` for `RELEASED`,
            `code` and `text` for `REJECTED`.
    """

    def __init__(self, type: Constant | None, **options: Any) -> None:
        self.type = type
        self.options = options

    def __repr__(self) -> str:
        return f"Disposition({', '.join([str(self.type), *(f'{k}={v!r}' for k, v in self.options.items())])})"
