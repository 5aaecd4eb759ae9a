"""From `qpid_messaging.constants`."""

from __future__ import annotations

from qpid_messaging.constants import *  # noqa: F403
from qpid_messaging.constants import __all__  # noqa: F401
