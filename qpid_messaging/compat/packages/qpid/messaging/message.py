"""From `qpid_messaging.message`."""

from __future__ import annotations

from qpid_messaging.message import *  # noqa: F403
from qpid_messaging.message import __all__  # noqa: F401
