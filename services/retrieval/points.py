"""Writes to the index: nothing that the database does not want gets in, and nothing that it gave up stays."""

from __future__ import annotations

from contextlib import suppress

from retrieval.errors import (
    EmbedderMismatch,
    IndexDamaged,
    InputError,
    RecipeChanged,
    StaleRevision,
    UnknownCollection,
)
from retrieval.index.port import CollectionRef, VectorIndex
from services.contracts.convert import point_value
from services.contracts.retrieval import DeleteRequest, DropStoreRequest, UpsertRequest
from services.retrieval.catalog import Catalog, EmbedderName, MadeWith, new_collection
from services.retrieval.collections import OpenCollections


class Points:
    """`embedder` is the one that is set: a store's first collection is made with it."""

    def __init__(self, catalog: Catalog, collections: OpenCollections, embedder: EmbedderName) -> None:
        self._catalog = catalog
        self._collections = collections
        self._embedder = embedder

    def upsert(self, request: UpsertRequest) -> int:
        """Write one part of a file's revision; returns how many points of that revision the index now holds.

        Raises StaleRevision where the database wants another revision, be it before the write or after it: then the
        points are taken out again, those of earlier parts too. Raises UnknownCollection where the request names a
        collection that is neither being built nor the previous one, RecipeChanged and EmbedderMismatch where the
        collection was made otherwise than the points, IndexDamaged where it cannot be read.
        """
        _check_source(request)
        with self._collections.writing(request.store_id):
            if self._is_wanted(request):
                ref = self._target(request)
                dimension = self._catalog.made_with(ref).embedder.dimension
                with self._collections.use(ref, create=True, dimension=dimension) as index:
                    count = self._write(ref, index, request)
                    if self._is_wanted(request):
                        if request.last:
                            index.delete_other_revisions(request.file_id, request.revision)
                            self._catalog.note_whole(ref, {(request.file_id, request.revision): count})
                        return count
            self._take_out(request)
        raise StaleRevision(
            f"revision {request.revision} of file {request.file_id} in store {request.store_id} is not wanted any "
            "more: the file was deleted or changed since; give the write up"
        )

    def delete(self, request: DeleteRequest) -> None:
        """Remove a file from the store's index, and from the previous one, which may come back.

        A collection that cannot be read is left alone: what is deleted in the database is shown by no search.
        """
        with self._collections.writing(request.store_id):
            for ref in self._catalog.holding(request.workspace_id, request.store_id):
                with suppress(UnknownCollection, IndexDamaged), self._collections.use(ref) as index:
                    index.delete_file(request.file_id)
                self._catalog.note_partial(ref, request.file_id)

    def drop_store(self, request: DropStoreRequest) -> None:
        """Remove every collection of a store."""
        with self._collections.writing(request.store_id):
            for ref in self._catalog.forget(request.workspace_id, request.store_id):
                self._collections.drop(ref)

    def _write(self, ref: CollectionRef, index: VectorIndex, request: UpsertRequest) -> int:
        if request.first and index.count_file(request.file_id, request.revision):
            self._catalog.note_partial(ref, request.file_id, request.revision)
            index.delete_revision(request.file_id, request.revision)
        index.upsert([point_value(body) for body in request.points])
        return index.count_file(request.file_id, request.revision)

    def _target(self, request: UpsertRequest) -> CollectionRef:
        """The collection to write to: the one named, the live one, or a new one that becomes live."""
        if request.collection_id:
            ref = self._beside(request, request.collection_id)
            _check_recipe(request, self._catalog.made_with(ref))
            return ref
        answering = self._catalog.answering(request.workspace_id, request.store_id)
        if answering is not None:
            _check_recipe(request, answering[1])
            return answering[0]
        made = MadeWith(self._embedder, request.settings)
        _check_recipe(request, made)
        ref = new_collection(request.workspace_id, request.store_id)
        with self._collections.use(ref, create=True):
            self._catalog.add_live(ref, made)
        return ref

    def _beside(self, request: UpsertRequest, collection_id: str) -> CollectionRef:
        ref = CollectionRef(request.workspace_id, request.store_id, collection_id)
        if not self._catalog.beside(ref):
            raise UnknownCollection(
                f"store {request.store_id} has no collection {collection_id} that is being built: it was given up, or "
                "answers already; reindex the store"
            )
        return ref

    def _take_out(self, request: UpsertRequest) -> None:
        workspace_id, store_id = request.workspace_id, request.store_id
        named = [CollectionRef(workspace_id, store_id, request.collection_id)] if request.collection_id else None
        for ref in named or self._catalog.holding(workspace_id, store_id):
            with suppress(UnknownCollection, IndexDamaged), self._collections.use(ref) as index:
                index.delete_revision(request.file_id, request.revision)
            self._catalog.note_partial(ref, request.file_id, request.revision)

    def _is_wanted(self, request: UpsertRequest) -> bool:
        key = (request.store_id, request.file_id)
        return self._catalog.wanted(request.workspace_id, [key]).get(key) == request.revision


def _check_source(request: UpsertRequest) -> None:
    """Raises InputError for a point that is not of the file the request names."""
    named = (request.workspace_id, request.store_id, request.file_id, request.revision)
    for point in request.points:
        chunk = point.chunk
        if (chunk.workspace_id, chunk.store_id, chunk.file_id, chunk.revision) != named:
            raise InputError(f"point {chunk.id} does not belong to revision {request.revision} of {named[2]}")


def _check_recipe(request: UpsertRequest, made: MadeWith) -> None:
    """Raises RecipeChanged where the writer knows its recipe and can make the points anew, else EmbedderMismatch."""
    if request.settings and made.settings and request.settings != made.settings:
        raise RecipeChanged(
            f"the points of file {request.file_id} were made with {request.settings}, but the collection of store "
            f"{request.store_id} with {dict(made.settings)}; make them anew"
        )
    lengths = {len(point.dense) for point in request.points} - {made.embedder.dimension}
    if request.embedder != made.embedder.name or lengths:
        raise EmbedderMismatch(
            f"file {request.file_id} was embedded with {request.embedder}, but the index is made with "
            f"{made.embedder.name}, {made.embedder.dimension} numbers a vector; give worker and retrieval the same "
            "embedding_model"
        )
