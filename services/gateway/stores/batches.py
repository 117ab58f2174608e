"""Batches: files that are put into a vector store and watched together."""

from __future__ import annotations

import secrets
from collections.abc import Sequence

from sqlalchemy import ColumnElement, func, select, update

from services.database.engine import Sessions
from services.database.tables import FileBatch, FileBatchEntry, StoreFile, now
from services.domain.jobs import Jobs
from services.domain.store_files import stop_indexing
from services.gateway.http.paging import Cursor
from services.gateway.stores.files import Entry, Held, StoreFiles, held_files, page_of_files
from services.gateway.stores.stores import Stores, count_files
from services.kit.errors import ApiError


class FileBatches:
    def __init__(self, sessions: Sessions, stores: Stores, store_files: StoreFiles, jobs: Jobs) -> None:
        self._sessions, self._stores, self._store_files, self._jobs = sessions, stores, store_files, jobs

    def create(self, workspace_id: str, store_id: str, entries: Sequence[Entry]) -> FileBatch:
        """Put files into a store and queue their indexing, all or none. Raises ApiError 404 for an unknown file."""
        self._stores.active(workspace_id, store_id)
        batch = FileBatch(id=f"vsfb_{secrets.token_hex(12)}", workspace_id=workspace_id, store_id=store_id)
        with self._sessions.begin() as session:
            session.add(batch)
            jobs = self._store_files.place(session, workspace_id, store_id, entries)
            session.flush()
            session.add_all(
                FileBatchEntry(batch_id=batch.id, file_id=entry.file_id, workspace_id=workspace_id) for entry in entries
            )
        self._store_files.send(jobs)
        return batch

    def find(self, workspace_id: str, store_id: str, batch_id: str) -> FileBatch:
        self._stores.find(workspace_id, store_id)
        with self._sessions() as session:
            batch = session.get(FileBatch, batch_id)
        if batch is None or (batch.workspace_id, batch.store_id) != (workspace_id, store_id):
            message = f"The vector store '{store_id}' has no file batch '{batch_id}'."
            raise ApiError(404, message, code="batch_not_found", param="batch_id")
        return batch

    def counts(self, batch: FileBatch) -> dict[str, int]:
        """The batch's files by status. A file that was since removed from the store counts as cancelled."""
        query = select(StoreFile.status, func.count()).join(FileBatchEntry, FileBatchEntry.file_id == StoreFile.file_id)
        query = query.where(FileBatchEntry.batch_id == batch.id, StoreFile.store_id == batch.store_id)
        with self._sessions() as session:
            return count_files({row[0]: row[1] for row in session.execute(query.group_by(StoreFile.status))})

    def files(
        self, workspace_id: str, store_id: str, batch_id: str, cursor: Cursor, status: str | None
    ) -> tuple[Sequence[Held], bool]:
        """A page of a batch's files, and whether there are more."""
        batch = self.find(workspace_id, store_id, batch_id)
        members = select(FileBatchEntry.file_id).where(FileBatchEntry.batch_id == batch.id)
        query = held_files(store_id).where(StoreFile.file_id.in_(members))
        with self._sessions() as session:
            return page_of_files(session, query, store_id, cursor, status)

    def cancel(self, workspace_id: str, store_id: str, batch_id: str) -> FileBatch:
        """Stop files that are not indexed yet; indexed ones stay. A batch that has ended does not change."""
        batch = self.find(workspace_id, store_id, batch_id)
        with self._sessions.begin() as session:
            rows = session.scalars(select(StoreFile).where(*_unfinished(batch))).all()
            if rows:
                self._jobs.cancel_all(session, [row.job_id for row in rows if row.job_id], "its batch was cancelled")
                stop_indexing(session, *_unfinished(batch))
                ended = update(FileBatch).where(FileBatch.id == batch.id, FileBatch.cancelled_at.is_(None))
                session.execute(ended.values(cancelled_at=now()))
        return self.find(workspace_id, store_id, batch_id)


def _unfinished(batch: FileBatch) -> tuple[ColumnElement[bool], ...]:
    """Conditions on the batch's files that are not indexed yet."""
    members = select(FileBatchEntry.file_id).where(FileBatchEntry.batch_id == batch.id)
    here = StoreFile.store_id == batch.store_id, StoreFile.file_id.in_(members)
    return *here, StoreFile.status == "in_progress", StoreFile.deleted.is_(False)
