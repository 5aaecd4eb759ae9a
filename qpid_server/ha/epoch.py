"""Epochs and positions: how members of a cluster tell which history is newer.

An epoch is the reign of one primary: a counter and the id of the broker that was promoted. It is totally ordered, and
no two brokers ever have the same one. A position is the last entry of a log, as (epoch of that entry, index): the log
with the greater position is the newer one, and two logs that agree on a position agree on all that came before it.
"""

from __future__ import annotations

import fcntl
import json
import os
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple
from uuid import NAMESPACE_OID, UUID, uuid5


class Epoch(NamedTuple):
    """A reign: `counter` grows with each promotion, `broker` breaks the tie."""

    counter: int
    broker: str

    @classmethod
    def of(cls, value: Any) -> Epoch:
        """The epoch that a list of both is.

        Raises:
            TypeError, ValueError: it is something else.
        """
        counter, broker = value
        return cls(int(counter), str(broker))

    def __str__(self) -> str:
        return f"{self.counter}:{self.broker[:8]}" if self.broker else str(self.counter)


@dataclass(frozen=True, order=True)
class Position:
    """The last entry of a log."""

    epoch: Epoch
    index: int

    @classmethod
    def of(cls, value: Any) -> Position:
        """The position that a list as of `to_list` is.

        Raises:
            TypeError, ValueError: it is something else.
        """
        counter, broker, index = value
        return cls(Epoch.of((counter, broker)), int(index))

    def to_list(self) -> list[Any]:
        """As records have it."""
        return [*self.epoch, self.index]

    def __str__(self) -> str:
        return f"({self.epoch}, {self.index})"


def system_id(broker_id: str) -> UUID:
    """What management calls the broker of that id: brokers take UUIDs, and whatever else a peer says makes another."""
    try:
        return UUID(broker_id)
    except ValueError:
        return uuid5(NAMESPACE_OID, broker_id)


NO_EPOCH = Epoch(0, "")
START = Position(NO_EPOCH, 0)
"""The position of an empty log."""


class Promises:
    """What a member must not forget: who it is, who the others are, and the highest epoch that it promised.

    A member that promised an epoch confirms nothing of an older one ever again, so the promise is on disk before the
    answer leaves.

    Args:
        folder: where to keep the file; None keeps it in memory, for tests and brokers without a data directory.
        broker_id: the id to take where no file is there yet.

    Attributes:
        broker_id: this broker's id, for as long as its file lives.
        promised: the highest epoch promised.
        members: the address of each member that joined the cluster, this one excepted, by broker id.
        had_state: this broker was in a cluster before it started, and no longer holds what it held then; also where
            nothing is kept on disk, since then nobody can tell.

    Raises:
        ValueError: the file is there and cannot be understood, or another broker has the folder.
    """

    def __init__(self, folder: Path | None, broker_id: str) -> None:
        self._path = None if folder is None else folder / "ha.json"
        self.broker_id = broker_id
        self.promised = NO_EPOCH
        self.members: dict[str, str] = {}
        self.had_state = folder is None
        self._lock = None if folder is None else _lock(folder)
        try:
            if self._path is not None and self._path.exists():
                self._load(self._path)
            else:
                self._save(NO_EPOCH, {})
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """Leave the folder to whom comes next; nothing is to be promised from now on."""
        if self._lock is not None:
            self._lock.close()

    def promise(self, epoch: Epoch) -> bool:
        """Promise the epoch where it is above all promised before. Returns whether it is promised now.

        Raises:
            OSError: it cannot be written down, so it is not promised.
        """
        if epoch < self.promised:
            return False
        if epoch > self.promised:
            self._save(epoch, self.members)
            self.promised = epoch
        return True

    def know(self, members: dict[str, str]) -> None:
        """These are the members.

        Raises:
            OSError: it cannot be written down.
        """
        if members != self.members:
            self._save(self.promised, members)
            self.members = dict(members)

    def _load(self, path: Path) -> None:
        try:
            saved: dict[str, Any] = json.loads(path.read_text("utf-8"))
            self.broker_id = str(saved["broker_id"])
            self.promised = Epoch.of(saved["promised"])
            self.members = {str(id): str(address) for id, address in dict(saved.get("members", {})).items()}
        except (ValueError, KeyError, TypeError) as error:
            raise ValueError(f"{path}: not a record of this broker's promises ({error})") from error
        self.had_state = self.promised > NO_EPOCH

    def _save(self, promised: Epoch, members: dict[str, str]) -> None:
        if self._path is None:
            return
        text = json.dumps({"broker_id": self.broker_id, "promised": list(promised), "members": members})
        folder = self._path.parent
        folder.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(dir=folder, prefix=".ha-")
        try:
            with os.fdopen(handle, "w", encoding="utf-8") as file:
                file.write(text)
                file.flush()
                os.fsync(file.fileno())
            os.replace(name, self._path)
        except OSError:
            os.unlink(name)
            raise
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def _lock(folder: Path) -> BinaryIO:
    """Two brokers with one identity would be taken for one: the folder is this process's until it ends."""
    folder.mkdir(parents=True, exist_ok=True)
    file = (folder / "ha.lock").open("wb")
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        file.close()
        raise ValueError(f"{folder} is the data directory of another broker that is running") from error
    return file
