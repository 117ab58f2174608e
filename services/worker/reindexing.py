"""A store's index built anew beside the live one, then switched to."""

from __future__ import annotations

import logging
import uuid
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

from sqlalchemy import select, update

from retrieval.chunking import ChunkingSettings
from retrieval.errors import IndexUnavailable
from retrieval.index.port import CollectionRef
from retrieval.model import FileRef
from services.contracts.retrieval import SwitchRequest
from services.database.engine import Sessions
from services.database.tables import Collection, File, Job, StoreFile
from services.worker.building import BUILDING, Builder, FilePoints, FolderBuilder, ServiceBuilder
from services.worker.heartbeat import Heartbeat
from services.worker.indexing import Indexing, own_chunking, recorded_sizes
from services.worker.retrieval_client import RetrievalWriter

log = logging.getLogger(__name__)
BUILT = 0.95  # where the job stands once the collection is complete


class Reindexing:
    def __init__(self, sessions: Sessions, indexing: Indexing, writer: RetrievalWriter, index_folder: Path) -> None:
        self._sessions, self._indexing, self._writer = sessions, indexing, writer
        self._index_folder = index_folder

    def reindex(self, job: Job, heartbeat: Heartbeat) -> dict[str, Any]:
        """Embed every wanted file anew into a new collection, and switch to it.

        Whatever ends the job early leaves the live collection as it is, and drops the new one. What could not be
        dropped, because the service or the worker had died, goes with the store's next reindexing.
        """
        builder, chunking = self._builder(), self._chunking(job)
        self._drop_leftovers(job)
        ref = self._begin(job, chunking)
        try:
            count = builder.build(ref, self._files(job, chunking, heartbeat), heartbeat)
            heartbeat.progress("switching", BUILT)
            switched = self._writer.switch(SwitchRequest(**asdict(ref), expected_count=count))
        except BaseException:
            self._drop(ref)
            raise
        self._record_sizes(ref.store_id, chunking)
        return {"collection_id": ref.collection_id, "chunks": switched.count, "replayed": switched.replayed}

    def _builder(self) -> Builder:
        if self._writer.embedded():
            return FolderBuilder(self._index_folder, self._indexing.embedder.dimension)
        return ServiceBuilder(self._indexing, self._writer)

    def _chunking(self, job: Job) -> ChunkingSettings:
        """What the request asks for; the rest as the worker's settings have it now."""
        settings = self._indexing.settings
        return ChunkingSettings(
            chunk_size=int(job.request.get("chunk_size", settings.chunk_size)),
            chunk_overlap=int(job.request.get("chunk_overlap", settings.chunk_overlap)),
            strategy=settings.chunking_strategy,
        )

    def _begin(self, job: Job, chunking: ChunkingSettings) -> CollectionRef:
        ref = CollectionRef(job.workspace_id, job.request["store_id"], f"col_{uuid.uuid4().hex}")
        collection = Collection(
            id=ref.collection_id,
            workspace_id=ref.workspace_id,
            store_id=ref.store_id,
            embedder=self._indexing.embedder.name,
            dimension=self._indexing.embedder.dimension,
            settings=asdict(chunking),
            state="building",
        )
        with self._sessions.begin() as session:
            session.add(collection)
        return ref

    def _files(self, job: Job, chunking: ChunkingSettings, heartbeat: Heartbeat) -> Iterator[FilePoints]:
        files = self._indexed(job.request["store_id"])
        for number, (row, file) in enumerate(files):
            source = FileRef(job.workspace_id, row.store_id, row.file_id, row.revision, row.attributes)
            share = BUILDING / len(files)
            start, end = number * share, (number + 1) * share
            yield source, self._indexing.points(file, source, own_chunking(row, chunking), heartbeat, start, end)

    def _indexed(self, store_id: str) -> list[tuple[StoreFile, File]]:
        query = select(StoreFile, File).join(File, File.id == StoreFile.file_id)
        indexed = StoreFile.status == "completed", StoreFile.deleted.is_(False)
        with self._sessions() as session:
            return [(row, file) for row, file in session.execute(query.where(StoreFile.store_id == store_id, *indexed))]

    def _record_sizes(self, store_id: str, chunking: ChunkingSettings) -> None:
        """Note beside the files without sizes of their own how they are cut now."""
        held = StoreFile.store_id == store_id, StoreFile.status == "completed", StoreFile.chunking.is_(None)
        with self._sessions.begin() as session:
            session.execute(update(StoreFile).where(*held).values(chunked=recorded_sizes(chunking)))

    def _drop_leftovers(self, job: Job) -> None:
        """A store has one reindexing at a time, so what is still being built there was left by one that died."""
        store_id = job.request["store_id"]
        left = select(Collection.id).where(Collection.store_id == store_id, Collection.state == "building")
        with self._sessions() as session:
            ids = session.scalars(left.where(Collection.workspace_id == job.workspace_id)).all()
        for collection_id in ids:
            self._drop(CollectionRef(job.workspace_id, store_id, collection_id))

    def _drop(self, ref: CollectionRef) -> None:
        """Drop a build, unless it is live by now. The reason why a job ends is not lost where that fails."""
        try:
            self._writer.drop(ref)
        except IndexUnavailable as error:
            log.warning("collection %s is left behind until the store is reindexed: %s", ref, error)
