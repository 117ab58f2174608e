"""A file into a store: read, chunk, embed, hand over, record."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import fsspec
from sqlalchemy import ColumnElement, update

from retrieval.chunking import ChunkingSettings
from retrieval.embedding import Bm25Encoder, Embedder
from retrieval.errors import EmbedderMismatch, InputError, StaleRevision, UnreadableFile, UnsupportedFormat
from retrieval.ingest import prepare_document
from retrieval.model import FileRef, Point
from retrieval.parsing import Parser
from services.database.documents import withdraw_former
from services.database.engine import Sessions
from services.database.tables import Collection, File, Job, Store, StoreFile, now
from services.worker.heartbeat import Heartbeat
from services.worker.purging import purge
from services.worker.retrieval_client import RetrievalWriter
from services.worker.settings import WorkerSettings

EMBEDDED = 0.9  # the share of a job's time that embedding takes


class Indexing:
    def __init__(
        self,
        sessions: Sessions,
        writer: RetrievalWriter,
        embedder: Embedder,
        bm25: Bm25Encoder,
        parser: Parser,
        settings: WorkerSettings,
    ) -> None:
        self._sessions, self._writer, self.embedder, self._bm25 = sessions, writer, embedder, bm25
        self._parser, self.settings = parser, settings

    def index_file(self, job: Job, heartbeat: Heartbeat) -> dict[str, Any]:
        """Index the revision that the job names. One that is no longer wanted is left alone, with a reason."""
        wanted = self._wanted(job)
        if wanted is None:
            return {"reason": "the file has changed or gone since; a later job has it"}
        source, file, row = wanted
        chunking = own_chunking(row, self.chunking(source.store_id))
        try:
            points = self.points(file, source, chunking, heartbeat, 0.0, EMBEDDED)
            count = self._writer.upsert(source, self.embedder.name, points, self.settings.points_per_request)
        except StaleRevision as error:
            return {"reason": str(error)}
        if count != len(points):
            raise UnreadableFile(f"the index holds {count} of the {len(points)} chunks of '{file.filename}'")
        self._completed(source, count, chunking)
        return {"chunks": count, "file_id": source.file_id}

    def _completed(self, source: FileRef, count: int, chunking: ChunkingSettings) -> None:
        """Record that a file answers, and withdraw the former writing of the same document in one transaction."""
        values = {
            "status": "completed",
            "chunk_count": count,
            "error": None,
            "error_code": None,
            "chunked": recorded_sizes(chunking),
            "indexed_at": now(),
        }
        with self._sessions.begin() as session:
            recorded = session.execute(update(StoreFile).where(*_row(source)).values(**values))
            answers = recorded.rowcount == 1  # type: ignore[attr-defined]
            withdrawn = withdraw_former(session, source.file_id) if answers else []
        purge(self._writer, source.workspace_id, withdrawn)

    def failed(self, job: Job, reason: str, error: Exception | None = None) -> None:
        """Record that this revision could not be indexed; an earlier one that is in the index stays there."""
        asked = job.request
        source = FileRef(job.workspace_id, asked["store_id"], asked["file_id"], asked["revision"])
        self._record(source, status="failed", error=reason, error_code=error_code(error))

    def points(
        self,
        file: File,
        source: FileRef,
        chunking: ChunkingSettings,
        heartbeat: Heartbeat,
        start: float,
        end: float,
    ) -> list[Point]:
        """A file's points; reports progress between `start` and `end` of the job."""

        def progress(done: int, total: int) -> None:
            heartbeat.progress(f"embedding {file.filename}", start + (end - start) * done / max(total, 1))

        progress(0, 1)
        with fsspec.open(file.path, "rb") as stored:
            content = stored.read()
        document = self._parser.load(content, file.filename, file.url)
        return prepare_document(document, source, self.embedder, self._bm25, chunking, progress)

    def chunking(self, store_id: str) -> ChunkingSettings:
        """The chunking of the store's live collection, so that all its chunks are cut alike."""
        with self._sessions() as session:
            store = session.get(Store, store_id)
            collection = session.get(Collection, store.collection_id) if store and store.collection_id else None
        made_with = collection.settings if collection else {}
        return ChunkingSettings(
            chunk_size=int(made_with.get("chunk_size", self.settings.chunk_size)),
            chunk_overlap=int(made_with.get("chunk_overlap", self.settings.chunk_overlap)),
            strategy=made_with.get("strategy", self.settings.chunking_strategy),
        )

    def _wanted(self, job: Job) -> tuple[FileRef, File, StoreFile] | None:
        asked = job.request
        with self._sessions() as session:
            row = session.get(StoreFile, (asked["store_id"], asked["file_id"]))
            file = session.get(File, asked["file_id"])
        if row is None or file is None or row.deleted or row.revision != asked["revision"]:
            return None
        return FileRef(job.workspace_id, row.store_id, row.file_id, row.revision, row.attributes), file, row

    def _record(self, source: FileRef, **values: Any) -> None:
        """Change the row of this revision, and of no later one."""
        with self._sessions.begin() as session:
            session.execute(update(StoreFile).where(*_row(source)).values(**values))


def _row(source: FileRef) -> tuple[ColumnElement[bool], ...]:
    return (
        StoreFile.store_id == source.store_id,
        StoreFile.file_id == source.file_id,
        StoreFile.revision == source.revision,
        StoreFile.deleted.is_(False),
    )


def own_chunking(row: StoreFile, of_store: ChunkingSettings) -> ChunkingSettings:
    """The store's chunking, with the file's own sizes where it was given some."""
    if row.chunking is None:
        return of_store
    size, overlap = row.chunking["max_chunk_size_tokens"], row.chunking["chunk_overlap_tokens"]
    return replace(of_store, chunk_size=size, chunk_overlap=overlap)


def recorded_sizes(chunking: ChunkingSettings) -> dict[str, int]:
    """The sizes in OpenAI's words, to be kept beside a file."""
    return {"max_chunk_size_tokens": chunking.chunk_size, "chunk_overlap_tokens": chunking.chunk_overlap}


def error_code(error: Exception | None) -> str:
    """OpenAI's code for why a file could not be indexed."""
    if isinstance(error, UnsupportedFormat):
        return "unsupported_file"
    is_the_file = isinstance(error, InputError) and not isinstance(error, EmbedderMismatch)
    return "invalid_file" if is_the_file else "server_error"
