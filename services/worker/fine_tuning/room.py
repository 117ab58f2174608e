"""Checks that the disk has room for a run before it starts, and recognises errors of a full disk."""

from __future__ import annotations

import errno
import shutil
from collections.abc import Iterator
from pathlib import Path

from training.errors import NoRoom
from training.request import RunRequest

CHECKPOINT_BYTES = 512 * 2**20
"""For checkpoints, rows and the database: two checkpoints of the default adapter take 130 MB on the 135M model."""
FULL = (errno.ENOSPC, errno.EDQUOT)
WORDS = ("no space left on device", "disk is full", "disk quota exceeded", "enforce fail at inline_container.cc")
"""How safetensors, SQLite, quotas and torch's writer say it, which raise no OSError."""


def check_room(request: RunRequest) -> None:
    """Raises NoRoom if the version, which is as large as the base weights, would not fit; better now than after
    training.
    """
    weights = sum(path.stat().st_size for path in request.base.glob("*.safetensors"))
    wanted, folder = weights + CHECKPOINT_BYTES, _there(request.versions)
    free = shutil.disk_usage(folder).free
    if free < wanted:
        raise NoRoom(
            f"The disk of {folder} has {free / 2**20:.0f} MiB left, and a run on {request.base_model} needs "
            f"{wanted / 2**20:.0f} MiB. Make room, and create the job again."
        )


def is_disk_full(error: BaseException) -> bool:
    """Whether an error, or its cause, comes from a full disk."""
    return any(
        (isinstance(one, OSError) and one.errno in FULL) or any(words in str(one).lower() for words in WORDS)
        for one in _chain(error)
    )


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__


def _there(folder: Path) -> Path:
    return folder if folder.exists() else _there(folder.parent)
