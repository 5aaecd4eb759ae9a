"""From `qpid_messaging.datatypes`."""

from __future__ import annotations

from qpid_messaging.datatypes import *  # noqa: F403
from qpid_messaging.datatypes import __all__  # noqa: F401
