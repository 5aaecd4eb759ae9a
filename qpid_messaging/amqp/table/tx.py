"""Class 0x5: transactions of one session."""

from __future__ import annotations

from qpid_messaging.amqp.schema import Command


class TxSelect(Command, code=(0x5, 0x1)):
    """From here on the session is transactional."""


class TxCommit(Command, code=(0x5, 0x2)):
    """Commit, and begin anew."""


class TxRollback(Command, code=(0x5, 0x3)):
    """Roll back, and begin anew."""
