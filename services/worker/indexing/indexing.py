"""Puts a file into a store: read, chunk, embed, send to the index, record."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from sqlalchemy import update

from retrieval.documents.chunking import ChunkingSettings
from retrieval.documents.parser import Parser
from retrieval.embedding.embedder import Embedder
from retrieval.errors import (
    EmbedderMismatch,
    IndexUnavailable,
    RecipeChanged,
    StaleRevision,
)
from retrieval.index.ingest import prepare_document
from retrieval.index.recipe import Recipe, SparseSettings, bm25_encoder, chunking_of, sparse_of
from retrieval.model import FileRef, Point
from services.database.engine import Sessions
from services.database.tables import Collection, File, Job, Store, StoreFile, now
from services.domain.documents import withdraw_former
from services.worker.files.purging import purge
from services.worker.files.stored import read
from services.worker.heartbeat import Heartbeat
from services.worker.indexing.indexed import of_revision, record_failure
from services.worker.retrieval_client import RetrievalWriter
from services.worker.settings import WorkerSettings

log = logging.getLogger(__name__)
TRIES = 3
EMBEDDED = 0.9  # the share of a job's time that embedding takes


class Indexing:
    """`embedder` is the one in the settings; `open_embedder` loads the embedders of collections that are not reindexed
    yet.
    """

    def __init__(
        self,
        sessions: Sessions,
        writer: RetrievalWriter,
        embedder: Embedder,
        parser: Parser,
        settings: WorkerSettings,
        open_embedder: Callable[[str], Embedder] | None = None,
    ) -> None:
        self._sessions, self._writer, self._embedder, self._parser = sessions, writer, embedder, parser
        self.settings, self._open_embedder = settings, open_embedder

    @property
    def recipe(self) -> Recipe:
        """How the points of a new collection are made."""
        settings = self.settings
        return Recipe(
            self._embedder.name,
            self._embedder.dimension,
            settings.chunking(),
            SparseSettings(settings.sparse_language, settings.sparse_average_length, settings.sparse_tokenizer),
        )

    def index_file(self, job: Job, heartbeat: Heartbeat) -> dict[str, Any]:
        """Index the revision that the job names. A revision that is no longer wanted is skipped, with a reason.

        Raises IndexUnavailable and EmbedderMismatch if the store cannot take it now, FilesAway if no file can be read
        now, UnreadableFile.
        """
        wanted = self._wanted(job)
        if wanted is None:
            return {"reason": "the file has changed or gone since; a later job has it"}
        source, file, row = wanted
        try:
            count, chunking = self._write(file, row, source, heartbeat, job.created_at.timestamp())
        except StaleRevision as error:
            return {"reason": str(error)}
        self._completed(source, count, chunking)
        return {"chunks": count, "file_id": source.file_id}

    def _write(
        self, file: File, row: StoreFile, source: FileRef, heartbeat: Heartbeat, asked_at: float
    ) -> tuple[int, ChunkingSettings]:
        """Returns the number of chunks, and how they were cut.

        If the store moved to another collection in between, the write is tried again.
        """
        per_request = self.settings.points_per_request
        for _ in range(TRIES):
            recipe = self.live_recipe(source.store_id)
            own = own_recipe(row, recipe)
            points = self.points(file, source, own, heartbeat, 0.0, EMBEDDED)
            try:
                count = self._writer.upsert(source, recipe, points, per_request, asked_at=asked_at)
            except RecipeChanged:
                continue
            if count == len(points):
                return count, own.chunking
        raise IndexUnavailable(f"the index did not take all chunks of '{file.filename}' in {TRIES} tries")

    def _completed(self, source: FileRef, count: int, chunking: ChunkingSettings) -> None:
        """Record that a file answers, and withdraw the document's former file, in one transaction."""
        values = {
            "status": "completed",
            "chunk_count": count,
            "error": None,
            "error_code": None,
            "chunked": recorded_sizes(chunking),
            "indexed_at": now(),
        }
        with self._sessions.begin() as session:
            recorded = session.execute(update(StoreFile).where(*of_revision(source)).values(**values))
            answers = recorded.rowcount == 1  # type: ignore[attr-defined]
            withdrawn = withdraw_former(session, source.file_id) if answers else []
        purge(self._writer, source.workspace_id, withdrawn)

    def failed(self, job: Job, reason: str, error: Exception | None = None) -> None:
        """Record that this revision could not be indexed; an earlier one that is in the index stays there."""
        record_failure(self._sessions, job, reason, error)

    def points(
        self,
        file: File,
        source: FileRef,
        recipe: Recipe,
        heartbeat: Heartbeat,
        start: float,
        end: float,
    ) -> list[Point]:
        """A file's points, by a recipe with the file's own chunk sizes; reports progress between `start` and `end`
        of the job."""

        def progress(done: int, total: int) -> None:
            heartbeat.progress(f"embedding {file.filename}", start + (end - start) * done / max(total, 1))

        progress(0, 1)
        document = self._parser.load(read(file), file.filename, file.url)
        embedder, bm25 = self._embedder_of(recipe), bm25_encoder(recipe.sparse)
        return prepare_document(document, source, embedder, bm25, recipe.chunking, progress)

    def live_recipe(self, store_id: str) -> Recipe:
        """How the store's live collection was made, so that all its chunks are made the same way."""
        with self._sessions() as session:
            store = session.get(Store, store_id)
            collection = session.get(Collection, store.collection_id) if store and store.collection_id else None
        return self.recipe_of(collection) if collection else self.recipe

    def recipe_of(self, collection: Collection) -> Recipe:
        """How a collection was made. What its row does not say about chunks comes from the settings. If it does not say
        how the sparse vectors were made, it is older than that field, and the method of that time applies, as in a
        search.
        """
        now, made_with = self.recipe, collection.settings
        return Recipe(
            collection.embedder,
            collection.dimension,
            chunking_of(made_with, now.chunking),
            sparse_of(made_with),
            int(made_with.get("format", now.format)),
        )

    def _embedder_of(self, recipe: Recipe) -> Embedder:
        """Raises EmbedderMismatch if a former embedder can no longer be loaded."""
        if recipe.embedder == self._embedder.name:
            return self._embedder
        try:
            if self._open_embedder:
                return self._open_embedder(recipe.embedder)
        except (OSError, ImportError, ValueError, RuntimeError) as error:
            log.warning("the embedder %s cannot be loaded: %s", recipe.embedder, error)
        raise EmbedderMismatch(
            f"the collection was made with the embedder {recipe.embedder}, which cannot be loaded; "
            f"{self._embedder.name} is set: reindex the store"
        )

    def _wanted(self, job: Job) -> tuple[FileRef, File, StoreFile] | None:
        asked = job.request
        with self._sessions() as session:
            row = session.get(StoreFile, (asked["store_id"], asked["file_id"]))
            file = session.get(File, asked["file_id"])
        if row is None or file is None or row.deleted or row.revision != asked["revision"]:
            return None
        return FileRef(job.workspace_id, row.store_id, row.file_id, row.revision, row.attributes), file, row


def own_recipe(row: StoreFile, of_store: Recipe) -> Recipe:
    """The store's recipe, with the file's own chunk sizes if it has some."""
    if row.chunking is None:
        return of_store
    size, overlap = row.chunking["max_chunk_size_tokens"], row.chunking["chunk_overlap_tokens"]
    return replace(of_store, chunking=replace(of_store.chunking, chunk_size=size, chunk_overlap=overlap))


def recorded_sizes(chunking: ChunkingSettings) -> dict[str, int]:
    """The sizes in OpenAI's words, to be stored with a file."""
    return {"max_chunk_size_tokens": chunking.chunk_size, "chunk_overlap_tokens": chunking.chunk_overlap}
