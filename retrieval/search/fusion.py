"""Fuses two ranked lists into one."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean, stdev
from typing import Literal

from retrieval.index.port import Candidates, Scored, Scores
from retrieval.model import Chunk, Passage

Method = Literal["relative", "weighted", "dbsf", "rrf"]
Shares = defaultdict[str, float]
DEVIATIONS = 3.0  # what lies further from the mean counts as 0 or 1


@dataclass(frozen=True)
class FusionSettings:
    """How the stages are combined; `dense_weight` is the dense stage's share in all but `rrf`.

    `relative` takes a score as its share of the stage's best one and adds the stages. A chunk that one stage does not
    list may have scored there as much as the last listed chunk, and counts as such: it is not worthless because the
    list ended. `weighted` scales each stage's scores to 0..1 and adds them. `dbsf` does so too, but scales by the mean
    and the spread of a stage's scores. `rrf` adds 1 / (rrf_k + rank) of both. docs/retrieval.md has the measurements.
    """

    method: Method = "relative"
    dense_weight: float = 0.5
    rrf_k: int = 10

    def __post_init__(self) -> None:
        if not 0.0 <= self.dense_weight <= 1.0 or self.rrf_k < 1:
            raise ValueError("dense_weight must be within 0..1, and rrf_k at least 1")


def fuse(candidates: Candidates, settings: FusionSettings, missing: Scores | None = None) -> list[Passage]:
    """Every candidate once, best first, with its rank and score in each stage. Ties are broken by the chunk's id.

    `missing` are scores of chunks in a stage that does not list them; only `relative` asks for them.
    """
    dense_share, sparse_share = _shares(candidates, settings, missing or Scores())
    dense = {scored.chunk.id: (rank, scored.score) for rank, scored in enumerate(candidates.dense, start=1)}
    sparse = {scored.chunk.id: (rank, scored.score) for rank, scored in enumerate(candidates.sparse, start=1)}
    chunks: dict[str, Chunk] = {scored.chunk.id: scored.chunk for scored in (*candidates.dense, *candidates.sparse)}
    passages = [
        Passage(
            chunk,
            dense_share[key] + sparse_share[key],
            *dense.get(key, (None, None)),
            *sparse.get(key, (None, None)),
        )
        for key, chunk in chunks.items()
    ]
    return sorted(passages, key=lambda passage: (-passage.score, passage.chunk.id))


def _shares(candidates: Candidates, settings: FusionSettings, missing: Scores) -> tuple[Shares, Shares]:
    """What each stage adds to a chunk's score."""
    dense, sparse = candidates.dense, candidates.sparse
    if settings.method == "rrf":
        return _by_rank(dense, settings.rrf_k), _by_rank(sparse, settings.rrf_k)
    weight = settings.dense_weight
    if settings.method == "relative":
        every_match = len(sparse) < len(dense)  # the dense stage fills its list; a shorter one leaves no match out
        return (
            _relative(dense, weight, missing.dense, cut=True),
            _relative(sparse, 1.0 - weight, missing.sparse, cut=not every_match),
        )
    scaled = _by_spread if settings.method == "dbsf" else _scaled
    return scaled(dense, weight), scaled(sparse, 1.0 - weight)


def _relative(found: Sequence[Scored], weight: float, known: Mapping[str, float], *, cut: bool) -> Shares:
    """Shares of the best score, after Bruch, Gai and Ingber's scaling by the theoretical minimum (TOIS 2023).

    `known` are scores of chunks that the list does not have. `cut`: there may be more, with scores up to the
    last one's.
    """
    if not found or found[0].score <= 0.0:
        return defaultdict(float)
    best = max(scored.score for scored in found)
    shares = {scored.chunk.id: weight * max(0.0, scored.score) / best for scored in found}
    missing = min(shares.values()) if cut else 0.0
    shares |= {name: weight * max(0.0, score) / best for name, score in known.items()}
    return defaultdict(lambda: missing, shares)


def _by_rank(found: Sequence[Scored], rrf_k: int) -> Shares:
    """Cormack, Clarke and Buettcher, SIGIR 2009."""
    return defaultdict(float, {scored.chunk.id: 1.0 / (rrf_k + rank) for rank, scored in enumerate(found, start=1)})


def _scaled(found: Sequence[Scored], weight: float) -> Shares:
    if not found:
        return defaultdict(float)
    lowest, highest = min(scored.score for scored in found), max(scored.score for scored in found)
    span = highest - lowest
    shares = {scored.chunk.id: weight * ((scored.score - lowest) / span if span else 1.0) for scored in found}
    return defaultdict(float, shares)


def _by_spread(found: Sequence[Scored], weight: float) -> Shares:
    """Distribution-based score fusion as Qdrant has it: 0 and 1 are three standard deviations from the mean."""
    scores = [scored.score for scored in found]
    reach = DEVIATIONS * stdev(scores) if len(scores) > 1 else 0.0
    lowest = fmean(scores) - reach if scores else 0.0
    shares = {
        scored.chunk.id: weight * (min(1.0, max(0.0, (scored.score - lowest) / (2 * reach))) if reach else 0.5)
        for scored in found
    }
    return defaultdict(float, shares)
