"""Writes to the index: it accepts only what the database wants, and keeps nothing that the database has given up."""

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
from retrieval.index.recipe import sparse_of
from retrieval.model import Chunk
from services.contracts.convert import point_value
from services.contracts.retrieval import (
    AttributesRequest,
    ChunksRequest,
    DeleteRequest,
    DropStoreRequest,
    UpsertRequest,
)
from services.retrieval.index.catalog import Catalog, EmbedderName, MadeWith, new_collection
from services.retrieval.index.collections import OpenCollections


class Points:
    """`embedder` is the one in the settings: a store's first collection is made with it."""

    def __init__(self, catalog: Catalog, collections: OpenCollections, embedder: EmbedderName) -> None:
        self._catalog = catalog
        self._collections = collections
        self._embedder = embedder

    def upsert(self, request: UpsertRequest) -> int:
        """Write one part of a file's revision; returns how many points of that revision the index now holds.

        Raises StaleRevision if the database wants another revision, before or after the write: then the points are
        removed, also those of earlier parts. Raises UnknownCollection if the request names a collection that is neither
        being built nor the previous one, RecipeChanged and EmbedderMismatch if the collection was made in another way
        than the points, IndexDamaged if it cannot be read.
        """
        _check_source(request)
        with self._collections.writing(request.store_id):
            target = self._target(request) if self._is_wanted(request) else None
            if target:
                ref, made = target
                with self._collections.use_or_create(ref, made.embedder.dimension) as index:
                    count = self._write(ref, index, request)
                    if self._is_wanted(request):
                        if request.last:
                            self._show(request)
                            self._complete(index, request)
                            self._catalog.note_whole(ref, {(request.file_id, request.revision): count})
                        return count
            self._take_out(request)
        raise StaleRevision(
            f"revision {request.revision} of file {request.file_id} in store {request.store_id} is not wanted any "
            "more: the file was deleted or changed since; give the write up"
        )

    def delete(self, request: DeleteRequest) -> None:
        """Remove a file from the store's index, and from the previous one, which may be used again.

        A collection that cannot be read is left alone: no search shows what is deleted in the database.
        """
        with self._collections.writing(request.store_id):
            for ref in self._catalog.holding(request.workspace_id, request.store_id):
                with suppress(UnknownCollection, IndexDamaged), self._collections.use(ref) as index:
                    index.delete_file(request.file_id)
                self._catalog.note_partial(ref, request.file_id)

    def set_attributes(self, request: AttributesRequest) -> None:
        """Give a file's chunks the attributes that the database has now, in every collection that may answer.

        A write under way ends with the same step, so the last of the two finds the newest attributes. A collection that
        cannot be read is left alone: the reindexing that repairs it takes the attributes from the database.
        """
        with self._collections.writing(request.store_id):
            attributes = self._catalog.attributes(request.workspace_id, request.store_id, request.file_id)
            if attributes is None:
                return
            for ref in self._catalog.holding(request.workspace_id, request.store_id):
                with suppress(UnknownCollection, IndexDamaged), self._collections.use(ref) as index:
                    index.set_attributes(request.file_id, attributes)

    def read(self, request: ChunksRequest) -> list[Chunk]:
        """The chunks of a file as the index has them, in reading order; none if it is not indexed.

        Raises UnknownCollection and IndexDamaged as `Catalog.live` does.
        """
        key = (request.store_id, request.file_id)
        revision = self._catalog.shown(request.workspace_id, [key]).get(key)
        live = self._catalog.live(request.workspace_id, request.store_id)
        if revision is None or live is None:
            return []
        with self._collections.use(live) as index:
            chunks = [point.chunk for point in index.scroll(request.file_id, revision)]
        return sorted(chunks, key=lambda chunk: chunk.position)

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

    def _show(self, request: UpsertRequest) -> None:
        """After its last part, a revision answers in place of the former one, which is then removed from the index."""
        if request.collection_id is None:
            self._catalog.show(request.workspace_id, request.store_id, request.file_id, request.revision)

    def _complete(self, index: VectorIndex, request: UpsertRequest) -> None:
        """After the last part: remove earlier revisions, and correct attributes that changed meanwhile."""
        index.delete_other_revisions(request.file_id, request.revision)
        attributes = self._catalog.attributes(request.workspace_id, request.store_id, request.file_id)
        if attributes is not None and request.points and attributes != request.points[-1].chunk.attributes:
            index.set_attributes(request.file_id, attributes)

    def _target(self, request: UpsertRequest) -> tuple[CollectionRef, MadeWith] | None:
        """The collection to write to: the one named, the live one, or a new one that becomes live.

        None if the store has just been deleted.
        """
        if request.collection_id:
            ref = self._beside(request, request.collection_id)
            named = ref, self._catalog.made_with(ref)
            _check_recipe(request, named[1])
            return named
        with suppress(UnknownCollection):
            answering = self._catalog.answering(request.workspace_id, request.store_id)
            if answering is None:
                return self._first(request)
            _check_recipe(request, answering[1])
            return answering
        return None

    def _first(self, request: UpsertRequest) -> tuple[CollectionRef, MadeWith]:
        made = MadeWith(self._embedder, request.settings)
        _check_recipe(request, made)
        ref = new_collection(request.workspace_id, request.store_id)
        with self._collections.use_or_create(ref):
            pass
        try:
            self._catalog.add_live(ref, made)
        except UnknownCollection:
            self._collections.drop(ref)
            raise
        return ref, made

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
        if self._answers(request):
            return
        named = [CollectionRef(workspace_id, store_id, request.collection_id)] if request.collection_id else None
        for ref in named or self._catalog.holding(workspace_id, store_id):
            with suppress(UnknownCollection, IndexDamaged), self._collections.use(ref) as index:
                index.delete_revision(request.file_id, request.revision)
            self._catalog.note_partial(ref, request.file_id, request.revision)

    def _is_wanted(self, request: UpsertRequest) -> bool:
        """A collection that is not live also needs the revision that answers now."""
        key = (request.store_id, request.file_id)
        is_wanted = self._catalog.wanted(request.workspace_id, [key]).get(key) == request.revision
        return is_wanted or (request.collection_id is not None and self._answers(request))

    def _answers(self, request: UpsertRequest) -> bool:
        key = (request.store_id, request.file_id)
        return self._catalog.shown(request.workspace_id, [key]).get(key) == request.revision


def _check_source(request: UpsertRequest) -> None:
    """Raises InputError for a point that does not belong to the file that the request names."""
    named = (request.workspace_id, request.store_id, request.file_id, request.revision)
    for point in request.points:
        chunk = point.chunk
        if (chunk.workspace_id, chunk.store_id, chunk.file_id, chunk.revision) != named:
            raise InputError(f"point {chunk.id} does not belong to revision {request.revision} of {named[2]}")


def _check_recipe(request: UpsertRequest, made: MadeWith) -> None:
    """Raises RecipeChanged if the writer knows its recipe and can make the points again, else EmbedderMismatch."""
    told = {name: request.settings.get(name) for name in made.settings}  # an older collection's row tells less
    if request.settings and (told != made.settings or sparse_of(request.settings) != sparse_of(made.settings)):
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
