"""Management methods of the broker that change how it works, or tell of its inside."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from qpid_messaging.management.qmf import Status

from ..logs import BrokerLog, broker_log
from ..options import OptionError
from .configuration import queue_named
from .schema import MethodCall, MethodError

if TYPE_CHECKING:
    from ..broker import Broker

__all__ = ["SWITCHES"]


def _log(call: MethodCall) -> BrokerLog:
    log = broker_log()
    if log is None:
        raise MethodError(Status.EXCEPTION, f"{call.method}: the log belongs to the program that the broker runs in")
    return log


def _get_log_level(broker: Broker, call: MethodCall) -> None:
    call.done({"level": _log(call).rules})


def _set_log_level(broker: Broker, call: MethodCall) -> None:
    try:
        _log(call).rules = call.text("level")
    except OptionError as error:
        raise MethodError(Status.INVALID_PARAMETER, str(error)) from error
    call.done()


def _get_fine_times(broker: Broker, call: MethodCall) -> None:
    call.done({"logHires": _log(call).fine_times})


def _set_fine_times(broker: Broker, call: MethodCall) -> None:
    _log(call).fine_times = call.flag("logHires")
    call.done()


def _get_timestamps(broker: Broker, call: MethodCall) -> None:
    call.done({"receive": broker.timestamps})


def _set_timestamps(broker: Broker, call: MethodCall) -> None:
    broker.timestamps = call.flag("receive")
    call.done()


def _query(broker: Broker, call: MethodCall) -> None:
    kind, name = call.text("type"), call.text("name")
    if kind != "queue":
        raise MethodError(Status.INVALID_PARAMETER, f"query: unknown object type {kind!r} (there is queue)")
    call.done({"results": queue_named(broker, name).describe()})


def _shut_down(broker: Broker, call: MethodCall) -> None:
    shut_down = broker.shut_down
    if shut_down is None:
        raise MethodError(Status.NOT_IMPLEMENTED, "shutdown: nothing runs this broker that could be ended")
    call.done()
    # When the answer is on its way.
    broker.timers.at(broker.clock(), shut_down)


def _connect(broker: Broker, call: MethodCall) -> None:
    raise MethodError(
        Status.NOT_IMPLEMENTED, "connect: this broker makes no links to others, other than those of its cluster"
    )


#: The methods by name.
SWITCHES: dict[str, Callable[[Broker, MethodCall], None]] = {
    "connect": _connect,
    "getLogHiresTimestamp": _get_fine_times,
    "getLogLevel": _get_log_level,
    "getTimestampConfig": _get_timestamps,
    "query": _query,
    "setLogHiresTimestamp": _set_fine_times,
    "setLogLevel": _set_log_level,
    "setTimestampConfig": _set_timestamps,
    "shutdown": _shut_down,
}
