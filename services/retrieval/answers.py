"""Searches over a workspace's stores. What the database no longer wants is left out at once."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack
from time import perf_counter

from retrieval.filters import parse_filter
from retrieval.index.port import Scope
from retrieval.model import Chunk
from retrieval.search import Searcher
from services.contracts.convert import passage_body
from services.contracts.retrieval import SearchRequest, SearchResponse
from services.retrieval.catalog import Catalog
from services.retrieval.collections import OpenCollections


class Answers:
    def __init__(self, catalog: Catalog, collections: OpenCollections, searcher: Searcher) -> None:
        self._catalog = catalog
        self._collections = collections
        self._searcher = searcher

    def search(self, request: SearchRequest) -> SearchResponse:
        """Raises UnknownCollection for a store that the workspace does not have; a store without files has no hits.

        Raises InvalidFilter for a filter that cannot be read.
        """
        started = perf_counter()
        attributes = parse_filter(request.filters) if request.filters is not None else None
        live = [self._catalog.live(request.workspace_id, store_id) for store_id in dict.fromkeys(request.store_ids)]
        refs = [ref for ref in live if ref is not None]
        file_ids = frozenset(request.file_ids) if request.file_ids is not None else None

        def wanted(chunks: Sequence[Chunk]) -> frozenset[str]:
            files = {(chunk.source.store_id, chunk.source.file_id) for chunk in chunks}
            now = self._catalog.wanted(request.workspace_id, files)
            return frozenset(
                chunk.id
                for chunk in chunks
                if now.get((chunk.source.store_id, chunk.source.file_id)) == chunk.source.revision
            )

        with ExitStack() as stack:
            indexes = [stack.enter_context(self._collections.use(ref)) for ref in refs]
            scope = Scope(request.workspace_id, file_ids, attributes)
            found = self._searcher.search(indexes, request.query, scope, request.top_k, request.history, wanted)
        timings = found.timings_ms | {"total": 1000 * (perf_counter() - started)}
        return SearchResponse(
            query=found.query,
            passages=[passage_body(one) for one in found.passages if one.score >= request.score_threshold],
            timings_ms={stage: round(spent, 3) for stage, spent in timings.items()},
            collections={ref.store_id: ref.collection_id for ref in refs},
        )
