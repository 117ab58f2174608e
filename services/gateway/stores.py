"""Vector stores and the files in them."""

from __future__ import annotations

import secrets
from collections.abc import Sequence

from sqlalchemy import func, select, update

from services.database.engine import Sessions
from services.database.tables import File, Store, StoreFile, now
from services.gateway.dispatch import Dispatcher
from services.gateway.files import Files
from services.kit.errors import ApiError


class Stores:
    def __init__(self, sessions: Sessions, files: Files, dispatcher: Dispatcher) -> None:
        self._sessions, self._files, self._dispatcher = sessions, files, dispatcher

    def create(self, workspace_id: str, name: str) -> Store:
        with self._sessions.begin() as session:
            default = select(Store.id).where(Store.workspace_id == workspace_id, Store.is_default.is_(True))
            is_first = session.scalar(default.where(Store.deleted_at.is_(None))) is None
            store = Store(id=f"vs_{secrets.token_hex(12)}", workspace_id=workspace_id, name=name, is_default=is_first)
            session.add(store)
        return store

    def find(self, workspace_id: str, store_id: str) -> Store:
        query = select(Store).where(
            Store.id == store_id, Store.workspace_id == workspace_id, Store.deleted_at.is_(None)
        )
        with self._sessions() as session:
            store = session.scalar(query)
        if store is None:
            raise ApiError(
                404, f"There is no vector store '{store_id}'.", code="store_not_found", param="vector_store_id"
            )
        return store

    def list(self, workspace_id: str) -> Sequence[Store]:
        query = select(Store).where(Store.workspace_id == workspace_id, Store.deleted_at.is_(None))
        with self._sessions() as session:
            return session.scalars(query.order_by(Store.created_at.desc())).all()

    def resolve(self, workspace_id: str, store_ids: Sequence[str] | None) -> tuple[str, ...]:
        """The stores that a question is asked of: those named, each of this workspace, else the default one."""
        if store_ids:
            return tuple(self.find(workspace_id, store_id).id for store_id in store_ids)
        return tuple(store.id for store in self.list(workspace_id) if store.is_default)

    def delete(self, workspace_id: str, store_id: str) -> None:
        """Hide the store and its files' passages at once."""
        self.find(workspace_id, store_id)
        with self._sessions.begin() as session:
            session.execute(update(Store).where(Store.id == store_id).values(deleted_at=now(), is_default=False))
            gone = {"deleted": True, "revision": StoreFile.revision + 1}
            session.execute(update(StoreFile).where(StoreFile.store_id == store_id).values(**gone))

    def counts(self, store_id: str) -> dict[str, int]:
        """Files by status, in OpenAI's `file_counts` shape."""
        query = select(StoreFile.status, func.count()).where(
            StoreFile.store_id == store_id, StoreFile.deleted.is_(False)
        )
        with self._sessions() as session:
            found = {row[0]: row[1] for row in session.execute(query.group_by(StoreFile.status))}
        counts = {status: found.get(status, 0) for status in ("in_progress", "completed", "failed", "cancelled")}
        return {**counts, "total": sum(counts.values())}

    def attach(
        self, workspace_id: str, store_id: str, file_id: str, attributes: dict[str, str | float | bool]
    ) -> tuple[StoreFile, File]:
        """Put a file into a store and queue its indexing. The same file again, unchanged, does nothing."""
        self.find(workspace_id, store_id)
        file = self._files.find(workspace_id, file_id)
        with self._sessions.begin() as session:
            row = session.get(StoreFile, (store_id, file_id))
            if row and not row.deleted and row.status != "failed" and row.attributes == attributes:
                return row, file
            if row is None:
                row = StoreFile(store_id=store_id, file_id=file_id, workspace_id=workspace_id, revision=0)
                session.add(row)
            row.revision += 1
            row.status, row.deleted, row.error, row.attributes = "in_progress", False, None, attributes
            request = {"store_id": store_id, "file_id": file_id, "revision": row.revision}
            job = self._dispatcher.add(session, workspace_id, "index_file", request)
        self._dispatcher.send(job)
        return row, file

    def file(self, workspace_id: str, store_id: str, file_id: str) -> tuple[StoreFile, File]:
        self.find(workspace_id, store_id)
        with self._sessions() as session:
            row = session.get(StoreFile, (store_id, file_id))
            file = session.get(File, file_id)
        if row is None or row.deleted or file is None:
            message = f"The vector store '{store_id}' has no file '{file_id}'."
            raise ApiError(404, message, code="file_not_found", param="file_id")
        return row, file

    def files(self, workspace_id: str, store_id: str) -> Sequence[tuple[StoreFile, File]]:
        self.find(workspace_id, store_id)
        query = select(StoreFile, File).join(File, File.id == StoreFile.file_id)
        query = query.where(StoreFile.store_id == store_id, StoreFile.deleted.is_(False))
        with self._sessions() as session:
            return [(row, file) for row, file in session.execute(query.order_by(StoreFile.created_at.desc()))]

    def detach(self, workspace_id: str, store_id: str, file_id: str) -> None:
        """Hide a file's passages from a store at once."""
        self.file(workspace_id, store_id, file_id)
        gone = {"deleted": True, "revision": StoreFile.revision + 1, "status": "cancelled"}
        with self._sessions.begin() as session:
            held = StoreFile.store_id == store_id, StoreFile.file_id == file_id
            session.execute(update(StoreFile).where(*held).values(**gone))
