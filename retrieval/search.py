"""Questions to passages: embed, search both stages, fuse, leave out repetitions."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from itertools import chain
from time import perf_counter

from retrieval.embedding import Bm25Encoder, Embedder
from retrieval.follow_up import question_vectors, standalone_query
from retrieval.fusion import FusionSettings, fuse
from retrieval.index.port import Candidates, Scope, Scored, VectorIndex
from retrieval.model import Chunk, Passage

Wanted = Callable[[Sequence[Chunk]], frozenset[str]]
WORD = re.compile(r"[^\W_]+")
WIDER = 8  # how many times more candidates are fetched where too many of the first were unwanted


@dataclass(frozen=True)
class SearchSettings:
    """`candidates` is how many chunks each stage hands to the fusion."""

    candidates: int = 30
    fusion: FusionSettings = field(default_factory=FusionSettings)


@dataclass(frozen=True)
class SearchResult:
    """`query` is the question in words that stand alone. Times are in milliseconds."""

    query: str
    passages: tuple[Passage, ...]
    embed_ms: float
    search_ms: float


def all_wanted(chunks: Sequence[Chunk]) -> frozenset[str]:
    """The ids of the chunks that may be shown: here every one."""
    return frozenset(chunk.id for chunk in chunks)


class Searcher:
    """Searches any number of collections as if they were one. Safe to share between threads."""

    def __init__(self, embedder: Embedder, bm25: Bm25Encoder, settings: SearchSettings | None = None) -> None:
        self._embedder = embedder
        self._bm25 = bm25
        self._settings = settings or SearchSettings()

    def search(
        self,
        indexes: Sequence[VectorIndex],
        query: str,
        scope: Scope,
        top_k: int,
        history: Sequence[str] = (),
        wanted: Wanted = all_wanted,
    ) -> SearchResult:
        """The `top_k` best passages for a question.

        `wanted` is asked which of the chunks found may be shown, before they are ranked: a chunk of a deleted file
        takes no place from another. Raises IndexUnavailable where a collection cannot answer.
        """
        started = perf_counter()
        standalone = standalone_query(query, history)
        dense, sparse = question_vectors(query.strip(), history, self._embedder, self._bm25)
        embedded = perf_counter()

        def candidates(limit: int) -> tuple[Candidates, bool]:
            found = _merge([index.search(dense, sparse, limit, scope) for index in indexes], limit)
            return _only_wanted(found, wanted)

        limit = max(self._settings.candidates, top_k)
        found, dropped = candidates(limit)
        if dropped and len(found.dense) < top_k:
            found, _ = candidates(limit * WIDER)
        passages = collapse(fuse(found, self._settings.fusion))[:top_k]
        finished = perf_counter()
        return SearchResult(standalone, tuple(passages), 1000 * (embedded - started), 1000 * (finished - embedded))


def collapse(passages: Iterable[Passage]) -> list[Passage]:
    """Leave out a passage whose words, case and punctuation aside, a better one already has.

    Texts that differ in a single word are both kept: it may be the number that an older version had otherwise.
    """
    kept: list[Passage] = []
    seen: list[str] = []
    for passage in passages:
        words = f" {' '.join(WORD.findall(passage.chunk.text.casefold()))} "
        if not any(words in other for other in seen):
            kept.append(passage)
            seen.append(words)
    return kept


def _merge(found: Sequence[Candidates], limit: int) -> Candidates:
    """One list a stage, over all collections."""
    if len(found) == 1:
        return found[0]
    return Candidates(
        _best(chain.from_iterable(candidates.dense for candidates in found), limit),
        _best(chain.from_iterable(candidates.sparse for candidates in found), limit),
    )


def _best(scored: Iterable[Scored], limit: int) -> tuple[Scored, ...]:
    return tuple(sorted(scored, key=lambda one: (-one.score, one.chunk.id))[:limit])


def _only_wanted(found: Candidates, wanted: Wanted) -> tuple[Candidates, bool]:
    chunks = {scored.chunk.id: scored.chunk for scored in (*found.dense, *found.sparse)}
    allowed = wanted(list(chunks.values()))
    if len(allowed) == len(chunks):
        return found, False
    dense = tuple(scored for scored in found.dense if scored.chunk.id in allowed)
    sparse = tuple(scored for scored in found.sparse if scored.chunk.id in allowed)
    return Candidates(dense, sparse), True
