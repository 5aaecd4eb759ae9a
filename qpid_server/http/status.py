"""What the page shows, as JSON: the broker, its cluster, and the queues and connections that matter most."""

from __future__ import annotations

import json
from collections.abc import Iterator
from heapq import nlargest
from typing import TYPE_CHECKING, Any

from ..connection import VERSION
from .metrics import resident_bytes

if TYPE_CHECKING:
    from ..broker import Broker
    from ..connection import ConnectionHandler
    from ..queue import Queue

__all__ = ["status"]

_MOST = 200
"""Queues and connections that are told of: those with the most messages."""


def status(broker: Broker, contains: str = "") -> Iterator[str]:
    """The state of a broker; each piece is short work.

    Args:
        broker: whose.
        contains: tell only of queues that have this in their name.
    """
    matching = [queue for queue in broker.queues.values() if contains in queue.name]
    queues = nlargest(_MOST, matching, key=lambda queue: (queue.depth, queue.enqueued))
    connections = nlargest(
        _MOST, broker.connections, key=lambda connection: connection.messages_in + connection.messages_out
    )
    told: dict[str, Any] = {
        "version": VERSION,
        "id": broker.federation_tag,
        "role": broker.role,
        "serving": broker.serves_clients,
        "uptime": round(broker.uptime, 1),
        "memory": resident_bytes(),
        "totals": {
            "queues": len(broker.queues),
            "exchanges": len(broker.exchanges),
            "connections": len(broker.connections),
            "sessions": len(broker.sessions),
            "messages": sum(queue.depth for queue in broker.queues.values()),
            "enqueued": sum(queue.enqueued for queue in broker.queues.values()),
            "dequeued": sum(queue.dequeued for queue in broker.queues.values()),
        },
        "contains": contains,
        "matching": len(matching),
        "cluster": _cluster(broker),
    }
    yield json.dumps(told)[:-1]
    yield ', "queues": '
    yield json.dumps([_queue(queue) for queue in queues])
    yield ', "connections": '
    yield json.dumps([_connection(connection) for connection in connections])
    yield "}"


def _cluster(broker: Broker) -> dict[str, Any] | None:
    ha = broker.ha
    if ha is None:
        return None
    return {
        "id": str(ha.system_id),
        "epoch": str(ha.epoch),
        "index": ha.index,
        "brokersUrl": ha.brokers_url,
        "members": [dict(member) for member in ha.members],
        "backups": [
            {"id": backup.system_id, "address": backup.address, "lag": backup.lag, "inSync": backup.in_sync}
            for backup in ha.backups
        ],
    }


def _queue(queue: Queue) -> dict[str, Any]:
    return {
        "name": queue.name,
        "messages": queue.depth,
        "bytes": queue.byte_depth,
        "acquired": queue.acquired,
        "consumers": len(queue.subscriptions),
        "enqueued": queue.enqueued,
        "dequeued": queue.dequeued,
        "replicate": queue.replicate.value,
        "flowStopped": bool(queue.flow and queue.flow.stopped),
    }


def _connection(connection: ConnectionHandler) -> dict[str, Any]:
    return {
        "address": connection.peer,
        "user": connection.user,
        "process": str(connection.client_properties.get("qpid.client_process", "")),
        "sessions": len(connection.sessions),
        "messagesIn": connection.messages_in,
        "messagesOut": connection.messages_out,
        "encrypted": connection.origin.encrypted,
    }
