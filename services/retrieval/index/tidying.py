"""Removes what the index holds and the database does not want."""

from __future__ import annotations

import logging
from collections.abc import Mapping

from retrieval.errors import IndexUnavailable, UnknownCollection
from retrieval.index.port import CollectionRef, IndexEngine
from services.contracts.retrieval import FileRevision, TidyRequest, TidyResponse
from services.retrieval.index.catalog import Catalog, Revision
from services.retrieval.index.collections import OpenCollections

log = logging.getLogger(__name__)


class Tidying:
    def __init__(self, engine: IndexEngine, catalog: Catalog, collections: OpenCollections) -> None:
        self._engine, self._catalog, self._collections = engine, catalog, collections

    def tidy(self, request: TidyRequest) -> TidyResponse:
        """Remove unwanted chunks from a store's live and previous collection, and collections that have no row.

        The store may be deleted or unknown: then nothing of it is wanted. Raises IndexUnavailable if the engine does
        not drop a collection.
        """
        with self._collections.writing(request.store_id):
            dropped = self._drop_unknown(request)
            refs = self._catalog.holding(request.workspace_id, request.store_id)
            if not refs:
                return TidyResponse(removed_chunks=0, dropped=dropped, held=[], problem=None)
            live, *previous = refs
            removed = sum(self._prune_if_readable(ref) for ref in previous)
            try:
                pruned, held = self._prune(live)
            except (IndexUnavailable, UnknownCollection) as error:
                return TidyResponse(removed_chunks=removed, dropped=dropped, held=None, problem=str(error))
        body = [
            FileRevision(file_id=file_id, revision=number, chunks=count) for (file_id, number), count in held.items()
        ]
        return TidyResponse(removed_chunks=removed + pruned, dropped=dropped, held=body, problem=None)

    def _drop_unknown(self, request: TidyRequest) -> list[str]:
        """Safe, because data is created after its row, or together with it under the lock that is held here."""
        known = self._catalog.known(request.workspace_id, request.store_id)
        if not known:  # the store is deleted, or has nothing yet
            self._catalog.forget(request.workspace_id, request.store_id)
        there = self._engine.collections(request.workspace_id, request.store_id)
        unknown = [ref for ref in there if ref.collection_id not in known]
        for ref in unknown:
            self._collections.drop(ref)
        return [ref.collection_id for ref in unknown]

    def _prune_if_readable(self, ref: CollectionRef) -> int:
        try:
            return self._prune(ref)[0]
        except (IndexUnavailable, UnknownCollection) as error:
            log.warning("the former collection %s cannot be read: %s", ref, error)
            return 0

    def _prune(self, ref: CollectionRef) -> tuple[int, Mapping[Revision, int]]:
        """How many chunks were removed, and what is left. Raises IndexUnavailable, UnknownCollection."""
        self._catalog.made_with(ref)
        wanted = self._catalog.wanted_in(ref.workspace_id, ref.store_id)
        with self._collections.use(ref) as index:
            held = dict(index.revisions())
            unwanted = [one for one in held if one[1] not in wanted.get(one[0], ())]
            for file_id, revision in unwanted:
                index.delete_revision(file_id, revision)
        return sum(held.pop(one) for one in unwanted), held
