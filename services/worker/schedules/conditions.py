"""Whether a retraining is worth it: which conditions of a schedule are met, each in a sentence with its figures."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from statistics import fmean

LEAST_ANSWERS = 20
"""So many live answers it takes to tell a drift of their style from chance."""


@dataclass(frozen=True)
class Check:
    """One condition."""

    met: bool
    sentence: str


def enough_examples(found: int, wanted: int) -> Check:
    return Check(found >= wanted, f"{found} new approved examples since the last run (wanted {wanted})")


def old_enough(made_at: datetime | None, at: datetime, days: float) -> Check:
    """`made_at` is when the live version was made; None if none is live."""
    if made_at is None:
        return Check(True, "no version is live")
    age = (at - made_at).total_seconds() / 86400
    return Check(age >= days, f"the live version is {age:.1f} days old (wanted {days:g})")


def style_drifted(scores: Sequence[float], at_gate: float | None, drop: float) -> Check:
    """`scores` are the style scores of the live version's last answers, `at_gate` is their mean when it was judged; all
    in 0..1.
    """
    if at_gate is None:
        return Check(False, "the live version has no style figure of the gate to compare with")
    if len(scores) < LEAST_ANSWERS:
        return Check(False, f"the journal has {len(scores)} answers of the live version ({LEAST_ANSWERS} tell a drift)")
    mean = fmean(scores)
    fell = f"the style of its last {len(scores)} answers is {mean:.3f}, at the gate it was {at_gate:.3f}"
    return Check(at_gate - mean >= drop, f"{fell} (wanted a drop of {drop:g})")


def decide(checks: Sequence[Check], match: str) -> Check:
    """All conditions together; with `match` "any", one is enough. Without conditions the run starts."""
    if not checks:
        return Check(True, "no conditions")
    met = (any if match == "any" else all)(check.met for check in checks)
    return Check(met, "; ".join(check.sentence for check in checks))
