"""From `qpid_messaging.exceptions`."""

from __future__ import annotations

from qpid_messaging.exceptions import *  # noqa: F403
from qpid_messaging.exceptions import __all__  # noqa: F401
