"""Registered sources: folders, working trees, sites and buckets that a store follows."""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from typing import Any

from sqlalchemy import Select, func, select, update

from retrieval.sources.allowed import Allowed, check_location
from retrieval.sources.port import Kind
from services.database.engine import Sessions
from services.database.tables import File, Job, Source, SourceDocument, StoreFile, now
from services.domain.sources import begin_sync
from services.domain.store_files import hide, mark_cancelled
from services.gateway.jobs.dispatch import Dispatcher
from services.gateway.stores.stores import Stores
from services.kit.errors import ApiError
from services.kit.settings import SourceSettings

STATUSES = ("in_progress", "completed", "failed", "cancelled")
Document = tuple[SourceDocument, File, StoreFile | None]


class Sources:
    def __init__(self, sessions: Sessions, stores: Stores, dispatcher: Dispatcher, settings: SourceSettings) -> None:
        self._sessions, self._stores, self._dispatcher = sessions, stores, dispatcher
        self._deadline = settings.deadline
        self._allowed = Allowed(tuple(settings.folders), tuple(settings.bucket_schemes), tuple(settings.private_hosts))

    def create(
        self, workspace_id: str, store_id: str | None, kind: Kind, location: str, values: dict[str, Any]
    ) -> Source:
        """Register a source; `values` are further columns.

        Raises SourceRefused for a location that the allow-lists do not cover, ApiError for a store that does not exist.
        """
        place = check_location(kind, location, self._allowed)
        store_ids = self._stores.resolve(workspace_id, [store_id] if store_id else None)
        if not store_ids:
            raise ApiError(
                400, "This workspace has no default store; name one.", code="no_store", param="vector_store_id"
            )
        source = Source(id=f"src_{secrets.token_hex(12)}", workspace_id=workspace_id, store_id=store_ids[0], kind=kind,
                        location=place, **values)  # fmt: skip
        with self._sessions.begin() as session:
            session.add(source)
        return source

    def find(self, workspace_id: str, source_id: str) -> Source:
        query = _sources(workspace_id).where(Source.id == source_id)
        with self._sessions() as session:
            source = session.scalar(query)
        if source is None:
            raise ApiError(404, f"There is no source '{source_id}'.", code="source_not_found", param="source_id")
        return source

    def list(self, workspace_id: str) -> Sequence[Source]:
        """The newest first."""
        with self._sessions() as session:
            return session.scalars(_sources(workspace_id).order_by(Source.created_at.desc())).all()

    def update(self, workspace_id: str, source_id: str, values: dict[str, Any]) -> Source:
        """Change columns. If the schedule changes, the next due time is computed again within a minute."""
        self.find(workspace_id, source_id)
        if values.keys() & {"cron", "time_zone", "enabled"}:
            values = {**values, "next_due_at": None}
        if values:
            with self._sessions.begin() as session:
                session.execute(update(Source).where(Source.id == source_id).values(**values))
        return self.find(workspace_id, source_id)

    def delete(self, workspace_id: str, source_id: str, keep_documents: bool) -> Job | None:
        """Delete a source. Its documents stay as files of the store, or are hidden at once and removed by a job."""
        self.find(workspace_id, source_id)
        documents = SourceDocument.source_id == source_id
        of_source = select(SourceDocument.file_id).where(documents)
        former = select(SourceDocument.former_file_id).where(documents, SourceDocument.former_file_id.is_not(None))
        with self._sessions.begin() as session:
            gone = {"deleted_at": now(), "enabled": False, "job_id": None}  # a sync under way stops at its next step
            session.execute(update(Source).where(Source.id == source_id).values(**gone))
            if keep_documents:
                return None
            source = session.get_one(Source, source_id)
            ours = StoreFile.file_id.in_(of_source.union(former))
            mark_cancelled(session, ours)
            hide(session, ours)
            job, _ = begin_sync(session, source, self._deadline)
        self._dispatcher.send(job)
        return job

    def sync(self, workspace_id: str, source_id: str, full: bool, confirm: bool) -> Job:
        """Queue a sync. If one already waits, return that one."""
        source = self.find(workspace_id, source_id)
        options = {name: True for name, chosen in (("full", full), ("confirm", confirm)) if chosen}
        with self._sessions.begin() as session:
            job, is_new = begin_sync(session, source, self._deadline, **options)
        if is_new:
            self._dispatcher.send(job)
        return job

    def documents(
        self, workspace_id: str, source_id: str, status: str | None, limit: int, after: str | None
    ) -> tuple[Sequence[Document], bool]:
        """A source's documents in the order of their keys, those after `after`, and whether there are more."""
        self.find(workspace_id, source_id)
        query = _documents(source_id)
        query = query.where(StoreFile.status == status) if status else query
        query = query.where(SourceDocument.key > after) if after else query
        with self._sessions() as session:
            rows = session.execute(query.order_by(SourceDocument.key).limit(limit + 1)).all()
        return [(row[0], row[1], row[2]) for row in rows[:limit]], len(rows) > limit

    def counts(self, source_id: str) -> dict[str, int]:
        """The number of documents in each state of indexing."""
        query = select(StoreFile.status, func.count()).select_from(SourceDocument).join(Source)
        query = query.join(StoreFile, _in_store()).where(SourceDocument.source_id == source_id)
        with self._sessions() as session:
            found = {row[0]: row[1] for row in session.execute(query.group_by(StoreFile.status))}
        counts = {status: found.get(status, 0) for status in STATUSES}
        return {**counts, "total": sum(counts.values())}


def _sources(workspace_id: str) -> Select[Source]:
    return select(Source).where(Source.workspace_id == workspace_id, Source.deleted_at.is_(None))


def _in_store() -> Any:
    return (StoreFile.store_id == Source.store_id) & (StoreFile.file_id == SourceDocument.file_id)


def _documents(source_id: str) -> Select[SourceDocument, File, StoreFile]:
    query = select(SourceDocument, File, StoreFile).join(Source, Source.id == SourceDocument.source_id)
    query = query.join(File, File.id == SourceDocument.file_id).outerjoin(StoreFile, _in_store())
    return query.where(SourceDocument.source_id == source_id)
