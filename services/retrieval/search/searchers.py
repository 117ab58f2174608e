"""For each collection, a searcher whose vectors are made as the collection's are."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace

from retrieval.embedding.embedder import Embedder
from retrieval.index.port import CollectionRef
from retrieval.index.recipe import SparseSettings, bm25_encoder, sparse_of
from retrieval.search.reranking import Reranker
from retrieval.search.searcher import Searcher, SearchResult, SearchSettings
from retrieval.text.scripts import parted
from services.retrieval.index.catalog import EmbedderName, MadeWith
from services.retrieval.search.embedders import Embedders

Group = tuple[Searcher, list[CollectionRef]]


class Searchers:
    def __init__(self, embedders: Embedders, settings: SearchSettings, reranker: Reranker | None = None) -> None:
        self._embedders, self._settings, self._reranker = embedders, settings, reranker

    def current(self) -> Searcher:
        """The searcher of the embedder in the settings."""
        return self._searcher(self._embedders.current, SparseSettings())

    def of(self, made: MadeWith) -> Searcher:
        """Raises EmbedderMismatch as `Embedders.of`."""
        return self._searcher(self._embedders.of(made.embedder), sparse_of(made.settings))

    def groups(self, answering: Sequence[tuple[CollectionRef, MadeWith]], asked: Sequence[str]) -> list[Group]:
        """Collections in groups whose vectors can be compared; one group if there is no collection at all.

        `asked` is the question and the turns before it.
        """
        together: dict[tuple[EmbedderName, SparseSettings], Group] = {}
        for ref, made in answering:
            key = (made.embedder, _asked_with(sparse_of(made.settings), asked))
            if key not in together:
                together[key] = (self.of(made), [])
            together[key][1].append(ref)
        return list(together.values()) or [(self.current(), [])]

    def _searcher(self, embedder: Embedder, sparse: SparseSettings) -> Searcher:
        return Searcher(embedder, bm25_encoder(sparse), self._settings, self._reranker)


def _asked_with(sparse: SparseSettings, asked: Sequence[str]) -> SparseSettings:
    """What makes the vectors of a question differ. Both tokenizers give the same for one whose words have spaces."""
    alike = all(parted(text) == (text, "") for text in asked)
    return replace(sparse, tokenizer="word") if alike else sparse


def joined(results: Sequence[SearchResult], top_k: int) -> SearchResult:
    """The best passages of several searches for one question, by their scores; each stage's time is the sum of all
    searches.
    """
    if len(results) == 1:
        return results[0]
    passages = sorted((one for result in results for one in result.passages), key=lambda one: -one.score)
    spent: Counter[str] = Counter()
    for result in results:
        spent.update(result.timings_ms)
    return replace(results[0], passages=tuple(passages[:top_k]), timings_ms=dict(spent))
