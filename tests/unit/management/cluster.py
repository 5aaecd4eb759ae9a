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
        self.replicate_rules: Sequence[str] = []
        self.min_replicas = 1
        self.system_id = UUID("03cd654c-0ebc-41ba-b9b6-35f7221859b9")
        self.members: Sequence[Mapping[str, Any]] = [{"system-id": str(self.system_id), "status": "joining"}]
        self.epoch = "2:03cd654c"
        self.index = 17
        self.promotions: list[tuple[bool, Callable[[Exception | None], None]]] = []
        self.forgotten: list[tuple[str, Callable[[Exception | None], None]]] = []
        self.demotions: list[tuple[float, Callable[[Exception | None], None]]] = []

    def set_brokers_url(self, url: str) -> None:
        if not url:
            raise ValueError("expected a host")
        self.brokers_url = url

    def set_public_url(self, url: str) -> None:
        self.public_url = url

    def set_replicate_rules(self, rules: Sequence[str]) -> None:
        if "wrong" in rules:
            raise ValueError("'wrong' is no rule")
        self.replicate_rules = list(rules)

    def promote(self, *, force: bool, done: Callable[[Exception | None], None]) -> None:
        self.promotions.append((force, done))

    def forget(self, member: str, done: Callable[[Exception | None], None]) -> None:
        self.forgotten.append((member, done))

    def demote(self, *, patience: float, done: Callable[[Exception | None], None]) -> None:
        self.demotions.append((patience, done))
