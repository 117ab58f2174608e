"""Removes files: their rows, and their places in every store.

Every function works in the caller's transaction. After the commit, the caller removes the files' bytes and their points
in the stores' indexes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import select, update
from sqlalchemy.orm import Session

from services.database.tables import File, StoreFile, now
from services.domain.store_files import hide, mark_cancelled


@dataclass(frozen=True)
class Withdrawn:
    """A file that is hidden everywhere; its points in these stores and its bytes must be purged after the commit."""

    file_id: str
    path: str
    store_ids: tuple[str, ...]


def remove_files(session: Session, file_ids: Sequence[str]) -> Sequence[str]:
    """Hide files at once, in every store; returns the stores that held one of them until now.

    A file that is already removed stays unchanged.
    """
    session.execute(update(File).where(File.id.in_(file_ids), File.deleted_at.is_(None)).values(deleted_at=now()))
    these = StoreFile.file_id.in_(file_ids)
    stores = session.scalars(select(StoreFile.store_id).where(these, StoreFile.deleted.is_(False))).all()
    mark_cancelled(session, these)
    hide(session, these)
    return list(dict.fromkeys(stores))


def withdraw(session: Session, file_ids: Sequence[str]) -> list[Withdrawn]:
    """As `remove_files`; returns what must be purged. A file that is already removed is not named again.

    Stores that hid a file earlier are named too, since its points may still be there.
    """
    stores: dict[str, list[str]] = {}
    ever = select(StoreFile.store_id, StoreFile.file_id).where(StoreFile.file_id.in_(file_ids))
    for store_id, file_id in session.execute(ever):
        stores.setdefault(file_id, []).append(store_id)
    files = session.execute(select(File.id, File.path).where(File.id.in_(file_ids), File.deleted_at.is_(None))).all()
    remove_files(session, file_ids)
    return [Withdrawn(file_id, path, tuple(stores.get(file_id, ()))) for file_id, path in files]
