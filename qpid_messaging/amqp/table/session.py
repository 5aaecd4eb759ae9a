"""Class 0x2: attaching sessions to a connection, and what has been received, done and known to be done."""

from __future__ import annotations

from enum import IntEnum
from typing import Any

from qpid_messaging.amqp.ranges import RangeSet
from qpid_messaging.amqp.schema import Control, Struct, bit, field
from qpid_messaging.amqp.types import array, byte_ranges_, sequence_no, sequence_set, uint8, uint32, uint64, vbin16


class DetachCode(IntEnum):
    """Why a session is no longer attached."""

    NORMAL = 0
    SESSION_BUSY = 1
    TRANSPORT_BUSY = 2
    NOT_ATTACHED = 3
    UNKNOWN_IDS = 4


class SessionHeader(Struct, size=1, pack=1):
    """What stands in front of each command's arguments. Commands carry it as their `sync`."""

    sync: bool = bit()


class CommandFragment(Struct, pack=0):
    """A command of which only some bytes are meant."""

    command_id: int | None = field(sequence_no)
    byte_ranges: RangeSet | None = field(byte_ranges_)


class SessionAttach(Control, code=(0x2, 0x1)):
    """Attach the session of this name to the channel, taking it from another connection if forced."""

    name: bytes | None = field(vbin16)
    force: bool = bit()


class SessionAttached(Control, code=(0x2, 0x2)):
    """The session is attached."""

    name: bytes | None = field(vbin16)


class SessionDetach(Control, code=(0x2, 0x3)):
    """Detach the session from the channel; its state may live on until the timeout."""

    name: bytes | None = field(vbin16)


class SessionDetached(Control, code=(0x2, 0x4)):
    """The session is not attached (any more)."""

    name: bytes | None = field(vbin16)
    code: int | None = field(uint8, DetachCode)


class SessionRequestTimeout(Control, code=(0x2, 0x5)):
    """Ask that the session outlives its attachment by so many seconds; None for ever."""

    timeout: int | None = field(uint32)


class SessionTimeout(Control, code=(0x2, 0x6)):
    """How many seconds the session will outlive its attachment."""

    timeout: int | None = field(uint32)


class SessionCommandPoint(Control, code=(0x2, 0x7)):
    """The id, and the offset in it, of the next command on this channel."""

    command_id: int | None = field(sequence_no)
    command_offset: int | None = field(uint64)


class SessionExpected(Control, code=(0x2, 0x8)):
    """What the sender of this expects to receive after a re-attach; nothing at all: a new session."""

    commands: RangeSet | None = field(sequence_set)
    fragments: list[Any] | None = field(array)


class SessionConfirmed(Control, code=(0x2, 0x9)):
    """Commands that survive a failure, though they may not have been executed."""

    commands: RangeSet | None = field(sequence_set)
    fragments: list[Any] | None = field(array)


class SessionCompleted(Control, code=(0x2, 0xA)):
    """Commands that were executed, all since the last known-completed."""

    commands: RangeSet | None = field(sequence_set)
    timely_reply: bool = bit()


class SessionKnownCompleted(Control, code=(0x2, 0xB)):
    """Completions that the other side need not repeat."""

    commands: RangeSet | None = field(sequence_set)


class SessionFlush(Control, code=(0x2, 0xC)):
    """Ask for expected, confirmed or completed at once."""

    expected: bool = bit()
    confirmed: bool = bit()
    completed: bool = bit()


class SessionGap(Control, code=(0x2, 0xD)):
    """Command ids that will not be used."""

    commands: RangeSet | None = field(sequence_set)
