"""Two ranked lists into one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean, stdev
from typing import Literal

from retrieval.index.port import Candidates, Scored
from retrieval.model import Chunk, Passage

Method = Literal["weighted", "dbsf", "rrf"]
DEVIATIONS = 3.0  # what lies further from the mean counts as 0 or 1


@dataclass(frozen=True)
class FusionSettings:
    """How the stages are put together.

    `weighted` scales each stage's scores to 0..1 and adds them, `dense_weight` for the dense stage and the rest for
    the sparse one. `dbsf` does so too, but scales by the mean and the spread of a stage's scores, so that one runaway
    score does not press the others together. `rrf` adds 1 / (rrf_k + rank) of both stages. docs/retrieval.md has them
    measured side by side.
    """

    method: Method = "weighted"
    dense_weight: float = 0.5
    rrf_k: int = 10

    def __post_init__(self) -> None:
        if not 0.0 <= self.dense_weight <= 1.0 or self.rrf_k < 1:
            raise ValueError("dense_weight must be within 0..1, and rrf_k at least 1")


def fuse(candidates: Candidates, settings: FusionSettings) -> list[Passage]:
    """Every candidate once, best first, with its rank and score in each stage. Ties are broken by the chunk's id."""
    dense_shares, sparse_shares = _shares(candidates, settings)
    dense = {scored.chunk.id: (rank, scored.score) for rank, scored in enumerate(candidates.dense, start=1)}
    sparse = {scored.chunk.id: (rank, scored.score) for rank, scored in enumerate(candidates.sparse, start=1)}
    chunks: dict[str, Chunk] = {scored.chunk.id: scored.chunk for scored in (*candidates.dense, *candidates.sparse)}
    passages = [
        Passage(
            chunk,
            dense_shares.get(key, 0.0) + sparse_shares.get(key, 0.0),
            *dense.get(key, (None, None)),
            *sparse.get(key, (None, None)),
        )
        for key, chunk in chunks.items()
    ]
    return sorted(passages, key=lambda passage: (-passage.score, passage.chunk.id))


def _shares(candidates: Candidates, settings: FusionSettings) -> tuple[dict[str, float], dict[str, float]]:
    """What each stage adds to a chunk's score."""
    if settings.method == "rrf":
        return _by_rank(candidates.dense, settings.rrf_k), _by_rank(candidates.sparse, settings.rrf_k)
    weight, scaled = settings.dense_weight, _by_spread if settings.method == "dbsf" else _scaled
    return scaled(candidates.dense, weight), scaled(candidates.sparse, 1.0 - weight)


def _by_rank(found: Sequence[Scored], rrf_k: int) -> dict[str, float]:
    """Cormack, Clarke and Buettcher, SIGIR 2009."""
    return {scored.chunk.id: 1.0 / (rrf_k + rank) for rank, scored in enumerate(found, start=1)}


def _scaled(found: Sequence[Scored], weight: float) -> dict[str, float]:
    if not found:
        return {}
    lowest, highest = min(scored.score for scored in found), max(scored.score for scored in found)
    span = highest - lowest
    return {scored.chunk.id: weight * ((scored.score - lowest) / span if span else 1.0) for scored in found}


def _by_spread(found: Sequence[Scored], weight: float) -> dict[str, float]:
    """Distribution-based score fusion as Qdrant has it: 0 and 1 are three standard deviations from the mean."""
    scores = [scored.score for scored in found]
    reach = DEVIATIONS * stdev(scores) if len(scores) > 1 else 0.0
    if not reach:
        return {scored.chunk.id: weight * 0.5 for scored in found}
    lowest = fmean(scores) - reach
    return {scored.chunk.id: weight * min(1.0, max(0.0, (scored.score - lowest) / (2 * reach))) for scored in found}
