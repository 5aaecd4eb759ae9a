"""Class 0x1: what two peers agree on before anything else, and how they part."""

from __future__ import annotations

from enum import IntEnum
from typing import Any

from qpid_messaging.amqp.schema import Control, bit, field
from qpid_messaging.amqp.types import map_, str8, str16, str16_array, uint16, vbin32


class CloseCode(IntEnum):
    """Why a connection is closed."""

    NORMAL = 200
    CONNECTION_FORCED = 320
    INVALID_PATH = 402
    FRAMING_ERROR = 501


class ConnectionStart(Control, code=(0x1, 0x1)):
    """The server's first word: what it is and which SASL mechanisms and locales it offers."""

    server_properties: dict[str, Any] | None = field(map_)
    mechanisms: list[str] | None = field(str16_array)
    locales: list[str] | None = field(str16_array)


class ConnectionStartOk(Control, code=(0x1, 0x2)):
    """The client's choice of mechanism and locale, and its first SASL response."""

    client_properties: dict[str, Any] | None = field(map_)
    mechanism: str | None = field(str8)
    response: bytes | None = field(vbin32)
    locale: str | None = field(str8)


class ConnectionSecure(Control, code=(0x1, 0x3)):
    """A SASL challenge."""

    challenge: bytes | None = field(vbin32)


class ConnectionSecureOk(Control, code=(0x1, 0x4)):
    """The response to a SASL challenge."""

    response: bytes | None = field(vbin32)


class ConnectionTune(Control, code=(0x1, 0x5)):
    """Limits that the server proposes: channels, frame size in bytes, heartbeat interval in seconds."""

    channel_max: int | None = field(uint16)
    max_frame_size: int | None = field(uint16)
    heartbeat_min: int | None = field(uint16)
    heartbeat_max: int | None = field(uint16)


class ConnectionTuneOk(Control, code=(0x1, 0x6)):
    """The limits that the client settled on."""

    channel_max: int | None = field(uint16)
    max_frame_size: int | None = field(uint16)
    heartbeat: int | None = field(uint16)


class ConnectionOpen(Control, code=(0x1, 0x7)):
    """Choose a virtual host."""

    virtual_host: str | None = field(str8)
    capabilities: list[str] | None = field(str16_array)
    insist: bool = bit()


class ConnectionOpenOk(Control, code=(0x1, 0x8)):
    """The connection is usable; other brokers of the cluster, as URLs."""

    known_hosts: list[str] | None = field(str16_array)


class ConnectionRedirect(Control, code=(0x1, 0x9)):
    """Refused, in favour of another host."""

    host: str | None = field(str16)
    known_hosts: list[str] | None = field(str16_array)


class ConnectionHeartbeat(Control, code=(0x1, 0xA)):
    """Nothing but a sign of life."""


class ConnectionClose(Control, code=(0x1, 0xB)):
    """The end, with a reason."""

    reply_code: int | None = field(uint16, CloseCode)
    reply_text: str | None = field(str8)


class ConnectionCloseOk(Control, code=(0x1, 0xC)):
    """The end is understood."""
