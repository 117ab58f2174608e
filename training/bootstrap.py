"""The uncertainty of a mean difference: its bootstrap percentile interval."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

Quantile = Callable[[Any, Sequence[float]], Any]
"""Returns the quantiles of numbers at these shares in 0..1. numpy's and scipy's differ in the last digit; each caller
names its own, so that stored figures can be reproduced exactly.
"""


def interval(
    differences: ArrayLike, confidence: float, resamples: int, seed: int, quantile: Quantile
) -> tuple[float, float]:
    """The bounds of the mean of paired differences, of which there must be at least one.

    Pairs are drawn with replacement `resamples` times. The interval lies between the quantiles of the resampled means
    that leave out (1 - `confidence`) / 2 on each side (Efron and Tibshirani, An Introduction to the Bootstrap, 1993,
    chapter 13). The same differences and seed give the same interval.
    """
    each = np.asarray(differences, dtype=float)
    drawn = np.random.default_rng(seed).integers(0, len(each), (resamples, len(each)))
    low, high = quantile(each[drawn].mean(axis=1), [(1 - confidence) / 2, (1 + confidence) / 2])
    return float(low), float(high)
