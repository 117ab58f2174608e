"""Whether a tuned embedder is better than the present one, measured on held-out queries, with an interval."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy

from retrieval.metrics import ndcg_at_k
from training.bootstrap import interval
from training.embedders.pairs import Pair

Encode = Callable[[Sequence[str]], Sequence[Sequence[float]]]
"""Texts to vectors of length one."""
DEPTH = 10
RESAMPLES, CONFIDENCE = 2000, 0.95


@dataclass(frozen=True)
class EmbedderReport:
    """nDCG@10 of both embedders over the kept-out queries, and the 95% interval of the mean difference."""

    queries: int
    before: float
    after: float
    low: float
    high: float

    @property
    def passed(self) -> bool:
        """The whole interval lies above zero: only a proven gain is worth a re-index."""
        return self.low > 0.0

    def figures(self) -> dict[str, Any]:
        """The report as plain values."""
        return {**asdict(self), "passed": self.passed, "summary": self.summary}

    @property
    def summary(self) -> str:
        figures = (
            f"nDCG@{DEPTH} {self.after:.3f} against {self.before:.3f} of the present embedder on {self.queries} "
            f"kept-out queries (difference {self.low:+.3f} to {self.high:+.3f})"
        )
        if self.passed:
            return f"The tuned embedder is better: {figures}."
        if self.high < 0.0:
            return f"The tuned embedder is refused, it is worse: {figures}."
        return f"The tuned embedder is refused, there is not enough evidence that it is better: {figures}."


def compare(before: Sequence[float], after: Sequence[float], seed: int) -> EmbedderReport:
    """The verdict from each query's score with both embedders, in the same order; a paired bootstrap over queries."""
    differences = numpy.asarray(after) - numpy.asarray(before)
    low = high = float(differences.mean())
    if differences.std() > 0:
        low, high = interval(differences, CONFIDENCE, RESAMPLES, seed)
    return EmbedderReport(len(differences), float(numpy.mean(before)), float(numpy.mean(after)), low, high)


def scores(encode: Encode, pairs: Sequence[Pair], passages: Sequence[tuple[str, str]]) -> list[float]:
    """nDCG@10 of each pair's passage among `passages`, which are chunk ids with their texts.

    The pair's own chunk has the text of the pair: without the words that the query was made of.
    """
    others = numpy.asarray(encode([text for _, text in passages]), dtype=numpy.float32)
    queries = numpy.asarray(encode([pair.query for pair in pairs]), dtype=numpy.float32)
    wanted = numpy.asarray(encode([pair.passage for pair in pairs]), dtype=numpy.float32)
    ids = [chunk_id for chunk_id, _ in passages]
    rows = zip(pairs, queries, wanted, strict=True)
    return [_score(pair, others @ query, float(own @ query), ids) for pair, query, own in rows]


def _score(pair: Pair, similarities: numpy.ndarray, own: float, ids: Sequence[str]) -> float:
    order = numpy.argsort(-similarities)[: DEPTH + 1]
    found = [(float(similarities[place]), ids[place]) for place in order if ids[place] != pair.chunk_id]
    ranked = sorted([(own, pair.chunk_id), *found], key=lambda one: -one[0])
    return ndcg_at_k([chunk_id for _, chunk_id in ranked], {pair.chunk_id: 1.0}, DEPTH)
