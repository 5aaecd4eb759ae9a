"""From `qpid_messaging.endpoints`."""

from __future__ import annotations

from qpid_messaging.endpoints import *  # noqa: F403
from qpid_messaging.endpoints import __all__  # noqa: F401
