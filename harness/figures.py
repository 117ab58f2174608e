"""Measured figures: ranked, and printed for scripts."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from harness.machine import describe_machine


def percentile(values: Sequence[float], share: float) -> float:
    """The smallest value that `share` of the values do not exceed (nearest rank)."""
    ranked = sorted(values)
    return ranked[max(0, min(len(ranked) - 1, round(share * len(ranked) + 0.5) - 1))]


def report(name: str, figures: dict[str, Any]) -> None:
    """The figures as one line of JSON, for scripts."""
    print(json.dumps({"benchmark": name, "machine": describe_machine(), **figures}), flush=True)
