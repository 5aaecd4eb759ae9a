"""A message's header as the text that queues compare: what types it has on the wire does not matter."""

from __future__ import annotations

from ..message import Message

__all__ = ["header_text"]


def header_text(message: Message, name: str) -> str:
    """The application header as text, "" where there is none, or none that could be one."""
    value = message.application_headers.get(name)
    if isinstance(value, bytes):
        return value.decode("utf-8", "surrogateescape")
    if value is None or isinstance(value, (dict, list)):
        return ""
    return str(value)
