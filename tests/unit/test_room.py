"""A full disk is told from other failures, as each library says it."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from sqlalchemy.exc import OperationalError

from services.worker.room import CHECKPOINT_BYTES, check_room, is_disk_full
from training.errors import NoRoom
from training.request import RunRequest


def plainly() -> None:
    with Path("/dev/full").open("wb", buffering=0) as file:
        file.write(b"x")


def by_torch() -> None:
    torch.save(torch.zeros(1000), "/dev/full")


def by_safetensors() -> None:
    save_file({"a": torch.zeros(1000)}, "/dev/full")


def by_sqlite() -> None:
    raise OperationalError("UPDATE jobs", {}, Exception("database or disk is full"))


def from_something_else() -> None:
    try:
        plainly()
    except OSError as error:
        raise ValueError("could not keep the rows") from error


@pytest.mark.parametrize("write", [plainly, by_torch, by_safetensors, by_sqlite, from_something_else])
def test_every_way_of_saying_that_the_disk_is_full_is_understood(write: object) -> None:
    with pytest.raises(Exception) as failed:  # noqa: PT011
        write()  # type: ignore[operator]
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
