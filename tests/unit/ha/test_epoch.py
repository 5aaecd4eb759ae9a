"""Epochs, positions, and the promises that a member must not forget."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from qpid_server.ha.epoch import NO_EPOCH, START, Epoch, Position, Promises

Open = Callable[..., Promises]


@pytest.fixture
def opened() -> Iterator[Callable[..., Promises]]:
    """Makes promises that are closed in the end; those that a folder had before are closed first, as if it had died."""
    made: list[Promises] = []

    def make(folder: Path, broker_id: str = "id") -> Promises:
        for earlier in made:
            earlier.close()
        made.append(Promises(folder, broker_id))
        return made[-1]

    yield make
    for promises in made:
        promises.close()


def test_epochs_are_totally_ordered() -> None:
    assert NO_EPOCH < Epoch(1, "a") < Epoch(1, "b") < Epoch(2, "a")


def test_a_later_epoch_is_newer_than_any_index() -> None:
    assert START < Position(Epoch(1, "a"), 900) < Position(Epoch(2, "a"), 3) < Position(Epoch(2, "a"), 4)


def test_a_promise_outlives_the_process(tmp_path: Path, opened: Open) -> None:
    first = opened(tmp_path, "id-1")
    assert first.promise(Epoch(3, "x"))
    again = opened(tmp_path, "id-2")
    assert (again.broker_id, again.promised, again.had_state) == ("id-1", Epoch(3, "x"), True)


def test_a_new_member_has_lost_nothing(tmp_path: Path, opened: Open) -> None:
    new = opened(tmp_path / "new" / "folder", "id-1")
    assert (new.promised, new.had_state) == (NO_EPOCH, False)
    # Started, never joined, started again: there is still nothing that it could have lost.
    again = opened(tmp_path / "new" / "folder", "id-2")
    assert (again.broker_id, again.had_state) == ("id-1", False)


def test_without_a_folder_nobody_knows_what_it_held() -> None:
    assert Promises(None, "id").had_state


def test_promises_only_go_up(tmp_path: Path, opened: Open) -> None:
    promises = opened(tmp_path)
    assert promises.promise(Epoch(3, "x"))
    assert promises.promise(Epoch(3, "x")), "the same again is what was promised"
    assert not promises.promise(Epoch(3, "w"))
    assert not promises.promise(Epoch(2, "z"))
    assert promises.promised == Epoch(3, "x")
    assert promises.promise(Epoch(3, "y"))


def test_on_disk_before_it_is_promised(tmp_path: Path, opened: Open, monkeypatch: pytest.MonkeyPatch) -> None:
    promises = opened(tmp_path)
    synced: list[str] = []
    fsync = os.fsync

    def spy(descriptor: int) -> None:
        synced.append(os.readlink(f"/proc/self/fd/{descriptor}"))
        assert promises.promised == NO_EPOCH, "promised before it was on disk"
        fsync(descriptor)

    monkeypatch.setattr(os, "fsync", spy)
    promises.promise(Epoch(1, "x"))
    assert len(synced) == 2, "the file, and the folder that names it"
    assert synced[1] == str(tmp_path)
    assert json.loads((tmp_path / "ha.json").read_text())["promised"] == [1, "x"]


def test_what_cannot_be_written_is_not_promised(tmp_path: Path, opened: Open, monkeypatch: pytest.MonkeyPatch) -> None:
    promises = opened(tmp_path)
    promises.promise(Epoch(1, "x"))

    def full(descriptor: int) -> None:
        raise OSError("disk full")

    with monkeypatch.context() as patched:
        patched.setattr(os, "fsync", full)
        for _ in range(2):  # not by asking again either
            with pytest.raises(OSError, match="disk full"):
                promises.promise(Epoch(2, "x"))
    assert promises.promised == Epoch(1, "x")
    assert sorted(os.listdir(tmp_path)) == ["ha.json", "ha.lock"], "no litter"
    assert opened(tmp_path).promised == Epoch(1, "x")


@pytest.mark.parametrize(
    "content",
    [b"", b"{", b"[]", b"null", b'{"broker_id": "x"}', b'{"broker_id": "x", "promised": [1]}', b"\xff\xfe",
     b'{"broker_id": "x", "promised": ["one", "y"]}'],
)  # fmt: skip
def test_a_damaged_file_is_a_clear_error(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "ha.json").write_bytes(content)
    with pytest.raises(ValueError, match=r"ha\.json: not a record of this broker's promises"):
        Promises(tmp_path, "id")


def test_one_broker_a_folder(tmp_path: Path, opened: Open) -> None:
    opened(tmp_path)
    with pytest.raises(ValueError, match="another broker that is running"):
        Promises(tmp_path, "id")
    opened(tmp_path)
