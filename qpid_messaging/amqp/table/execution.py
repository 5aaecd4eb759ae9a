"""Class 0x3: results and errors of commands."""

from __future__ import annotations

from enum import IntEnum
from typing import Any

from qpid_messaging.amqp.schema import Command, Struct, field, struct32
from qpid_messaging.amqp.types import map_, sequence_no, str16, uint8, uint16


class ErrorCode(IntEnum):
    """Why a command failed."""

    UNAUTHORIZED_ACCESS = 403
    NOT_FOUND = 404
    RESOURCE_LOCKED = 405
    PRECONDITION_FAILED = 406
    RESOURCE_DELETED = 408
    ILLEGAL_STATE = 409
    COMMAND_INVALID = 503
    RESOURCE_LIMIT_EXCEEDED = 506
    NOT_ALLOWED = 530
    ILLEGAL_ARGUMENT = 531
    NOT_IMPLEMENTED = 540
    INTERNAL_ERROR = 541
    INVALID_ARGUMENT = 542


class ExecutionSync(Command, code=(0x3, 0x1)):
    """A command that does nothing: it completes after everything in front of it."""


class ExecutionResult(Command, code=(0x3, 0x2)):
    """What a command with a result gave back."""

    command_id: int | None = field(sequence_no)
    value: Struct | None = field(struct32)


class ExecutionException(Command, code=(0x3, 0x3)):
    """A command failed, and the session with it."""

    error_code: int | None = field(uint16, ErrorCode)
    command_id: int | None = field(sequence_no)
    class_code: int | None = field(uint8)
    command_code: int | None = field(uint8)
    field_index: int | None = field(uint8)
    description: str | None = field(str16)
    error_info: dict[str, Any] | None = field(map_)
