"""From `qpid_messaging.transports`."""

from __future__ import annotations

from qpid_messaging.transports import *  # noqa: F403
from qpid_messaging.transports import __all__  # noqa: F401
