"""Writes to the index: nothing that the database does not want gets in, and nothing that it gave up stays."""

from __future__ import annotations

from contextlib import suppress

from retrieval.errors import EmbedderMismatch, InputError, StaleRevision, UnknownCollection
from retrieval.index.port import CollectionRef
from services.contracts.convert import point_value
from services.contracts.retrieval import DeleteRequest, DropStoreRequest, UpsertRequest
from services.retrieval.catalog import Catalog, EmbedderName, new_collection
from services.retrieval.collections import OpenCollections


class Points:
    def __init__(self, catalog: Catalog, collections: OpenCollections, embedder: EmbedderName) -> None:
        self._catalog = catalog
        self._collections = collections
        self._embedder = embedder

    def upsert(self, request: UpsertRequest) -> int:
        """Write one part of a file's revision; returns how many points of that revision the index now holds.

        Raises StaleRevision where the database wants another revision, be it before the write or after it: then the
        points are taken out again, those of earlier parts too. Raises UnknownCollection where the request names a
        collection that is not being built.
        """
        self._check(request)
        with self._collections.writing(request.store_id):
            if self._is_wanted(request):
                with self._collections.use(self._target(request), create=True) as index:
                    index.upsert([point_value(body) for body in request.points])
                    if self._is_wanted(request):
                        if request.last:
                            index.delete_other_revisions(request.file_id, request.revision)
                        return index.count_file(request.file_id, request.revision)
            self._take_out(request)
        raise StaleRevision(
            f"revision {request.revision} of file {request.file_id} in store {request.store_id} is not wanted any "
            "more: the file was deleted or changed since; give the write up"
        )

    def delete(self, request: DeleteRequest) -> None:
        """Remove a file from the store's index, and from the previous one, which may come back."""
        with self._collections.writing(request.store_id):
            for ref in self._catalog.holding(request.workspace_id, request.store_id):
                with suppress(UnknownCollection), self._collections.use(ref) as index:
                    index.delete_file(request.file_id)

    def drop_store(self, request: DropStoreRequest) -> None:
        """Remove every collection of a store."""
        with self._collections.writing(request.store_id):
            for ref in self._catalog.forget(request.workspace_id, request.store_id):
                self._collections.drop(ref)

    def _target(self, request: UpsertRequest) -> CollectionRef:
        """The collection to write to: the one named, the live one, or a new one that becomes live."""
        if request.collection_id:
            return self._build(request, request.collection_id)
        live = self._catalog.live(request.workspace_id, request.store_id)
        if live is not None:
            return live
        ref = new_collection(request.workspace_id, request.store_id)
        with self._collections.use(ref, create=True):
            self._catalog.add_live(ref)
        return ref

    def _build(self, request: UpsertRequest, collection_id: str) -> CollectionRef:
        ref = CollectionRef(request.workspace_id, request.store_id, collection_id)
        if not self._catalog.unfinished(ref):
            raise UnknownCollection(
                f"store {request.store_id} has no collection {collection_id} that is being built: it was given up, or "
                "answers already; reindex the store"
            )
        return ref

    def _take_out(self, request: UpsertRequest) -> None:
        workspace_id, store_id = request.workspace_id, request.store_id
        named = [CollectionRef(workspace_id, store_id, request.collection_id)] if request.collection_id else None
        for ref in named or self._catalog.holding(workspace_id, store_id):
            with suppress(UnknownCollection), self._collections.use(ref) as index:
                index.delete_revision(request.file_id, request.revision)

    def _check(self, request: UpsertRequest) -> None:
        """Raises EmbedderMismatch, or InputError for a point that is not of the file the request names."""
        lengths = {len(point.dense) for point in request.points} - {self._embedder.dimension}
        if request.embedder != self._embedder.name or lengths:
            raise EmbedderMismatch(
                f"file {request.file_id} was embedded with {request.embedder}, but the index is made with "
                f"{self._embedder.name}, {self._embedder.dimension} numbers a vector; give worker and retrieval the "
                "same embedding_model"
            )
        named = (request.workspace_id, request.store_id, request.file_id, request.revision)
        for point in request.points:
            chunk = point.chunk
            if (chunk.workspace_id, chunk.store_id, chunk.file_id, chunk.revision) != named:
                raise InputError(f"point {chunk.id} does not belong to revision {request.revision} of {named[2]}")

    def _is_wanted(self, request: UpsertRequest) -> bool:
        key = (request.store_id, request.file_id)
        return self._catalog.wanted(request.workspace_id, [key]).get(key) == request.revision
