"""Class 0x6: distributed (XA) transactions."""

from __future__ import annotations

from enum import IntEnum
from typing import Any

from qpid_messaging.amqp.schema import Command, Struct, bit, field, struct
from qpid_messaging.amqp.types import array, uint16, uint32, vbin8


class XaStatus(IntEnum):
    """What became of a transaction branch."""

    XA_OK = 0
    XA_RBROLLBACK = 1
    XA_RBTIMEOUT = 2
    XA_HEURHAZ = 3
    XA_HEURCOM = 4
    XA_HEURRB = 5
    XA_HEURMIX = 6
    XA_RDONLY = 7


class XaResult(Struct, code=(0x6, 0x1), size=4):
    """The result of most commands of this class."""

    status: int | None = field(uint16, XaStatus)


class Xid(Struct, code=(0x6, 0x4), size=4):
    """The name of a transaction branch."""

    format: int | None = field(uint32)
    global_id: bytes | None = field(vbin8)
    branch_id: bytes | None = field(vbin8)


class GetTimeoutResult(Struct, code=(0x6, 0x2), size=4):
    """The result of dtx.get-timeout, in seconds."""

    timeout: int | None = field(uint32)


class RecoverResult(Struct, code=(0x6, 0x3), size=4):
    """The result of dtx.recover: the branches that are prepared or were completed heuristically."""

    in_doubt: list[Any] | None = field(array)


class DtxSelect(Command, code=(0x6, 0x1)):
    """The session will use distributed transactions."""


class DtxStart(Command, code=(0x6, 0x2), result=XaResult):
    """Begin, join or resume work for a branch."""

    xid: Xid | None = struct(Xid)
    join: bool = bit()
    resume: bool = bit()


class DtxEnd(Command, code=(0x6, 0x3), result=XaResult):
    """End, fail or suspend work for a branch."""

    xid: Xid | None = struct(Xid)
    fail: bool = bit()
    suspend: bool = bit()


class DtxCommit(Command, code=(0x6, 0x4), result=XaResult):
    """Commit a branch, in one phase or after prepare."""

    xid: Xid | None = struct(Xid)
    one_phase: bool = bit()


class DtxForget(Command, code=(0x6, 0x5)):
    """Forget a branch that was completed heuristically."""

    xid: Xid | None = struct(Xid)


class DtxGetTimeout(Command, code=(0x6, 0x6), result=GetTimeoutResult):
    """Ask for a branch's timeout."""

    xid: Xid | None = struct(Xid)


class DtxPrepare(Command, code=(0x6, 0x7), result=XaResult):
    """Make a branch ready to commit."""

    xid: Xid | None = struct(Xid)


class DtxRecover(Command, code=(0x6, 0x8), result=RecoverResult):
    """Ask for the branches in doubt."""


class DtxRollback(Command, code=(0x6, 0x9), result=XaResult):
    """Roll a branch back."""

    xid: Xid | None = struct(Xid)


class DtxSetTimeout(Command, code=(0x6, 0xA)):
    """Set a branch's timeout, in seconds."""

    xid: Xid | None = struct(Xid)
    timeout: int | None = field(uint32)
