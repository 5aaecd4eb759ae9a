"""From `qpid_messaging.management`."""

from __future__ import annotations

from qpid_messaging.management import *  # noqa: F403
from qpid_messaging.management import __all__  # noqa: F401
