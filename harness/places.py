"""The paths of the repository's files, and of the public data beside it."""

from __future__ import annotations

from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
BRINDLE = ROOT / "samples" / "brindle"
HANDBOOKS = ROOT / "harness" / "handbooks"
SHARED = ROOT.parent / "shared"
SHARED_DATA = SHARED / "data"
"""The public data sets, absent in a user's clone."""
