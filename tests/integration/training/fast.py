"""A training of seconds: its settings and rows for the tiny model, and fingerprints of what came of it."""

from __future__ import annotations

import hashlib
from pathlib import Path

from retrieval.model import Message
from tests.support.training.tiny_model import EXAMPLES
from training.config import LoraSettings
from training.model import TrainingRow

FAST = LoraSettings(per_device_train_batch_size=4, num_train_epochs=4, learning_rate=5e-3, warmup_steps=0, save_steps=2)
ROWS = [
    TrainingRow((Message("system", "Answer."), Message("user", one.question)), one.answer, "plain") for one in EXAMPLES
]


def digest(folder: Path) -> dict[str, str]:
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in folder.glob("*.safetensors")}
