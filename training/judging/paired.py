"""Compares two models on the same prompts, prompt by prompt."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from training.bootstrap import interval
from training.judging.figures import PromptScore


@dataclass(frozen=True)
class Difference:
    """A figure of two models over the `pairs` prompts on which both have it.

    `mean` is `candidate` less `baseline`, both means over the pairs; `low` and `high` bound it.
    """

    candidate: float
    baseline: float
    mean: float
    low: float
    high: float
    pairs: int


def pairs(candidate: Sequence[PromptScore], baseline: Sequence[PromptScore], figure: str) -> list[tuple[float, float]]:
    """The figure of both models on each prompt where both have it. Raises ValueError if the prompts differ."""
    both = list(zip(candidate, baseline, strict=True))
    if any((one.prompt, one.removed) != (other.prompt, other.removed) for one, other in both):
        raise ValueError("The two models were not asked the same prompts in the same order; ask both again.")
    return [
        (one.values[figure], other.values[figure])
        for one, other in both
        if figure in one.values.keys() & other.values.keys()
    ]


def difference(
    candidate: Sequence[PromptScore],
    baseline: Sequence[PromptScore],
    figure: str,
    confidence: float,
    resamples: int,
    seed: int,
) -> Difference | None:
    """The paired difference with its bootstrap percentile interval; None if no prompt has the figure for both.

    The same scores and seed give the same interval; see `training.bootstrap`.
    """
    found = np.array(pairs(candidate, baseline, figure), dtype=float)
    if not len(found):
        return None
    each = found[:, 0] - found[:, 1]
    low, high = interval(each, confidence, resamples, seed)
    new, old = found.mean(axis=0)
    return Difference(float(new), float(old), float(each.mean()), low, high, len(each))
