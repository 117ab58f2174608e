"""Stands for `train_adapter` in a process of its own, with CUDA made up: what a training would find there."""

from __future__ import annotations

import math
import os
from collections.abc import Sequence
from pathlib import Path

import torch
from trl import SFTConfig

from training.config import LoraSettings
from training.hardware import VISIBLE_DEVICES, Hardware
from training.model import TrainingRow
from training.progress import MustStop, Progress
from training.tuning.results import LoraResult
from training.tuning.trainer import trainer_arguments

Rows = Sequence[TrainingRow]


class TwoVisible(Hardware):
    """One process that sees both of its GPUs."""


def count_gpus(
    _base: Path, _rows: Rows, _held_out: Rows, settings: LoraSettings, folder: Path, _told: Progress, _stop: MustStop
) -> LoraResult:
    """`steps` is how many GPUs transformers takes for one process."""
    listed = os.environ[VISIBLE_DEVICES].split(",")
    torch.cuda.is_available = lambda: True
    torch.cuda.device_count = lambda: len(listed)
    torch.cuda.set_device = _set_device
    torch.cuda.is_bf16_supported = lambda *_, **__: True
    arguments = SFTConfig(**trainer_arguments(settings, folder))
    return LoraResult(folder, math.nan, math.nan, (), arguments.n_gpu, 0, 0.0)


def _set_device(device: object) -> None:
    pass


def dies(*_: object) -> LoraResult:
    os._exit(7)


def needs_more_memory(*_: object) -> LoraResult:
    raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.")
