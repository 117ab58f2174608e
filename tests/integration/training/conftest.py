"""The tiny model, made once for a module."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.training.tiny_model import make_tiny


@pytest.fixture(scope="module")
def tiny(base_weights: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_tiny(base_weights, tmp_path_factory.mktemp("tiny"))
