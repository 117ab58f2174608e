"""Builds a new index for a store beside the live one, then switches to it; also the rollback."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from sqlalchemy import select, update

from retrieval.documents.chunking import ChunkingSettings
from retrieval.errors import BuildFailed, StaleRevision
from retrieval.index.port import CollectionRef
from retrieval.index.recipe import Recipe, bm25_encoder, chunking_of, sparse_of
from retrieval.model import FileRef
from services.contracts.retrieval import FileRevision, SwitchRequest, SwitchResponse
from services.database.engine import Sessions
from services.database.tables import Collection, CollectionFile, File, Job, StoreFile
from services.worker.files.stored import FilesAway
from services.worker.heartbeat import Heartbeat, JobPaused, JobTaken
from services.worker.indexing.indexing import Indexing, own_recipe, recorded_sizes
from services.worker.reindexing.abandoned import AbandonedBuilds
from services.worker.reindexing.builders import BUILDER_COMMAND, BUILDING, Builder, FolderBuilder, ServiceBuilder
from services.worker.retrieval_client import RetrievalDown, RetrievalWriter

log = logging.getLogger(__name__)
BUILT = 0.9  # where the job stands once the collection is complete
MOST_ROUNDS = 50  # each has only what was written during the one before
GOES_ON = (JobPaused, JobTaken, RetrievalDown, FilesAway)  # the build is kept, for the job to go on with


class Reindexing:
    """`min_recall` in 0..1 is the share of the live collection's answers that a new one has to find. `builder` is the
    command of the builder's process.
    """

    def __init__(
        self,
        sessions: Sessions,
        indexing: Indexing,
        writer: RetrievalWriter,
        index_folder: Path,
        min_recall: float = 0.0,
        builder: Sequence[str] = BUILDER_COMMAND,
    ) -> None:
        self._sessions, self._indexing, self._writer = sessions, indexing, writer
        self._index_folder, self._min_recall, self._command = index_folder, min_recall, builder
        self._abandoned = AbandonedBuilds(sessions, writer, index_folder)

    def reindex(self, job: Job, heartbeat: Heartbeat) -> dict[str, Any]:
        """Make the points of every wanted file again for a new collection, and switch to it.

        If the same job is claimed again after its worker was killed or after a pause, it continues with what is there.
        Any other early end leaves the live collection as it is, and drops the new one. A request with `rollback_to`
        goes back to a former collection instead.
        """
        target = job.request.get("rollback_to")
        ref = CollectionRef(job.workspace_id, job.request["store_id"], target or f"col_{job.id.partition('-')[2]}")
        if target:
            return self._result(job, self._switch(job, ref, self._stored_recipe(ref), None, heartbeat))
        recipe = self._begin(job, ref)
        builder = self._builder(ref, recipe)
        try:
            expected = self._build(ref, recipe, builder, heartbeat)
            switched = self._switch(job, ref, recipe, expected, heartbeat)
        except GOES_ON:
            raise
        except Exception:
            self._abandoned.drop(ref)
            builder.clear()
            raise
        builder.clear()
        return self._result(job, switched)

    def _begin(self, job: Job, ref: CollectionRef) -> Recipe:
        """The recipe of the job's collection. A new collection is begun, unless the job continues with one."""
        self._drop_others(ref)
        with self._sessions() as session:
            if session.get(Collection, ref.collection_id) is not None:
                return self._stored_recipe(ref)
        recipe = self._asked_recipe(job)
        collection = Collection(
            id=ref.collection_id,
            workspace_id=ref.workspace_id,
            store_id=ref.store_id,
            embedder=recipe.embedder,
            dimension=recipe.dimension,
            settings=recipe.settings(),
            state="building",
        )
        with self._sessions.begin() as session:
            session.add(collection)
        return recipe

    def _asked_recipe(self, job: Job) -> Recipe:
        """What the request asks for; the rest comes from the worker's settings as they are now.

        Raises InputError for a language that BM25 does not know.
        """
        recipe = self._indexing.recipe
        chunking, sparse = chunking_of(job.request, recipe.chunking), sparse_of(job.request, recipe.sparse)
        bm25_encoder(sparse)
        return replace(recipe, chunking=chunking, sparse=sparse)

    def _stored_recipe(self, ref: CollectionRef) -> Recipe:
        with self._sessions() as session:
            row = session.get(Collection, ref.collection_id)
        if row is None or row.store_id != ref.store_id:
            raise BuildFailed(f"store {ref.store_id} has no collection {ref.collection_id} any more")
        return self._indexing.recipe_of(row)

    def _builder(self, ref: CollectionRef, recipe: Recipe) -> Builder:
        if self._writer.embedded():
            return FolderBuilder(self._index_folder, ref, recipe, self._command)
        per_request = self._indexing.settings.points_per_request
        return ServiceBuilder(self._writer, ref, recipe, per_request, self._whole(ref))

    def _build(self, ref: CollectionRef, recipe: Recipe, builder: Builder, heartbeat: Heartbeat) -> int | None:
        """Fill the collection; returns how many points it must hold, None if that was already checked."""
        with self._sessions() as session:
            if session.get_one(Collection, ref.collection_id).state != "building":
                return None  # killed after the switch
        if not builder.done():
            self._fill(ref, recipe, builder, heartbeat)
        elif self._whole(ref):
            return None
        return builder.finish(heartbeat)

    def _fill(self, ref: CollectionRef, recipe: Recipe, builder: Builder, heartbeat: Heartbeat) -> None:
        files = self._indexed(ref.store_id)
        for number, (row, file) in enumerate(files):
            source = FileRef(ref.workspace_id, row.store_id, row.file_id, row.revision, row.attributes)
            share = BUILDING / len(files)
            start, end = number * share, (number + 1) * share
            if builder.holds(source):
                heartbeat.progress(f"kept {file.filename}", end)
            else:
                builder.add(source, self._indexing.points(file, source, own_recipe(row, recipe), heartbeat, start, end))

    def _switch(
        self, job: Job, ref: CollectionRef, recipe: Recipe, expected: int | None, heartbeat: Heartbeat
    ) -> SwitchResponse:
        """Bring the collection up to date, round by round, until it can answer.

        Raises RecallTooLow, and BuildFailed if files arrive faster than they are embedded.
        """
        request = SwitchRequest(
            **asdict(ref),
            expected_count=expected,
            min_recall=None if "rollback_to" in job.request else self._min_recall,
            force=bool(job.request.get("force")),
        )
        for _ in range(MOST_ROUNDS):
            heartbeat.progress("switching", BUILT)
            switched = self._writer.switch(request)
            if not switched.missing:
                self._record_sizes(ref.store_id, recipe.chunking)
                return switched
            self._write(ref, recipe, switched.missing, heartbeat)
            request = request.model_copy(update={"expected_count": None})
        raise BuildFailed(
            f"the new collection of store {ref.store_id} did not catch up in {MOST_ROUNDS} rounds: files change faster "
            "than they are embedded. The live one stays; reindex at a quieter time"
        )

    def _write(self, ref: CollectionRef, recipe: Recipe, missing: Sequence[FileRevision], heartbeat: Heartbeat) -> None:
        """Write the files that arrived or changed during the build, by the collection's recipe."""
        per_request = self._indexing.settings.points_per_request
        for one in missing:
            with self._sessions() as session:
                row = session.get(StoreFile, (ref.store_id, one.file_id))
                file = session.get(File, one.file_id)
            if row is None or file is None or row.deleted or one.revision not in (row.revision, row.former_revision):
                continue
            source = FileRef(ref.workspace_id, ref.store_id, row.file_id, one.revision, row.attributes)
            points = self._indexing.points(file, source, own_recipe(row, recipe), heartbeat, BUILT, BUILT)
            try:
                self._writer.upsert(source, recipe, points, per_request, ref.collection_id)
            except StaleRevision:
                log.info("revision %d of file %s is not wanted any more", one.revision, row.file_id)

    def _result(self, job: Job, switched: SwitchResponse) -> dict[str, Any]:
        result: dict[str, Any] = {
            "collection_id": switched.collection_id,
            "previous_id": switched.previous_id,
            "chunks": switched.count,
            "replayed": switched.replayed,
            "recall": switched.recall,
            "questions": switched.questions,
        }
        if job.request.get("force") and switched.recall is not None and switched.recall < self._min_recall:
            result["reason"] = (
                f"switched by force: it finds {switched.recall:.2f} of what the former collection found first for "
                f"{switched.questions} stored questions"
            )
        return result

    def _indexed(self, store_id: str) -> list[tuple[StoreFile, File]]:
        query = select(StoreFile, File).join(File, File.id == StoreFile.file_id)
        indexed = StoreFile.status == "completed", StoreFile.deleted.is_(False)
        with self._sessions() as session:
            return [(row, file) for row, file in session.execute(query.where(StoreFile.store_id == store_id, *indexed))]

    def _record_sizes(self, store_id: str, chunking: ChunkingSettings) -> None:
        """Record the new chunk sizes with the files that have no sizes of their own."""
        held = StoreFile.store_id == store_id, StoreFile.status == "completed", StoreFile.chunking.is_(None)
        with self._sessions.begin() as session:
            session.execute(update(StoreFile).where(*held).values(chunked=recorded_sizes(chunking)))

    def _whole(self, ref: CollectionRef) -> dict[tuple[str, int], int]:
        rows = select(CollectionFile).where(CollectionFile.collection_id == ref.collection_id)
        with self._sessions() as session:
            return {(row.file_id, row.revision): row.chunk_count for row in session.scalars(rows)}

    def _drop_others(self, ref: CollectionRef) -> None:
        """Drop any other build of the store. A store has one reindexing at a time, so a dead job must have left it."""
        left = select(Collection.id).where(Collection.store_id == ref.store_id, Collection.state == "building")
        with self._sessions() as session:
            ids = session.scalars(left.where(Collection.workspace_id == ref.workspace_id)).all()
        for collection_id in ids:
            if collection_id != ref.collection_id:
                self._abandoned.clear(CollectionRef(ref.workspace_id, ref.store_id, collection_id))
