"""From `qpid_messaging.address`."""

from __future__ import annotations

from qpid_messaging.address import *  # noqa: F403
from qpid_messaging.address import __all__  # noqa: F401
