"""Taking a file away: its row, and its place in every store."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import select, update
from sqlalchemy.orm import Session

from services.database.tables import File, StoreFile, now


def remove_file(session: Session, file_id: str) -> Sequence[str]:
    """Hide a file everywhere, in the caller's transaction; returns the stores that held it.

    Its bytes, and its points in those stores' indexes, are for the caller to remove afterwards.
    """
    session.execute(update(File).where(File.id == file_id).values(deleted_at=now()))
    held = StoreFile.file_id == file_id, StoreFile.deleted.is_(False)
    stores = session.scalars(select(StoreFile.store_id).where(*held)).all()
    gone = {"deleted": True, "revision": StoreFile.revision + 1, "status": "cancelled"}
    session.execute(update(StoreFile).where(*held).values(**gone))
    return stores
