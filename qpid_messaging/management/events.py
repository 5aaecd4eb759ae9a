"""QMF v2 events: what a broker tells of what happens on it.

receiver = EventReceiver(connection, event="queueDeclare")
print(receiver.fetch())

`EventHelper` and `BrokerEvent` are what `qpidtoollibs` has for applications with receivers of their own.
"""

# The names of methods are those of qpidtoollibs.
# ruff: noqa: N802

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Any

from . import qmf
from .display import TimeLong
from .errors import AgentError

if TYPE_CHECKING:
    import qpid_messaging

__all__ = ["BrokerEvent", "EventHelper", "EventReceiver"]

#: Events that may come before the first of them is read.
_CAPACITY = 100


def event_address(package: str = "*", event: str = "*", severity: str = "*") -> str:
    """The address that a broker's events come from.

    Args:
        package: only of that package: `org.apache.qpid.broker`, `org.apache.qpid.ha`.
        event: only of that class: `queueDeclare`, `clientConnect` ...
        severity: only of that severity: emerg, alert, crit, error, warn, note, info or debug.
    """
    return f"{qmf.TOPIC_EXCHANGE}/agent.ind.event.{package.replace('.', '_')}.{event}.{severity}.#"


class BrokerEvent:
    """Something that happened on a broker; its arguments are attributes under their names in the management schema.

    Args:
        msg: the message that tells of it.
        content: one of the events in that message; its first where not given.

    Raises:
        AgentError: it tells of no event.
    """

    def __init__(self, msg: qpid_messaging.Message, content: object = None) -> None:
        self.msg = msg
        try:
            self.content: dict[str, Any] = qmf.as_text(msg.content[0] if content is None else content)
            self.values: dict[str, Any] = self.content["_values"]
            self.schema_id: dict[str, Any] = self.content["_schema_id"]
            self.name = f"{self.schema_id['_package_name']}:{self.schema_id['_class_name']}"
        except (IndexError, KeyError, TypeError) as error:
            raise AgentError(qmf.Status.EXCEPTION, f"no event: {msg.content!r}") from error

    def __repr__(self) -> str:
        words = [TimeLong(self.getTimestamp()), self.name, *(f"{key}={value}" for key, value in self.values.items())]
        return " ".join(words)

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__") or name == "values":
            raise AttributeError(name)
        return self.values.get(name)

    def getAttributes(self) -> dict[str, Any]:
        """The event's arguments by name."""
        return self.values

    def getTimestamp(self) -> int:
        """When it happened, in nanoseconds since 1970."""
        return int(self.content["_timestamp"])


class EventHelper:
    """For applications that receive events themselves: the address to receive from, and what a message says."""

    def eventAddress(self, pkg: str = "*", cls: str = "*", sev: str = "*") -> str:
        """The address of events: see `event_address`."""
        return event_address(pkg, cls, sev)

    def event(self, msg: qpid_messaging.Message) -> BrokerEvent:
        """The event that a message from there tells of."""
        return BrokerEvent(msg)


class EventReceiver:
    """Receives a broker's events.

    Args:
        connection: an open connection; the receiver has a session of its own on it.
        package: only events of that package.
        event: only events of that class.
        severity: only events of that severity.
    """

    def __init__(
        self, connection: qpid_messaging.Connection, package: str = "*", event: str = "*", severity: str = "*"
    ) -> None:
        self.session = connection.session()
        self._receiver = self.session.receiver(event_address(package, event, severity))
        self._receiver.capacity = _CAPACITY
        self._pending: deque[BrokerEvent] = deque()

    def fetch(self, timeout: float | None = None) -> BrokerEvent:
        """The next event.

        Args:
            timeout: seconds to wait for it; None waits for as long as it takes.

        Raises:
            Empty: none came in time.
            AgentError: what came is no event.
        """
        while not self._pending:
            message = self._receiver.fetch(timeout)
            self.session.acknowledge(message, sync=False)
            content = message.content if isinstance(message.content, list) else [message.content]
            self._pending += [BrokerEvent(message, item) for item in content]
        return self._pending.popleft()

    def close(self) -> None:
        """Close the session. The connection stays open."""
        self.session.close()
