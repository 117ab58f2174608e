"""tests/conftest.py runs the heavy tests one after another, and knows them by a line of their file."""

from __future__ import annotations

from pathlib import Path

import pytest

from harness.places import ROOT
from tests.conftest import HEAVY

SHARED = [path for kind in ("contract", "integration") for path in sorted((ROOT / "tests" / kind).rglob("test_*.py"))]
"""The files that two workers share."""
LOADS = ("base_weights: Path", "tiny: Path", "mark.heavy")
"""What a file says that serves or trains weights, or that is marked in another way."""


@pytest.mark.parametrize("file", SHARED, ids=lambda file: file.name)
def test_a_file_that_loads_weights_is_marked_as_heavy_in_the_one_way_that_is_known(file: Path) -> None:
    source = file.read_text(encoding="utf-8")
    if any(word in source for word in LOADS) and "mark.long" not in source:
        assert f"\n{HEAVY}\n" in source
