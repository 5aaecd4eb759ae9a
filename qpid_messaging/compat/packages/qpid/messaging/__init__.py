"""The high-level API, from `qpid_messaging`."""

from __future__ import annotations

from logging import getLogger

import qpid_messaging
from qpid_messaging import *  # noqa: F403

from . import address, constants, endpoints, exceptions, message

__all__ = [  # noqa: PLE0604 - the rest are names too
    "address",
    "constants",
    "endpoints",
    "exceptions",
    "message",
    *qpid_messaging.__all__,
]

# Who turns on the original's logger, or gives it a handler, means ours.
getLogger("qpid_messaging").parent = getLogger(__name__)
