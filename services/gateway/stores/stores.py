"""Vector stores."""

from __future__ import annotations

import secrets
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import func, select, update
from sqlalchemy.orm import Session

from services.contracts.jobs import FINISHED
from services.database.engine import Sessions
from services.database.tables import File, Job, Store, StoreFile, now
from services.domain.jobs import Jobs
from services.domain.store_files import hide
from services.gateway.http.paging import Cursor, Place, read_page
from services.kit.errors import ApiError

STATUSES = ("in_progress", "completed", "failed", "cancelled")
ACTIVE_SECONDS = 60  # a store's last activity is written down at most this often


@dataclass(frozen=True)
class NewStore:
    name: str = ""
    description: str | None = None
    metadata: dict[str, str] = field(default_factory=dict)
    expires_days: int | None = None


@dataclass(frozen=True)
class Contents:
    """What a store holds: files by status, and the bytes of those that are indexed."""

    counts: dict[str, int]
    usage_bytes: int


def expires_at(store: Store) -> datetime | None:
    return store.last_active_at + timedelta(days=store.expires_days) if store.expires_days else None


def is_expired(store: Store) -> bool:
    moment = expires_at(store)
    return moment is not None and moment <= now()


class Stores:
    def __init__(self, sessions: Sessions, jobs: Jobs) -> None:
        self._sessions, self._jobs = sessions, jobs

    def create(self, workspace_id: str, new: NewStore) -> Store:
        """A store; the first one of a workspace becomes its default."""
        with self._sessions.begin() as session:
            default = select(Store.id).where(Store.workspace_id == workspace_id, Store.is_default.is_(True))
            is_first = session.scalar(default.where(Store.deleted_at.is_(None))) is None
            store = Store(
                id=f"vs_{secrets.token_hex(12)}",
                workspace_id=workspace_id,
                name=new.name,
                description=new.description,
                details=new.metadata,
                expires_days=new.expires_days,
                is_default=is_first,
            )
            session.add(store)
        return store

    def find(self, workspace_id: str, store_id: str) -> Store:
        with self._sessions() as session:
            return find_store(session, workspace_id, store_id)

    def active(self, workspace_id: str, store_id: str) -> Store:
        """A store that is about to be used; this counts as activity. Raises ApiError 400 for an expired one."""
        store = self.find(workspace_id, store_id)
        if is_expired(store):
            message = (
                f"The vector store '{store_id}' expired on {expires_at(store):%Y-%m-%d}; give it another "
                "expires_after, or null, to use it again."
            )
            raise ApiError(400, message, code="vector_store_expired", param="vector_store_id")
        if (now() - store.last_active_at).total_seconds() > ACTIVE_SECONDS:
            with self._sessions.begin() as session:
                session.execute(update(Store).where(Store.id == store_id).values(last_active_at=now()))
        return store

    def list(self, workspace_id: str, cursor: Cursor) -> tuple[Sequence[Store], bool]:
        """A page, and whether there are more."""
        query = select(Store).where(Store.workspace_id == workspace_id, Store.deleted_at.is_(None))
        with self._sessions() as session:

            def place(store_id: str) -> Place:
                return find_store(session, workspace_id, store_id).created_at, store_id

            rows, more = read_page(session, query, Store.created_at, Store.id, cursor, place)
        return [store for (store,) in rows], more

    def resolve(self, workspace_id: str, store_ids: Sequence[str] | None) -> tuple[str, ...]:
        """The stores to search for a question: those named, all of this workspace, otherwise the default one."""
        if store_ids:
            return tuple(self.active(workspace_id, store_id).id for store_id in store_ids)
        default = select(Store.id).where(Store.workspace_id == workspace_id, Store.is_default.is_(True))
        with self._sessions() as session:
            found = session.scalars(default.where(Store.deleted_at.is_(None))).all()
        return tuple(self.active(workspace_id, store_id).id for store_id in found)

    def update(self, workspace_id: str, store_id: str, changes: dict[str, Any]) -> Store:
        """Change columns of a store. This counts as activity, so an expired store can be used again."""
        self.find(workspace_id, store_id)
        with self._sessions.begin() as session:
            values = {**changes, "last_active_at": now()}
            session.execute(update(Store).where(Store.id == store_id).values(values))
        return self.find(workspace_id, store_id)

    def delete(self, workspace_id: str, store_id: str) -> None:
        """Hide the store and its files' passages at once, and end the work in progress for it.

        No file is marked as cancelled: a source that filled the store still shows the state of its documents.
        """
        self.find(workspace_id, store_id)
        with self._sessions.begin() as session:
            session.execute(update(Store).where(Store.id == store_id).values(deleted_at=now(), is_default=False))
            hide(session, StoreFile.store_id == store_id)
            unfinished = select(Job).where(Job.workspace_id == workspace_id, Job.status.not_in(FINISHED))
            concerned = [job.id for job in session.scalars(unfinished) if job.request.get("store_id") == store_id]
            self._jobs.cancel_all(session, concerned, "its vector store was deleted")

    def contents(self, store_ids: Iterable[str]) -> dict[str, Contents]:
        """What each of these stores holds."""
        ids = list(store_ids)
        query = select(StoreFile.store_id, StoreFile.status, func.count(), func.sum(File.bytes))
        query = query.join(File, File.id == StoreFile.file_id)
        query = query.where(StoreFile.store_id.in_(ids), StoreFile.deleted.is_(False))
        found: dict[str, dict[str, tuple[int, int]]] = {store_id: {} for store_id in ids}
        with self._sessions() as session:
            for store_id, status, count, size in session.execute(query.group_by(StoreFile.store_id, StoreFile.status)):
                found[store_id][status] = (count, int(size or 0))
        return {store_id: _contents(by_status) for store_id, by_status in found.items()}


def find_store(session: Session, workspace_id: str, store_id: str) -> Store:
    query = select(Store).where(Store.id == store_id, Store.workspace_id == workspace_id, Store.deleted_at.is_(None))
    store = session.scalar(query)
    if store is None:
        message = f"There is no vector store '{store_id}'."
        raise ApiError(404, message, code="store_not_found", param="vector_store_id")
    return store


def count_files(by_status: dict[str, int]) -> dict[str, int]:
    """OpenAI's `file_counts`."""
    counts = {status: by_status.get(status, 0) for status in STATUSES}
    return {**counts, "total": sum(counts.values())}


def _contents(by_status: dict[str, tuple[int, int]]) -> Contents:
    counts = count_files({status: count for status, (count, _) in by_status.items()})
    return Contents(counts, by_status.get("completed", (0, 0))[1])
