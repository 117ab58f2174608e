"""Searches a workspace's stores. What the database no longer wants is left out at once."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack
from time import perf_counter

from retrieval.filters import parse_filter
from retrieval.index.port import Scope
from retrieval.model import Chunk
from retrieval.search.searcher import SearchResult, Wanted
from services.contracts.convert import passage_body
from services.contracts.retrieval import SearchRequest, SearchResponse
from services.retrieval.index.catalog import Catalog
from services.retrieval.index.collections import OpenCollections
from services.retrieval.search.searchers import Group, Searchers, joined


class Answers:
    def __init__(self, catalog: Catalog, collections: OpenCollections, searchers: Searchers) -> None:
        self._catalog = catalog
        self._collections = collections
        self._searchers = searchers

    def search(self, request: SearchRequest) -> SearchResponse:
        """Raises UnknownCollection for a store that the workspace does not have; a store without files has no hits.

        Raises InvalidFilter for a filter that cannot be read, and IndexDamaged or EmbedderMismatch if a store's
        collection cannot answer correctly.
        """
        started = perf_counter()
        attributes = parse_filter(request.filters) if request.filters is not None else None
        file_ids = frozenset(request.file_ids) if request.file_ids is not None else None
        scope = Scope(request.workspace_id, file_ids, attributes)
        stores = dict.fromkeys(request.store_ids)
        live = [self._catalog.answering(request.workspace_id, store_id) for store_id in stores]
        answering = [one for one in live if one is not None]
        wanted = wanted_chunks(self._catalog, request.workspace_id)
        groups = self._searchers.groups(answering, [request.query, *request.history])
        found = [self._search(group, request, scope, wanted) for group in groups]
        best = joined(found, request.top_k)
        timings = best.timings_ms | {"total": 1000 * (perf_counter() - started)}
        return SearchResponse(
            query=best.query,
            passages=[passage_body(one) for one in best.passages if one.score >= request.score_threshold],
            timings_ms={stage: round(spent, 3) for stage, spent in timings.items()},
            collections={ref.store_id: ref.collection_id for ref, _ in answering},
        )

    def _search(self, group: Group, request: SearchRequest, scope: Scope, wanted: Wanted) -> SearchResult:
        searcher, refs = group
        with ExitStack() as stack:
            indexes = [stack.enter_context(self._collections.use(ref)) for ref in refs]
            return searcher.search(indexes, request.query, scope, request.top_k, request.history, wanted)


def wanted_chunks(catalog: Catalog, workspace_id: str) -> Wanted:
    """Asks the database which of these chunks may be shown."""

    def wanted(chunks: Sequence[Chunk]) -> frozenset[str]:
        files = {(chunk.source.store_id, chunk.source.file_id) for chunk in chunks}
        now = catalog.shown(workspace_id, files)
        return frozenset(
            chunk.id
            for chunk in chunks
            if now.get((chunk.source.store_id, chunk.source.file_id)) == chunk.source.revision
        )

    return wanted
