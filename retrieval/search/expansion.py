"""Optional query expansion: moves the question towards the content of its first passages.

Pseudo relevance feedback on vectors that the index already has: Rocchio's for the dense one (SMART, 1971), and for the
sparse one the terms with the most weight in the first passages, as in RM3 (Jaleel et al., TREC 2004). It reads only
vectors, so it works for every language and embedder. It costs a second search.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

from retrieval.embedding.embedder import Dense
from retrieval.model import Point, SparseVector


@dataclass(frozen=True)
class ExpansionSettings:
    """`passages` is how many of the first ones are used; 0 expands nothing.

    `dense_share` and `sparse_share` are their weight beside the question's own, which is 1; `terms` is how many new
    terms the sparse vector gets. Raises ValueError for values below 0.
    """

    passages: int = 0
    dense_share: float = 0.3
    sparse_share: float = 0.2
    terms: int = 20

    def __post_init__(self) -> None:
        if min(self.passages, self.dense_share, self.sparse_share, self.terms) < 0:
            raise ValueError("the settings of the expansion must not be below 0")


def expanded_dense(question: Dense, points: Sequence[Point], share: float) -> Dense:
    """The question's vector plus `share` times the mean of the points' vectors, scaled to length one again."""
    if not points:
        return question
    means = (math.fsum(numbers) / len(points) for numbers in zip(*(point.dense for point in points), strict=True))
    moved = [own + share * mean for own, mean in zip(question, means, strict=True)]
    length = math.sqrt(math.fsum(number * number for number in moved))
    return tuple(number / length for number in moved) if length else question


def expanded_sparse(question: SparseVector, points: Sequence[Point], share: float, terms: int) -> SparseVector:
    """The question's terms plus the `terms` that weigh most in at least two of the points, the heaviest by `share`.

    A point's weights know term frequency and length; the index multiplies by how rare a term is.
    """
    weights: dict[int, float] = defaultdict(float)
    seen: dict[int, int] = defaultdict(int)
    for point in points:
        for index, value in zip(point.sparse.indices, point.sparse.values, strict=True):
            weights[index] += value
            seen[index] += 1
    shared = {index: weight for index, weight in weights.items() if seen[index] > 1}
    best = sorted(shared.items(), key=lambda item: (-item[1], item[0]))[:terms]
    merged = dict(zip(question.indices, question.values, strict=True))
    for index, weight in best:
        merged[index] = merged.get(index, 0.0) + share * weight / best[0][1]
    return SparseVector(tuple(merged), tuple(merged.values()))
