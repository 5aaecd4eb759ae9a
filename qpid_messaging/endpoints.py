"""The blocking API under the module name that users of `qpid.messaging` know."""

from __future__ import annotations

from .connection import Connection
from .endpoint import Endpoint
from .receiver import Receiver
from .sender import Sender
from .session import Session

__all__ = ["Connection", "Endpoint", "Receiver", "Sender", "Session"]
