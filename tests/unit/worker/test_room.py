"""A full disk is told from other failures, as each library says it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors import SafetensorError
from sqlalchemy.exc import OperationalError

from services.worker.fine_tuning.room import CHECKPOINT_BYTES, check_room, is_disk_full
from training.errors import NoRoom
from training.request import RunRequest


@pytest.fixture
def full(tmp_path: Path) -> Path:
    """A file whose disk is full. A link: a library that replaces the file must not replace the device."""
    path = tmp_path / "full"
    path.symlink_to("/dev/full")
    return path


def plainly(path: Path) -> None:
    with path.open("wb", buffering=0) as file:
        file.write(b"x")


def by_torch(path: Path) -> None:
    torch.save(torch.zeros(1000), path)


def by_safetensors(_path: Path) -> None:
    """It writes a file of its own and renames it, so that only its words are tried here, as a full disk brings them."""
    raise SafetensorError("Error while serializing: I/O error: No space left on device (os error 28)")


def by_sqlite(_path: Path) -> None:
    raise OperationalError("UPDATE jobs", {}, Exception("database or disk is full"))


def from_something_else(path: Path) -> None:
    try:
        plainly(path)
    except OSError as error:
        raise ValueError("could not keep the rows") from error


@pytest.mark.parametrize("write", [plainly, by_torch, by_safetensors, by_sqlite, from_something_else])
def test_every_way_of_saying_that_the_disk_is_full_is_understood(write: Callable[[Path], None], full: Path) -> None:
    with pytest.raises(Exception) as failed:  # noqa: PT011
        write(full)
    assert is_disk_full(failed.value), repr(failed.value)


def test_other_failures_are_not_taken_for_a_full_disk() -> None:
    assert not is_disk_full(PermissionError(13, "Permission denied"))
    assert not is_disk_full(ValueError("shape mismatch"))


def request(folder: Path, size: int) -> RunRequest:
    base = folder / "base"
    base.mkdir()
    with (base / "model.safetensors").open("wb") as file:
        file.truncate(size)  # takes no room itself
    return RunRequest("ver-1", b"", base, "large", folder / "work", folder / "not" / "there" / "yet")


def test_a_version_that_would_not_fit_is_refused_before_training(tmp_path: Path) -> None:
    with pytest.raises(NoRoom, match=r"a run on large needs 9\d+ MiB"):
        check_room(request(tmp_path, 10**13 - CHECKPOINT_BYTES))


def test_a_version_that_fits_is_not(tmp_path: Path) -> None:
    check_room(request(tmp_path, 1000))
