"""An adapter trained and merged in this process."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from training.config import LoraSettings
from training.model import LoraResult, TrainingRow
from training.tuning.lora import train_adapter
from training.weights.merge import merge


def tune(
    base: Path, rows: Sequence[TrainingRow], held_out: Sequence[TrainingRow], settings: LoraSettings, folder: Path
) -> tuple[Path, LoraResult]:
    """Train an adapter and merge it: the folder of merged weights and what came of the training."""
    result = train_adapter(base, rows, held_out, settings, folder / "work", lambda _: None, lambda: False)
    return merge(base, result.adapter, folder / "weights"), result
