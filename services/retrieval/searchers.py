"""For each collection, a searcher whose vectors are those of the collection."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from retrieval.index.port import CollectionRef
from retrieval.recipe import SparseSettings, bm25_encoder, sparse_of
from retrieval.search import Searcher, SearchResult, SearchSettings
from services.retrieval.catalog import EmbedderName, MadeWith
from services.retrieval.embedders import Embedders

Group = tuple[Searcher, list[CollectionRef]]


class Searchers:
    def __init__(self, embedders: Embedders, settings: SearchSettings) -> None:
        self._embedders, self._settings = embedders, settings

    def current(self) -> Searcher:
        """Of the embedder that is set."""
        return Searcher(self._embedders.current, bm25_encoder(SparseSettings()), self._settings)

    def of(self, made: MadeWith) -> Searcher:
        """Raises EmbedderMismatch as `Embedders.of`."""
        return Searcher(self._embedders.of(made.embedder), bm25_encoder(sparse_of(made.settings)), self._settings)

    def groups(self, answering: Sequence[tuple[CollectionRef, MadeWith]]) -> list[Group]:
        """Collections whose vectors can be compared, together; one group where there is no collection at all."""
        together: dict[tuple[EmbedderName, SparseSettings], Group] = {}
        for ref, made in answering:
            key = (made.embedder, sparse_of(made.settings))
            if key not in together:
                together[key] = (self.of(made), [])
            together[key][1].append(ref)
        return list(together.values()) or [(self.current(), [])]


def joined(results: Sequence[SearchResult], top_k: int) -> SearchResult:
    """The best passages of several searches for one question, by their fused scores."""
    if len(results) == 1:
        return results[0]
    passages = sorted((one for result in results for one in result.passages), key=lambda one: -one.score)
    embed_ms, search_ms = sum(one.embed_ms for one in results), sum(one.search_ms for one in results)
    return replace(results[0], passages=tuple(passages[:top_k]), embed_ms=embed_ms, search_ms=search_ms)
