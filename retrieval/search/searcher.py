"""From a question to passages: embed, search both stages, fuse, leave out repetitions, join neighbouring chunks."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from itertools import chain, islice

from retrieval.embedding.embedder import Bm25Encoder, Dense, Embedder
from retrieval.index.port import Candidates, Scope, Scored, Scores, VectorIndex
from retrieval.model import Chunk, Passage, Point, SparseVector
from retrieval.search.duplicates import collapse
from retrieval.search.expansion import ExpansionSettings, expanded_dense, expanded_sparse
from retrieval.search.follow_up import question_vectors, standalone_query
from retrieval.search.fusion import FusionSettings, fuse
from retrieval.search.neighbours import join, neighbour_ids, widen
from retrieval.search.reranking import Reranker, rerank
from retrieval.stopwatch import Stopwatch

Wanted = Callable[[Sequence[Chunk]], frozenset[str]]
WIDER = 8  # how many times more candidates are fetched where too many of the first were unwanted


@dataclass(frozen=True)
class SearchSettings:
    """`candidates` is how many chunks each stage gives to the fusion, `rerank_candidates` how many fused ones a
    reranker reads.

    `complete_scores` asks each stage for its scores of chunks that only the other one lists; only the fusion `relative`
    uses them. `join_neighbours` makes one passage of adjacent chunks among those found. Before that, `neighbours`
    chunks on either side are added to each passage, if they are of its section.
    """

    candidates: int = 30
    complete_scores: bool = True
    fusion: FusionSettings = field(default_factory=FusionSettings)
    expansion: ExpansionSettings = field(default_factory=ExpansionSettings)
    rerank_candidates: int = 20
    join_neighbours: bool = True
    neighbours: int = 0


@dataclass(frozen=True)
class SearchResult:
    """`query` is the question in words that can be understood alone.

    `timings_ms` has the milliseconds of each stage that ran: embed, search (and in it dense and sparse, if the engine
    reports them separately), complete, expand, fuse, rerank, select.
    """

    query: str
    passages: tuple[Passage, ...]
    timings_ms: dict[str, float]


@dataclass(frozen=True)
class _Asked:
    """Where one search looks, and what it may show."""

    indexes: Sequence[VectorIndex]
    scope: Scope
    top_k: int
    wanted: Wanted
    watch: Stopwatch

    def points(self, ids: Sequence[str]) -> list[Point]:
        return [point for index in self.indexes for point in index.points(ids)]


@dataclass(frozen=True)
class _Question:
    text: str
    dense: Dense
    sparse: SparseVector


def all_wanted(chunks: Sequence[Chunk]) -> frozenset[str]:
    """The ids of the chunks that may be shown: here every one."""
    return frozenset(chunk.id for chunk in chunks)


class Searcher:
    """Searches any number of collections as if they were one. Safe to share between threads."""

    def __init__(
        self,
        embedder: Embedder,
        bm25: Bm25Encoder,
        settings: SearchSettings | None = None,
        reranker: Reranker | None = None,
    ) -> None:
        self._embedder = embedder
        self._bm25 = bm25
        self._settings = settings or SearchSettings()
        self._reranker = reranker

    def search(
        self,
        indexes: Sequence[VectorIndex],
        query: str,
        scope: Scope,
        top_k: int,
        history: Sequence[str] = (),
        wanted: Wanted = all_wanted,
    ) -> SearchResult:
        """The best passages for a question: `top_k` chunks, fewer passages if some of them are joined.

        `wanted` says which of the chunks found may be shown, before they are ranked: a chunk of a deleted file takes no
        place from another. Raises IndexUnavailable if a collection cannot answer.
        """
        watch = Stopwatch()
        asked = _Asked(indexes, scope, top_k, wanted, watch)
        with watch.stage("embed"):
            text = standalone_query(query, history)
            question = _Question(text, *question_vectors(query.strip(), history, self._embedder, self._bm25))
        ranked = self._ranked(asked, question)
        if self._settings.expansion.passages and ranked:
            ranked = self._ranked(asked, self._expanded(asked, question, ranked))
        if self._reranker:
            ranked = self._reranked(asked, question, ranked, self._reranker)
        with watch.stage("select"):
            passages = self._selected(asked, ranked)
        return SearchResult(text, tuple(passages), watch.spent_ms)

    def _ranked(self, asked: _Asked, question: _Question) -> list[Passage]:
        limit = max(self._settings.candidates, asked.top_k)
        found, dropped = _candidates(asked, question, limit)
        if dropped and len(found.dense) < asked.top_k:
            found, _ = _candidates(asked, question, limit * WIDER)
        missing = Scores()
        if self._settings.complete_scores and self._settings.fusion.method == "relative":
            with asked.watch.stage("complete"):
                missing = _missing(asked, question, found)
        with asked.watch.stage("fuse"):
            return fuse(found, self._settings.fusion, missing)

    def _expanded(self, asked: _Asked, question: _Question, ranked: Sequence[Passage]) -> _Question:
        settings = self._settings.expansion
        with asked.watch.stage("expand"):
            believed = asked.points([one.chunk.id for one in ranked[: settings.passages]])
            dense = expanded_dense(question.dense, believed, settings.dense_share)
            sparse = expanded_sparse(question.sparse, believed, settings.sparse_share, settings.terms)
            return replace(question, dense=dense, sparse=sparse)

    def _reranked(self, asked: _Asked, question: _Question, ranked: list[Passage], reranker: Reranker) -> list[Passage]:
        """The first ones in the reranker's order; those that it did not read stay behind them."""
        read = max(self._settings.rerank_candidates, asked.top_k)
        with asked.watch.stage("rerank"):
            return [*rerank(question.text, ranked[:read], reranker), *ranked[read:]]

    def _selected(self, asked: _Asked, ranked: Sequence[Passage]) -> list[Passage]:
        passages = list(islice(collapse(ranked), asked.top_k))
        if self._settings.neighbours:
            passages = [self._widened(asked, passage) for passage in passages]
        return join(passages) if self._settings.join_neighbours else passages

    def _widened(self, asked: _Asked, passage: Passage) -> Passage:
        around = asked.points(neighbour_ids(passage.chunk, self._settings.neighbours))
        return widen(passage, [point.chunk for point in around])


def _candidates(asked: _Asked, question: _Question, limit: int) -> tuple[Candidates, bool]:
    """What the stages find, and whether some of it may not be shown."""
    with asked.watch.stage("search"):
        found = [index.search(question.dense, question.sparse, limit, asked.scope) for index in asked.indexes]
    for one in found:
        asked.watch.add(one.timings_ms)
    return _only_wanted(_merge(found, limit), asked.wanted)


def _missing(asked: _Asked, question: _Question, found: Candidates) -> Scores:
    """Each stage's scores of the chunks that only the other one lists; a chunk without a word of the question has 0."""
    dense, sparse = ({one.chunk.id for one in stage} for stage in (found.dense, found.sparse))
    unworded = sorted(dense - sparse)
    scores = [
        index.scores(question.dense, sorted(sparse - dense), question.sparse, unworded) for index in asked.indexes
    ]
    near = {name: score for one in scores for name, score in one.dense.items()}
    worded = {name: score for one in scores for name, score in one.sparse.items()}
    return Scores(near, dict.fromkeys(unworded, 0.0) | worded)


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
