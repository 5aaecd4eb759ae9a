"""From `qpid_messaging.util`."""

from __future__ import annotations

from qpid_messaging.util import *  # noqa: F403
from qpid_messaging.util import __all__  # noqa: F401
