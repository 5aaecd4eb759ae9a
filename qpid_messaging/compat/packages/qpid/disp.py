"""From `qpid_messaging.management.display`."""

from __future__ import annotations

from qpid_messaging.management.display import *  # noqa: F403
from qpid_messaging.management.display import __all__  # noqa: F401
