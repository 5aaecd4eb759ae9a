"""The library below the original tools, from `qpid_messaging.management`. See `qpid_messaging.compat`."""

from __future__ import annotations

from qpid_messaging import management
from qpid_messaging.compat.kombu_import import repair_kombu
from qpid_messaging.management import *  # noqa: F403
from qpid_messaging.management import display
from qpid_messaging.management.display import *  # noqa: F403

from . import broker, disp

__all__ = ["broker", "disp", *management.__all__, *display.__all__]  # noqa: PLE0604 - the rest are names too

# Whoever imports this may be Kombu, or become it.
repair_kombu()
