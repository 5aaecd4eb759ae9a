"""A member of a cluster for tests of what management shows of one."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any
from uuid import UUID


class StandIn:
    """Has what `qpid_server.management.HighAvailability` asks for, and writes down what it is told."""

    def __init__(self) -> None:
        self.status = "joining"
        self.brokers_url = "amqp:tcp:127.0.0.1:5720,tcp:127.0.0.1:5721"
        self.public_url = ""
        self.replicate_default = "none"
        self.system_id = UUID("03cd654c-0ebc-41ba-b9b6-35f7221859b9")
        self.members: Sequence[Mapping[str, Any]] = [{"system-id": str(self.system_id), "status": "joining"}]
        self.epoch = "2:03cd654c"
        self.index = 17
        self.promotions: list[tuple[bool, Callable[[Exception | None], None]]] = []

    def set_brokers_url(self, url: str) -> None:
        if not url:
            raise ValueError("expected a host")
        self.brokers_url = url

    def set_public_url(self, url: str) -> None:
        self.public_url = url

    def promote(self, *, force: bool, done: Callable[[Exception | None], None]) -> None:
        self.promotions.append((force, done))
