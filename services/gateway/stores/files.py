"""The files of a vector store."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import Select, select, update
from sqlalchemy.orm import Session

from services.database.engine import Sessions
from services.database.tables import File, Job, StoreFile, now
from services.domain.jobs import Jobs
from services.domain.store_files import hide, mark_cancelled, want_again
from services.gateway.files.files import Files
from services.gateway.http.paging import Cursor, Place, read_page
from services.gateway.jobs.dispatch import Dispatcher
from services.gateway.stores.stores import Stores
from services.kit.errors import ApiError

Held = tuple[StoreFile, File]


@dataclass(frozen=True)
class Entry:
    """A file to put into a store. `chunking` has its own sizes in OpenAI's words; None means the store's sizes."""

    file_id: str
    attributes: dict[str, Any] = field(default_factory=dict)
    chunking: dict[str, int] | None = None


class StoreFiles:
    def __init__(self, sessions: Sessions, stores: Stores, files: Files, dispatcher: Dispatcher, jobs: Jobs) -> None:
        self._sessions, self._stores, self._files = sessions, stores, files
        self._dispatcher, self._jobs = dispatcher, jobs

    def attach(self, workspace_id: str, store_id: str, entries: Sequence[Entry]) -> None:
        """Put files into a store and queue their indexing, all or none. Raises ApiError 404 for an unknown file."""
        self._stores.active(workspace_id, store_id)
        with self._sessions.begin() as session:
            jobs = self.place(session, workspace_id, store_id, entries)
        self.send(jobs)

    def place(self, session: Session, workspace_id: str, store_id: str, entries: Sequence[Entry]) -> list[Job]:
        """As `attach`, in the caller's transaction; send the jobs after the commit.

        A file that is already in the store with the same attributes and sizes does not change. With others, the old
        index answers until the file is indexed with them.
        """
        self._files.find_all(workspace_id, [entry.file_id for entry in entries])
        placed = [self._place(session, workspace_id, store_id, entry) for entry in entries]
        return [job for job in placed if job is not None]

    def send(self, jobs: Sequence[Job]) -> None:
        for job in jobs:
            self._dispatcher.send(job)

    def _place(self, session: Session, workspace_id: str, store_id: str, entry: Entry) -> Job | None:
        row = session.get(StoreFile, (store_id, entry.file_id))
        if row and _is_unchanged(row, entry):
            return None
        if row is None:
            row = StoreFile(store_id=store_id, file_id=entry.file_id, workspace_id=workspace_id, revision=0)
            session.add(row)
        if row.deleted:
            row.created_at = now()
        want_again(row)
        row.status, row.deleted, row.error, row.error_code = "in_progress", False, None, None
        row.attributes, row.chunking, row.chunked = entry.attributes, entry.chunking, None
        request = {"store_id": store_id, "file_id": entry.file_id, "revision": row.revision}
        job = self._dispatcher.add(session, workspace_id, "index_file", request)
        row.job_id = job.id
        return job

    def find(self, workspace_id: str, store_id: str, file_id: str) -> Held:
        self._stores.find(workspace_id, store_id)
        with self._sessions() as session:
            return _find(session, store_id, file_id)

    def list(self, workspace_id: str, store_id: str, cursor: Cursor, status: str | None) -> tuple[Sequence[Held], bool]:
        """A page of a store's files, and whether there are more."""
        self._stores.find(workspace_id, store_id)
        with self._sessions() as session:
            return page_of_files(session, held_files(store_id), store_id, cursor, status)

    def update(self, workspace_id: str, store_id: str, file_id: str, attributes: dict[str, Any]) -> Held:
        """Change a file's attributes; the caller tells the index afterwards."""
        self.find(workspace_id, store_id, file_id)
        changed = {"attributes": attributes, "attributes_changed_at": now()}
        with self._sessions.begin() as session:
            session.execute(update(StoreFile).where(*_row(store_id, file_id)).values(changed))
        return self.find(workspace_id, store_id, file_id)

    def detach(self, workspace_id: str, store_id: str, file_id: str) -> None:
        """Hide a file's passages from a store at once."""
        row, _ = self.find(workspace_id, store_id, file_id)
        with self._sessions.begin() as session:
            mark_cancelled(session, *_row(store_id, file_id))
            hide(session, *_row(store_id, file_id))
            self._jobs.cancel_all(session, [row.job_id] if row.job_id else [], "the file was taken from the store")


def held_files(store_id: str) -> Select[StoreFile, File]:
    query = select(StoreFile, File).join(File, File.id == StoreFile.file_id)
    return query.where(StoreFile.store_id == store_id, StoreFile.deleted.is_(False))


def page_of_files(
    session: Session, query: Select[*tuple[Any, ...]], store_id: str, cursor: Cursor, status: str | None
) -> tuple[Sequence[Held], bool]:
    def place(file_id: str) -> Place:
        return _find(session, store_id, file_id)[0].created_at, file_id

    if status:
        query = query.where(StoreFile.status == status)
    rows, more = read_page(session, query, StoreFile.created_at, StoreFile.file_id, cursor, place)
    return [(row, file) for row, file in rows], more


def _find(session: Session, store_id: str, file_id: str) -> Held:
    row, file = session.get(StoreFile, (store_id, file_id)), session.get(File, file_id)
    if row is None or row.deleted or file is None:
        message = f"The vector store '{store_id}' has no file '{file_id}'."
        raise ApiError(404, message, code="file_not_found", param="file_id")
    return row, file


def _row(store_id: str, file_id: str) -> tuple[Any, ...]:
    return StoreFile.store_id == store_id, StoreFile.file_id == file_id


def _is_unchanged(row: StoreFile, entry: Entry) -> bool:
    is_there = not row.deleted and row.status in ("in_progress", "completed")
    return is_there and (row.attributes, row.chunking) == (entry.attributes, entry.chunking)
