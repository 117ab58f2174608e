"""The uncertainty of a mean difference: its bootstrap percentile interval."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike
from scipy.stats import bootstrap


def interval(differences: ArrayLike, confidence: float, resamples: int, seed: int) -> tuple[float, float]:
    """The bounds of the mean of paired differences, of which there must be at least one.

    Pairs are drawn with replacement `resamples` times. The interval lies between the quantiles of the resampled means
    that leave out (1 - `confidence`) / 2 on each side (Efron and Tibshirani, An Introduction to the Bootstrap, 1993,
    chapter 13). The same differences and seed give the same interval. A single pair has no spread.
    """
    each = np.asarray(differences, dtype=float)
    if len(each) == 1:
        return float(each[0]), float(each[0])
    resampled = bootstrap(
        (each,), np.mean, n_resamples=resamples, confidence_level=confidence, method="percentile", rng=seed
    )
    low, high = resampled.confidence_interval
    return float(low), float(high)
