"""A file's place in a store: its next revision, the end of its indexing, its hiding.

A row's `revision` is the one that is wanted. Once it is raised, a worker that indexes the revision before is too late.
Every function works in the caller's transaction; `which` are conditions on the rows, all of which must hold.
"""

from __future__ import annotations

from sqlalchemy import ColumnElement, update
from sqlalchemy.orm import Session

from services.database.tables import StoreFile


def want_again(row: StoreFile) -> None:
    """Ask for another revision of a file in a store. The revision that answers now answers until the new one is
    indexed.

    A file that was taken out, or never was indexed, has no revision that answers.
    """
    if row.deleted:
        row.indexed_at = None
    if row.indexed_at is None:
        row.former_revision = None
    elif row.former_revision is None:
        row.former_revision = row.revision
    row.revision += 1


def stop_indexing(session: Session, *which: ColumnElement[bool]) -> int:
    """End the indexing of files that stay in their stores; returns how many there are."""
    stop = update(StoreFile).where(*which).values(revision=StoreFile.revision + 1, status="cancelled")
    return int(session.execute(stop).rowcount)  # type: ignore[attr-defined]


def mark_cancelled(session: Session, *which: ColumnElement[bool]) -> None:
    """Mark files that will be hidden as cancelled in all places that still show their rows, such as a source."""
    session.execute(update(StoreFile).where(*which, StoreFile.deleted.is_(False)).values(status="cancelled"))


def hide(session: Session, *which: ColumnElement[bool]) -> None:
    """Take files out of stores at once: no search finds them, and a worker that indexes one of them is too late.

    After the commit, the caller must remove their points from the index.
    """
    gone = {"deleted": True, "revision": StoreFile.revision + 1}
    session.execute(update(StoreFile).where(*which, StoreFile.deleted.is_(False)).values(**gone))
