"""Reports on an interval: what changed since the last one, and that the agent is alive.

Nothing is looked at where nobody listens, and what is looked at is looked at in pieces. A console that begins to listen
is told of everything at the next report.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from qpid_messaging.management import qmf
from qpid_messaging.management.qmf import TOPIC_EXCHANGE, Data, Opcode

from ..observer import Observer
from . import v1_format
from .declarations import Kind
from .exchanges import V1_EXCHANGE
from .schema import AGENT_EPOCH, ManagedClass
from .v1_format import unit
from .v1_requests import content

if TYPE_CHECKING:
    from ..exchange import Binding
    from .agent import Agent

__all__ = ["Reports"]

#: Objects in one message, which is made in one turn of the broker.
_OBJECTS_PER_MESSAGE = 50
#: Objects that are looked at in one turn.
_LOOKED_AT = 2000
_V1_HEARTBEAT = "console.heartbeat.1.0"


class Reports(Observer):
    """Tells consoles what changes, each interval.

    Args:
        agent: publishes them.
    """

    def __init__(self, agent: Agent) -> None:
        self._agent = agent
        self._broker = agent.broker
        self._told: dict[ManagedClass[Any], dict[Any, object]] = {}
        self._everything = True
        self._at_work = False
        self._heartbeat_key = f"agent.ind.heartbeat.{agent.routing_key}"

    def start(self) -> None:
        """Report from now on."""
        self._broker.timers.at(self._broker.clock() + self._agent.interval, self._tick)

    def bound(self, binding: Binding) -> None:
        """Somebody may have begun to listen."""
        if binding.exchange.name in (TOPIC_EXCHANGE, V1_EXCHANGE):
            self._everything = True

    def _tick(self) -> None:
        self.start()
        self.heartbeat()
        if self._broker.options.mgmt_publish and not self._at_work:
            self._agent.turns.start(self.report())

    # -- that the agent is alive

    def heartbeat(self) -> None:
        """Tell that the agent is alive."""
        agent = self._agent
        if agent.listened(TOPIC_EXCHANGE, self._heartbeat_key):
            values = {
                **qmf.as_binary(agent.attributes),
                "_name": agent.name.encode(),
                "_timestamp": agent.now(),
                "_heartbeat_interval": int(agent.interval),
                "_epoch": AGENT_EPOCH,
            }
            headers = qmf.response_headers(Opcode.HEARTBEAT_INDICATION, agent.name, indication=True)
            agent.publish(TOPIC_EXCHANGE, self._heartbeat_key, {"_values": values}, headers)
        if agent.listened(V1_EXCHANGE, _V1_HEARTBEAT):
            agent.publish_v1(V1_EXCHANGE, _V1_HEARTBEAT, unit(b"h", 0, v1_format.write(Kind.UINT64, agent.now())))

    # -- what changed

    def report(self) -> Iterator[None]:
        """Tell what changed since the last report, a piece at a time."""
        self._at_work = True
        everything, self._everything = self._everything, False
        try:
            for managed in self._agent.classes:
                audience = _Audience(self._agent, managed)
                if not audience:
                    self._told.pop(managed, None)
                    continue
                before = self._told.get(managed, {})
                now = self._told[managed] = {}
                yield from self._changes(managed, audience, {} if everything else before, now)
                # Where everything is told, nobody new needs to hear of what is gone; whoever was there does.
                yield from self._gone(managed, audience, before.keys() - now.keys())
        finally:
            self._at_work = False

    def _changes(
        self, managed: ManagedClass[Any], audience: _Audience, before: dict[Any, object], now: dict[Any, object]
    ) -> Iterator[None]:
        part: list[Data] = []
        for number, item in enumerate(managed.ordered(), 1):
            stamp = managed.stamp(item)
            now[item] = stamp
            if item not in before or before[item] != stamp:
                part.append(self._agent.data(managed, item))
            if len(part) == _OBJECTS_PER_MESSAGE:
                audience.tell(part)
                part = []
                yield
            elif number % _LOOKED_AT == 0:
                yield
        if part:
            audience.tell(part)
            yield

    def _gone(self, managed: ManagedClass[Any], audience: _Audience, items: set[Any]) -> Iterator[None]:
        deleted = self._agent.now()
        part: list[Data] = []
        for item in items:
            part.append(self._agent.data(managed, item, deleted=deleted))
            if len(part) == _OBJECTS_PER_MESSAGE:
                audience.tell(part)
                part = []
                yield
        if part:
            audience.tell(part)
            yield


class _Audience:
    """Who listens to reports about one class."""

    def __init__(self, agent: Agent, managed: ManagedClass[Any]) -> None:
        package = managed.package.replace(".", "_")
        self._agent = agent
        self._schema = managed.schema
        self._v2_key = f"agent.ind.data.{package}.{managed.name}.{agent.routing_key}"
        self._v1_key = f"console.obj.1.0.{managed.package}.{managed.name}"
        self._v2 = agent.listened(TOPIC_EXCHANGE, self._v2_key)
        self._v1 = agent.listened(V1_EXCHANGE, self._v1_key)

    def __bool__(self) -> bool:
        return self._v1 or self._v2

    def tell(self, objects: list[Data]) -> None:
        agent = self._agent
        if self._v2:
            headers = qmf.response_headers(Opcode.DATA_INDICATION, agent.name, content="_data", indication=True)
            agent.publish(TOPIC_EXCHANGE, self._v2_key, [data.to_map() for data in objects], headers)
        if self._v1:
            units = [content(self._schema, data, opcode) for data in objects for opcode in (b"c", b"i")]
            agent.publish_v1(V1_EXCHANGE, self._v1_key, b"".join(units))
        agent.settle()
