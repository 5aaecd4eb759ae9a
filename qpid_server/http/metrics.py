"""What a broker counts, in the text format of Prometheus."""

from __future__ import annotations

import os
import resource
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from ..connection import VERSION

if TYPE_CHECKING:
    from ..broker import Broker
    from ..exchange import Exchange
    from ..queue import Queue

__all__ = ["escaped", "metrics", "resident_bytes"]

_AT_A_TIME = 200
"""Lines in one piece: what is made without a pause."""

_QUEUES: tuple[tuple[str, str, str, Callable[[Queue], int]], ...] = (
    ("messages", "gauge", "Messages on the queue, acquired ones included", lambda queue: queue.depth),
    ("bytes", "gauge", "Bytes of the messages on the queue", lambda queue: queue.byte_depth),
    ("messages_acquired", "gauge", "Messages that consumers have and did not accept yet", lambda queue: queue.acquired),
    ("consumers", "gauge", "Subscriptions to the queue", lambda queue: len(queue.subscriptions)),
    ("flow_stopped", "gauge", "1 while producers have to wait", lambda queue: bool(queue.flow and queue.flow.stopped)),
    ("messages_enqueued_total", "counter", "Messages put on the queue", lambda queue: queue.enqueued),
    ("messages_dequeued_total", "counter", "Messages that left the queue", lambda queue: queue.dequeued),
    ("bytes_enqueued_total", "counter", "Bytes put on the queue", lambda queue: queue.enqueued_bytes),
    ("bytes_dequeued_total", "counter", "Bytes that left the queue", lambda queue: queue.dequeued_bytes),
    ("messages_expired_total", "counter", "Messages that outlived their time to live", lambda queue: queue.expired),
    ("messages_discarded_total", "counter", "Messages dropped for newer ones", lambda queue: queue.discarded),
    ("messages_refused_total", "counter", "Messages refused since the queue was full", lambda queue: queue.overflowed),
)
_EXCHANGES: tuple[tuple[str, str, Callable[[Exchange], int]], ...] = (
    ("messages_received_total", "Messages sent to the exchange", lambda exchange: exchange.receives),
    ("messages_routed_total", "Messages it put on queues", lambda exchange: exchange.routed),
    ("messages_dropped_total", "Messages that matched no binding", lambda exchange: exchange.drops),
)
_ROLES = ("stand-alone", "joining", "catchup", "ready", "recovering", "active")


def escaped(text: str) -> str:
    """A label's value between quotes."""
    return text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")


def _labels(labels: Mapping[str, str]) -> str:
    return "{" + ",".join(f'{name}="{escaped(value)}"' for name, value in labels.items()) + "}" if labels else ""


def _family(name: str, kind: str, help: str, samples: Iterable[tuple[Mapping[str, str], float]]) -> Iterator[str]:
    """The lines of one metric, so many at a time."""
    lines = [f"# HELP {name} {help}", f"# TYPE {name} {kind}"]
    for labels, value in samples:
        lines.append(f"{name}{_labels(labels)} {int(value) if isinstance(value, bool) else value}")
        if len(lines) >= _AT_A_TIME:
            yield "\n".join(lines) + "\n"
            lines = []
    if lines:
        yield "\n".join(lines) + "\n"


def _one(name: str, kind: str, help: str, value: float) -> Iterator[str]:
    return _family(name, kind, help, [({}, value)])


def metrics(broker: Broker) -> Iterator[str]:
    """Everything there is to count.

    What exists is settled when this is called first, and counted when its turn comes: a scrape of thousands of queues
    is made of many short turns.
    """
    queues: Sequence[Queue] = list(broker.queues.values())
    exchanges: Sequence[Exchange] = list(broker.exchanges.values())
    yield from _process()
    yield from _family(
        "qpid_broker_info", "gauge", "The broker", [({"version": VERSION, "id": broker.federation_tag}, 1)]
    )
    yield from _one("qpid_broker_uptime_seconds", "gauge", "Seconds since it was started", broker.uptime)
    yield from _one("qpid_broker_serving", "gauge", "1 where clients are served", int(broker.serves_clients))
    yield from _one("qpid_connections", "gauge", "Connections of clients and other brokers", len(broker.connections))
    yield from _one("qpid_sessions", "gauge", "Sessions attached", len(broker.sessions))
    yield from _one("qpid_queues", "gauge", "Queues", len(queues))
    yield from _one("qpid_exchanges", "gauge", "Exchanges", len(exchanges))
    yield from _cluster(broker)
    for name, kind, help, value in _QUEUES:
        yield from _family(
            f"qpid_queue_{name}", kind, help, (({"queue": queue.name}, value(queue)) for queue in queues)
        )
    for exchange in exchanges:
        exchange.count()
    for name, help, read in _EXCHANGES:
        samples = (({"exchange": exchange.name, "type": exchange.type}, read(exchange)) for exchange in exchanges)
        yield from _family(f"qpid_exchange_{name}", "counter", help, samples)


def _cluster(broker: Broker) -> Iterator[str]:
    roles = (({"role": role}, int(role == broker.role)) for role in _ROLES)
    yield from _family("qpid_ha_role", "gauge", "1 for the role that the broker has", roles)
    ha = broker.ha
    if ha is None:
        return
    yield from _one("qpid_ha_epoch", "gauge", "Number of the reign that it lives under", ha.epoch_counter)
    yield from _one("qpid_ha_log_index", "gauge", "Last entry of the log that it holds", ha.index)
    backups = [({"broker": backup.system_id, "address": backup.address}, backup) for backup in ha.backups]
    yield from _family(
        "qpid_ha_backup_lag_entries",
        "gauge",
        "Entries that a backup of this primary has not confirmed yet",
        ((labels, backup.lag) for labels, backup in backups),
    )
    yield from _family(
        "qpid_ha_backup_in_sync",
        "gauge",
        "1 where the primary waits for the backup before it completes anything",
        ((labels, int(backup.in_sync)) for labels, backup in backups),
    )


def _process() -> Iterator[str]:
    usage = resource.getrusage(resource.RUSAGE_SELF)
    seconds = usage.ru_utime + usage.ru_stime
    yield from _one("process_cpu_seconds_total", "counter", "CPU time of the process in seconds", round(seconds, 3))
    resident = resident_bytes()
    if resident:
        yield from _one("process_resident_memory_bytes", "gauge", "Memory of the process in bytes", resident)


def resident_bytes() -> int:
    """Memory of this process in bytes; 0 where the system does not say."""
    try:
        pages = Path("/proc/self/statm").read_text("ascii").split()[1]
    except OSError:
        return 0
    return int(pages) * os.sysconf("SC_PAGE_SIZE")
