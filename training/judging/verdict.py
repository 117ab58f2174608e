"""The gate's verdict on a candidate."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True)
class GateCheck:
    """One test of the gate, and its outcome in a sentence with its figures. If two models were compared, `figures` has
    them as numbers: both means, the paired difference with its interval, the number of pairs, the margin.
    """

    name: str
    passed: bool
    sentence: str
    figures: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class GateReport:
    """Whether a candidate may go live, and why."""

    passed: bool
    checks: tuple[GateCheck, ...]

    @property
    def summary(self) -> str:
        """In words: what failed, or that nothing failed."""
        failed = [check.sentence for check in self.checks if not check.passed]
        if not failed:
            return f"The candidate passed all {len(self.checks)} checks."
        return f"The candidate was refused: {' '.join(failed)}"
