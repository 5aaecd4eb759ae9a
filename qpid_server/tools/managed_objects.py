"""The objects of a broker as qpid-tool follows them: numbered for the user, and remembered when they are gone."""

from __future__ import annotations

import time
from collections.abc import Iterable
from typing import Any

from qpid_messaging import Connection
from qpid_messaging.management import BrokerAgent, qmf
from qpid_messaging.management.qmf import Data
from qpid_messaging.management.schema import ClassId, Schema

from .running import ToolError

__all__ = ["ManagedObjects"]

_FIRST_ID = 101
_CAPACITY = 1000
# What is told while nobody types anything is not kept for ever: it is only news of what is asked for again.
_KEPT = "{'qpid.policy_type': ring, 'qpid.max_count': 1000}"
_INDICATIONS = f"{qmf.TOPIC_EXCHANGE}/agent.ind.data.#; {{link: {{x-declare: {{arguments: {_KEPT}}}}}}}"


class ManagedObjects:
    """A broker's objects, each with a number that stands for it as long as the tool runs.

    Args:
        url: the broker.
        settings: how to connect.

    Raises:
        MessagingError: there is no connection, or no management.
    """

    def __init__(self, url: str, settings: dict[str, Any]) -> None:
        self.url = url
        self._settings = settings
        self._ids: dict[str, int] = {}
        self._objects: dict[str, Data] = {}
        self._schemas: dict[ClassId, Schema] = {}
        self.connect()

    def connect(self) -> None:
        """Connect to the broker, and look at all there is.

        Raises:
            MessagingError: that was not possible.
        """
        self._connection: Connection = Connection.establish(self.url, **self._settings)
        self.agent = BrokerAgent(self._connection)
        self._session = self._connection.session()
        self._indications = self._session.receiver(_INDICATIONS)
        self._indications.capacity = _CAPACITY
        self.classes = list(self.agent.classes())
        self.refresh(self.object_classes())

    def close(self) -> None:
        """Close the connection."""
        self._connection.close(timeout=1)

    # -- classes

    def object_classes(self, token: str = "") -> list[ClassId]:
        """The classes of objects that `class` or `package:class` names; all where it is empty.

        Raises:
            ValueError: it has more parts.
        """
        return [found for found in self.named(token) if not found.event]

    def named(self, token: str) -> list[ClassId]:
        """The same for classes of objects and of events."""
        package, _, name = token.rpartition(":")
        if ":" in package:
            raise ValueError(f"Invalid Class Name: {token}")
        return [found for found in self.classes if name in ("", found.name) and package in ("", found.package)]

    def schema(self, of_class: ClassId) -> Schema:
        """What a class is made of."""
        if of_class not in self._schemas:
            self._schemas[of_class] = self.agent.schema(of_class)
        return self._schemas[of_class]

    def schema_of(self, data: Data) -> Schema:
        """What an object's class is made of.

        Raises:
            ToolError: the broker does not tell.
        """
        for found in self.classes:
            if (found.package, found.name) == (data.package, data.class_name):
                return self.schema(found)
        raise ToolError(f"the broker tells nothing of the class {data.package}:{data.class_name}")

    # -- objects

    def display_id(self, name: str) -> int:
        """The number that stands for the object of that name."""
        return self._ids.setdefault(name, _FIRST_ID + len(self._ids))

    def name_of(self, display_id: int) -> str | None:
        """The name of the object that a number stands for; None where it stands for none."""
        return next((name for name, number in self._ids.items() if number == display_id), None)

    def numbered(self) -> list[tuple[int, str]]:
        """All numbers, and the names of the objects that they stand for."""
        return [(number, name) for name, number in self._ids.items()]

    def of_class(self, token: str) -> list[tuple[int, Data]]:
        """The objects of a class as they are now, with those that were, by number."""
        wanted = self.object_classes(token)
        self.refresh(wanted)
        names = {(found.package, found.name) for found in wanted}
        return [(number, data) for number, data in self._all() if (data.package, data.class_name) in names]

    def everything(self) -> list[Data]:
        """All objects as they are now, with those that were."""
        self.refresh(self.object_classes())
        return [data for _, data in self._all()]

    def object(self, display_id: int) -> Data | None:
        """An object as it is now, or as it was last; None where the number stands for none."""
        name = self.name_of(display_id)
        if name is None:
            return None
        found = self.agent.find(name)
        if found is not None:
            self._update(found)
        elif name in self._objects:
            self._mark_deleted(self._objects[name])
        return self._objects.get(name)

    def known(self, name: str) -> Data | None:
        """An object as it was last seen."""
        return self._objects.get(name)

    def _all(self) -> Iterable[tuple[int, Data]]:
        return sorted((self._ids[name], data) for name, data in self._objects.items())

    def refresh(self, classes: Iterable[ClassId]) -> None:
        """Ask for all objects of some classes; what is not among them any more is gone."""
        self._take_indications()
        for wanted in classes:
            present = set()
            for item in self.agent.find_all(wanted.name, wanted.package):
                self._update(item.data)
                present.add(item.data.name)
            for name, data in self._objects.items():
                if (data.package, data.class_name) == (wanted.package, wanted.name) and name not in present:
                    self._mark_deleted(data)

    def _take_indications(self) -> None:
        """What the broker told by itself: of objects that came and went, too."""
        while self._indications.available():
            message = self._indications.fetch(0)
            self._session.acknowledge(message, sync=False)
            for data in Data.of_indication(message.content):
                known = self._objects.get(data.name)
                if known is not None and data.deleted:
                    known.deleted = data.deleted
                elif known is None:
                    self._update(data)

    def _update(self, data: Data) -> None:
        self.display_id(data.name)
        self._objects[data.name] = data

    def _mark_deleted(self, data: Data) -> None:
        if not data.deleted:
            data.deleted = time.time_ns()
