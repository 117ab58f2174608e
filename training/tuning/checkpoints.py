"""Checkpoints of a training: which one a training can continue from, and what was measured up to it.

transformers writes a checkpoint file by file, so a kill can leave an incomplete one. A complete one is sealed: first
its files are safely on disk, then a mark is put beside them. A checkpoint without a mark is not used.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from training.tuning.results import StepMetrics

FOLDER = "checkpoints"
SEAL = "sealed"
STATE = "trainer_state.json"  # transformers' name


def seal(folder: Path, step: int) -> None:
    """Mark the checkpoint of a step as complete, after it is on the disk."""
    checkpoint = folder / FOLDER / f"checkpoint-{step}"
    for path in checkpoint.iterdir():
        with path.open("rb") as file:
            os.fsync(file.fileno())
    (checkpoint / SEAL).touch()


def newest(folder: Path) -> Path | None:
    """The last complete checkpoint; incomplete ones are removed."""
    whole = []
    for checkpoint in (folder / FOLDER).glob("checkpoint-*"):
        if (checkpoint / SEAL).exists():
            whole.append(checkpoint)
        else:
            shutil.rmtree(checkpoint)
    return max(whole, key=_step, default=None)


def last_step(folder: Path) -> int | None:
    """The step of the last complete checkpoint."""
    steps = [_step(seal.parent) for seal in (folder / FOLDER).glob(f"checkpoint-*/{SEAL}")]
    return max(steps, default=None)


def recorded(folder: Path) -> tuple[StepMetrics, ...]:
    """What was measured up to the last checkpoint."""
    checkpoint = newest(folder)
    return history(json.loads((checkpoint / STATE).read_text(encoding="utf-8"))["log_history"]) if checkpoint else ()


def history(log: Sequence[dict[str, Any]]) -> tuple[StepMetrics, ...]:
    """The steps in transformers' log."""
    return tuple(
        StepMetrics(
            step=int(entry["step"]),
            train_loss=float(entry["loss"]),
            train_accuracy=entry.get("mean_token_accuracy"),
            valid_loss=entry.get("valid_loss"),
            valid_accuracy=entry.get("valid_mean_token_accuracy"),
        )
        for entry in log
        if "loss" in entry
    )


def _step(checkpoint: Path) -> int:
    return int(checkpoint.name.partition("-")[2])
