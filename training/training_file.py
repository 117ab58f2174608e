"""An uploaded file of examples, of whichever kind."""

from __future__ import annotations

from training.dataset import parse_dataset
from training.preference_rows import holds_preferences, parse_preferences


def check_training_file(data: bytes) -> None:
    """Raises InvalidDataset that names every line that cannot be trained on."""
    if holds_preferences(data):
        parse_preferences(data)
    else:
        parse_dataset(data)
